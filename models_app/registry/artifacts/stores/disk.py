"""A folder on a disk or network drive: files get their names only when they are whole and, if asked, on the disk.

A drive that is not mounted leaves an empty folder behind. So `blobs/` is made while no blob is known, or when one asks
for it (`begin`); where blobs are known and it is not there nothing is missing and nothing taken: all raise Unavailable.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.conf import settings
from django.core.files.storage import FileSystemStorage

from models_app.registry.errors import Unavailable

from .base import FULL, PIECE, Again, Kept, Readable, Store, StoredBytes, nobody_asks, room

BLOBS = "blobs"
SIDE_BY_SIDE = 8
_pool = ThreadPoolExecutor(SIDE_BY_SIDE, "sync")


class DiskStore(FileSystemStorage, Store):
    """A folder that every web process sees."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.root = Path(self.location)

    @property
    def folder(self) -> Path:  # type: ignore[override]
        return self.root

    def begin(self) -> None:
        with room(), self._answering():
            (self.root / BLOBS).mkdir(parents=True, exist_ok=True)

    def require(self) -> None:
        if not (self.root / BLOBS).is_dir():
            self._require_unless_new()
            self.begin()

    def _require_unless_new(self) -> None:
        if not (self.root / BLOBS).is_dir() and self.expects_blobs():
            raise Unavailable(
                f"{self.root} holds no artifacts: is its drive there?",
                next_step=f"Tell an operator: mount it. If it is new, make the folder “{BLOBS}” in it.",
            )

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """What is not found is not there, and whatever else goes wrong says nothing about it. Raises Unavailable."""
        try:
            yield
        except FileNotFoundError:
            self._require_unless_new()
            raise
        except OSError as error:
            if error.errno in FULL:
                raise
            raise Unavailable(
                f"The folder of artifacts does not answer ({error.strerror}).",
                next_step="Try again in a minute; if it stays so, tell an operator.",
            ) from error

    def room_left(self) -> tuple[int, int] | None:
        self._require_unless_new()
        with self._answering():
            if why := self.obstacle():
                raise OSError(0, why)
            usage = shutil.disk_usage(self._nearest())
        return usage.free, usage.total

    def obstacle(self) -> str:
        nearest = self._nearest()
        if not nearest.is_dir():
            return f"{nearest} is no folder"
        return "" if os.access(nearest, os.W_OK | os.X_OK) else f"{nearest} may not be written to"

    def _nearest(self) -> Path:
        """The folder, or what is there of the way to it."""
        return next(path for path in (self.root, *self.root.parents) if path.exists())

    def keep(self, whole: Sequence[tuple[Path, str, StoredBytes]], *, again: Again = nobody_asks) -> None:
        self.require()
        _sync([path for path, _, _ in whole])
        folders: set[Path] = set()
        for path, key, stored in whole:
            there = self.measure_again(key, stored, again, there=self.measure(key)) == stored.size
            folders.update(_move_into_place(path, self.root / key, there=there))
        _sync(folders)

    def bring(self, source: BinaryIO, key: str, stored: StoredBytes) -> None:
        path = self.root / "incoming" / f"{uuid.uuid4().hex}.part"
        self.require()
        try:
            with room():
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    shutil.copyfileobj(source, file, PIECE)
            self.keep([(path, key, stored)])
        finally:
            path.unlink(missing_ok=True)

    def measure(self, key: str) -> int | None:
        with suppress(FileNotFoundError), self._answering():
            return (self.root / key).stat().st_size
        return None

    def read_from(self, key: str, *, start: int, length: int) -> Readable:
        with self._answering():
            file = (self.root / key).open("rb", buffering=0)
        file.seek(start)
        return cast(Readable, file)

    def remove(self, key: str) -> None:
        with suppress(FileNotFoundError), self._answering():
            (self.root / key).unlink()

    def move(self, key: str, to: str) -> None:
        target = self.root / to
        with suppress(FileNotFoundError), self._answering():
            (self.root / key).stat()
            target.parent.mkdir(parents=True, exist_ok=True)
            (self.root / key).replace(target)

    def walk(self, prefix: str) -> Iterator[Kept]:
        self._require_unless_new()
        # Two levels of folders make each listing short.
        for folder, names, files in os.walk(self.root / prefix.rpartition("/")[0]):
            names.sort()
            for name in sorted(files):
                path = Path(folder, name)
                key = path.relative_to(self.root).as_posix()
                if not key.startswith(prefix):
                    continue
                try:
                    found = path.stat()
                except FileNotFoundError:
                    continue  # Removed since its folder was read.
                yield Kept(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


def _sync(paths: Collection[Path]) -> None:
    """Wait until these are on the disk; side by side, as the disk then writes them together."""
    if not settings.FSYNC:
        return
    if len(paths) < SIDE_BY_SIDE:
        for path in paths:
            _sync_one(path)
        return
    for _ in _pool.map(_sync_one, paths):
        pass


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _move_into_place(path: Path, target: Path, *, there: bool) -> list[Path]:
    """Give the file its name, if it is not there already; returns the folders that changed by it."""
    changed = [target.parent]
    if there:
        # Another user's of our group has to be replaced.
        with suppress(FileNotFoundError, PermissionError):
            os.utime(target)  # wanted again: the sweep spares young files
            path.unlink()
            return changed
    path.chmod(0o440)
    try:
        path.replace(target)
    except FileNotFoundError:
        changed += list(target.parents)[1:3]
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    return changed
