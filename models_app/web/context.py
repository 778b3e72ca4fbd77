"""What every page's frame needs."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

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
