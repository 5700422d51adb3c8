"""Makes points of three classes that lie in rings and arms, so that no straight line suffices."""

import argparse
import json
import math
import os
import random

SHARES = (0.5, 0.3, 0.2)  # of the classes: uneven, so that accuracy alone misleads


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()

    chance = random.Random(arguments.seed)
    points = [point(chance) for _ in range(arguments.samples)]
    split = len(points) * 2 // 3
    path = os.path.join(os.environ["DAGBOOK_ARTIFACTS"], "dataset.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"classes": len(SHARES), "train": points[:split], "test": points[split:]}, out)
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"train={split}\ntest={len(points) - split}\n")
    print(f"{split} points to learn from, {len(points) - split} to be asked about")


def point(chance):
    """`[x, y, label]` on one of three spiral arms."""
    label = chance.choices(range(len(SHARES)), SHARES)[0]
    radius = chance.uniform(0.3, 3.0)
    angle = 2 * math.pi * label / len(SHARES) + 0.9 * radius + chance.gauss(0, 0.6)
    return [round(radius * math.cos(angle), 4), round(radius * math.sin(angle), 4), label]


if __name__ == "__main__":
    main()
