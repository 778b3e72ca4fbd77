"""Blobs from one store to another while Modelry serves: what the database names and the target lacks is copied.

Nothing is remembered: the target's listing says what is there, so a killed move goes on by beginning again. Bytes are
hashed on the way, and the target keeps none that are not what their digest says.
"""

from __future__ import annotations

import hashlib
import io
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from models_app.models import Blob
from models_app.registry import audit
from models_app.registry.access import Actor
from models_app.registry.errors import Conflict

from . import reading, storage
from .integrity import Pace
from .stores.base import Store, StoredBytes

AT_ONCE = 500
# What came while it ran is looked for again, so often.
ROUNDS = 5


@dataclass(slots=True)
class Moved:
    """What a move did, or (dry) would: blobs and bytes copied; digests that are not at the source as they should be."""

    blobs: int = 0
    bytes: int = 0
    lost: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    missing: int = 0
    removed: int = 0

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "blobs": self.blobs,
            "bytes": self.bytes,
            "lost": self.lost,
            "damaged": self.damaged,
            "missing": self.missing,
            "removed": self.removed,
        }


Told = Callable[[Moved], None]


class _OtherBytes(Exception):
    """The source's bytes are not what their digest says."""


class _Source(io.RawIOBase):
    """A blob as a file to send. The last of its bytes come only when all of them are what they should be."""

    def __init__(self, store: Store, stored: StoredBytes, pace: Pace) -> None:
        self._pieces = reading.in_order(store, storage.blob_name(stored.sha256), stored.size)
        self._stored, self._pace = stored, pace
        self._hash, self._have, self._at, self._read = hashlib.sha256(), memoryview(b""), 0, 0
        if not stored.size:
            self._check()

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        if offset != {io.SEEK_SET: self._at, io.SEEK_CUR: 0}.get(whence):
            raise io.UnsupportedOperation("seek")
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        if not self._have and self._read < self._stored.size:
            self._more()
        count = min(len(buffer), len(self._have))
        buffer[:count], self._have = self._have[:count], self._have[count:]
        self._at += count
        return count

    def _more(self) -> None:
        piece = next(self._pieces)
        self._pace.took(len(piece))
        self._hash.update(piece)
        self._read += len(piece)
        if self._read == self._stored.size:
            self._check()
        self._have = memoryview(piece)

    def _check(self) -> None:
        if self._hash.hexdigest() != self._stored.sha256:
            raise _OtherBytes(self._stored.sha256)

    def close(self) -> None:
        if not self.closed:
            closing = getattr(self._pieces, "close", None)
            if closing:
                closing()
        super().close()


def require_apart(source: Store, target: Store) -> None:
    """Raises Conflict when both are one place, however it is written; Unavailable when the target takes nothing.

    The target may be new.
    """
    target.begin()
    key = f"{storage.INCOMING}/{uuid.uuid4().hex}"
    probe = b"Modelry looks where this is."
    target.bring(io.BytesIO(probe), key, StoredBytes(hashlib.sha256(probe).hexdigest(), len(probe)))
    try:
        if source.measure(key) is not None:
            raise Conflict("Source and target are the same place.", next_step="Name another target.")
    finally:
        target.remove(key)


def _rows() -> Iterator[Blob]:
    """All that should be somewhere whole, in the order of their digests."""
    last = ""
    while page := list(Blob.objects.filter(pk__gt=last, damaged_at=None).order_by("pk")[:AT_ONCE]):
        yield from page
        last = page[-1].pk


def lacking(target: Store) -> Iterator[Blob]:
    """Blobs that are not at the target with their size. Raises Unavailable.

    Both come in the order of digests, so each is read once.
    """
    kept = storage.stored(target)
    here = next(kept, None)
    for blob in _rows():
        name = storage.blob_name(blob.pk)
        while here is not None and here.key < name:
            here = next(kept, None)
        if here is None or here.key != name or here.size != blob.size:
            yield blob


