"""Measures the model on one split, and shows which digits it takes for which."""

import argparse
import json
import os

import digits


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--split", choices=["val", "test"], required=True)
    split = parser.parse_args().split

    with open(os.path.join(os.environ["DAGBOOK_INPUTS"], "model.json"), encoding="utf-8") as file:
        weights = json.load(file)["weights"]
    table = [[0] * digits.CLASSES for _ in range(digits.CLASSES)]
    pairs = digits.load(split)
    for image, label in pairs:
        logits = digits.scores(weights, image)
        table[label][logits.index(max(logits))] += 1

    right = sum(table[digit][digit] for digit in range(digits.CLASSES))
    accuracy = right / len(pairs)
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"accuracy={accuracy:.4f}\n")
    print(f"{split}: {right} of {len(pairs)} right ({accuracy:.1%}); rows are the truth:")
    print("    " + "".join(f"{digit:>4}" for digit in range(digits.CLASSES)))
    for digit, row in enumerate(table):
        print(f"{digit:>4}" + "".join(f"{count or '·':>4}" for count in row))


if __name__ == "__main__":
    main()
