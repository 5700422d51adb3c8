"""Counts the words of one folder."""

import json
import os
import re
import sys
from collections import Counter

import sources

WORD = re.compile(r"[^\W\d_]{2,}")  # letters of any alphabet, two at least


def main():
    root, folder = sys.argv[1:]
    counts = Counter()
    for path in sources.folders(root)[folder]:
        with open(path, encoding="utf-8", errors="replace") as file:
            counts.update(word.lower() for word in WORD.findall(file.read()))

    with open(os.path.join(os.environ["DAGBOOK_ARTIFACTS"], "counts.json"), "w", encoding="utf-8") as out:
        json.dump(counts, out, ensure_ascii=False, sort_keys=True)
    words = sum(counts.values())
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"words={words}\n")
    print(f"{folder}: {words} words, {len(counts)} different")


if __name__ == "__main__":
    main()
