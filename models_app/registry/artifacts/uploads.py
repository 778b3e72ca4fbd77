"""A large file that comes in parts, side by side and in any order, and takes its place when all are there."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from models_app.models import ArtifactUpload
from models_app.registry.access import Actor
from models_app.registry.errors import Invalid, NotFound

from . import arrivals, parts, trees
from .arrivals import MOST_PARTS, Arrival, Way
from .blobs import StoredFile
from .stores.base import Target
from .trees import Holder

ABANDONED = timedelta(hours=24)


def takes(part_count: int) -> bool:
    """Whether a file of so many parts can be taken here; if not, it has to come whole."""
    return arrivals.takes_unknown_parts() and part_count <= MOST_PARTS


@transaction.atomic
def create_upload(holder: Holder, path: str, *, part_count: int, by: Actor) -> ArtifactUpload:
    """Begin. Raises what putting a file there would: Invalid("path"), Invalid, Forbidden; and Invalid("num_parts")."""
    if not 1 <= part_count <= MOST_PARTS:
        raise Invalid("num_parts", f"A file comes in 1 to {MOST_PARTS} parts.")
    tree, path = trees.open_tree(holder, path, by=by)
    arrival = arrivals.begin_parts(part_count)
    return ArtifactUpload.objects.create(
        uid=arrival.uid,
        tree_id=tree,
        path=path,
        part_count=part_count,
        at_store=arrival.at_store,
        created_by=by.user,
    )


def _arrival(upload: ArtifactUpload) -> Arrival:
    way = Way.DIRECT_PARTS if upload.at_store else Way.PARTS
    return Arrival(upload.uid, way, upload.part_count, at_store=upload.at_store)


def target(upload: ArtifactUpload, number: int) -> Target | None:
    """Where the client sends a part itself; None when Modelry takes it. Raises Unavailable."""
    return arrivals.target(_arrival(upload), number, valid=ABANDONED)


def get_upload(holder: Holder, uid: str, path: str, *, by: Actor) -> ArtifactUpload:
    """The upload of that file. Raises NotFound, Forbidden."""
    trees.require_writing(holder, by=by)
    path = trees.clean_path(path)
    upload = None
    if holder.tree_id is not None and "\x00" not in uid:
        upload = ArtifactUpload.objects.filter(uid=uid, tree=holder.tree_id, path=path).first()
    if upload is None:
        raise NotFound(f"There is no upload {uid[:40]!r} of this file.", next_step="Start it again.")
    return upload


def receive_part(uid: str, number: int, chunks: Iterable[bytes], *, of: int, length: int) -> str:
    """Store a part of an upload for whom create_upload let in; returns the tag that completes it.

    Raises Invalid("body"), TooLarge, and NotFound when the upload has ended.
    """
    return parts.receive(uid, number, chunks, of=of, length=length, limit=settings.MAX_FILE_BYTES)


def complete_upload(
    holder: Holder, upload: ArtifactUpload, tags: Mapping[int, str], *, by: Actor
) -> StoredFile:
    """Make the file of its parts, named by number and tag, and put it.

    Who asks again, because the answer was lost or took long, gets the same: the upload is known till it is swept.
    Raises Invalid("parts"), Conflict, and as `put` does.
    """
    stored = arrivals.finish(_arrival(upload), tags)
    file = StoredFile(upload.path, stored.sha256, stored.size)
    trees.put(holder, [file], by=by)
    return file


def abort_upload(upload: ArtifactUpload) -> None:
    """Forget an upload and its parts."""
    ArtifactUpload.objects.filter(pk=upload.pk).delete()
    arrivals.abandon(_arrival(upload))


def sweep_abandoned(older_than: timedelta = ABANDONED) -> int:
    """Forget uploads that nothing came for since, and parts of unknown uploads; returns how many."""
    removed, limit = 0, time.time() - older_than.total_seconds()
    known = set(ArtifactUpload.objects.values_list("uid", flat=True))
    for upload in ArtifactUpload.objects.filter(created_at__lt=timezone.now() - older_than):
        if parts.last_arrival(upload.uid) < limit:
            abort_upload(upload)
            removed += 1
    return removed + parts.sweep(known=known, older_than=older_than) + arrivals.sweep(older_than)
