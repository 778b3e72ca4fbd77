"""Sends what waits for webhooks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from models_app import outbound
from models_app.registry import deliveries, webhooks

log = logging.getLogger(__name__)

HOOKS_AT_ONCE = 16
# Then the others that wait for a thread get it.
TURN = 20.0


def deliver() -> int:
    """Send what is due, one after the other; returns how many were tried."""
    return sum(_take_turn(hook) for hook in deliveries.hooks_with_due(limit=HOOKS_AT_ONCE))


class Turns:
    """Hooks served side by side, so that a slow one delays nobody else; the messages of one hook go in their order."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(HOOKS_AT_ONCE, thread_name_prefix="webhook")
        self._busy: set[int] = set()
        self._stopping = threading.Event()

    def begin(self) -> int:
        """Begin a turn for every hook that has something due and no turn yet; returns how many began."""
        # More than are free: those under way may be among them.
        due = deliveries.hooks_with_due(limit=2 * HOOKS_AT_ONCE)
        chosen = [hook for hook in due if hook not in self._busy][: HOOKS_AT_ONCE - len(self._busy)]
        for hook in chosen:
            self._busy.add(hook)
            self._pool.submit(self._serve, hook)
        return len(chosen)

    def end(self) -> None:
        """Wait till the messages under way are sent."""
        self._stopping.set()
        self._pool.shutdown()

    def _serve(self, hook: int) -> None:
        try:
            _take_turn(hook, stop=self._stopping.is_set)
        except Exception:
            # What was claimed comes back when its lease ends.
            log.exception("webhook %s: sending failed", hook)
        finally:
            connection.close()
            self._busy.discard(hook)


def _never() -> bool:
    return False


def _take_turn(webhook_id: int, *, stop: Callable[[], bool] = _never) -> int:
    """Send this hook's messages till none is due, time is up, or one did not get through."""
    tried = 0
    until = time.monotonic() + TURN
    while not stop() and time.monotonic() < until and (delivery := deliveries.claim(webhook_id)):
        hook = delivery.webhook
        attempt = webhooks.send(hook, delivery_id=delivery.uid, body=delivery.body)
        state = deliveries.settle(delivery, attempt)
        tried += 1
        log.info(
            "webhook %s: %s to %s is %s after attempt %s (%s ms) %s",
            hook.uid,
            delivery.uid,
            outbound.host_of(hook.url),
            state,
            delivery.attempts,
            attempt.duration_ms,
            attempt.error,
        )
        if attempt.may_retry:
            break
    return tried
