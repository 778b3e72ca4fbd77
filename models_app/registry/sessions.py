"""Where somebody is logged in: a list to look at, and ends to put to it."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from models_app.models import User, UserSession

from . import audit
from .access import Actor, require_login
from .errors import Forbidden, NotFound

# How stale “last seen” may be: what keeps a look at a page from being a write.
SEEN_EVERY = timedelta(minutes=5)


def seen(user_id: int, key: str, *, address: str, agent: str) -> None:
    """Note that a session was used. Doors call it at most every SEEN_EVERY."""
    UserSession.objects.update_or_create(
        session_key=key,
        defaults={
            "user_id": user_id,
            "last_seen_at": timezone.now(),
            "address": address[:64],
            "agent": agent[:300],
        },
    )


def sessions_of(user: User, *, by: Actor) -> QuerySet[UserSession]:
    """Those that still hold, last used first: one's own, or anyone's for site admins. Raises Forbidden."""
    _require_own(user, by=by)
    alive = Session.objects.filter(expire_date__gt=timezone.now())
    return UserSession.objects.filter(user=user, session_key__in=alive.values("session_key"))


@transaction.atomic
def end_session(number: int, *, user: User, by: Actor) -> None:
    """Log one browser of this person out. Raises NotFound, Forbidden."""
    row = sessions_of(user, by=by).filter(pk=number).first()
    if row is None:
        raise NotFound("There is no such session.", next_step="It may have ended already.")
    _end([row.session_key])
    audit.record("session.ended", by=by, subject=user.username, before={"agent": row.agent})


@transaction.atomic
def end_sessions(user: User, *, by: Actor, keep: str = "") -> int:
    """Log this person out everywhere, but for the session with the key `keep`. Returns how many ended."""
    _require_own(user, by=by)
    return end_all(user, by=by, keep=keep)


def end_all(user: User, *, by: Actor, keep: str = "") -> int:
    """`end_sessions` as a part of a verb that asked for its right itself."""
    keys = list(
        UserSession.objects.filter(user=user).exclude(session_key=keep).values_list("session_key", flat=True)
    )
    if keys:
        _end(keys)
        audit.record("session.all_ended", by=by, subject=user.username, before={"sessions": len(keys)})
    return len(keys)


def forget_old() -> int:
    """Rows whose session is gone."""
    there = Session.objects.values("session_key")
    gone = UserSession.objects.filter(last_seen_at__lt=timezone.now() - SEEN_EVERY)
    return gone.exclude(session_key__in=there).delete()[0]


def _end(keys: list[str]) -> None:
    Session.objects.filter(session_key__in=keys).delete()
    UserSession.objects.filter(session_key__in=keys).delete()


def _require_own(user: User, *, by: Actor) -> None:
    require_login(by)
    # Tokens are for machines; a stolen one must not log its person out.
    if by.scopes is not None or (by.user != user and not by.is_site_admin):
        raise Forbidden("You may see and end your own sessions only.", next_step="Ask a site admin.")
