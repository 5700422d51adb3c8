"""Joins the pages to one text, and compares it with what was printed."""

import json
import os
import zipfile


def main():
    inputs = os.environ["DAGBOOK_INPUTS"]
    pages = sorted(read_all(os.path.join(inputs, "texts")), key=lambda page: page["page"])
    if not pages:
        raise SystemExit("error: not one page was read")

    wrong, letters = 0, 0
    with zipfile.ZipFile(os.path.join(inputs, "pages.zip")) as archive:
        for page in pages:
            printed = archive.read(f"{page['page']}.txt").decode()
            read = "\n".join(page["lines"])
            errors = distance(printed, read)
            wrong, letters = wrong + errors, letters + len(printed)
            print(f"{page['page']}: {1 - errors / len(printed):6.1%} of {len(printed)} letters right")

    accuracy = max(0.0, 1 - wrong / letters)
    path = os.path.join(os.environ["DAGBOOK_ARTIFACTS"], "book.txt")
    with open(path, "w", encoding="utf-8") as out:
        out.write("\n\n".join("\n".join(page["lines"]) for page in pages) + "\n")
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"accuracy={accuracy:.4f}\npages={len(pages)}\n")
    print(f"accuracy of {len(pages)} pages: {accuracy:.1%}")


def read_all(folder):
    for name in sorted(os.listdir(folder), key=int):
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            yield json.load(file)


def distance(printed, read):
    """Letters to insert, delete or replace (Levenshtein)."""
    above = list(range(len(read) + 1))
    for row, wanted in enumerate(printed, start=1):
        line = [row]
        for column, found in enumerate(read, start=1):
            cost = above[column - 1] + (wanted != found)
            line.append(min(cost, above[column] + 1, line[-1] + 1))
        above = line
    return above[-1]


if __name__ == "__main__":
    main()
