"""Sealing: a list of files becomes an immutable manifest whose digest is the hash of its sorted listing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import IntegrityError, transaction

from models_app.formats.paths import check_paths
from models_app.models import Manifest, ManifestEntry
from models_app.registry.errors import Invalid, TooLarge
from models_app.registry.prepared import PreparedInstances

from . import blobs
from .blobs import StoredFile


def digest_of(files: Sequence[StoredFile]) -> str:
    """SHA-256 over `sha256 size path` lines, sorted by the path's UTF-8 bytes."""
    listing = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path.encode()):
        listing.update(f"{file.sha256} {file.size} {file.path}\n".encode())
    return listing.hexdigest()


@transaction.atomic
def seal(files: Sequence[StoredFile]) -> Manifest:
    """The manifest of these files, made now or long ago. Raises Invalid("files") for bad, double or colliding paths,
    Mismatch for a size that is not that of the stored bytes.
    """
    if not files:
        raise Invalid("files", "A version needs at least one file.")
    if len(files) > settings.MAX_FILES_PER_VERSION:
        raise TooLarge(
            f"At most {settings.MAX_FILES_PER_VERSION} files in a version; these are {len(files)}.",
            limit=settings.MAX_FILES_PER_VERSION,
            next_step="Pack small files into an archive.",
        )
    try:
        check_paths([file.path for file in files])
    except ValueError as error:
        raise Invalid("files", str(error)) from error
    # Blobs are touched even when the manifest is old: the sweep must see the new reference coming.
    blobs.keep(files)
    blobs.check_sizes(files)
    digest = digest_of(files)
    manifest = _again(digest)
    if manifest is not None:
        return manifest
    try:
        with transaction.atomic():
            manifest = Manifest.objects.create(
                digest=digest, file_count=len(files), total_size=sum(file.size for file in files)
            )
    except IntegrityError:
        return _again(digest) or Manifest.objects.get(digest=digest)
    ManifestEntry.objects.bulk_create(
        [
            ManifestEntry(manifest=manifest, path=file.path, blob_id=file.sha256, size=file.size)
            for file in files
        ],
        batch_size=1000,
    )
    return manifest


def _again(digest: str) -> Manifest | None:
    """The manifest that is there already. One that the sweep has marked is wanted again, unless it goes just now."""
    found = Manifest.objects.filter(digest=digest).first()
    if found is None or found.condemned_at is None:
        return found
    # Waits for the sweep where that holds it; none is left to change then.
    kept = Manifest.objects.filter(pk=found.pk).update(condemned_at=None)
    return found if kept else None


_AT = PreparedInstances(
    lambda manifest, path: ManifestEntry.objects.filter(manifest=manifest, path=path).order_by(), int, str
)


def entry(manifest: int | None, path: str) -> ManifestEntry | None:
    """The file at that path of a manifest, or None."""
    return _AT.one(manifest, path) if manifest else None


@dataclass(frozen=True, slots=True)
class FileDiff:
    """How a path differs between two manifests: same, changed, added or removed; sizes in bytes."""

    path: str
    state: str
    before: ManifestEntry | None
    after: ManifestEntry | None


def diff(before: Manifest | None, after: Manifest | None) -> list[FileDiff]:
    """Every path of either manifest, compared by digest."""
    old = {entry.path: entry for entry in before.entries.all()} if before else {}
    new = {entry.path: entry for entry in after.entries.all()} if after else {}
    result = []
    for path in sorted(old.keys() | new.keys()):
        a, b = old.get(path), new.get(path)
        if a is None:
            state = "added"
        elif b is None:
            state = "removed"
        else:
            state = "same" if a.blob_id == b.blob_id else "changed"
        result.append(FileDiff(path, state, a, b))
    return result
