"""Bytes by digest: written, read, measured, removed. How stores differ is known in stores/ and nowhere else.

A blob is `blobs/sha256/ab/cd/<64 hex>`. Bytes that pass through here come in before any transaction: on a disk as a
file in `incoming/` of the same file system, renamed when it is whole; elsewhere through a local file. What a killed
process leaves is swept. What clients send to the store themselves is in arrivals.py.
"""

from __future__ import annotations

import hashlib
import io
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, cast
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import InvalidStorageError, storages
from django.utils import timezone

from models_app.models import Blob
from models_app.registry.errors import Damaged, Invalid, TooLarge, Unavailable

from . import wanted
from .stores.base import DirectStore, Kept, Readable, Store, StoredBytes, room

INCOMING = "incoming"
PIECE = 64 << 10
EARLY = 32 << 20
# How often a read that broke off goes on where it stood.
READ_AGAIN = 2
# Less than the sweep waits, more than a request takes from finding bytes to referring to them.
YOUNG = timedelta(hours=1)
HEAL = "Send the same file again, or tell an operator: docs/retention.md says how it is restored."


class Hash(Protocol):
    """A hash that is being computed."""

    def update(self, data: bytes, /) -> None: ...


def store() -> Store:
    """Where artifacts are kept: `STORAGES["artifacts"]`. Raises ImproperlyConfigured when that is none of ours."""
    return _ours("artifacts")


def places() -> list[Store]:
    """Where artifacts are read: where they are kept, then where they were, as long as that is set."""
    if "artifacts_fallback" not in settings.STORAGES:
        return [store()]
    return [store(), _ours("artifacts_fallback")]


def _ours(name: str) -> Store:
    try:
        found = storages[name]
    except InvalidStorageError as error:
        raise ImproperlyConfigured(str(error)) from error
    return _as_store(found)


def made(entry: dict[str, Any], *, may_be_new: bool = False) -> Store:
    """The store of such an entry of STORAGES. Raises ImproperlyConfigured."""
    try:
        return _as_store(storages.create_storage(entry), may_be_new=may_be_new)
    except InvalidStorageError as error:
        raise ImproperlyConfigured(str(error)) from error


def _as_store(found: Any, *, may_be_new: bool = False) -> Store:
    if not isinstance(found, Store):
        raise ImproperlyConfigured(f"{type(found).__name__} keeps no artifacts: see docs/storage.md.")
    if not may_be_new:
        found.expects_blobs = Blob.objects.exists
    return found


def direct_store() -> DirectStore | None:
    """The store, if clients may send to it and read from it themselves."""
    return _direct(store())


def _direct(place: Store) -> DirectStore | None:
    if not (settings.DIRECT_TRANSFER and isinstance(place, DirectStore)):
        return None
    return place if place.signs() else None


def _holding(sha256: str) -> Store:
    """The place that has the bytes; where they belong, when none does. Raises Unavailable."""
    first, *others = places()
    if others and first.measure(blob_name(sha256)) is None:
        return next((place for place in others if place.measure(blob_name(sha256)) is not None), first)
    return first


def direct_origin() -> str:
    """Scheme and host of the addresses that clients send to themselves; "" for none. Raises Unavailable."""
    found = direct_store()
    return "" if found is None else _origin_of(found)


@cache
def _origin_of(direct: DirectStore) -> str:
    parts = urlsplit(
        direct.address(f"{INCOMING}/x", disposition="", media_type="", valid=timedelta(minutes=1))
    )
    return f"{parts.scheme}://{parts.netloc}"


def takes_parts() -> bool:
    """Whether a file can arrive in parts here: they wait on a disk that every web process sees."""
    return store().folder is not None


def incoming() -> Path:
    """The folder where bytes wait that are not whole yet: where blobs are on a disk, in the same file system.

    Raises Unavailable when that is not there.
    """
    kept = store()
    kept.require()
    return (kept.folder or settings.HOME) / INCOMING


def blob_name(sha256: str) -> str:
    """The name of a blob in storage."""
    return f"blobs/sha256/{sha256[:2]}/{sha256[2:4]}/{sha256}"


def aside_name(sha256: str) -> str:
    """The name of bytes that were found damaged."""
    return f"quarantine/sha256/{sha256}"


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
        folder = incoming()
        self.path = folder / f"{uuid.uuid4().hex}.part"
        with room():
            folder.mkdir(parents=True, exist_ok=True)
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
        with room():
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
        begin_writing(self._file, self._begun, self.size - self._begun)
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
    with room():
        store().keep([(path, blob_name(stored.sha256), stored) for path, stored in whole], again=_spare)


def _spare(sha256: str) -> None:
    """Bytes that are there already are wanted again. Young ones the sweep spares anyway."""
    kept = _look(store(), sha256)
    if kept is not None and kept.written_at < timezone.now() - YOUNG:
        wanted.again(sha256)


def remove_unless_younger(sha256: str, than: datetime) -> bool:
    """Remove the bytes where they are; False, and nothing, when any came after `than`. Raises Unavailable.

    Where none are seen none are removed: somebody may just be bringing them there.
    """
    found = [(place, kept) for place in places() if (kept := _look(place, sha256)) is not None]
    if any(kept.written_at > than for _, kept in found):
        return False
    for place, _ in found:
        place.remove(blob_name(sha256))
    return True


def _look(place: Store, sha256: str) -> Kept | None:
    return next(iter(place.walk(blob_name(sha256))), None)


