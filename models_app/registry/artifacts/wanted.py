"""Bytes that are wanted again while the sweep may be about to remove them.

Who finds bytes that are there already says so here before relying on them. The sweep removes bytes while it holds the
lock on their row, so afterwards it either sees that they are wanted, or has removed them, and they are stored anew.
"""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from models_app.models import Blob


def again(sha256: str) -> None:
    """Have the sweep spare these bytes. The mark stays till something refers to them (`blobs.keep`)."""
    marked = Blob.objects.filter(pk=sha256, condemned_at__isnull=False)
    if not marked.exists():
        return
    with transaction.atomic():
        # Waits for a sweep that holds it.
        if marked.select_for_update(no_key=True).first() is not None:
            marked.update(touched_at=timezone.now())
