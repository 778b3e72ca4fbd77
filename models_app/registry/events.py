"""The outbox: facts for whoever reacts after the commit (tasks/dispatcher.py)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from models_app.models import OutboxEvent, RegisteredModel

from . import prepared

KEEP = timedelta(days=30)


def emit(
    name: str, *, model: RegisteredModel | None = None, payload: dict[str, Any] | None = None
) -> OutboxEvent:
    """Write one event in the caller's transaction. `name` is `noun.verb`, `payload` JSON-ready."""
    return prepared.insert(
        OutboxEvent(name=name, model_ref=model.pk if model else None, payload=payload or {})
    )


def emit_all(name: str, *, model: RegisteredModel, payloads: Iterable[dict[str, Any]]) -> None:
    """Write an event for each payload, in one statement."""
    OutboxEvent.objects.bulk_create(
        [OutboxEvent(name=name, model_ref=model.pk, payload=payload) for payload in payloads]
    )


def waiting(*, limit: int) -> list[OutboxEvent]:
    """Events that wait to be handled, oldest first."""
    return list(OutboxEvent.objects.filter(done_at=None).order_by("id")[:limit])


def done(event: OutboxEvent) -> None:
    """Mark an event as handled."""
    OutboxEvent.objects.filter(pk=event.pk, done_at=None).update(done_at=timezone.now())


def forget_old() -> int:
    """Delete events handled long ago; returns how many."""
    return OutboxEvent.objects.filter(done_at__lt=timezone.now() - KEEP).delete()[0]
