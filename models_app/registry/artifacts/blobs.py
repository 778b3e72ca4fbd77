"""Bytes coming in: stored once by digest, known to the database only when they are whole."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from models_app.models import Blob
from models_app.registry.errors import Mismatch

from . import storage

# Far less than the time for which the sweep spares young blobs.
TOUCHED_EVERY = timedelta(hours=1)
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A path and the stored bytes it names. `size` in bytes, `sha256` 64 hex digits."""

    path: str
    sha256: str
    size: int


def receive(path: str, chunks: Iterable[bytes]) -> StoredFile:
    """Stream bytes into storage while hashing. Nothing refers to them yet; the sweep removes what is never sealed."""
    with storage.BlobWriter() as writer:
        for chunk in chunks:
            writer.write(chunk)
        stored = writer.finish()
    return StoredFile(path, stored.sha256, stored.size)


def keep(files: Iterable[StoredFile]) -> None:
    """Make blob rows for stored bytes, or touch those that exist, in the caller's transaction.

    What the sweep had marked is no longer. Sorted by digest, so that two callers with the same blobs wait for each
    other instead of deadlocking.
    """
    now = timezone.now()
    sizes = {file.sha256: file.size for file in files}
    # Touched lately is touched: files that many versions share would make their callers wait for each other.
    young = Q(touched_at__gt=now - TOUCHED_EVERY, condemned_at=None)
    known = Blob.objects.filter(young | Q(damaged_at__isnull=False), sha256__in=list(sizes))
    damaged = {sha256: at is not None for sha256, at in known.values_list("sha256", "damaged_at")}
    wanted = sizes.keys() - {sha256 for sha256, is_damaged in damaged.items() if not is_damaged}
    rows = [
        Blob(sha256=sha256, size=sizes[sha256], created_at=now, touched_at=now) for sha256 in sorted(wanted)
    ]
    if not rows:
        return
    Blob.objects.bulk_create(
        rows,
        batch_size=500,
        update_conflicts=True,
        unique_fields=["sha256"],
        update_fields=["touched_at", "condemned_at"],
    )
    if any(damaged.values()):
        heal(sha256 for sha256, is_damaged in damaged.items() if is_damaged)


def check_sizes(files: Sequence[StoredFile]) -> None:
    """Raises Mismatch for a file whose size is not that of its blob: what somebody declared is not what arrived."""
    sizes: dict[str, int] = {}
    for some in in_lots({file.sha256 for file in files}):
        sizes.update(Blob.objects.filter(pk__in=some).values_list("sha256", "size"))
    for file in files:
        if sizes.get(file.sha256, file.size) != file.size:
            raise other_size(file, sizes[file.sha256])


def in_lots(digests: Collection[str]) -> Iterator[list[str]]:
    """In order, as many at once as one statement asks for."""
    ordered = sorted(digests)
    for start in range(0, len(ordered), AT_ONCE):
        yield ordered[start : start + AT_ONCE]


def other_size(file: StoredFile, size: int) -> Mismatch:
    """Bytes of that digest have another size than declared."""
    return Mismatch("files", f"{file.path}: its bytes are {size}, not {file.size}.")


@transaction.atomic
def heal(damaged: Iterable[str]) -> None:
    """Those of the damaged blobs are whole again whose bytes were stored anew. Raises Unavailable."""
    for sha256 in damaged:
        row = Blob.objects.select_for_update(no_key=True).filter(pk=sha256, damaged_at__isnull=False).first()
        if row is not None and storage.size_of(sha256) == row.size:
            row.damaged_at, row.damage = None, ""
            row.save(update_fields=["damaged_at", "damage"])
            storage.forget_aside(sha256)
