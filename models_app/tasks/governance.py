"""What governance needs of the clock: expiring requests, going on with approved ones, sealing and proving the audit."""

from __future__ import annotations

import logging
import threading

from django.db import connection

from models_app.registry import audit_chain, promotions, reviews

log = logging.getLogger(__name__)


def keep_up() -> int:
    """Do what is due; returns how much that was. Any number of workers may do so at once."""
    sealed = audit_chain.seal()
    return sealed + promotions.expire_due() + promotions.remind_due() + reviews.settle_waiting()


def prove_audit() -> bool:
    """Once a day, look whether the audit's chain holds; returns whether it was time to. Any other worker that looks
    at the same time only does the work twice.
    """
    if not audit_chain.verification_is_due():
        return False
    found = audit_chain.prove()
    if found.problem:
        log.error("THE AUDIT DOES NOT HOLD at link %s: %s", found.links + 1, found.problem)
    else:
        log.info("the audit holds: %s links", found.links)
    return True


class Prover:
    """`prove_audit` beside everything else: a long audit takes minutes, in which messages must not wait."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Look at the chain when it is time. A stopping worker does not wait for it."""
        under_way = self._thread is not None and self._thread.is_alive()
        if not under_way and audit_chain.verification_is_due():
            self._thread = threading.Thread(target=self._prove, name="prove the audit", daemon=True)
            self._thread.start()

    def _prove(self) -> None:
        try:
            prove_audit()
        except Exception:
            log.exception("proving the audit failed")
        finally:
            connection.close()
