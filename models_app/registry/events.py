"""The outbox: facts for whoever reacts after the commit (tasks/dispatcher.py)."""

from __future__ import annotations

from typing import Any

from models_app.models import OutboxEvent, RegisteredModel


def emit(name: str, *, model: RegisteredModel | None = None, payload: dict[str, Any] | None = None) -> OutboxEvent:
    """Write one event in the caller's transaction. `name` is `noun.verb`, `payload` JSON-ready."""
    return OutboxEvent.objects.create(name=name, model_ref=model.pk if model else None, payload=payload or {})
