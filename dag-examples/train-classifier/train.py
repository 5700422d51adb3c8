"""Trains softmax regression by stochastic gradient descent.

Exit code 75 means "try again" (the loss ran away, which another seed may not do): the step
retries on it, and on nothing else.
"""

import argparse
import json
import math
import os
import random

import digits

TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()

    pairs = digits.load("train")
    attempt = int(os.environ["DAGBOOK_ATTEMPT"])
    chance = random.Random(f"{arguments.seed}/{attempt}")
    weights = [[0.0] * len(pairs[0][0]) for _ in range(digits.CLASSES)]
    loss = math.inf
    for epoch in range(1, arguments.epochs + 1):
        chance.shuffle(pairs)
        loss = run_epoch(weights, pairs, rate=0.12 / math.sqrt(epoch))
        print(f"epoch {epoch:>3}/{arguments.epochs}  loss {loss:.4f}", flush=True)
        if not math.isfinite(loss):
            raise SystemExit(TRY_AGAIN)

    parameters = sum(map(len, weights))
    with open(os.path.join(os.environ["DAGBOOK_ARTIFACTS"], "model.json"), "w", encoding="utf-8") as out:
        json.dump({"kind": "softmax", "weights": weights}, out)
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"loss={loss:.4f}\nparameters={parameters}\n")


def run_epoch(weights, pairs, rate):
    """One pass; the mean cross-entropy."""
    total = 0.0
    for image, label in pairs:
        logits = digits.scores(weights, image)
        highest = max(logits)
        powers = [math.exp(logit - highest) for logit in logits]
        whole = sum(powers)
        total -= logits[label] - highest - math.log(whole)
        for kind, power in enumerate(powers):
            step = rate * (power / whole - (kind == label))
            if abs(step) > 1e-4:
                weights[kind] = [weight - step * pixel for weight, pixel in zip(weights[kind], image)]
    return total / len(pairs)


if __name__ == "__main__":
    main()
