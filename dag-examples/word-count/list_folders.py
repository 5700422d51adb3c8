"""Lists what is there to count. The children of `map` are made from this list, at run time."""

import json
import os
import sys

import sources


def main():
    root = sys.argv[1]
    found = sources.folders(root)
    if not found:
        raise SystemExit(f"no text files below {os.path.abspath(root)}")
    items = [{"path": path, "files": len(files)} for path, files in sorted(found.items())]
    for item in items:
        print(f"{item['files']:>5} files  {item['path']}")
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as out:
        out.write(f"folders={json.dumps(items)}\n")
        out.write(f"files={sum(item['files'] for item in items)}\n")


if __name__ == "__main__":
    main()
