"""`mlflow server` in one process: its command line, which imports everything, becomes the server it would start.

python original_server.py server --host … (as for `mlflow`)
"""

import os
import runpy
import sys

import mlflow.server
from mlflow.cli import cli


def here(command: list[str], *, extra_env: dict[str, str], **_options: object) -> None:
    """Instead of running it: `python -m uvicorn …` in this process."""
    os.environ.update(extra_env)
    _, _, module, *arguments = command
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


mlflow.server._exec_cmd = here
cli()
