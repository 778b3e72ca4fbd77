"""The record of every state change, written in the transaction that makes it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.models import AuditEvent, RegisteredModel

from . import prepared
from .access import Actor
from .errors import Forbidden, PolicyUnmet, RegistryError


def record(
    verb: str,
    *,
    by: Actor,
    subject: str,
    model: RegisteredModel | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
    policy: str = "",
) -> AuditEvent:
    """Write one row. `verb` is `noun.verb`; `before` and `after` hold only what changed, JSON-ready; `policy` names the
    policy versions that it was decided under.
    """
    event = AuditEvent(
        at=timezone.now(),
        verb=verb,
        actor=by.user,
        actor_name=by.name,
        token_prefix=by.token_prefix,
        door=by.door,
        address=by.address,
        request_id=by.request_id,
        subject=subject[:300],
        model_ref=model.pk if model else None,
        before=before or {},
        after=after or {},
        reason=reason,
        policy=policy,
    )
    return prepared.insert(event)


def refuse(error: RegistryError, *, by: Actor, what: str) -> None:
    """Record that a change was refused, after its transaction is gone. `what` is the call, as in “POST /api/v1/…”.

    Only who may or may not is told here: what was wrong with the input is between caller and door.
    """
    if not isinstance(error, Forbidden | PolicyUnmet) or not by.is_known:
        return
    AuditEvent.objects.create(
        verb="refused",
        actor=by.user,
        actor_name=by.name,
        token_prefix=by.token_prefix,
        door=by.door,
        address=by.address,
        request_id=by.request_id,
        subject=(error.subject if isinstance(error, PolicyUnmet) else what)[:300],
        after={"what": what[:300], "code": error.code},
        reason=error.why[:2000],
        refused=True,
    )


def of_model(model: RegisteredModel) -> QuerySet[AuditEvent]:
    """What happened to a model and its versions, newest first."""
    return AuditEvent.objects.filter(model_ref=model.pk).order_by("-id")


def last_change() -> datetime | None:
    """When a model, or who may read it, changed last; None when nothing ever did."""
    about = AuditEvent.objects.filter(Q(model_ref__isnull=False) | Q(verb__startswith="team."))
    return about.order_by("-id").values_list("at", flat=True).first()
