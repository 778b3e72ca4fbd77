"""What was sent to a webhook: to look at, and to send again. Every attempt is kept with its request and its answer."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import transaction
from django.db.models import BooleanField, Case, Exists, OuterRef, QuerySet, Subquery, When
from django.utils import timezone

from models_app.models import Delivery, DeliveryLane, DeliveryState, Webhook

from . import audit
from .access import Actor, Right, may
from .deliveries import open_lanes
from .errors import Forbidden, NotFound

# Of these, at most so many are sent again at once.
MOST_AGAIN = 10_000


def deliveries_of(hook: Webhook, *, state: str = "") -> QuerySet[Delivery]:
    """The messages of a hook that one may see (webhooks.get_webhook), newest first; `due_at` says when one that waits
    is tried, `is_behind` whether another of its lane comes first.
    """
    rows = Delivery.objects.filter(webhook=hook)
    if state:
        rows = rows.filter(state=state)
    lane = DeliveryLane.objects.filter(webhook=OuterRef("webhook"), model_ref=OuterRef("model_ref"))
    due = When(state=DeliveryState.WAITING, then=Subquery(lane.values("not_before")[:1]))
    waiting = Delivery.objects.filter(state=DeliveryState.WAITING, id__lt=OuterRef("id"))
    before = waiting.filter(webhook=OuterRef("webhook"), model_ref=OuterRef("model_ref"))
    behind = When(state=DeliveryState.WAITING, then=Exists(before))
    return rows.annotate(
        due_at=Case(due, default=None), is_behind=Case(behind, default=False, output_field=BooleanField())
    ).order_by("-id")


def being_tried(hook: Webhook) -> Delivery | None:
    """The oldest message that failed and is tried again."""
    tried = Delivery.objects.filter(webhook=hook, state=DeliveryState.WAITING, attempts__gt=0)
    return tried.order_by("id").first()


def with_standing(hooks: QuerySet[Webhook]) -> QuerySet[Webhook]:
    """With `delivered_at`, when the newest message that arrived did, `is_waiting` and `has_dead`."""
    theirs = Delivery.objects.filter(webhook=OuterRef("pk"))
    delivered = theirs.filter(state=DeliveryState.DELIVERED).order_by("-id")
    return hooks.annotate(
        delivered_at=Subquery(delivered.values("last_attempt_at")[:1]),
        is_waiting=Exists(theirs.filter(state=DeliveryState.WAITING)),
        has_dead=Exists(theirs.filter(state=DeliveryState.FAILED)),
    )


def get_delivery(hook: Webhook, uid: str) -> Delivery:
    """Raises NotFound."""
    found = deliveries_of(hook).filter(uid=uid[:36]).prefetch_related("log").first()
    if found is None:
        raise NotFound(f"There is no message “{uid[:64]}” to the webhook {hook.name}.")
    return found


def counts(hook: Webhook) -> dict[str, int]:
    """How many messages of each state there are; of those delivered no more than are looked at."""
    return {
        state.value: Delivery.objects.filter(webhook=hook, state=state).order_by()[:MOST_AGAIN].count()
        for state in DeliveryState
    }


def redeliver(delivery: Delivery, *, by: Actor) -> None:
    """Send a message again, with the same id and body, ahead of what is newer in its lane; one that waits, at once.

    Raises Forbidden.
    """
    _require(delivery.webhook, by)
    with transaction.atomic():
        _line_up(delivery.webhook, [delivery])
        after = {"id": delivery.webhook.uid, "delivery": delivery.uid}
        audit.record("webhook.redelivered", by=by, subject=delivery.webhook.name, after=after)


def redeliver_dead(hook: Webhook, *, by: Actor) -> int:
    """Send again everything that was given up, oldest first; returns how many. Raises Forbidden."""
    _require(hook, by)
    with transaction.atomic():
        dead = Delivery.objects.select_for_update().filter(webhook=hook, state=DeliveryState.FAILED)
        rows = list(dead.only("pk", "model_ref", "webhook_id").order_by("id")[:MOST_AGAIN])
        if rows:
            _line_up(hook, rows)
            after = {"id": hook.uid, "deliveries": len(rows)}
            audit.record("webhook.redelivered", by=by, subject=hook.name, after=after)
    return len(rows)


def _line_up(hook: Webhook, rows: list[Delivery]) -> None:
    now: datetime = timezone.now()
    open_lanes([(hook.pk, row.model_ref) for row in rows])
    Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(
        state=DeliveryState.WAITING, attempts=0, queued_at=now
    )
    refs = {row.model_ref for row in rows}
    idle = DeliveryLane.objects.filter(webhook=hook, model_ref__in=refs, claim="")
    idle.update(not_before=now, mark=str(uuid.uuid4()))


def _require(hook: Webhook, by: Actor) -> None:
    if not may(by, Right.MANAGE_TEAM, hook.team):
        raise Forbidden(f"You may not change the webhook {hook.name}.", next_step="Ask one of its admins.")
