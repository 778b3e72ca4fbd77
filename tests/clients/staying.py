"""A client's process that stays: it imports MLflow once, and runs every script it is asked for in a fork of itself.

    python staying.py      (lines of JSON on standard input: script, arguments, environment, said, complaints)

Answers each line, when the script has ended, with its exit status. Importing takes seconds, most scripts do not.
"""

import importlib.util
import json
import os
import runpy
import sys

import mlflow.cli
import mlflow.sklearn  # noqa: F401
import pandas  # noqa: F401
import sklearn.datasets
import sklearn.ensemble  # noqa: F401

if importlib.util.find_spec("mlflow.genai"):
    importlib.import_module("mlflow.genai")


def become(asked) -> None:
    """What a process is that was started for the script alone."""
    for stream, path in ((1, asked["said"]), (2, asked["complaints"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.argv = [asked["script"], *asked["arguments"]]
    sys.path[0] = os.path.dirname(asked["script"])
    runpy.run_path(asked["script"], run_name="__main__")


for line in iter(sys.stdin.readline, ""):
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        # The script's end, by itself or by an exception, is the end of this process.
        become(asked)
        sys.exit()
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
