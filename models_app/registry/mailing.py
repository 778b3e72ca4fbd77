"""Notices on their way into mails: which are due, whose they are now, and how sending went.

Rows are claimed by a conditional update with a lease, so that any number of workers share them, and what a killed one
had in hand is sent by another: at least once, and never twice knowingly.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import F, Min, QuerySet
from django.utils import timezone

from models_app.models import Notice, NoticeMode, RegisteredModel, User

from .access import Actor, may_read
from .backoff import wait_after

GIVE_UP = timedelta(days=3)
# Longer than sending one mail takes: then its worker is gone.
LEASE = timedelta(minutes=5)
KEEP = timedelta(days=30)
MOST_IN_ONE = 100


@dataclass(frozen=True, slots=True)
class Letter:
    """What one person gets in one mail, oldest first."""

    user: User
    notices: list[Notice]
    is_digest: bool
    claim: str


def _due() -> QuerySet[Notice]:
    return Notice.objects.filter(due_at__lte=timezone.now())


def people_with_due(*, limit: int) -> list[int]:
    """Whom something has to be sent to now, longest waiting first."""
    waiting = _due().values("user").annotate(since=Min("due_at")).order_by("since")
    return list(waiting.values_list("user", flat=True)[:limit])


def claim(user_id: int) -> Letter | None:
    """The next mail for a person, from now on ours for the length of the lease; None when there is none."""
    while True:
        due = _due().filter(user=user_id)
        first = due.order_by("-is_urgent", "id").select_related("user").first()
        if first is None:
            return None
        user = first.user
        is_digest = user.notice_mode == NoticeMode.DIGEST and not first.is_urgent
        wanted = (
            list(due.filter(is_urgent=False).order_by("id").values_list("pk", flat=True)[:MOST_IN_ONE])
            if is_digest
            else [first.pk]
        )
        mark = str(uuid.uuid4())
        now = timezone.now()
        Notice.objects.filter(pk__in=wanted, due_at__lte=now).update(
            due_at=now + LEASE, claim=mark, attempts=F("attempts") + 1
        )
        ours = list(Notice.objects.filter(claim=mark).order_by("id"))
        kept = _still_wanted(user, ours)
        if kept:
            return Letter(user, kept, is_digest, mark)


def _still_wanted(user: User, ours: list[Notice]) -> list[Notice]:
    """What may still be told. A day can lie between writing and sending, in which people leave and models hide."""
    readable: set[int | None] = set()
    if user.is_active and not user.is_service and user.email and user.notice_mode != NoticeMode.NONE:
        reader = Actor.of(user, door="task")
        models = RegisteredModel.objects.filter(pk__in={notice.model_id for notice in ours})
        rows = models.values_list("pk", "visibility", "team_id")
        # Some are about no model.
        readable = {None, *(pk for pk, visibility, team in rows if may_read(reader, visibility, team))}
    kept = [notice for notice in ours if notice.model_id in readable]
    dropped = [notice.pk for notice in ours if notice.model_id not in readable]
    if dropped:
        Notice.objects.filter(pk__in=dropped).update(due_at=None, error="Not to be told any more.")
    return kept


def sent(letter: Letter) -> None:
    """Note that it went out."""
    # Whoever has claimed it meanwhile: what went out did.
    ours = Notice.objects.filter(pk__in=[notice.pk for notice in letter.notices], sent_at=None)
    ours.update(sent_at=timezone.now(), due_at=None, error="")


def failed(letter: Letter, why: str, *, may_retry: bool) -> None:
    """Note that it did not go out: to be tried again later, or given up."""
    ours = Notice.objects.filter(claim=letter.claim, sent_at=None)
    again = timezone.now() + wait_after(max(notice.attempts for notice in letter.notices))
    oldest = min(notice.created_at for notice in letter.notices)
    given_up = not may_retry or again > oldest + GIVE_UP
    ours.update(due_at=None if given_up else again, error=why[:300])


def forget_old() -> int:
    """Delete notices written long ago, however they ended; returns how many."""
    return Notice.objects.filter(created_at__lt=timezone.now() - KEEP).delete()[0]
