"""Answers remembered for requests that may be sent again.

Follows the IETF draft “The Idempotency-Key HTTP Header Field”: the first request with a key does the work, a repetition
gets the stored answer, the same key for another request is refused. The record is written in the transaction of the
work itself, so that there is never one without the other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.models import IdempotencyRecord, User

from .access import Actor
from .errors import ApprovalNeeded, AskedInstead, Conflict, Invalid, Mismatch

KEEP = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back: an HTTP-like status and a JSON-ready body."""

    status: int
    body: Any
    replayed: bool = False


def fingerprint(*parts: str | bytes) -> str:
    """A digest of what makes two requests the same."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def remember(key: str | None, *, by: Actor, fingerprint: str, work: Callable[[], Answer]) -> Answer:
    """Do the work once per key and person, and give the same answer ever after (for 24 hours).

    Raises Invalid for a malformed key, Mismatch for one used for another request, Conflict while the first is still
    under way, and whatever `work` raises, in which case nothing is remembered. A refusal that asked somebody instead
    (ApprovalNeeded, AskedInstead) keeps the request that it names.
    """
    if key is None or by.user is None:
        return work()
    if not key or len(key) > 255 or not key.isascii() or not key.isprintable():
        raise Invalid("Idempotency-Key", "1 to 255 printable ASCII characters.")
    if known := stored(key, by=by, fingerprint=fingerprint):
        return known
    asked = None
    with transaction.atomic():
        record = _claim(key, user=by.user, fingerprint=fingerprint)
        if record is not None:
            try:
                answer = work()
            except (ApprovalNeeded, AskedInstead) as refusal:
                record.delete()
                asked = refusal  # Raised here it would take back what was asked.
            else:
                record.status, record.body = answer.status, answer.body
                record.save(update_fields=["status", "body"])
                return answer
    if asked is not None:
        raise asked
    # The claim waited for the first request to end: its answer is there now, unless it failed meanwhile.
    if known := stored(key, by=by, fingerprint=fingerprint):
        return known
    raise Conflict("A request with this Idempotency-Key is under way.", next_step="Try again shortly.")


def _claim(key: str, *, user: User, fingerprint: str) -> IdempotencyRecord | None:
    """The record that makes this request the first with its key, or None when another is."""
    IdempotencyRecord.objects.filter(user=user, key=key, created_at__lte=timezone.now() - KEEP).delete()
    try:
        with transaction.atomic():
            return IdempotencyRecord.objects.create(user=user, key=key, fingerprint=fingerprint)
    except IntegrityError:
        return None


def stored(key: str, *, by: Actor, fingerprint: str) -> Answer | None:
    """The answer already given for a key, or None. Raises Mismatch when it was given to another request."""
    record = IdempotencyRecord.objects.filter(
        user=by.user, key=key, created_at__gt=timezone.now() - KEEP
    ).first()
    if record is None or not record.status:
        return None
    if record.fingerprint != fingerprint:
        raise Mismatch("Idempotency-Key", "This key was used for another request.")
    return Answer(record.status, record.body, replayed=True)


def forget_old() -> int:
    """Delete records past their time; returns how many."""
    return IdempotencyRecord.objects.filter(created_at__lte=timezone.now() - KEEP).delete()[0]
