"""Which files are counted: text that people wrote, not what a build or a run left behind."""

import os

ENDINGS = (".rs", ".md", ".py", ".sh", ".sql", ".toml", ".yaml", ".yml", ".txt")
LEFT_OUT = {"target", "node_modules", "__pycache__"}


def folders(root):
    """Folders two levels below `root` (`events/src`), with the files in and under each."""
    found = {}
    for folder, children, files in os.walk(root):
        children[:] = sorted(
            child for child in children if child not in LEFT_OUT and not child.startswith(".")
        )
        relative = os.path.relpath(folder, root)
        key = "/".join(relative.split(os.sep)[:2])
        wanted = [os.path.join(folder, file) for file in sorted(files) if file.endswith(ENDINGS)]
        if wanted:
            found.setdefault(key, []).extend(wanted)
    return found
