"""What deployments need of the clock: late ones fail, waiting ones start, and health is asked for.

Checks go side by side, so that an address that hangs holds up no other.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from models_app import outbound
from models_app.models import Deployment
from models_app.registry import deployment_checks

log = logging.getLogger(__name__)

CHECKS_AT_ONCE = 16
CHECK_TIMEOUT = 5.0
EVERY = 1.0


def keep_up() -> int:
    """Do what is due; returns how much that was. Any number of workers may do so at once."""
    done = deployment_checks.fail_late() + deployment_checks.start_waiting()
    due = [
        (one, deployment_checks.address_of(one)) for one in deployment_checks.due_checks(limit=CHECKS_AT_ONCE)
    ]
    if not due:
        return done
    with ThreadPoolExecutor(len(due), thread_name_prefix="health") as pool:
        # The threads only call; this one speaks with the database.
        for (deployment, address), (healthy, said) in zip(
            due, pool.map(_ask, [a for _, a in due]), strict=True
        ):
            _note(deployment, address, healthy, said)
    return done + len(due)


def _ask(address: str) -> tuple[bool, str]:
    try:
        reply = outbound.get(address, timeout=CHECK_TIMEOUT)
    except outbound.OutboundError as error:
        return False, str(error)
    return reply.ok, f"Answered with status {reply.status}."


def _note(deployment: Deployment, address: str, healthy: bool, said: str) -> None:
    log.info("deployment %s: %s says %s", deployment.pk, outbound.host_of(address), said)
    deployment_checks.checked(deployment, healthy=healthy, said=said)


class Watch:
    """`keep_up` beside everything else: an address that hangs must not hold up messages."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._next = 0.0

    def begin(self) -> None:
        """Do what is due, unless that is under way or was just done."""
        under_way = self._thread is not None and self._thread.is_alive()
        if under_way or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        self._thread = threading.Thread(target=self._work, name="deployments", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Wait a little for what is under way; what it had in hand is due again later."""
        if self._thread is not None:
            self._thread.join(timeout=2 * CHECK_TIMEOUT)

    def _work(self) -> None:
        try:
            keep_up()
        except Exception:
            log.exception("looking after deployments failed")
        finally:
            connection.close()
