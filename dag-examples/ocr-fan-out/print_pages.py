"""Prints pages of words as images (PGM) with a little dirt, and keeps what was printed."""

import argparse
import io
import json
import os
import random
import zipfile

import font

WORDS = """THE QUICK BROWN FOX JUMPS OVER A LAZY DOG WHILE SEVEN WIZARDS BREW STRONG COFFEE
EVERY RUN LEAVES A RECORD THAT ANYONE MAY READ AND CHECK AGAIN LATER PAGES OF PLAIN TEXT
TRAVEL FROM STEP TO STEP AND NOTHING IS LOST ON THE WAY HARBOUR PARK SCHOOL FOREST RIVER
MOUNTAIN WINTER SUMMER PAPER LETTER NUMBER GARDEN MARKET WINDOW BRIDGE""".split()
LINES, COLUMNS = 6, 26
DOT = 5  # pixels
MARGIN = 30
PAPER, INK = 235, 25


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()

    chance = random.Random(arguments.seed)
    names = [f"page-{number:03}" for number in range(1, arguments.pages + 1)]
    bundle = os.path.join(os.environ["DAGBOOK_ARTIFACTS"], "pages.zip")
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            lines = compose(chance)
            write(archive, f"{name}.txt", "\n".join(lines).encode())
            write(archive, f"{name}.pgm", draw(lines, chance))
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"pages={json.dumps(names)}\n")
    print(f"printed {len(names)} pages of {LINES} lines")


def compose(chance):
    """Lines of words, with a number in each."""
    lines = []
    for _ in range(LINES):
        line = str(chance.randint(10, 999))
        while True:
            word = chance.choice(WORDS)
            if len(line) + 1 + len(word) > COLUMNS:
                break
            line += " " + word
        lines.append(line)
    return lines


def draw(lines, chance):
    """The page as a PGM file: soft edges like print, and specks like dust."""
    width = MARGIN * 2 + COLUMNS * (font.WIDTH + 1) * DOT
    rows = [[PAPER] * width for _ in range(MARGIN)]
    for line in lines:
        for dots in font.dots(line):
            inked = [INK if dot else PAPER for dot in dots for _ in range(DOT)]
            row = [PAPER] * MARGIN + inked
            row += [PAPER] * (width - len(row))
            rows += [row] * DOT
        rows += [[PAPER] * width for _ in range(4 * DOT)]
    rows += [[PAPER] * width for _ in range(MARGIN)]

    page = soften(rows)
    for _ in range(width * len(page) // 400):
        page[chance.randrange(len(page))][chance.randrange(width)] = chance.randint(120, 255)
    out = io.BytesIO()
    out.write(f"P5\n{width} {len(page)}\n255\n".encode())
    for row in page:
        out.write(bytes(row))
    return out.getvalue()


def soften(rows):
    """The mean of each pixel and its neighbours below and to the right, twice."""
    for _ in range(2):
        below = rows[1:] + rows[-1:]
        sums = [[a + b for a, b in zip(row, next_row)] for row, next_row in zip(rows, below)]
        rows = [[(a + b) // 4 for a, b in zip(row, row[1:] + row[-1:])] for row in sums]
    return rows


def write(archive, name, content):
    """Adds a file without a date, so that the same seed gives the same bundle."""
    archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
