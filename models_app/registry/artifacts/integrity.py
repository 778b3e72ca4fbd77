"""Whether stored bytes are what they were: read and hashed again. What is not is moved aside, and told.

Damaged bytes leave their place (to `quarantine/sha256/<digest>`), so that no door can serve them: all answer that they
are missing. The blob's row says what was found. Storing the same bytes again heals it (`blobs.heal`).
"""

from __future__ import annotations

import errno
import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Count, Sum
from django.utils import timezone

from models_app.models import Blob, ManifestEntry, ModelVersion, StorageTask, TreeEntry
from models_app.registry import audit
from models_app.registry.access import Actor
from models_app.registry.errors import Damaged, NotFound, Unavailable

from . import blobs, storage

VERIFYING = "verify"
AT_ONCE = 200
SAVED_EVERY = 5.0
_PIECE = 1 << 20


@dataclass(slots=True)
class Checked:
    """What was read so far: blobs, bytes, and digests that were found damaged or healed."""

    blobs: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    healed: list[str] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "blobs": self.blobs,
            "bytes": self.bytes,
            "damaged": len(self.damaged),
            "healed": len(self.healed),
        }


@dataclass(frozen=True, slots=True)
class Hit:
    """A damaged blob, what was found, and what refers to it: `team/name@3: path`, `run <id>: path`."""

    sha256: str
    size: int
    damage: str
    named_by: list[str]


class Pace:
    """Reads no faster than so many bytes per second, on the whole."""

    def __init__(self, rate: int | None) -> None:
        self._rate, self._began, self._read = rate, time.monotonic(), 0
        self._lock = threading.Lock()

    def took(self, count: int) -> None:
        """So much was read: wait if that was too fast. Any thread may say so."""
        with self._lock:
            self._read += count
            read = self._read
        if self._rate:
            ahead = read / self._rate - (time.monotonic() - self._began)
            if ahead > 0:
                time.sleep(ahead)


Told = Callable[[Checked], None]
Stop = Callable[[], bool]


def total() -> tuple[int, int]:
    """How many blobs there are, and of how many bytes."""
    sums = Blob.objects.aggregate(count=Count("pk"), bytes=Sum("size"))
    return sums["count"], sums["bytes"] or 0


def verify_all(
    *,
    restart: bool = False,
    rate: int | None = None,
    told: Told = lambda _: None,
    stop: Stop = lambda: False,
) -> Checked:
    """Read every blob, from where a verification stopped before unless `restart`. Raises Unavailable; what was done
    till then is kept, and the next one goes on there.
    """
    task, _ = StorageTask.objects.get_or_create(name=VERIFYING)
    if restart or not task.position:
        task.position, task.facts, task.began_at = "", {}, timezone.now()
    done, pace, saved = Checked(), Pace(rate), time.monotonic()
    done.blobs, done.bytes = task.facts.get("blobs", 0), task.facts.get("bytes", 0)
    try:
        while page := list(Blob.objects.filter(pk__gt=task.position).order_by("pk")[:AT_ONCE]):
            for blob in page:
                _check(blob, done, pace)
                task.position = blob.pk
                told(done)
                if stop():
                    return done
                if time.monotonic() - saved > SAVED_EVERY:
                    task.facts, saved = done.facts(), time.monotonic()
                    task.save()
        task.position, task.ended_at = "", timezone.now()
    finally:
        task.facts = done.facts()
        task.save()
    return done


def verify_sample(
    count: int,
    *,
    rate: int | None = None,
    seconds: float | None = None,
    told: Told = lambda _: None,
    stop: Stop = lambda: False,
) -> Checked:
    """Read so many blobs by chance, for so long at most. Raises Unavailable."""
    done, pace, began = Checked(), Pace(rate), time.monotonic()
    for blob in _by_chance(count):
        if stop() or (seconds is not None and time.monotonic() - began > seconds):
            break
        _check(blob, done, pace)
        told(done)
    return done


def _by_chance(count: int) -> Iterator[Blob]:
    """Digests are spread evenly, so what stands after a random place is by chance enough. Of few, all."""
    first = list(Blob.objects.order_by("pk")[: count + 1])
    if len(first) <= count:
        yield from first
        return
    seen: set[str] = set()
    tries = 0
    while len(seen) < count and tries < 4 * count:
        tries += 1
        place = f"{random.getrandbits(256):064x}"
        blob = (
            Blob.objects.filter(pk__gte=place).order_by("pk").first() or Blob.objects.order_by("pk").first()
        )
        if blob is None:
            return
        if blob.pk not in seen:
            seen.add(blob.pk)
            yield blob


