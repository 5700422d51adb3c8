"""What a step is given: its inputs, and places for its outputs and artifacts."""

import json
import os


def input_path(name):
    """The path of a file named under `inputs`."""
    return os.path.join(os.environ["DAGBOOK_INPUTS"], name)


def input_list(name):
    """The paths of a list of files under `inputs`: `name/0`, `name/1`, … in order."""
    folder = input_path(name)
    return [os.path.join(folder, entry) for entry in sorted(os.listdir(folder), key=int)]


def artifact_path(name):
    """Where to write a file named under `artifacts`."""
    return os.path.join(os.environ["DAGBOOK_ARTIFACTS"], name)


def set_output(name, value):
    """Tells the orchestrator the value of a declared output."""
    text = value if isinstance(value, str) else json.dumps(value)
    with open(os.environ["DAGBOOK_OUTPUT"], "a", encoding="utf-8") as file:
        file.write(f"{name}={text}\n")
