"""Where bytes live. The one file that knows how storages differ: everybody else names a digest.

A blob is `blobs/sha256/ab/cd/<64 hex>`. Bytes come in before any transaction: on a disk as a file in
`incoming/` of the same
file system, renamed when it is whole; elsewhere through a local temporary file. What a killed process leaves is swept.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import uuid
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages

from models_app.registry.errors import Damaged, Invalid, TooLarge

INCOMING = "incoming"


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """What was stored: 64 hex digits and a size in bytes."""

    sha256: str
    size: int


def _storage() -> Storage:
    return storages["artifacts"]


def _disk_root() -> Path | None:
    """The folder of a storage on disk, None for any other."""
    storage = _storage()
    return Path(storage.location) if isinstance(storage, FileSystemStorage) else None


def blob_name(sha256: str) -> str:
    """The name of a blob in storage."""
    return f"blobs/sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}"


class BlobWriter:
    """Takes bytes, hashes them on the way, and stores them under their digest when they are whole.

    Used as a context manager: what was not finished is discarded. Raises TooLarge past `limit` bytes.
    """

    def __init__(self, *, limit: int | None = None) -> None:
        self.size = 0
        self._limit = settings.MAX_FILE_BYTES if limit is None else limit
        self._hash = hashlib.sha256()
        self._root = _disk_root()
        folder = self._root / INCOMING if self._root else Path(tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{uuid.uuid4().hex}.part"
        self._file: IO[bytes] | None = self._path.open("xb", buffering=0)

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes."""
        if self._file is None:
            raise ValueError("This blob is finished.")
        self.size += len(chunk)
        if self.size > self._limit:
            raise TooLarge(f"A file may have at most {self._limit} bytes.", limit=self._limit)
        self._hash.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[self._file.write(view) :]

    def finish(self, *, size: int | None = None, sha256: str | None = None) -> StoredBytes:
        """Store what was written under its digest; bytes that are there already are not stored again.

        `size` and `sha256` are what the sender declared: raises Invalid for either when the bytes are others.
        """
        if self._file is None:
            raise ValueError("This blob is finished.")
        if size is not None and size != self.size:
            raise Invalid("size", f"{size} bytes were declared, {self.size} arrived.")
        if sha256 is not None and sha256.lower() != self._hash.hexdigest():
            raise Invalid("sha256", f"The bytes that arrived have the digest {self._hash.hexdigest()}.")
        if settings.FSYNC:
            os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        stored = StoredBytes(self._hash.hexdigest(), self.size)
        if self._root:
            _move_into_place(self._path, self._root / blob_name(stored.sha256), stored.size)
        else:
            _send(self._path, stored)
        return stored

    def discard(self) -> None:
        """Forget what was not finished."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._path.unlink(missing_ok=True)


def _move_into_place(path: Path, target: Path, size: int) -> None:
    if target.exists() and target.stat().st_size == size:
        path.unlink()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    target.chmod(0o440)
    if settings.FSYNC:
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _send(path: Path, stored: StoredBytes) -> None:
    storage, name = _storage(), blob_name(stored.sha256)
    if not storage.exists(name):
        with path.open("rb") as source:
            storage.save(name, File(source, name=name))
    path.unlink(missing_ok=True)


def local_path(sha256: str) -> Path | None:
    """The blob's file on this machine, or None when it is not on a disk here. Raises Damaged when it is missing."""
    root = _disk_root()
    if root is None:
        return None
    path = root / blob_name(sha256)
    if not path.is_file():
        raise Damaged(f"The bytes of {sha256[:12]} are missing from storage.", next_step="Tell an operator.")
    return path


def open_blob(sha256: str) -> IO[bytes] | File[Any]:
    """The blob opened for reading, seekable. Raises Damaged when it is missing."""
    path = local_path(sha256)
    if path is not None:
        return path.open("rb", buffering=0)
    try:
        return _storage().open(blob_name(sha256), "rb")
    except FileNotFoundError as error:
        raise Damaged(
            f"The bytes of {sha256[:12]} are missing from storage.", next_step="Tell an operator."
        ) from error


def read(sha256: str, *, limit: int) -> bytes:
    """The first `limit` bytes of a blob."""
    with open_blob(sha256) as blob:
        return blob.read(limit)


def exists(sha256: str) -> bool:
    """Whether the bytes are in storage."""
    return _storage().exists(blob_name(sha256))


def delete(sha256: str) -> None:
    """Remove the bytes; missing ones are no error."""
    _storage().delete(blob_name(sha256))


def sweep_incoming(older_than: timedelta) -> int:
    """Remove what killed uploads left; returns how many files."""
    root = _disk_root()
    if root is None or not (root / INCOMING).is_dir():
        return 0
    limit = time.time() - older_than.total_seconds()
    removed = 0
    for path in (root / INCOMING).glob("*.part"):
        try:
            if path.stat().st_mtime < limit:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed
