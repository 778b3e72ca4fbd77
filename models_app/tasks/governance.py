"""What governance needs of the clock: expiring requests, going on with approved ones, sealing the audit."""

from __future__ import annotations

from models_app.registry import audit_chain, promotions, reviews


def keep_up() -> int:
    """Do what is due; returns how much that was. Any number of workers may do so at once."""
    sealed = audit_chain.seal()
    return sealed + promotions.expire_due() + reviews.settle_waiting()
