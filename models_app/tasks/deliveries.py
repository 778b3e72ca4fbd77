"""Sends what waits for webhooks.

One thread looks after the queue: it takes lanes, notes how attempts went, and is the only one that speaks with the
database. Many others do nothing but call out. How many calls may be under way to one host grows while it answers
quickly, and shrinks to one when it fails or is slow; hosts not known to be well share half of the threads. So receivers
that are dead or slow delay nobody else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from models_app import outbound
from models_app.registry import deliveries
from models_app.registry.deliveries import Batch, Sent
from models_app.registry.hook_sending import Attempt, send

from .hosts import Hosts
from .steady import drained, keep_going

log = logging.getLogger(__name__)

AT_ONCE = 32
# Of those, for hosts that are not known to be well.
FOR_DOUBTFUL = 16
QUICK_MS = 2_000
# Then others have their turn. With the time of one call it must stay below deliveries.LEASE.
TURN = 15.0
POLL = 0.1


def deliver() -> int:
    """Send what is due, one after the other; returns how many were tried."""
    tried = 0
    for batch in deliveries.take(limit=AT_ONCE):
        sent = _send_all(batch)
        deliveries.note(sent, [(batch, sent)])
        tried += len(sent)
    return tried


def _never() -> bool:
    return False


def _send_all(
    batch: Batch, *, stop: Callable[[], bool] = _never, tell: Callable[[Sent], None] | None = None
) -> list[Sent]:
    """Send a batch in order, till time is up or one did not get through. No database here."""
    sent = []
    until = time.monotonic() + TURN
    for delivery in batch.messages:
        if sent and (stop() or time.monotonic() > until):
            break
        attempt = send(batch.hook, delivery_id=delivery.uid, body=delivery.body)
        one = Sent(batch, delivery, attempt)
        sent.append(one)
        if tell is not None:
            tell(one)
        _log(one)
        if attempt.may_retry:
            break
    return sent


def _log(sent: Sent) -> None:
    hook, delivery, attempt = sent.batch.hook, sent.delivery, sent.attempt
    log.info(
        "webhook %s: %s to %s, attempt %s: %s (%s ms) %s",
        hook.uid,
        delivery.uid,
        outbound.host_of(hook.url),
        delivery.attempts + 1,
        attempt.status or "no answer",
        attempt.duration_ms,
        attempt.error,
    )


def _was_quick(attempt: Attempt) -> bool:
    return attempt.reply is not None and not attempt.may_retry and attempt.duration_ms < QUICK_MS


class Sender:
    """The worker's side of webhooks: `work` till `end`. `wake` it when there is something new to send."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook")
        self._results: SimpleQueue[Sent | tuple[Batch, list[Sent]] | None] = SimpleQueue()
        self._hosts = Hosts(FOR_DOUBTFUL)
        self._under_way = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="webhooks")

    def begin(self) -> None:
        """Start working."""
        self._thread.start()

    def wake(self) -> None:
        """Look for something to send now instead of in a moment."""
        self._results.put(None)

    def end(self) -> None:
        """Wait till the messages under way are sent and noted."""
        self._stopping.set()
        self.wake()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown()

    def _work(self) -> None:
        # What was taken when the database went away comes back when its lease ends.
        keep_going(
            "webhooks",
            self.step,
            goes_on=lambda: bool(self._under_way) or not self._stopping.is_set(),
            stopping=self._stopping,
        )

    def step(self, *, wait: float = POLL) -> None:
        """Note what came of calls, and begin as many as there is room for."""
        self._note(drained(self._results, wait))
        if not self._stopping.is_set():
            self._begin()

    def _note(self, results: list[Sent | tuple[Batch, list[Sent]]]) -> None:
        over = [one for one in results if isinstance(one, tuple)]
        # First, so that trouble with the database changes nothing about it.
        self._under_way -= len(over)
        for batch, _ in over:
            self._hosts.ends(batch.host)
        sent = [one for one in results if isinstance(one, Sent)]
        for one in sent:
            self._hosts.saw(one.batch.host, is_well=_was_quick(one.attempt))
        deliveries.note(sent, over)

    def _begin(self) -> None:
        while (free := AT_ONCE - self._under_way) > 0:
            hosts = self._hosts
            batches = deliveries.take(
                limit=free,
                but=hosts.full(),
                only=None if hosts.doubtful_left() > 0 else hosts.well(),
                admit=hosts.admission(),
            )
            for batch in batches:
                self._under_way += 1
                self._hosts.begins(batch.host)
                self._pool.submit(self._send, batch)
            if not batches:
                return

    def _send(self, batch: Batch) -> None:
        sent: list[Sent] = []
        try:
            sent = _send_all(batch, stop=self._stopping.is_set, tell=self._results.put)
        except Exception:
            log.exception("webhook %s: sending failed", batch.hook.uid)
        finally:
            self._results.put((batch, sent))
