"""Scores the answers of one model by one metric."""

import json
import math
import os
import sys


def main():
    model, metric = sys.argv[1:]
    predictions = find(model)
    value = METRICS[metric](predictions["answers"], predictions["classes"])
    result = {"model": model, "metric": metric, "value": f"{value:.4f}"}
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"result={json.dumps(result)}\n")
    print(f"{model} {metric} {value:.4f}")


def find(model):
    """The predictions of a model: the inputs are numbered, each file names its model."""
    folder = os.path.join(os.environ["DAGBOOK_INPUTS"], "predictions")
    for name in sorted(os.listdir(folder), key=int):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            predictions = json.load(file)
        if predictions["model"] == model:
            return predictions
    raise SystemExit(f"error: no predictions of the model {model}")


def choice(answer):
    probabilities = answer["probabilities"]
    return probabilities.index(max(probabilities))


def accuracy(answers, _classes):
    return sum(choice(answer) == answer["truth"] for answer in answers) / len(answers)


def macro_f1(answers, classes):
    """The mean over classes of 2·hits / (chosen + true), so that rare classes count as much."""
    scores = []
    for kind in range(classes):
        chosen = sum(choice(answer) == kind for answer in answers)
        true = sum(answer["truth"] == kind for answer in answers)
        hits = sum(choice(answer) == kind == answer["truth"] for answer in answers)
        scores.append(2 * hits / (chosen + true) if chosen + true else 0.0)
    return sum(scores) / classes


def log_loss(answers, _classes):
    """The mean surprise; lower is better."""
    return -sum(math.log(max(a["probabilities"][a["truth"]], 1e-12)) for a in answers) / len(answers)


METRICS = {"accuracy": accuracy, "macro_f1": macro_f1, "log_loss": log_loss}

if __name__ == "__main__":
    main()
