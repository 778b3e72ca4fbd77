"""Files that need not be sent: only bytes that the caller can read anyway, or sent before."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings

from models_app.models import ManifestEntry, UploadFile, UploadSession
from models_app.registry.access import Actor, versions_for
from models_app.registry.errors import FieldProblem, Invalid, Mismatch, TooLarge

from .blobs import StoredFile, in_lots

_SHA256 = re.compile(r"[0-9a-f]{64}")


def readable(files: Iterable[Mapping[str, Any]], *, by: Actor) -> list[StoredFile]:
    """Files {path, sha256, size?} whose bytes are in some version that the actor may read.

    Bytes of others look like bytes that are nowhere, so that nobody learns by asking what others have. Raises
    Invalid("files"), Mismatch for another size than declared, TooLarge for more files than a version may have.
    """
    wanted = list(files)
    limit = settings.MAX_FILES_PER_VERSION
    if len(wanted) > limit:
        raise TooLarge(f"At most {limit} files in a version; these are {len(wanted)}.", limit=limit)
    digests = {str(file["sha256"]).lower() for file in wanted}
    if bad := next((digest for digest in digests if not _SHA256.fullmatch(digest)), None):
        raise Invalid("files", f"“{bad[:70]}” is no SHA-256 of 64 hex digits.")
    sizes = sizes_of(digests, by=by)
    unknown = [
        FieldProblem("files", f"No bytes with the digest {digest} that you may read; send the file.")
        for digest in sorted(digests - sizes.keys())
    ]
    if unknown:
        raise Invalid.many(unknown[:100])
    result = []
    for file in wanted:
        digest = str(file["sha256"]).lower()
        if file.get("size") not in (None, sizes[digest]):
            raise Mismatch("files", f"{file['path']}: its bytes are {sizes[digest]}, not {file['size']}.")
        result.append(StoredFile(str(file["path"]), digest, sizes[digest]))
    return result


def sizes_of(digests: set[str], *, by: Actor) -> dict[str, int]:
    """Those of the digests whose bytes the actor may read, whole, with their sizes."""
    found: dict[str, int] = {}
    for some in in_lots(digests):
        entries = ManifestEntry.objects.filter(
            blob__in=some,
            # What is damaged has to be sent, and is whole again then.
            blob__damaged_at=None,
            manifest__versions__in=versions_for(by),
        )
        found.update(entries.order_by().values_list("blob_id", "blob__size").distinct())
    return found


def sizes_here(digests: set[str], *, by: Actor) -> dict[str, int]:
    """Sizes of what the actor may read, or has sent."""
    found = sizes_of(digests, by=by)
    for some in in_lots(digests - found.keys()):
        sent = UploadFile.objects.filter(session__created_by=by.user, blob__in=some, blob__damaged_at=None)
        found.update(sent.values_list("blob_id", "blob__size").distinct())
    return found


def likely_here(session: UploadSession, *, by: Actor) -> list[str]:
    """Files without a digest that are as long as one of the model's newest version: they are better hashed first."""
    unsaid = dict(session.files.filter(sha256="").values_list("path", "size"))
    if not unsaid:
        return []
    newest = versions_for(by).filter(model__name=session.model_name).order_by("-number")[:1]
    entries = ManifestEntry.objects.filter(manifest__in=newest.values("manifest"), size__in=unsaid.values())
    sizes = set(entries.values_list("size", flat=True))
    return sorted(path for path, size in unsaid.items() if size in sizes)
