"""Bytes coming in: stored once by digest, known to the database only when they are whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from models_app.models import Blob

from . import storage

# Far less than the time for which the sweep spares young blobs.
TOUCHED_EVERY = timedelta(hours=1)


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

    Sorted by digest, so that two callers with the same blobs wait for each other instead of deadlocking.
    """
    now = timezone.now()
    sizes = {file.sha256: file.size for file in files}
    # Touched lately is touched: files that many versions share would make their callers wait for each other.
    young = Blob.objects.filter(sha256__in=list(sizes), touched_at__gt=now - TOUCHED_EVERY)
    wanted = sizes.keys() - set(young.values_list("sha256", flat=True))
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
        update_fields=["touched_at"],
    )
