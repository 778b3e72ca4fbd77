"""Guessing is slowed down: django-axes counts failures, here stands what counts as too many."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from axes.handlers.database import AxesDatabaseHandler  # type: ignore[import-untyped]
from axes.handlers.proxy import AxesProxyHandler  # type: ignore[import-untyped]
from axes.helpers import get_client_username  # type: ignore[import-untyped]
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_login_failed
from django.db.models import Max, Sum
from django.http import HttpRequest
from django.utils import timezone

from models_app.registry import logins
from models_app.registry.access import Actor

from .auth import address_of

Credentials = dict[str, Any] | None


class Throttle(AxesDatabaseHandler):
    """Few failures of one name from one address lock that pair; many of one address lock the address.

    Nobody is locked out by others' guessing from elsewhere.
    """

    def get_failures(self, request: HttpRequest, credentials: Credentials = None) -> int:
        of_pair, of_address = self._sums(request, credentials)
        return max(
            of_pair, settings.LOGIN_FAILURES if of_address >= settings.LOGIN_FAILURES_OF_ADDRESS else 0
        )

    def user_login_failed(
        self, sender: object, credentials: dict[str, Any], request: HttpRequest | None = None, **more: Any
    ) -> None:
        """Count and record it; what is refused while the lock holds is neither."""
        was_locked = getattr(request, "axes_locked_out", False)
        super().user_login_failed(sender, credentials, request, **more)
        if request is None or was_locked:
            return
        logins.failed(
            str(get_client_username(request, credentials) or ""),
            by=stranger(request),
            locked=bool(getattr(request, "axes_locked_out", False)),
            what=credentials.get("what", "password"),
        )

    def user_logged_in(
        self, sender: object, request: HttpRequest, user: AbstractBaseUser, **more: Any
    ) -> None:
        """Forget the failures of this name from here. Those of the address stay: its others are still guessed at."""
        super().user_logged_in(sender, request, user, **more)
        self.reset_attempts(username=user.get_username(), ip_address=address_of(request))

    def until(self, request: HttpRequest, credentials: Credentials = None) -> datetime:
        """When what locks this request is over."""
        last = [
            attempts.aggregate(last=Max("attempt_time"))["last"]
            for attempts in self.get_user_attempts(request, credentials)
        ]
        of_pair, _ = self._sums(request, credentials)
        latest = last[0] if of_pair >= settings.LOGIN_FAILURES else last[1]
        return (latest or timezone.now()) + settings.AXES_COOLOFF_TIME

    def _sums(self, request: HttpRequest, credentials: Credentials) -> list[int]:
        # In the order of AXES_LOCKOUT_PARAMETERS.
        return [
            attempts.aggregate(sum=Sum("failures_since_start"))["sum"] or 0
            for attempts in self.get_user_attempts(request, credentials)
        ]


def stranger(request: HttpRequest) -> Actor:
    """Somebody at the login page, for the record."""
    request_id = getattr(request, "request_id", "")
    return Actor.of(None, door="web", address=address_of(request), request_id=request_id)


def left_of_lock(request: HttpRequest, credentials: Credentials = None) -> timedelta:
    """How long the lock that this request met holds on; at least a second."""
    return max(Throttle().until(request, credentials) - timezone.now(), timedelta(seconds=1))


def may_try_code(request: HttpRequest, user: AbstractBaseUser) -> bool:
    """Whether codes of the second factor may be tried; when not, the answer becomes the page that says so."""
    credentials = {"username": user.get_username()}
    if AxesProxyHandler.is_allowed(request, credentials):
        return True
    request.axes_locked_out = True  # type: ignore[attr-defined]
    request.axes_credentials = credentials  # type: ignore[attr-defined]
    return False


def wrong_code(request: HttpRequest, user: AbstractBaseUser) -> None:
    """Count a wrong code like a wrong password."""
    user_login_failed.send(
        sender=__name__, credentials={"username": user.get_username(), "what": "code"}, request=request
    )
