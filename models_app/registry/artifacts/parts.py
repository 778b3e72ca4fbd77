"""Files that arrive in parts: each is written where it belongs in one file, which becomes a blob when all are there.

All parts but the last have one size, so a part knows its place. An upload is the folder `incoming/<upload>.parts/`, on
a disk that every web process sees: `data`, the last part as `last`, an empty file `<number>.<tag>` for each part that
arrived whole (its size is in the tag), what following.py leaves, and in the end `done` with digest and size. Whoever
writes holds `lock` together with others, who makes the blob holds it alone: nobody can write into a blob.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import IO

from models_app.registry.errors import Conflict, Invalid, Mismatch, NotFound, TooLarge

from . import following, storage
from .stores.base import Part, StoredBytes, room

PATIENCE = 600.0
# Web processes may run as users of one group.
MODE = 0o660
_SUFFIX = ".parts"
_TAG = re.compile(r"([0-9a-f]{1,12})-[0-9a-f]{16}")
_PIECE = 1 << 20


def _folder(upload: str) -> Path:
    return storage.incoming() / f"{upload}{_SUFFIX}"


def _ended() -> NotFound:
    return NotFound("This upload has ended.", next_step="Start it again.")


def open_for(upload: str) -> None:
    """Make room for an upload's parts."""
    folder = _folder(upload)
    folder.mkdir(parents=True)
    for name in ("data", "lock"):
        (folder / name).touch(MODE)


def receive(
    upload: str,
    number: int,
    chunks: Iterable[bytes],
    *,
    of: int,
    length: int,
    limit: int,
    are_lengths_fixed: bool = False,
) -> str:
    """Store part `number` of `of`, which has `length` bytes; returns its tag.

    `are_lengths_fixed`: the caller has checked that all parts but the last have one length, so that none lies over
    another. Only then the parts are hashed while others arrive.

    Raises Invalid("body") for another length, TooLarge when the file would be, NotFound when the upload has ended.
    """
    folder, alone = _folder(upload), number == of > 1
    start = 0 if number == of else (number - 1) * length
    if start + length > limit:
        raise TooLarge(f"A file may have at most {limit} bytes.", limit=limit)
    following.hold_back(folder, number)
    with _locked(folder, fcntl.LOCK_SH):
        if (folder / "done").exists() or not (folder / "data").exists():
            raise _ended()
        tag = f"{length:x}-{secrets.token_hex(8)}"
        with following.writing(folder, number, tag):
            # Never cut: what was sent twice has the same bytes, and the tag says how many count.
            flags = os.O_WRONLY | (os.O_CREAT if alone else 0)
            with open(
                os.open(folder / ("last" if alone else "data"), flags, MODE), "wb", buffering=0
            ) as file:
                file.seek(start)
                _write(file, chunks, length)
                storage.begin_writing(file, start, length)
            (folder / f"{number}.{tag}").touch()
    if are_lengths_fixed:
        following.follow(folder, of=of)
    return tag


def _write(file: IO[bytes], chunks: Iterable[bytes], length: int) -> None:
    written = 0
    for chunk in chunks:
        view = memoryview(chunk)[: length - written]
        written += len(chunk)
        with room():
            while view:
                view = view[file.write(view) :]
    if written != length:
        raise Invalid("body", f"{length} bytes were declared, {written} arrived.")


def arrived(upload: str) -> dict[int, Part]:
    """The parts that are here whole, by number: of one that came twice, the last. Raises NotFound when it has ended."""
    folder = _folder(upload)
    if not (folder / "data").exists():
        raise _ended()
    found = []
    for path in folder.iterdir():
        number, _, tag = path.name.partition(".")
        if number.isdigit() and (match := _TAG.fullmatch(tag)):
            found.append((path.stat().st_mtime_ns, int(number), Part(int(match[1], 16), tag)))
    return {number: part for _, number, part in sorted(found, key=lambda one: one[0])}


def is_done(upload: str) -> bool:
    """Whether it was joined."""
    return (_folder(upload) / "done").exists()