def written_at(sha256: str) -> datetime | None:
    """When the bytes that are read were written, or wanted again; None when there are none. Raises Unavailable."""
    kept = _look(_holding(sha256), sha256)
    return None if kept is None else kept.written_at


def stays(sha256: str, size: int) -> bool:
    """Whether so many bytes are where they are kept, and stay till something refers to them. Raises Unavailable."""
    if store().measure(blob_name(sha256)) != size:
        return False
    _spare(sha256)
    return store().measure(blob_name(sha256)) == size


def begin_writing(file: IO[bytes], start: int, length: int) -> None:
    """Have the system start writing these bytes to the disk, so that fsync finds little left to wait for."""
    if settings.FSYNC and store().folder is not None and hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), start, length, os.POSIX_FADV_DONTNEED)


def local_path(sha256: str) -> Path | None:
    """The blob's file on this machine, or None when it is not on a disk here. Raises Damaged when it is missing,
    Unavailable.
    """
    place, name = _holding(sha256), blob_name(sha256)
    if place.folder is None:
        return None
    if place.measure(name) is None:
        raise _missing(sha256)
    return place.folder / name


def check_on_disk(sha256: str, size: int) -> None:
    """Raises Damaged unless a disk here that has the blob has so many bytes of it, Unavailable when the disk is not
    there. Elsewhere it takes a request to know, and whoever reads there learns it anyway.
    """
    path = local_path(sha256)
    if path is not None and (there := path.stat().st_size) != size:
        raise _other_size(sha256, there, size)


def size_of(sha256: str) -> int | None:
    """How many bytes are in storage; None when there are none. Raises Unavailable."""
    return next((size for place in places() if (size := place.measure(blob_name(sha256))) is not None), None)


def open_blob(sha256: str) -> IO[bytes]:
    """The blob opened for reading, seekable, buffered. Raises Damaged when it is missing, Unavailable."""
    path = local_path(sha256)
    if path is not None:
        return path.open("rb")
    size = size_of(sha256)
    if size is None:
        raise _missing(sha256)
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
    Either raises Unavailable; a store that is lost on the way is asked again first, from where reading stood.
    """

    def __init__(self, sha256: str, *, start: int, length: int, piece: int = PIECE) -> None:
        self._sha256 = sha256
        self._at, self._left = start, length
        self._piece = piece
        self._again = READ_AGAIN
        self._source = self._open() if length else cast(Readable, io.BytesIO())

    def _open(self) -> Readable:
        for place in places():
            with suppress(FileNotFoundError):
                return place.read_from(blob_name(self._sha256), start=self._at, length=self._left)
        raise _missing(self._sha256)

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
        piece = self._read()
        if not piece:
            self.close()
            raise Damaged(
                f"The bytes of {self._sha256[:12]} are fewer in storage than they were.",
                next_step=HEAL,
            )
        self._at += len(piece)
        self._left -= len(piece)
        return piece

    def _read(self) -> bytes:
        while True:
            try:
                return self._source.read(min(self._piece, self._left))
            except Unavailable:
                self.close()
                if not self._again:
                    raise
                self._again -= 1
                self._source = self._open()

    def close(self) -> None:
        """Let go of the file or connection."""
        self._source.close()


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
    return Damaged(f"The bytes of {sha256[:12]} are missing from storage.", next_step=HEAL)


def _other_size(sha256: str, there: int, size: int) -> Damaged:
    return Damaged(f"The bytes of {sha256[:12]} are {there} in storage, and were {size}.", next_step=HEAL)


def exists(sha256: str) -> bool:
    """Whether the bytes are in storage. Raises Unavailable."""
    return size_of(sha256) is not None


def delete(sha256: str) -> None:
    """Remove the bytes; missing ones are no error. Raises Unavailable."""
    for place in places():
        place.remove(blob_name(sha256))


def move_aside(sha256: str) -> None:
    """Take damaged bytes from where they are read, and keep them; elsewhere they may be whole. Raises Unavailable."""
    _holding(sha256).move(blob_name(sha256), aside_name(sha256))


def forget_aside(sha256: str) -> None:
    """Remove what was moved aside. Raises Unavailable."""
    for place in places():
        place.remove(aside_name(sha256))


def stored(place: Store | None = None) -> Iterator[Kept]:
    """All blobs in storage, or there, in the order of their keys, which end with the digest. Raises Unavailable."""
    for kept in (place or store()).walk("blobs/sha256/"):
        sha256 = kept.key.rpartition("/")[2]
        if len(sha256) == 64 and kept.key == blob_name(sha256):
            yield kept


def download_address(
    sha256: str, *, size: int, disposition: str, media_type: str, valid: timedelta
) -> str | None:
    """A signed address at the store where the bytes can be read without us, ranges too, for as long as it is valid.

    None where there is none: the store signs nothing (a disk), direct transfer is off, or the blob is too small for it
    to pay. Raises Damaged when the blob is missing or has another size, Unavailable.
    """
    if not settings.DIRECT_TRANSFER or size < settings.DIRECT_MIN_BYTES:
        return None
    direct = _direct(_holding(sha256))
    if direct is None:
        return None
    there = direct.measure(blob_name(sha256))
    if there is None:
        raise _missing(sha256)
    if there != size:
        raise _other_size(sha256, there, size)
    return direct.address(blob_name(sha256), disposition=disposition, media_type=media_type, valid=valid)


def sweep_incoming(older_than: timedelta) -> int:
    """Remove what killed uploads left; returns how many files."""
    limit = time.time() - older_than.total_seconds()
    removed = 0
    for path in incoming().glob("*.part"):
        try:
            if path.stat().st_mtime < limit:
                path.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed
