"""Messages to webhooks: written once per hook and event, sent in order till they arrive or a day has passed.

The queue is the table of messages itself. What waits for one hook about one model is a lane, and a lane is what a
worker takes: with a lease, skipping those that others just lock, so that any number of workers share them and what a
killed one had in hand is sent by another. A message may arrive twice, with the same id and body; it never gets lost,
and no other overtakes it in its lane.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from models_app.models import (
    Delivery,
    DeliveryAttempt,
    DeliveryLane,
    DeliveryState,
    OutboxEvent,
    Webhook,
    WebhookScheme,
    WebhookStatus,
)

from . import hook_events, hook_filters, hook_health
from .backoff import wait_after
from .hook_sending import Attempt

GIVE_UP = timedelta(hours=24)
# Longer than any turn takes: then its worker is gone.
LEASE = timedelta(minutes=1)
KEEP = timedelta(days=30)
KEPT_ANSWER = 2_000
KEPT_BODY = 4_000
# Messages of a lane that are sent before others have their turn.
AT_ONCE = 10


# --- writing --------------------------------------------------------------------------------------------------


def enqueue(event: OutboxEvent) -> int:
    """Write a message for every hook and name under which it hears of this event; returns how many. Again does no harm.

    Constant in statements, however many hooks there are. Paused hooks hear too: what they missed is sent later.
    """
    names = {scheme: hook_events.names(scheme, event.name, event.payload) for scheme in WebhookScheme.values}
    if not any(names.values()):
        return 0
    hearing = hook_filters.hearing(names, event.payload, model=event.model_ref)
    if not hearing:
        return 0
    bodies = {
        (scheme, name): hook_events.message(
            scheme, name, name=event.name, payload=event.payload, at=event.created_at
        )
        for scheme, name in {(scheme, name) for _, scheme, name in hearing}
    }
    lane = event.model_ref or 0
    now = timezone.now()
    rows = [
        Delivery(
            uid=str(uuid.uuid4()),
            webhook_id=hook,
            event=event,
            model_ref=lane,
            name=name,
            body=bodies[scheme, name],
            created_at=now,
            queued_at=now,
        )
        for hook, scheme, name in hearing
    ]
    with transaction.atomic():
        # First the lanes: whoever has one in hand sees by its mark that there is more, or waits for us to commit.
        open_lanes([(hook, lane) for hook, _, _ in hearing])
        Delivery.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1000)
    return len(rows)


def open_lanes(lanes: Iterable[tuple[int, int]]) -> None:
    """Make or mark the lanes of these (hook, model) pairs. In the transaction that writes what waits in them."""
    mark, now = str(uuid.uuid4()), timezone.now()
    # In the same order everywhere, so that two who do so wait for each other instead of forever.
    DeliveryLane.objects.bulk_create(
        [
            DeliveryLane(webhook_id=hook, model_ref=ref, not_before=now, mark=mark)
            for hook, ref in sorted(set(lanes))
        ],
        update_conflicts=True,
        unique_fields=["webhook", "model_ref"],
        update_fields=["mark"],
        batch_size=1000,
    )


# --- taking ---------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Batch:
    """A lane in hand: its first messages in order."""

    lane: DeliveryLane
    hook: Webhook
    messages: list[Delivery]

    @property
    def host(self) -> str:
        return self.hook.host


def _everywhere(host: str) -> bool:
    return True


def take(
    *,
    limit: int,
    but: Collection[str] = (),
    only: Collection[str] | None = None,
    admit: Callable[[str], bool] = _everywhere,
) -> list[Batch]:
    """Up to so many lanes in which something is due, from now on ours for the length of the lease; longest due first.

    Leaves out hosts in `but` and, if given, those not in `only`; `admit` is asked for each lane whether its host may
    get one more.
    """
    now = timezone.now()
    due = _due(now).exclude(webhook__host__in=but)
    if only is not None:
        due = due.filter(webhook__host__in=only)
    if limit <= 0 or not due.exists():
        return []
    due = due.select_related("webhook").select_for_update(skip_locked=True, of=("self",))
    with transaction.atomic():
        found = due.order_by("not_before", "id")[:limit]
        lanes = [lane for lane in found if admit(lane.webhook.host)]
        claim, until = str(uuid.uuid4()), now + LEASE
        DeliveryLane.objects.filter(pk__in=[lane.pk for lane in lanes]).update(claim=claim, not_before=until)
    waiting = _heads(lanes) if lanes else {}
    batches = []
    for lane in lanes:
        lane.claim = claim
        batch = Batch(lane, lane.webhook, waiting.get((lane.webhook_id, lane.model_ref), []))
        if batch.messages:
            batches.append(batch)
        else:
            # Whoever had it was killed before it could be given back.
            give_back(batch)
    return batches


def _due(at: datetime) -> QuerySet[DeliveryLane]:
    due = DeliveryLane.objects.filter(webhook__status=WebhookStatus.ACTIVE, not_before__lte=at)
    return due.exclude(webhook__hold_until__gt=at)


def _heads(lanes: Collection[DeliveryLane]) -> dict[tuple[int, int], list[Delivery]]:
    """The first messages of each lane, in one query."""
    which = Q()
    for lane in lanes:
        which |= Q(webhook=lane.webhook_id, model_ref=lane.model_ref)
    place = Window(RowNumber(), partition_by=["webhook_id", "model_ref"], order_by="id")
    waiting = Delivery.objects.filter(which, state=DeliveryState.WAITING)
    found: dict[tuple[int, int], list[Delivery]] = defaultdict(list)
    for row in waiting.annotate(place=place).filter(place__lte=AT_ONCE).order_by("id"):
        found[row.webhook_id, row.model_ref].append(row)
    return found


# --- noting ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sent:
    """How sending one message of a batch went."""

    batch: Batch
    delivery: Delivery
    attempt: Attempt


def note(sent: Iterable[Sent], over: Iterable[tuple[Batch, Sequence[Sent]]] = ()) -> None:
    """Note how attempts went: delivered, to be tried again, or given up; and let go of batches that are over, after
    what was sent of each was noted. What arrived costs one transaction in all, not one of each.
    """
    sent, over = list(sent), list(over)
    arrived = [batch for batch, all_sent in over if _has_arrived(batch, all_sent)]
    if sent or arrived:
        with transaction.atomic():
            for one in sent:
                _settle(one)
            DeliveryAttempt.objects.bulk_create([_logged(one) for one in sent])
            _close(arrived)
    hook_health.judge([(one.batch.hook, one.attempt) for one in sent])
    for batch, all_sent in over:
        if not _has_arrived(batch, all_sent):
            give_back(batch, all_sent)


def _has_arrived(batch: Batch, sent: Sequence[Sent]) -> bool:
    return _is_through(batch, sent) and all(one.attempt.ok for one in sent)


def _is_through(batch: Batch, sent: Sequence[Sent]) -> bool:
    """Whether all that we know of the lane was sent."""
    return len(sent) == len(batch.messages) < AT_ONCE


def _close(batches: Collection[Batch]) -> None:
    """Remove the lanes of these, or have them due again where more has come, as their marks tell. In a transaction."""
    if not batches:
        return
    mine = {batch.lane.pk: batch.lane for batch in batches}
    # Locked in the order of `open_lanes`, so that nobody waits in a circle.
    lanes = DeliveryLane.objects.select_for_update().filter(pk__in=mine).order_by("webhook_id", "model_ref")
    ours = [lane for lane in lanes if lane.claim == mine[lane.pk].claim]
    done = [lane.pk for lane in ours if lane.mark == mine[lane.pk].mark]
    DeliveryLane.objects.filter(pk__in=done).delete()
    if more := [lane.pk for lane in ours if lane.mark != mine[lane.pk].mark]:
        DeliveryLane.objects.filter(pk__in=more).update(claim="", not_before=timezone.now())


def _settle(one: Sent) -> None:
    delivery, attempt = one.delivery, one.attempt
    delivery.attempts += 1
    delivery.state = _state_after(delivery, attempt)
    rows = Delivery.objects.filter(pk=delivery.pk)
    if not attempt.ok:
        # Who was so slow that somebody else took over has no more say; that it did arrive counts whoever sent it.
        if not DeliveryLane.objects.filter(pk=one.batch.lane.pk, claim=one.batch.lane.claim).exists():
            return
        rows = rows.filter(state=DeliveryState.WAITING)
    rows.update(
        state=delivery.state,
        attempts=F("attempts") + 1,
        last_attempt_at=attempt.at,
        response_status=attempt.status,
        error=attempt.error[:500],
        duration_ms=attempt.duration_ms,
    )


def _state_after(delivery: Delivery, attempt: Attempt) -> DeliveryState:
    if attempt.ok:
        return DeliveryState.DELIVERED
    is_over = timezone.now() >= delivery.queued_at + GIVE_UP
    return DeliveryState.FAILED if is_over or not attempt.may_retry else DeliveryState.WAITING


def _logged(one: Sent) -> DeliveryAttempt:
    attempt, call = one.attempt, one.attempt.call
    return DeliveryAttempt(
        delivery=one.delivery,
        at=attempt.at,
        url=one.batch.hook.url,
        headers=call.shown_headers if call else {},
        body=call.shown_body[:KEPT_BODY] if call else "",
        status=attempt.status,
        answer=attempt.reply.text[:KEPT_ANSWER] if attempt.reply else "",
        error=attempt.error[:500],
        duration_ms=attempt.duration_ms,
    )


def give_back(batch: Batch, sent: Sequence[Sent] = ()) -> None:
    """Let go of a lane, after what was sent of it was noted: it is due again at once, or when the last one may be
    tried again; and gone when nothing waits in it.
    """
    is_later = bool(sent) and sent[-1].delivery.state == DeliveryState.WAITING
    if _is_through(batch, sent) and not is_later:
        with transaction.atomic():
            _close([batch])
        return
    now = timezone.now()
    ours = DeliveryLane.objects.filter(pk=batch.lane.pk, claim=batch.lane.claim)
    ours.update(claim="", not_before=_next_attempt(sent[-1], now) if is_later else now)


def _next_attempt(last: Sent, now: datetime) -> datetime:
    """Later after each attempt, and once more when the day is over."""
    asked = last.attempt.reply.retry_after if last.attempt.reply else None
    pause = max(wait_after(last.delivery.attempts), timedelta(seconds=asked or 0))
    return min(now + pause, max(last.delivery.queued_at + GIVE_UP, now + timedelta(seconds=1)))


def forget_old() -> int:
    """Delete messages made long ago, however they ended; returns how many."""
    count = 0
    while True:
        old = Delivery.objects.filter(created_at__lt=timezone.now() - KEEP).order_by("id")
        found = list(old.values_list("pk", flat=True)[:5000])
        if not found:
            return count
        Delivery.objects.filter(pk__in=found).delete()
        count += len(found)
