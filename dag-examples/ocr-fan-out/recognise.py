"""Reads one page with tesseract.

Exit codes: 69 when tesseract is not installed (nothing to retry: install it), otherwise
tesseract's own.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile

NOT_INSTALLED = 69  # EX_UNAVAILABLE of sysexits.h
HOW_TO_INSTALL = """error: this step needs the program `tesseract`, and it is not on the PATH
hint: Debian, Ubuntu: apt-get install tesseract-ocr; Fedora: dnf install tesseract; macOS: brew install tesseract"""


def main():
    page = sys.argv[1]
    program = shutil.which("tesseract")
    if program is None:
        print(HOW_TO_INSTALL, file=sys.stderr)
        raise SystemExit(NOT_INSTALLED)

    scratch = os.environ["DAGBOOK_SCRATCH"]
    bundle = os.path.join(os.environ["DAGBOOK_INPUTS"], "pages.zip")
    with zipfile.ZipFile(bundle) as archive:
        image = archive.extract(f"{page}.pgm", scratch)

    started = time.monotonic()
    # One thread a page: the fan-out is what makes it parallel.
    answer = subprocess.run(
        [program, image, "stdout", "--psm", "6", "--dpi", "150"],
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    if answer.returncode != 0:
        print(f"error: tesseract could not read {page}", file=sys.stderr)
        raise SystemExit(answer.returncode if answer.returncode > 0 else 1)
    seconds = time.monotonic() - started

    lines = [line.strip() for line in answer.stdout.splitlines() if line.strip()]
    path = os.path.join(os.environ["DAGBOOK_ARTIFACTS"], "page.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"page": page, "lines": lines}, file)
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"page={page}\nseconds={seconds:.3f}\n")
    print(f"{page}: {len(lines)} lines in {seconds:.2f} s")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
