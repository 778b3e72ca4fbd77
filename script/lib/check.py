"""What script/test runs, in which order, and the sum of it."""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

from clients import NAMES as CLIENTS
from clients import is_ready
from memory import in_memory
from postgres import postgres

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
PYTHON = sys.executable
# One more than cores: tests that wait for a server or a client leave theirs free.
WORKERS = "3"
# On a quiet machine with two cores.
BUDGET = 8
# A deployment in small: what `check --deploy` is to look at.
PRODUCTION = {
    "MODELRY_PRODUCTION": "true",
    "MODELRY_SECRET_KEY": secrets.token_urlsafe(64),
    "MODELRY_ALLOWED_HOSTS": "modelry.example.com",
}
MODELS = ["models_app"]


def lint() -> list[tuple[str, list[str], dict[str, str]]]:
    templates = [str(path) for path in sorted((ROOT / "templates").rglob("*.html"))]
    # Two at a time, the longest first.
    return [
        ("types", [f"{BIN}/mypy", "--no-error-summary"], {}),
        ("ruff", [f"{BIN}/ruff", "check", "--output-format", "concise", "."], {}),
        ("format", [f"{BIN}/ruff", "format", "--check", "--output-format", "concise", "."], {}),
        ("templates", [f"{BIN}/djade", "--check", "--target-version", "5.2", *templates], {}),
        ("contracts", [f"{BIN}/lint-imports", "--no-logo"], {}),
        ("migrations", [PYTHON, "manage.py", "makemigrations", "--check", "--dry-run", *MODELS], {}),
        ("deploy check", [PYTHON, "manage.py", "check", "--deploy", "--fail-level", "WARNING"], PRODUCTION),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/test", description=__doc__)
    parser.add_argument("--lint", action="store_true", help="only what needs no tests")
    parser.add_argument(
        "--fast", action="store_true", help="leave out PostgreSQL, browsers, live servers and real clients"
    )
    parser.add_argument("--db", choices=["sqlite", "postgres"], help="run the tests on this database only")
    chosen, rest = parser.parse_known_args()
    os.chdir(ROOT)
    began = time.monotonic()
    failed: list[str] = []
    picked = any(not argument.startswith("-") for argument in rest)
    whole = not picked and not chosen.lint and not chosen.fast
    clients = install_clients() if whole else None
    if not picked and not chosen.db:
        with ThreadPoolExecutor(2) as beside:
            failed += [name for name in beside.map(lambda one: fails(*one), lint()) if name]
    if not chosen.lint:
        both = databases(chosen, picked=picked)
        for database in both:
            again = len(both) > 1 and database == "sqlite"
            if not tests(database, rest, picked=picked, fast=chosen.fast, again=again):
                failed.append(f"tests on {database}")
    if clients is not None and not installed(clients):
        failed.append("environments of clients")
    if whole:
        minutes, seconds = divmod(round(time.monotonic() - began), 60)
        print(f"\nAll of it took {minutes} min {seconds} s; it has to stay below {BUDGET} min.", flush=True)
    if failed:
        print(f"script/test: failed: {', '.join(failed)}", file=sys.stderr, flush=True)
    return 1 if failed else 0


def databases(chosen: argparse.Namespace, *, picked: bool) -> list[str]:
    if chosen.db:
        return [chosen.db]
    return ["sqlite"] if picked or chosen.fast else ["postgres", "sqlite"]


def install_clients() -> subprocess.Popen[str] | None:
    """Make the environments of real clients meanwhile: who needs one waits for it. None when there is nothing to do."""
    if all(map(is_ready, CLIENTS)):
        return None
    print("Installing real clients meanwhile (only when they changed) …", flush=True)
    command = [PYTHON, str(ROOT / "script/lib/clients.py")]
    return subprocess.Popen(
        command, env=clean({}), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def installed(clients: subprocess.Popen[str]) -> bool:
    """Wait for it; show what it said when it did not pass."""
    _, said = clients.communicate()
    print(f"{'clients':<14} {'ok' if clients.returncode == 0 else 'FAILED'}", flush=True)
    if clients.returncode:
        print(said, flush=True)
    return clients.returncode == 0


def fails(name: str, command: list[str], more: dict[str, str]) -> str:
    """Run one check quietly; show what it said when it did not pass. Its name then, else nothing."""
    began = time.monotonic()
    done = subprocess.run(
        command, env=clean(more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    word = "ok" if done.returncode == 0 else "FAILED"
    said = f"\n{done.stdout}" if done.returncode else ""
    print(f"{name:<14} {word} ({time.monotonic() - began:.1f} s){said}", flush=True)
    return name if done.returncode else ""


def tests(database: str, rest: list[str], *, picked: bool, fast: bool, again: bool) -> bool:
    """pytest on one database. PostgreSQL is asked only what it could answer differently, unless tests were picked; and
    SQLite not `again` where that was enough.
    """
    command = [PYTHON, "-m", "pytest", "-o", "tmp_path_retention_policy=failed", *rest]
    if not picked:
        # Files stay together, for what their tests share is made once; the longest are begun first (tests/conftest.py).
        command += ["-q", "-n", WORKERS, "--no-loadscope-reorder", "--durations", "10"]
    if fast:
        command += ["-m", "not browser and not live and not client and not original"]
    if again:
        command += ["-m", "not postgres_is_enough"]
    if database == "postgres" and not picked:
        command.append("--database-only")
    print(f"\nTests on {database}", flush=True)
    server: Callable[[], object] = postgres if database == "postgres" else nullcontext
    # A disk that makes a folder in three milliseconds would be waited for at every test.
    place = tempfile.TemporaryDirectory(prefix="modelry-test-", dir=in_memory(), ignore_cleanup_errors=True)
    with server() as url, place as folder:  # type: ignore[attr-defined]
        done = subprocess.run(command, env=clean({"TMPDIR": folder} | ({"DATABASE_URL": url} if url else {})))
    return done.returncode == 0


def clean(more: dict[str, str]) -> dict[str, str]:
    """The environment without what a developer set for their own server, and with compiled files kept: a hundred
    processes import the same ones.
    """
    others = ("DATABASE_URL", "PORT", "HOST", "PYTHONDONTWRITEBYTECODE")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MODELRY_", "GRANIAN_")) and name not in others
    }
    return {**kept, **more}


if __name__ == "__main__":
    sys.exit(main())
