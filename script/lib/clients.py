"""Environments of what tests use and no server depends on, beside `.venv`: `.venv-mlflow3` and `.venv-mlflow2` for real
clients, `.venv-azurite` for what stands in for Azure Blob Storage, `.venv-canaille` for an OpenID provider.

    python script/lib/clients.py [NAME…]     make what is missing or out of date, and print the folders

script/clients/<name>.txt pins everything that goes into one; where there is a folder of that name as well, Node is in
the list, and npm installs what the folder's lock file names.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).resolve().parent.parent / "clients"
NAMES = ("mlflow3", "mlflow2", "azurite", "canaille")
# Where .venv really is: several checkouts may share one.
BESIDE = Path(sys.prefix).resolve().parent


class NotMade(Exception):
    """An environment cannot be made; the text says what pip said."""


def folder(name: str) -> Path:
    return BESIDE / f".venv-{name}"


def is_ready(name: str) -> bool:
    """Whether it was made of the pins as they are now."""
    stamp = folder(name) / "installed"
    return stamp.exists() and stamp.read_text() == _state(name) and (folder(name) / "bin/python").exists()


def ensure(name: str) -> Path:
    """The environment's folder, made when missing or out of date. Raises NotMade. Waits for another who makes it."""
    target = folder(name)
    if is_ready(name):
        return target
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_ready(name):
            _make(name, target)
    return target


def _make(name: str, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(target)])
    pip = [str(target / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # The list is complete, so nothing has to be worked out, and files are compiled when they are first imported.
    _run([*pip, "--no-input", "--no-deps", "--no-compile", "-r", str(PINS / f"{name}.txt")])
    if (PINS / name).is_dir():
        for file in _packages(name):
            shutil.copy(file, target)
        _run(
            [str(target / "bin/npm"), "ci", "--prefix", str(target), "--ignore-scripts", "--no-audit"], target
        )
    (target / "installed").write_text(_state(name))


def _packages(name: str) -> list[Path]:
    return sorted((PINS / name).glob("*.json"))


def _run(command: list[str], within: Path | None = None) -> None:
    # A virtual environment must not be made as a part of another.
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    if within is not None:
        environment["PATH"] = f"{within / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise NotMade(f"{' '.join(command)}\n{done.stdout}")


def _state(name: str) -> str:
    pins = b"".join(file.read_bytes() for file in (PINS / f"{name}.txt", *_packages(name)))
    return hashlib.sha256(pins + sys.version.encode()).hexdigest()


def main(names: list[str]) -> int:
    for name in names or NAMES:
        try:
            print(ensure(name), flush=True)
        except NotMade as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
