"""Where bytes live. The one file that knows how storages differ: everybody else names a digest.

A blob is `blobs/sha256/ab/cd/<64 hex>`. Bytes come in before any transaction: on a disk as a file in
`incoming/` of the same
file system, renamed when it is whole; elsewhere through a local temporary file. What a killed process leaves is swept.
"""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import tempfile
import time
import uuid
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, cast

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, Storage, storages

from models_app.registry.errors import Damaged, Invalid, TooLarge

INCOMING = "incoming"
PIECE = 64 << 10
EARLY = 32 << 20
SIDE_BY_SIDE = 8


class Hash(Protocol):
    """A hash that is being computed."""

    def update(self, data: bytes, /) -> None: ...


class Readable(Protocol):
    """What bytes are read from, front to back."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


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


def takes_parts() -> bool:
    """Whether a file can arrive in parts: they wait on a disk that every web process sees."""
    return _disk_root() is not None


def incoming() -> Path | None:
    """The folder where bytes wait that are not whole yet; None where there is no disk."""
    root = _disk_root()
    return root / INCOMING if root else None


def blob_name(sha256: str) -> str:
    """The name of a blob in storage."""
    return f"blobs/sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}"


class BlobWriter:
    """Takes bytes, hashes them on the way, and stores them under their digest when they are whole.

    Used as a context manager: what was not placed is discarded. Raises TooLarge past `limit` bytes. Hashes in
    `also` are fed in the same pass.
    """

    def __init__(self, *, limit: int | None = None, also: Sequence[Hash] = ()) -> None:
        self.size = 0
        self.ended: StoredBytes | None = None
        self._begun = 0
        self._limit = settings.MAX_FILE_BYTES if limit is None else limit
        self._hash = hashlib.sha256()
        self._also = also
        root = _disk_root()
        folder = root / INCOMING if root else Path(tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{uuid.uuid4().hex}.part"
        self._file: IO[bytes] | None = self.path.open("xb", buffering=0)

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def write(self, chunk: bytes) -> None:
        """Take the next bytes."""
        if self._file is None:
            raise ValueError("This blob is finished.")
        self.size += len(chunk)
        if self.size > self._limit:
            raise TooLarge(f"A file may have at most {self._limit} bytes.", limit=self._limit)
        self._hash.update(chunk)
        for other in self._also:
            other.update(chunk)
        view = memoryview(chunk)
        while view:
            view = view[self._file.write(view) :]
        if self.size - self._begun >= EARLY:
            begin_writing(self._file, self._begun, self.size - self._begun)
            self._begun = self.size

    def finish(self, *, size: int | None = None, sha256: str | None = None) -> StoredBytes:
        """End, and store what was written under its digest: `end` and `place` in one."""
        stored = self.end(size=size, sha256=sha256)
        place([self])
        return stored

    def end(self, *, size: int | None = None, sha256: str | None = None) -> StoredBytes:
        """Take no more bytes. They wait to be placed, or discarded.

        `size` and `sha256` are what the sender declared: raises Invalid for either when the bytes are others.
        """
        if self._file is None:
            raise ValueError("This blob is finished.")
        stored = StoredBytes(self._hash.hexdigest(), self.size)
        if size is not None and size != stored.size:
            raise Invalid("size", f"{size} bytes were declared, {stored.size} arrived.")
        if sha256 is not None and sha256.lower() != stored.sha256:
            raise Invalid("sha256", f"The bytes that arrived have the digest {stored.sha256}.")
        self._file.close()
        self._file = None
        self.ended = stored
        return stored

    def discard(self) -> None:
        """Forget what was not placed."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self.path.unlink(missing_ok=True)


def place(writers: Sequence[BlobWriter]) -> None:
    """Store what ended writers hold under their digests; bytes that are there already are not stored again.

    On a disk all is there for good when this returns: files are synced before they get their names, folders after.
    """
    whole = [(writer.path, writer.ended) for writer in writers if writer.ended is not None]
    _place(whole)


def adopt(path: Path, stored: StoredBytes) -> None:
    """Store a whole file of ours under its digest, as `place` does."""
    _place([(path, stored)])


def _place(whole: Sequence[tuple[Path, StoredBytes]]) -> None:
    root = _disk_root()
    if root is None:
        for path, stored in whole:
            _send(path, stored)
        return
    _sync([path for path, _ in whole])
    folders: set[Path] = set()
    for path, stored in whole:
        target = root / blob_name(stored.sha256)
        folders.update(_move_into_place(path, target, stored.size))
    _sync(folders)


def _sync(paths: Collection[Path]) -> None:
    """Wait until these are on the disk; side by side, as the disk then writes them together."""
    if not settings.FSYNC:
        return
    if len(paths) < SIDE_BY_SIDE:
        for path in paths:
            _sync_one(path)
        return
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for _ in pool.map(_sync_one, paths):
            pass


