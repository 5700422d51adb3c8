"""Adds up the counts of all folders."""

import argparse
import csv
import json
import os
from collections import Counter


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--top", type=int, required=True)
    parser.add_argument("--files", type=int, required=True)
    arguments = parser.parse_args()

    total = Counter()
    folder = os.path.join(os.environ["DAGBOOK_INPUTS"], "counts")
    for part in sorted(os.listdir(folder), key=int):
        with open(os.path.join(folder, part), encoding="utf-8") as file:
            total.update(json.load(file))

    ranked = sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))
    path = os.path.join(os.environ["DAGBOOK_ARTIFACTS"], "words.csv")
    with open(path, "w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows(ranked)
    words = sum(total.values())
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"words={words}\ndistinct={len(total)}\n")

    print(f"{words} words, {len(total)} different, in {arguments.files} files")
    longest = ranked[0][1]
    for word, count in ranked[: arguments.top]:
        print(f"{count:>7}  {word:<14} {'█' * max(1, count * 40 // longest)}")


if __name__ == "__main__":
    main()
