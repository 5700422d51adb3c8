"""Draws hand-like digits: ten glyphs, each shifted, slanted, thickened and speckled at random.

Stands for a download. One row an image: label, split, then 256 brightnesses of 16 × 16.
"""

import argparse
import json
import os
import random

SIDE = 16
SHARDS = 4
GLYPHS = (
    "01110 10001 10001 10001 10001 10001 01110",
    "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00110 01000 10000 11111",
    "01110 10001 00001 00110 00001 10001 01110",
    "00010 00110 01010 10010 11111 00010 00010",
    "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110",
    "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110",
    "01110 10001 10001 01111 00001 00010 01100",
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--digits", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()

    chance = random.Random(arguments.seed)
    splits = ("train",) * 7 + ("val", "test", "test")
    path = os.path.join(os.environ["DAGBOOK_ARTIFACTS"], "digits.csv")
    with open(path, "w", encoding="utf-8") as out:
        for number in range(arguments.digits):
            label = number % 10
            split = splits[number // 10 % len(splits)]
            pixels = ",".join(map(str, draw(label, chance)))
            out.write(f"{label},{split},{pixels}\n")

    size = -(-arguments.digits // SHARDS)
    shards = [f"{first}-{min(first + size, arguments.digits)}" for first in range(0, arguments.digits, size)]
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"shards={json.dumps(shards)}\n")
    print(f"drew {arguments.digits} digits of {SIDE} × {SIDE}, in {len(shards)} shards")


def draw(label, chance):
    """256 brightnesses from 0 to 255."""
    glyph = GLYPHS[label].split()
    left, top = chance.uniform(0.5, 4.5), chance.uniform(0.5, 2.0)
    slant, scale = chance.uniform(-0.15, 0.15), chance.uniform(1.75, 2.05)
    ink = chance.randint(150, 255)
    pixels = []
    for y in range(SIDE):
        row = int((y - top) / scale)
        for x in range(SIDE):
            column = int((x - left - slant * (y - SIDE / 2)) / scale)
            inked = y >= top and row < 7 and 0 <= column < 5 and glyph[row][column] == "1"
            level = ink if inked and chance.random() > 0.06 else 0
            pixels.append(min(255, level + chance.randint(0, 60)))
    return pixels


if __name__ == "__main__":
    main()
