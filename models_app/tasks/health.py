"""Asks for the health of what was deployed, where the registry does that itself.

One thread takes what is due, notes what came of it, and is the only one that speaks with the database; many others do
nothing but call out. An environment has few calls under way at once, a host of it fewer while it is slow. So addresses
that hang delay nobody but their own environment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from queue import SimpleQueue

from django.utils import timezone

from models_app import outbound
from models_app.registry import deployment_checks
from models_app.registry.deployment_checks import Check

from .awake import Awake
from .hosts import Hosts
from .steady import drained, keep_going

log = logging.getLogger(__name__)

AT_ONCE = 48
# Of those, for hosts that are not known to be well.
FOR_DOUBTFUL = 32
OF_AN_ENVIRONMENT = 8
# Of those, for a host that hangs: what serves many models is asked for each.
OF_A_SLOW_HOST = 6
TIMEOUT = 5.0
QUICK = 2.0
POLL = 0.25
# After a start or a pause the network gets a moment, before a check may decide that something is not well. One that was
# under way in a pause never does: it may have timed out by that alone.
SETTLING = 5.0


@dataclass(frozen=True, slots=True)
class Said:
    """What a check came to."""

    check: Check
    healthy: bool
    text: str
    at: datetime
    began: float
    took: float
    # It was not even asked, for want of room here.
    is_ours: bool = False


def ask(check: Check) -> Said:
    """Make a check; no database here."""
    at, began, is_ours = timezone.now(), time.time(), False
    try:
        reply = outbound.get(check.address, timeout=TIMEOUT)
        healthy, text = reply.ok, f"Answered with status {reply.status}."
    except outbound.OutboundError as error:
        healthy, text, is_ours = False, str(error), isinstance(error, outbound.Busy)
    return Said(check, healthy, text, at, began, time.time() - began, is_ours)


def note(said: Said, *, decides: bool = True) -> None:
    """Write down what a check came to."""
    deployment = said.check.deployment
    log.info("deployment %s: %s says %s", deployment.pk, outbound.host_of(said.check.address), said.text)
    decides = decides and not said.is_ours
    deployment_checks.checked(said.check, healthy=said.healthy, said=said.text, at=said.at, decides=decides)


def _place(check: Check) -> str:
    """What is slow or quick as one: a host, as one environment asks for it."""
    return f"{check.environment_id} {outbound.host_of(check.address)}"


class Checker:
    """The worker's side of health checks: `begin`, and `end` when what is under way is noted."""

    def __init__(self, awake: Awake, *, call: Callable[[Check], Said] = ask) -> None:
        self._awake, self._call = awake, call
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="health")
        self._results: SimpleQueue[tuple[Check, Said | None] | None] = SimpleQueue()
        self._hosts = Hosts(FOR_DOUBTFUL, first=OF_A_SLOW_HOST, least=OF_A_SLOW_HOST)
        self._of: Counter[int] = Counter()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="health")

    def begin(self) -> None:
        """Start working."""
        self._thread.start()

    def end(self) -> None:
        """Wait for the checks under way, which are noted."""
        self._stopping.set()
        self._results.put(None)
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown()

    def _work(self) -> None:
        # What was taken when the database went away is due again a little later.
        keep_going(
            "health checks",
            self.step,
            goes_on=lambda: bool(self._of) or not self._stopping.is_set(),
            stopping=self._stopping,
        )

    def step(self, *, wait: float = POLL) -> None:
        """Note what checks said, and begin as many as there is room for."""
        results = drained(self._results, wait)
        for check, said in results:
            # First, so that trouble with the database changes nothing about it.
            self._let_go(check, said)
        for _, said in results:
            if said is not None:
                note(said, decides=said.began >= self._awake.since() + SETTLING)
        if not self._stopping.is_set():
            self._take()

    def _let_go(self, check: Check, said: Said | None) -> None:
        self._of[check.environment_id] -= 1
        if not self._of[check.environment_id]:
            del self._of[check.environment_id]
        self._hosts.ends(_place(check))
        self._hosts.saw(_place(check), is_well=said is not None and said.took < QUICK)

    def _take(self) -> None:
        admitted, taken = self._hosts.admission(), Counter(self._of)

        def admit(check: Check) -> bool:
            if taken[check.environment_id] >= OF_AN_ENVIRONMENT or not admitted(_place(check)):
                return False
            taken[check.environment_id] += 1
            return True

        full = [pk for pk, count in self._of.items() if count >= OF_AN_ENVIRONMENT]
        free = AT_ONCE - sum(self._of.values())
        for check in deployment_checks.take_checks(limit=free, but=full, admit=admit):
            self._of[check.environment_id] += 1
            self._hosts.begins(_place(check))
            self._pool.submit(self._ask, check)

    def _ask(self, check: Check) -> None:
        said = None
        try:
            said = self._call(check)
        except Exception:
            log.exception("deployment %s: asking for its health failed", check.deployment.pk)
        finally:
            self._results.put((check, said))
