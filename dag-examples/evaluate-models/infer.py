"""Lets one model learn and answer; keeps each answer beside the truth."""

import json
import os
import sys
import time

import models


def main():
    name = sys.argv[1]
    with open(os.path.join(os.environ["DAGBOOK_INPUTS"], "dataset.json"), encoding="utf-8") as file:
        data = json.load(file)
    started = time.monotonic()
    model = models.BY_NAME[name](data["train"], data["classes"])
    answers = [
        {"truth": label, "probabilities": model.probabilities(x, y)} for x, y, label in data["test"]
    ]
    seconds = time.monotonic() - started

    path = os.path.join(os.environ["DAGBOOK_ARTIFACTS"], "predictions.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"model": name, "classes": data["classes"], "answers": answers}, out)
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"seconds={seconds:.3f}\n")
    print(f"{name}: {len(answers)} answers in {seconds:.2f} s")


if __name__ == "__main__":
    main()
