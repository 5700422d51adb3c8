"""Reading the resized shards, and asking a model."""

import os
from operator import mul

CLASSES = 10


def load(*splits):
    """Pairs of an image (64 brightnesses and a constant 1) and its label."""
    folder = os.path.join(os.environ["DAGBOOK_INPUTS"], "shards")
    pairs = []
    for shard in sorted(os.listdir(folder), key=int):
        with open(os.path.join(folder, shard), encoding="utf-8") as rows:
            for row in rows:
                label, split, *pixels = row.rstrip("\n").split(",")
                if split in splits:
                    pairs.append(([*map(float, pixels), 1.0], int(label)))
    if not pairs:
        raise SystemExit(f"error: the shards hold no image of {' or '.join(splits)}")
    return pairs


def scores(weights, image):
    """One number a class; the highest is the answer."""
    return [sum(map(mul, row, image)) for row in weights]
