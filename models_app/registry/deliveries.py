"""Messages to webhooks: written once per hook and event, sent till they arrive or a day has passed.

Rows are claimed by a conditional update with a lease, so that any number of workers share them and what a killed one
had in hand is sent by another. A message may arrive twice, with the same id and body; it never gets lost.
"""

from __future__ import annotations

import random
import uuid
from datetime import datetime, timedelta

from django.db.models import F, Min, Q, QuerySet
from django.utils import timezone

from models_app.models import (
    Delivery,
    DeliveryState,
    OutboxEvent,
    RegisteredModel,
    Webhook,
    WebhookScheme,
    WebhookStatus,
)

from . import audit, hook_events
from .access import Actor, Right, may
from .errors import Forbidden
from .webhooks import Attempt

FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(hours=4)
GIVE_UP = timedelta(hours=24)
# Longer than any attempt takes: then its worker is gone.
LEASE = timedelta(minutes=2)
KEEP = timedelta(days=30)
KEPT_BODY = 1_000


def enqueue(event: OutboxEvent) -> int:
    """Write a message for every active hook and name under which it hears of this event; returns how many. Again does
    no harm.
    """
    names = {scheme: hook_events.names(scheme, event.name, event.payload) for scheme in WebhookScheme.values}
    if not any(names.values()):
        return 0
    active = Webhook.objects.filter(status=WebhookStatus.ACTIVE)
    hooks = list(active.only("events", "team_id", "scheme").order_by("pk"))
    if not hooks:
        return 0
    # When the model is gone nobody knows whose it was: only hooks of the whole site may hear.
    team = RegisteredModel.objects.filter(pk=event.model_ref or 0).values_list("team", flat=True).first()
    hearing = [
        (hook, name)
        for hook in hooks
        if hook.team_id in (None, team)
        for name in names[hook.scheme]
        if name in hook.events
    ]
    bodies = {
        (scheme, name): hook_events.message(
            scheme, name, name=event.name, payload=event.payload, at=event.created_at
        )
        for scheme, name in {(hook.scheme, name) for hook, name in hearing}
    }
    now = timezone.now()
    rows = [
        Delivery(
            uid=str(uuid.uuid4()),
            webhook=hook,
            event=event,
            name=name,
            body=bodies[hook.scheme, name],
            created_at=now,
            next_attempt_at=now,
        )
        for hook, name in hearing
    ]
    Delivery.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _due(at: datetime) -> QuerySet[Delivery]:
    return Delivery.objects.filter(
        state=DeliveryState.WAITING, next_attempt_at__lte=at, webhook__status=WebhookStatus.ACTIVE
    )


def hooks_with_due(*, limit: int) -> list[int]:
    """Hooks for which something has to be sent now, longest waiting first."""
    longest = _due(timezone.now()).values("webhook").annotate(since=Min("next_attempt_at"))
    return list(longest.order_by("since").values_list("webhook", flat=True)[:limit])


def claim(webhook_id: int) -> Delivery | None:
    """The next message for a hook, from now on ours for the length of the lease; None when nothing is due."""
    while True:
        now = timezone.now()
        due = _due(now).filter(webhook=webhook_id).select_related("webhook")
        found = due.order_by("next_attempt_at", "id").first()
        if found is None:
            return None
        seen = found.next_attempt_at
        found.attempts += 1
        found.last_attempt_at, found.next_attempt_at = now, now + LEASE
        ours = Delivery.objects.filter(pk=found.pk, state=DeliveryState.WAITING, next_attempt_at=seen).update(
            attempts=F("attempts") + 1, last_attempt_at=now, next_attempt_at=now + LEASE
        )
        if ours:
            return found


def settle(delivery: Delivery, attempt: Attempt) -> DeliveryState:
    """Note how an attempt went: delivered, to be tried again, or given up."""
    state, at = _next(delivery, attempt)
    reply = attempt.reply
    mine = Delivery.objects.filter(
        pk=delivery.pk, state=DeliveryState.WAITING, last_attempt_at=delivery.last_attempt_at
    )
    if attempt.ok:
        # Delivered is delivered, whoever else has tried meanwhile.
        mine = Delivery.objects.filter(Q(pk=delivery.pk) & ~Q(state=DeliveryState.DELIVERED))
    mine.update(
        state=state,
        next_attempt_at=at,
        response_status=reply.status if reply else None,
        response_body=reply.text[:KEPT_BODY] if reply else "",
        error=attempt.error[:500],
        duration_ms=attempt.duration_ms,
    )
    return state


def _next(delivery: Delivery, attempt: Attempt) -> tuple[DeliveryState, datetime | None]:
    if attempt.ok:
        return DeliveryState.DELIVERED, None
    if not attempt.may_retry:
        return DeliveryState.FAILED, None
    asked = attempt.reply.retry_after if attempt.reply else None
    at = timezone.now() + max(wait_after(delivery.attempts), timedelta(seconds=asked or 0))
    if at > delivery.created_at + GIVE_UP:
        return DeliveryState.FAILED, None
    return DeliveryState.WAITING, at


def wait_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts: doubling, and never the same for everybody."""
    longest: timedelta = min(FIRST_WAIT * 2 ** min(attempts - 1, 20), LONGEST_WAIT)
    spread: float = random.uniform(0.75, 1.25)  # noqa: S311  (spreads load, guards nothing)
    return longest * spread


def redeliver(delivery: Delivery, *, by: Actor) -> None:
    """Send a message again, with the same id and body. Raises Forbidden."""
    hook = delivery.webhook
    if not may(by, Right.MANAGE_TEAM, hook.team):
        raise Forbidden(f"You may not change the webhook {hook.name}.", next_step="Ask one of its admins.")
    Delivery.objects.filter(pk=delivery.pk).update(
        state=DeliveryState.WAITING, next_attempt_at=timezone.now(), attempts=0
    )
    audit.record(
        "webhook.redelivered", by=by, subject=hook.name, after={"id": hook.uid, "delivery": delivery.uid}
    )


def forget_old() -> int:
    """Delete messages made long ago, however they ended; returns how many."""
    return Delivery.objects.filter(created_at__lt=timezone.now() - KEEP).delete()[0]
