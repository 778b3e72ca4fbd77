"""What every page's frame needs."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from django.conf import settings
from django.http import HttpRequest


@cache
def _version() -> str:
    try:
        return version("modelry")
    except PackageNotFoundError:
        return ""


def frame(request: HttpRequest) -> dict[str, Any]:
    """Context of the frame; the view adds `section`."""
    return {"modelry_version": _version(), "actor": getattr(request, "actor", None)}


def site_address(request: HttpRequest) -> str:
    """Where clients reach this site, without a slash at the end: as it is known to people, else as it was asked."""
    return settings.PUBLIC_URL.rstrip("/") or request.build_absolute_uri("/").rstrip("/")
