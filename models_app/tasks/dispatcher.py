"""From the outbox to whoever reacts. At least once: a handler must bear to be called again with the same event.

One event after the other, in the order of the outbox, however many workers there are: so what is said of a model stays
in order.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from models_app.models import OutboxEvent, Stage
from models_app.registry import deliveries, events, hook_health, notices, quota_notices, quotas, reviews

from .steady import keep_going

log = logging.getLogger(__name__)

Handler = Callable[[OutboxEvent], None]


def note(event: OutboxEvent) -> None:
    """Write the event to the log: the trail an operator greps."""
    log.info("event %s %s %s", event.pk, event.name, event.payload)


def tell_webhooks(event: OutboxEvent) -> None:
    """Write the messages that tasks/deliveries.py sends."""
    deliveries.enqueue(event)


def tell_people(event: OutboxEvent) -> None:
    """Write the notices that tasks/notices.py sends."""
    notices.write(event)


def tell_team(event: OutboxEvent) -> None:
    """Write the notices of a team that comes near its quota."""
    quota_notices.write(event)


def dismiss_stale(event: OutboxEvent) -> None:
    """Reviews were made under the policies and against the production of their time: dismiss what is past."""
    if event.name == "policy.set":
        reviews.dismiss_stale(model=event.model_ref, to=event.payload["stage"])
    elif Stage.PRODUCTION in (event.payload.get("from"), event.payload.get("to")):
        reviews.dismiss_stale(model=event.model_ref)


def tell_keepers(event: OutboxEvent) -> None:
    """Write the notices that a webhook was paused."""
    hook_health.tell_keepers(event)


# Event name → what follows from it; "*" is for every event. Webhooks come last: their lanes are locked till the commit.
HANDLERS: dict[str, list[Handler]] = {
    "policy.set": [dismiss_stale],
    "version.moved": [dismiss_stale],
    quotas.PASSED: [tell_team],
    hook_health.PAUSED: [tell_keepers],
    "*": [note, tell_people, tell_webhooks],
}


# So long an event that fails keeps back what is newer of its model, so that a moment's trouble changes no order.
KEEPS_BACK = timedelta(minutes=10)


def dispatch(*, limit: int = 100) -> int:
    """Hand waiting events to their handlers, oldest first; returns how many were done.

    An event is done when all its handlers returned, in one transaction with what they wrote. When one of them raises,
    what that one wrote is undone and the event stays waiting; it is tried again next time, and those of other models
    go on. While another worker has the next event in hand, there is nothing to do here.
    """
    done = 0
    failed: list[int] = []
    kept_back: list[int] = []
    for _ in range(limit):
        pk = events.next_waiting(but=failed, models=kept_back)
        if pk is None:
            break
        with transaction.atomic():
            event = events.take(pk)
            if event is None:
                break
            if _handle(event):
                events.done(event)
                done += 1
                continue
        failed.append(pk)
        if event.model_ref and event.created_at > timezone.now() - KEEPS_BACK:
            kept_back.append(event.model_ref)
    return done


def _handle(event: OutboxEvent) -> bool:
    """Call every handler, also when one before it raised; says whether none did."""
    is_well = True
    for handler in [*HANDLERS.get(event.name, []), *HANDLERS["*"]]:
        try:
            with transaction.atomic():
                handler(event)
        except Exception:
            log.exception("event %s %s: %s failed", event.pk, event.name, handler.__name__)
            is_well = False
    return is_well


class Dispatcher:
    """`dispatch` beside everything else the worker does: what happens is told at once, whatever else takes its time."""

    def __init__(self, *, poll: float, then: Callable[[], None]) -> None:
        self._poll, self._then = poll, then
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="outbox")

    def begin(self) -> None:
        """Start working; `then` is called whenever something was handed on."""
        self._thread.start()

    def end(self) -> None:
        """Wait till the event in hand is handed on."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        keep_going("outbox", self._step, goes_on=lambda: not self._stopping.is_set(), stopping=self._stopping)

    def _step(self) -> None:
        # Few at a time: those that are done should not wait for the others.
        if dispatch(limit=10):
            self._then()
        else:
            self._stopping.wait(self._poll)
