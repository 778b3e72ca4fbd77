"""Who may log in, with what; failures, locks and releases on record."""

from __future__ import annotations

from axes.models import AccessAttempt  # type: ignore[import-untyped]
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from models_app.models import User

from . import audit
from .access import Actor, Right, require
from .errors import Forbidden

# People type passwords into the wrong field: a name that nobody has is not kept.
NOBODY = "(no such person)"


def may_log_in(user: AbstractBaseUser) -> bool:
    """Whether this is a person who is active. Service accounts have tokens only."""
    return user.is_active and not getattr(user, "is_service", False)


def may_use_password(user: AbstractBaseUser) -> bool:
    """`may_log_in`, and a password does: where everybody comes through single sign-on, site admins keep theirs for the
    day it fails.
    """
    only_sso = settings.OIDC_ISSUER and settings.OIDC_ONLY
    return may_log_in(user) and (not only_sso or getattr(user, "is_superuser", False))


def require_may_log_in(user: User) -> None:
    """Raises Forbidden for who left, and for service accounts."""
    if user.is_service:
        raise Forbidden(f"{user} is a service account: it has tokens and cannot log in.")
    if not user.is_active:
        raise Forbidden(f"The account of {user} is not active.", next_step="Ask a site admin.")


def failed(username: str, *, by: Actor, locked: bool, what: str = "password") -> None:
    """Record a wrong password or code; `locked` when this was one too many."""
    known = User.objects.filter(username=username).exists()
    audit.record(
        "login.locked" if locked else "login.failed",
        by=by,
        subject=username if known else NOBODY,
        after={"with": what},
    )


def succeeded(user: User, *, by: Actor, how: list[str]) -> None:
    """Record a login, and by which means: password, sso, totp, recovery_codes."""
    audit.record("login.succeeded", by=by, subject=user.username, after={"with": how})


def is_locked(user: User) -> bool:
    """Whether there are failures that count against this person's name from some address."""
    failures = AccessAttempt.objects.filter(username=user.username)
    return bool(failures.filter(failures_since_start__gte=settings.LOGIN_FAILURES).exists())


@transaction.atomic
def release(user: User, *, by: Actor) -> bool:
    """Forget failed logins under this name, so that it can be tried again at once. Site admins only.

    Returns whether there were any.
    """
    require(by, Right.MANAGE_TEAM, None)
    count, _ = AccessAttempt.objects.filter(username=user.username).delete()
    if count:
        audit.record("login.released", by=by, subject=user.username)
    return bool(count)
