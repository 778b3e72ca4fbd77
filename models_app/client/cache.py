"""What the client remembers between calls: digests of files that did not change, uploads under way, fetched bytes."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

from .transfer import LOCAL, Failure

# A file that was written so shortly before may be written again without its time telling.
TOO_YOUNG = 1_000_000_000


def default_folder(environment: dict[str, str]) -> Path:
    """Where it is kept unless told otherwise."""
    if environment.get("MODELRY_CACHE"):
        return Path(environment["MODELRY_CACHE"])
    return Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelry"


class Cache:
    """A folder. May be deleted at any time, and shared by processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._db = self._opened()

    def _opened(self) -> sqlite3.Connection:
        """What is known. A file that is no database is forgotten: all of it can be found out again."""
        path = self.folder / "known.sqlite3"
        for _ in range(2):
            database = sqlite3.connect(path, timeout=30, check_same_thread=False)
            try:
                with database:
                    database.execute(
                        "CREATE TABLE IF NOT EXISTS digest (path TEXT PRIMARY KEY, state TEXT, sha256 TEXT)"
                    )
                    database.execute("CREATE TABLE IF NOT EXISTS upload (key TEXT PRIMARY KEY, id TEXT)")
                return database
            except sqlite3.OperationalError as error:
                raise Failure(f"{path} cannot be used: {error}.", LOCAL) from error
            except sqlite3.DatabaseError:
                database.close()
                path.unlink()
        raise Failure(f"{path} is no database.", LOCAL)

    def close(self) -> None:
        self._db.close()

    def digests(self, paths: list[tuple[Path, os.stat_result]]) -> dict[Path, str]:
        """Those known of these files, as long as nothing about them changed."""
        found: dict[Path, str] = {}
        with self._lock:
            for path, stat in paths:
                row = self._db.execute(
                    "SELECT sha256 FROM digest WHERE path = ? AND state = ?", (str(path), state(stat))
                ).fetchone()
                if row:
                    found[path] = row[0]
        return found

    def keep_digests(self, found: list[tuple[Path, os.stat_result, str]]) -> None:
        """Remember them; but for files that were only just written."""
        now = time.time_ns()
        rows = [
            (str(path), state(stat), sha256)
            for path, stat, sha256 in found
            if now - max(stat.st_mtime_ns, stat.st_ctime_ns) > TOO_YOUNG
        ]
        with self._lock, self._db:
            self._db.executemany("INSERT OR REPLACE INTO digest VALUES (?, ?, ?)", rows)

    def upload(self, key: str) -> str | None:
        """The upload that was begun for the same files."""
        with self._lock:
            row = self._db.execute("SELECT id FROM upload WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def keep_upload(self, key: str, uid: str | None) -> None:
        """Remember it; None forgets it."""
        with self._lock, self._db:
            if uid is None:
                self._db.execute("DELETE FROM upload WHERE key = ?", (key,))
            else:
                self._db.execute("INSERT OR REPLACE INTO upload VALUES (?, ?)", (key, uid))

    def blob(self, sha256: str) -> Path:
        """Where fetched bytes are kept."""
        return self.folder / "blobs" / sha256[:2] / sha256

    def whole(self, sha256: str, length: int) -> bool:
        """Whether they are there, as they should be; what is not is removed."""
        path = self.blob(sha256)
        with suppress(FileNotFoundError):
            if path.stat().st_size == length and hash_file(path) == sha256:
                return True
            path.unlink()
        return False


def state(stat: os.stat_result) -> str:
    """What changes with a file."""
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino} {stat.st_dev}"


def hash_file(path: Path) -> str:
    """Its SHA-256."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
