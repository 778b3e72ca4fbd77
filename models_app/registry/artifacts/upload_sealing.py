"""How an upload session ends: sealed into a version, given up, or forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from models_app.models import ModelVersion, UploadFile, UploadSession
from models_app.registry import catalog
from models_app.registry.access import Actor
from models_app.registry.errors import Conflict, NotFound

from . import arrivals
from .blobs import StoredFile
from .upload_sessions import arrival_of, begin_anew


def seal(
    session: UploadSession,
    *,
    create_model: bool,
    model_fields: Mapping[str, Any],
    metadata: Mapping[str, Any],
    by: Actor,
) -> ModelVersion:
    """Register the version; asked again it gives the same one.

    Raises Conflict while files are missing (or were found damaged since they came) or when that version was deleted,
    else as catalog.register.
    """
    for file in session.files.filter(blob__damaged_at__isnull=False, session__sealed_at=None):
        begin_anew(file)
    with transaction.atomic():
        return _sealed(
            session, create_model=create_model, model_fields=model_fields, metadata=metadata, by=by
        )


def _sealed(
    session: UploadSession,
    *,
    create_model: bool,
    model_fields: Mapping[str, Any],
    metadata: Mapping[str, Any],
    by: Actor,
) -> ModelVersion:
    locked = UploadSession.objects.select_for_update().filter(pk=session.pk).first()
    if locked is None or (locked.sealed_at is None and locked.expires_at <= timezone.now()):
        raise NotFound("This upload has ended.", next_step="Start it again.")
    if locked.sealed_at is not None:
        if locked.version_id is None:
            raise Conflict("The version of this upload was deleted.", next_step="Start another.")
        return ModelVersion.objects.select_related("model__team", "manifest").get(pk=locked.version_id)
    files = list(locked.files.order_by("pk"))
    if waiting := sum(file.blob_id is None and file.verifying_at is not None for file in files):
        raise Conflict(
            f"{waiting} of {len(files)} files are still being verified.",
            next_step="Complete them again till none of them is, then seal.",
        )
    if lacking := [file.path for file in files if file.blob_id is None]:
        raise Conflict(
            f"{len(lacking)} of {len(files)} files have not arrived: {', '.join(lacking[:5])}.",
            next_step="Send them, then seal again.",
        )
    version = catalog.register(
        locked.model_name,
        create_model=create_model,
        model_fields=model_fields,
        files=[StoredFile(file.path, file.sha256, file.size) for file in files],
        metadata=metadata,
        by=by,
    )
    locked.version, locked.sealed_at = version, timezone.now()
    locked.save(update_fields=["version", "sealed_at"])
    return version


def abort(session: UploadSession) -> None:
    """Forget a session and what arrived; a sealed one is only forgotten. Raises Unavailable."""
    with transaction.atomic():
        locked = UploadSession.objects.select_for_update().filter(pk=session.pk).first()
        if locked is None:
            return
        under_way = list(_under_ways(locked)) if locked.sealed_at is None else []
        locked.files.all().delete()
        locked.delete()
    for file in under_way:
        arrivals.abandon(arrival_of(file))


def _under_ways(session: UploadSession) -> QuerySet[UploadFile]:
    return session.files.filter(blob=None).exclude(arrival="")


def sweep() -> int:
    """Forget what nobody came back to; returns how many. Raises Unavailable."""
    removed = 0
    for session in UploadSession.objects.filter(expires_at__lte=timezone.now()).iterator(chunk_size=100):
        abort(session)
        removed += 1
    return removed