def other_bytes(stored: StoredBytes, declared: str) -> Mismatch:
    """What arrived is not what was announced."""
    return Mismatch(
        "sha256",
        f"The {stored.size} bytes that arrived have the digest {stored.sha256}, not {declared}.",
        next_step="Send the file again.",
    )


def join(upload: str, tags: Mapping[int, str], *, limit: int, sha256: str = "") -> StoredBytes:
    """Make a blob of parts 1 to n, named by their tags. Asked again it gives the same answer, till it is forgotten.

    A process that dies meanwhile leaves what can be joined again. Raises Invalid("parts") for one that did not arrive
    or has another size than the rest, Mismatch for another digest than declared (then the upload is forgotten),
    TooLarge past `limit`, Conflict when parts still arrive after long.
    """
    folder = _folder(upload)
    data, done = folder / "data", folder / "done"
    with _locked(folder, fcntl.LOCK_EX):
        if done.exists():
            stored = StoredBytes.from_note(done.read_text())
        else:
            stored = _finished(
                folder, [_size(folder, number, tags[number]) for number in sorted(tags)], limit
            )
            if stored.sha256 != (sha256 or stored.sha256):
                forget(upload)
                raise other_bytes(stored, sha256)
            note = folder / "note"
            with room():
                note.write_text(stored.as_note())
                note.rename(done)
        if data.exists():
            storage.adopt(data, stored)
        for path in folder.iterdir():
            if path.name not in ("done", "lock"):
                path.unlink(missing_ok=True)
    return stored


def _size(folder: Path, number: int, tag: str) -> int:
    match = _TAG.fullmatch(tag)
    if match is None or not (folder / f"{number}.{tag}").exists():
        raise Invalid("parts", f"Part {number} did not arrive, or with another ETag.")
    return int(match[1], 16)


def _finished(folder: Path, sizes: list[int], limit: int) -> StoredBytes:
    """Bring the last part to its place, and hash the whole."""
    if len(set(sizes[:-1])) > 1:
        raise Invalid("parts", "All parts but the last need one size.")
    size = sum(sizes)
    if size > limit:
        raise TooLarge(f"A file may have at most {limit} bytes.", limit=limit)
    with (folder / "data").open("r+b", buffering=0) as data:
        if len(sizes) > 1:
            data.seek(size - sizes[-1])
            with (folder / "last").open("rb") as last:
                _copy(last.fileno(), data.fileno(), sizes[-1])
        data.truncate(size)
        if sha256 := following.noted(folder, size):
            return StoredBytes(sha256, size)
        data.seek(0)
        return StoredBytes(hashlib.file_digest(data, "sha256").hexdigest(), size)


def _copy(source: int, target: int, count: int) -> None:
    """Copy between open files, from where they stand."""
    while count and (piece := os.read(source, min(count, _PIECE))):
        count -= len(piece)
        with room():
            while piece:
                piece = piece[os.write(target, piece) :]


@contextmanager
def _locked(folder: Path, kind: int) -> Iterator[None]:
    """Hold the folder's lock, shared or alone; a process that dies lets go."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR)
    except FileNotFoundError as error:
        raise _ended() from error
    try:
        end = time.monotonic() + PATIENCE
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                break
            if time.monotonic() > end:
                raise Conflict("Parts of this file still arrive.", next_step="Try again later.")
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def forget(upload: str) -> None:
    """Remove what an upload left."""
    shutil.rmtree(_folder(upload), ignore_errors=True)


def last_arrival(upload: str) -> float:
    """When a part arrived last, in seconds since 1970; 0 when none is here."""
    folder, last = _folder(upload), 0.0
    for path in (folder, *folder.glob("*")):
        with suppress(FileNotFoundError):  # Some come and go.
            last = max(last, path.stat().st_mtime)
    return last


def sweep(*, known: Collection[str], older_than: timedelta) -> int:
    """Remove the parts of uploads that nobody knows; returns how many uploads."""
    limit, removed = time.time() - older_than.total_seconds(), 0
    for folder in storage.incoming().glob(f"*{_SUFFIX}"):
        upload = folder.name.removesuffix(_SUFFIX)
        if upload not in known and last_arrival(upload) < limit:
            forget(upload)
            removed += 1
    return removed