def _sync_one(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def begin_writing(file: IO[bytes], start: int, length: int) -> None:
    """Have the system start writing these bytes to the disk, so that fsync finds little left to wait for."""
    if settings.FSYNC and hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), start, length, os.POSIX_FADV_DONTNEED)


def _move_into_place(path: Path, target: Path, size: int) -> list[Path]:
    """Give the file its name; returns the folders that changed by it."""
    changed = [target.parent]
    try:
        there = target.stat().st_size == size
    except FileNotFoundError:
        there = False
    if there:
        path.unlink()
        os.utime(target)  # wanted again: the sweep spares young files
        return changed
    path.chmod(0o440)
    try:
        path.replace(target)
    except FileNotFoundError:
        changed += list(target.parents)[1:3]
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    return changed


def _send(path: Path, stored: StoredBytes) -> None:
    storage, name = _storage(), blob_name(stored.sha256)
    there = storage.exists(name)
    if there and storage.size(name) != stored.size:
        storage.delete(name)
        there = False
    if not there:
        with path.open("rb") as source:
            saved = storage.save(name, File(source, name=name))
        if (
            saved != name
        ):  # somebody else stored the same bytes meanwhile, and this storage does not overwrite
            storage.delete(saved)
    path.unlink(missing_ok=True)


def local_path(sha256: str) -> Path | None:
    """The blob's file on this machine, or None when it is not on a disk here. Raises Damaged when it is missing."""
    root = _disk_root()
    if root is None:
        return None
    path = root / blob_name(sha256)
    if not path.is_file():
        raise _missing(sha256)
    return path


def open_blob(sha256: str) -> IO[bytes]:
    """The blob opened for reading, seekable, buffered. Raises Damaged when it is missing."""
    path = local_path(sha256)
    if path is not None:
        return path.open("rb")
    try:
        size = _storage().size(blob_name(sha256))
    except FileNotFoundError as error:
        raise _missing(sha256) from error
    return cast(IO[bytes], io.BufferedReader(_RemoteFile(sha256, size), buffer_size=PIECE))


def read(sha256: str, *, limit: int) -> bytes:
    """The first `limit` bytes of a blob."""
    with open_blob(sha256) as blob:
        return blob.read(limit)


def read_range(sha256: str, *, start: int, length: int) -> bytes:
    """`length` bytes from `start`. Raises Damaged when the blob is missing or shorter."""
    with BlobStream(sha256, start=start, length=length) as stream:
        return b"".join(stream)


class BlobStream:
    """A part of a blob as pieces of at most `piece` bytes; closes itself at the end, on errors, or when told to.

    Opening raises Damaged when the blob is missing; reading raises Damaged when it is shorter than `start + length`.
    """

    def __init__(self, sha256: str, *, start: int, length: int, piece: int = PIECE) -> None:
        self._sha256 = sha256
        self._left = length
        self._piece = piece
        self._source = _source(sha256, start=start, length=length) if length else io.BytesIO()

    def __enter__(self) -> BlobStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> BlobStream:
        return self

    def __next__(self) -> bytes:
        if not self._left:
            self.close()
            raise StopIteration
        piece = self._source.read(min(self._piece, self._left))
        if not piece:
            self.close()
            raise Damaged(
                f"The bytes of {self._sha256[:12]} are fewer in storage than they were.",
                next_step="Tell an operator.",
            )
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        """Let go of the file or connection."""
        self._source.close()


def _source(sha256: str, *, start: int, length: int) -> Readable:
    """Something to read `length` bytes from, standing at `start`."""
    path = local_path(sha256)
    if path is not None:
        file = path.open("rb", buffering=0)
        file.seek(start)
        return cast(Readable, file)
    storage, name = _storage(), blob_name(sha256)
    try:
        if hasattr(storage, "bucket"):
            # Opening an S3 file would fetch the whole object first.
            key = posixpath.join(getattr(storage, "location", ""), name).lstrip("/")
            wanted = f"bytes={start}-{start + length - 1}"
            return cast(Readable, storage.bucket.Object(key).get(Range=wanted)["Body"])
        remote = storage.open(name, "rb")
        remote.seek(start)
        return cast(Readable, remote)
    except FileNotFoundError as error:
        raise _missing(sha256) from error
    except Exception as error:
        if getattr(error, "response", {}).get("Error", {}).get("Code") in (
            "NoSuchKey",
            "404",
            "InvalidRange",
        ):
            raise _missing(sha256) from error
        raise


class _RemoteFile(io.RawIOBase):
    """A blob elsewhere as a seekable file: each read asks for its range."""

    def __init__(self, sha256: str, size: int) -> None:
        self._sha256 = sha256
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        length = max(min(len(buffer), self._size - self._position), 0)
        buffer[:length] = read_range(self._sha256, start=self._position, length=length)
        self._position += length
        return length


def _missing(sha256: str) -> Damaged:
    return Damaged(f"The bytes of {sha256[:12]} are missing from storage.", next_step="Tell an operator.")


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