def _check(blob: Blob, done: Checked, pace: Pace) -> None:
    seen = storage.written_at(blob.pk)
    found = _found(blob.pk, blob.size, pace)
    done.blobs += 1
    done.bytes += blob.size
    if bool(found) == bool(blob.damaged_at):
        return
    if found and _condemn(blob.pk, found, seen):
        done.damaged.append(blob.pk)
        # Moved aside where it was read; where artifacts were before it may be whole.
        found = _found(blob.pk, blob.size, pace) if len(storage.places()) > 1 else found
    if not found:
        blobs.heal([blob.pk])
        done.healed.append(blob.pk)


@contextmanager
def noticing(sha256: str, size: int) -> Iterator[None]:
    """Whoever finds these bytes damaged says so for all: they are not taken as being here then, and may come again."""
    try:
        yield
    except Damaged:
        seen, there = storage.written_at(sha256), storage.size_of(sha256)
        if there != size:
            _condemn(sha256, "missing" if there is None else f"{there} bytes instead of {size}", seen)
        raise


def _found(sha256: str, size: int, pace: Pace) -> str:
    """What is wrong with stored bytes; nothing is "". Raises Unavailable."""
    there = storage.size_of(sha256)
    if there is None:
        return "missing"
    if there != size:
        return f"{there} bytes instead of {size}"
    digest = hashlib.sha256()
    try:
        with storage.BlobStream(sha256, start=0, length=size, piece=_PIECE) as stream:
            for piece in stream:
                digest.update(piece)
                pace.took(len(piece))
    except Damaged:
        return "missing or shorter while it was read"
    except OSError as error:
        if error.errno not in (errno.EIO, errno.EUCLEAN):
            raise Unavailable(f"The folder of artifacts does not answer ({error.strerror}).") from error
        return f"cannot be read: {error.strerror}"[:200]
    return "" if digest.hexdigest() == sha256 else "other bytes of the same size"


def _condemn(sha256: str, found: str, seen: datetime | None) -> bool:
    """Move what is there aside and say so; not when the sweep has removed or marked it, it came again meanwhile (after
    it was `seen`), or it is known to be gone.
    """
    with transaction.atomic():
        row = Blob.objects.select_for_update(no_key=True).filter(pk=sha256).first()
        if row is None or storage.written_at(sha256) != seen:
            return False
        if seen is None and (row.condemned_at or row.damaged_at):
            return False
        storage.move_aside(sha256)
        row.damaged_at, row.damage = timezone.now(), found
        # What heals it comes in the usual class.
        row.cold_place, row.cooled_at = "", None
        row.save(update_fields=["damaged_at", "damage", "cold_place", "cooled_at"])
        facts = {"damage": found, "named_by": named_by(sha256, most=20)}
        audit.record("storage.damaged", by=Actor.system(), subject=sha256, after=facts)
    return True


def named_by(sha256: str, *, most: int = 1000) -> list[str]:
    """What refers to a blob, in words."""
    versions = ManifestEntry.objects.filter(blob=sha256, manifest__versions__isnull=False).order_by(
        "manifest__versions__model__name", "manifest__versions__number", "path"
    )
    names = [
        f"{name}@{number}: {path}"
        for name, number, path in versions.values_list(
            "manifest__versions__model__name", "manifest__versions__number", "path"
        )[:most]
    ]
    entries = TreeEntry.objects.filter(blob=sha256).order_by("path")
    for path, run, logged in entries.values_list("path", "tree__run__uid", "tree__logged_model__uid")[:most]:
        names.append(f"run {run}: {path}" if run else f"logged model {logged}: {path}")
    return names[:most]


def damaged() -> Iterator[Hit]:
    """All blobs that are damaged now, with what they hit."""
    for blob in Blob.objects.filter(damaged_at__isnull=False).order_by("pk").iterator(chunk_size=AT_ONCE):
        yield Hit(blob.pk, blob.size, blob.damage, named_by(blob.pk))


def damaged_files(version: ModelVersion) -> list[str]:
    """Paths in a version whose bytes are damaged, a few of them."""
    if version.manifest_id is None:
        return []
    rows = ManifestEntry.objects.filter(manifest=version.manifest_id, blob__damaged_at__isnull=False)
    return list(rows.values_list("path", flat=True)[:20])


def restore(path: Path) -> tuple[str, bool]:
    """Put the bytes of a file back where they belong, if some blob has their digest: that, and whether it was
    damaged. Raises NotFound.
    """
    with storage.BlobWriter() as writer:
        with path.open("rb") as file:
            for piece in iter(lambda: file.read(_PIECE), b""):
                writer.write(piece)
        stored = writer.end()
        row = Blob.objects.filter(pk=stored.sha256).first()
        if row is None:
            raise NotFound(f"Nothing here has the bytes of {path.name} ({stored.sha256}).")
        seen = storage.written_at(row.pk)
        if row.damaged_at is None and (found := _found(row.pk, row.size, Pace(None))):
            _condemn(row.pk, found, seen)
            row.refresh_from_db()
        storage.place([writer])
        blobs.heal([row.pk])
    audit.record("storage.restored", by=Actor.system(), subject=stored.sha256)
    return stored.sha256, row.damaged_at is not None
