"""What deployments need of the clock: late ones fail, waiting ones start, and health is asked for (health.py)."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from models_app.registry import deployment_checks

from . import health
from .awake import Awake
from .steady import keep_going

EVERY = 1.0
# After a start or a pause: what deployers could not say meanwhile, they say again within a few seconds.
LATE_WORDS = 15.0


def keep_up() -> int:
    """Do what is due, once; returns how much that was. Any number of workers may do so at once."""
    done = deployment_checks.fail_doomed() + deployment_checks.fail_late() + deployment_checks.start_waiting()
    checks = deployment_checks.take_checks(limit=health.AT_ONCE)
    if checks:
        with ThreadPoolExecutor(len(checks), thread_name_prefix="health") as pool:
            # The threads only call; this one speaks with the database.
            for said in pool.map(health.ask, checks):
                health.note(said)
    return done + len(checks)


class Watch:
    """The same beside everything else, in two threads: an address that hangs holds up neither messages nor clocks."""

    def __init__(self) -> None:
        self._awake = Awake()
        self._checker = health.Checker(self._awake)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="deployments")

    def begin(self) -> None:
        """Start working."""
        self._awake.begin()
        self._thread.start()
        self._checker.begin()

    def end(self) -> None:
        """Wait for what is under way."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._checker.end()
        self._awake.end()

    def _work(self) -> None:
        keep_going(
            "deployments",
            lambda: step(self._awake),
            goes_on=lambda: not self._stopping.wait(EVERY),
            stopping=self._stopping,
        )


def step(awake: Awake) -> None:
    """What is late fails, unless just now nobody could have told us otherwise; what waits starts."""
    if time.time() >= awake.since() + LATE_WORDS:
        deployment_checks.fail_late()
    deployment_checks.fail_doomed()
    deployment_checks.start_waiting()
