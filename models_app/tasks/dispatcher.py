"""From the outbox to whoever reacts. At least once: a handler must bear to be called again with the same event."""

from __future__ import annotations

import logging
from collections.abc import Callable

from models_app.models import OutboxEvent, Stage
from models_app.registry import deliveries, events, notices, quota_notices, quotas, reviews

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


# Event name → what follows from it; "*" is for every event.
HANDLERS: dict[str, list[Handler]] = {
    "policy.set": [dismiss_stale],
    "version.moved": [dismiss_stale],
    quotas.PASSED: [tell_team],
    "*": [note, tell_webhooks, tell_people],
}


def dispatch(*, limit: int = 100) -> int:
    """Hand waiting events to their handlers, oldest first; returns how many were done.

    An event is done when all its handlers returned. One that raises stays waiting and is logged; those behind it go on.
    """
    done = 0
    for event in events.waiting(limit=limit):
        try:
            for handler in [*HANDLERS.get(event.name, []), *HANDLERS["*"]]:
                handler(event)
        except Exception:
            log.exception("event %s %s failed", event.pk, event.name)
            continue
        events.done(event)
        done += 1
    return done
