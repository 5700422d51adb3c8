"""Makes 8 × 8 images of one shard's 16 × 16, each pixel the mean of four, from 0 to 1."""

import os
import sys
from itertools import islice

SIDE = 16


def main():
    first, end = map(int, sys.argv[1].split("-"))
    source = os.path.join(os.environ["DAGBOOK_INPUTS"], "digits.csv")
    target = os.path.join(os.environ["DAGBOOK_ARTIFACTS"], "resized.csv")
    with open(source, encoding="utf-8") as rows, open(target, "w", encoding="utf-8") as out:
        for row in islice(rows, first, end):
            label, split, *pixels = row.rstrip("\n").split(",")
            small = ",".join(f"{value:.3f}" for value in halve(list(map(int, pixels))))
            out.write(f"{label},{split},{small}\n")
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"images={end - first}\n")
    print(f"resized images {first} to {end - 1}")


def halve(pixels):
    for y in range(0, SIDE, 2):
        for x in range(0, SIDE, 2):
            at = y * SIDE + x
            yield (pixels[at] + pixels[at + 1] + pixels[at + SIDE] + pixels[at + SIDE + 1]) / 1020


if __name__ == "__main__":
    main()
