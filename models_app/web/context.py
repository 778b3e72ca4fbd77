"""What every page's frame needs."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from models_app.registry import approvals, audit
from models_app.registry.access import Actor

# More are told as “99+”.
MOST_WAITING = 100


@cache
def _version() -> str:
    try:
        return version("modelry")
    except PackageNotFoundError:
        return ""


def frame(request: HttpRequest) -> dict[str, Any]:
    """Context of the frame; the view adds `section`. The others are asked only where a template tells them."""
    actor = getattr(request, "actor", None)

    @cache
    def reader() -> Actor:
        # Pages outside `page`, those of errors and of the admin, have a frame too.
        return actor or Actor.of(getattr(request, "user", None), door="web")

    @cache
    def waiting_count() -> int:
        if reader().user is None:
            return 0
        return approvals.waiting_for(reader())[:MOST_WAITING].count()

    return {
        "modelry_version": _version(),
        "actor": actor,
        "waiting_count": waiting_count,
        "may_read_audit": lambda: audit.may_read(reader()),
    }


def site_address(request: HttpRequest) -> str:
    """Where clients reach this site, without a slash at the end: as it is known to people, else as it was asked."""
    return settings.PUBLIC_URL.rstrip("/") or request.build_absolute_uri("/").rstrip("/")
