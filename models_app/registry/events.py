"""The outbox: facts for whoever reacts after the commit (tasks/dispatcher.py)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
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


def next_waiting(*, but: Collection[int] = (), models: Collection[int] = ()) -> int | None:
    """The oldest event that waits, leaving out some, and those of some models."""
    waiting = OutboxEvent.objects.filter(done_at=None).exclude(pk__in=but)
    if models:
        waiting = waiting.exclude(model_ref__in=models)
    return waiting.order_by("id").values_list("pk", flat=True).first()


def take(pk: int) -> OutboxEvent | None:
    """A waiting event, locked to the end of the caller's transaction; None when somebody else has it, or did it."""
    return OutboxEvent.objects.select_for_update(skip_locked=True).filter(pk=pk, done_at=None).first()


def done(event: OutboxEvent) -> None:
    """Mark an event as handled."""
    OutboxEvent.objects.filter(pk=event.pk, done_at=None).update(done_at=timezone.now())


def forget_old() -> int:
    """Delete events handled long ago; returns how many."""
    return OutboxEvent.objects.filter(done_at__lt=timezone.now() - KEEP).delete()[0]