def _known_bad(target: Store) -> Moved:
    """What was found damaged before and is not whole at the target either. Raises Unavailable."""
    found = Moved()
    for blob in Blob.objects.filter(damaged_at__isnull=False).order_by("pk").iterator(chunk_size=AT_ONCE):
        if target.measure(storage.blob_name(blob.pk)) != blob.size:
            (found.lost if blob.damage == "missing" else found.damaged).append(blob.pk)
    return found


def plan(target: Store) -> Moved:
    """What `move` would copy now."""
    found = _known_bad(target)
    for blob in lacking(target):
        found.blobs += 1
        found.bytes += blob.size
    return found


def move(
    source: Store,
    target: Store,
    *,
    parallel: int = 4,
    rate: int | None = None,
    told: Told = lambda _: None,
) -> Moved:
    """Copy all that the target lacks, what comes meanwhile too. Removes nothing. Raises Unavailable: begin again then.

    `missing` is what the target lacks at the end, apart from what is lost or damaged at the source.
    """
    done, pace = _known_bad(target), Pace(rate)
    with ThreadPoolExecutor(parallel) as pool:
        for _ in range(ROUNDS):
            before = done.blobs
            _round(source, target, done, pace, pool, told, parallel)
            if done.blobs == before:
                break
    if done.blobs:
        _record(done)
    bad = {*done.lost, *done.damaged}
    done.missing = sum(blob.pk not in bad for blob in lacking(target))
    return done


def _round(
    source: Store,
    target: Store,
    done: Moved,
    pace: Pace,
    pool: ThreadPoolExecutor,
    told: Told,
    parallel: int,
) -> None:
    bad = {*done.lost, *done.damaged}
    running: dict[Future[None], Blob] = {}
    try:
        for blob in lacking(target):
            if blob.pk in bad:
                continue
            running[pool.submit(_copy, source, target, blob, pace)] = blob
            if len(running) >= 2 * parallel:
                _settle(running, done, told)
        while running:
            _settle(running, done, told)
    finally:
        for future in running:
            future.cancel()


def _copy(source: Store, target: Store, blob: Blob, pace: Pace) -> None:
    stored, name = StoredBytes(blob.pk, blob.size), storage.blob_name(blob.pk)
    if target.measure(name) == stored.size:
        return
    try:
        with io.BufferedReader(_Source(source, stored, pace), buffer_size=1 << 20) as file:
            target.bring(file, name, stored)
    except FileNotFoundError as error:
        if source.measure(name) is not None:
            raise _OtherBytes(blob.pk) from error  # Too short.
        raise


def _settle(running: dict[Future[None], Blob], done: Moved, told: Told) -> None:
    ended, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in ended:
        blob = running.pop(future)
        try:
            future.result()
        except _OtherBytes:
            done.damaged.append(blob.pk)
        except FileNotFoundError:
            # Swept meanwhile, or it is not where it should be.
            if Blob.objects.filter(pk=blob.pk, damaged_at=None).exists():
                done.lost.append(blob.pk)
        else:
            done.blobs += 1
            done.bytes += blob.size
        told(done)


def remove_source(source: Store, target: Store, done: Moved, *, told: Told = lambda _: None) -> None:
    """Remove from the source what the target has with the same size. Raises Conflict while the target lacks anything.

    Ask `require_apart` before.
    """
    if done.missing or done.lost or done.damaged:
        raise Conflict("The target lacks blobs: nothing was removed.", next_step="Move the rest first.")
    kept = storage.stored(source)
    for there in kept:
        if target.measure(there.key) == there.size:
            source.remove(there.key)
            done.removed += 1
            told(done)
    _record(done)


def _record(done: Moved) -> None:
    facts = done.facts() | {"lost": len(done.lost), "damaged": len(done.damaged)}
    audit.record("storage.moved", by=Actor.system(), subject="artifacts", after=facts)
