"""The whole table from what goes wrong in the core to what an MLflow client is told. Read this first.

An answer is `{"error_code": NAME, "message": text}` with the status of that name. The client repeats a call for minutes
on 408, 429 and 5xx, so nothing that a caller did may answer one of these.
"""

from __future__ import annotations

import msgspec
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from models_app.registry import errors

INVALID = "INVALID_PARAMETER_VALUE"
# The first class that fits decides; subclasses stand before their bases.
TABLE: tuple[tuple[type[errors.RegistryError], int, str], ...] = (
    (errors.Invalid, 400, INVALID),
    (errors.Unauthenticated, 401, "UNAUTHENTICATED"),
    (errors.OverQuota, 403, "RESOURCE_LIMIT_EXCEEDED"),
    (errors.Forbidden, 403, "PERMISSION_DENIED"),
    (errors.NotFound, 404, "RESOURCE_DOES_NOT_EXIST"),
    (errors.AlreadyExists, 400, "RESOURCE_ALREADY_EXISTS"),
    (errors.Frozen, 400, INVALID),
    (errors.PolicyUnmet, 409, "RESOURCE_CONFLICT"),
    (errors.Conflict, 409, "RESOURCE_CONFLICT"),
    (errors.TooLarge, 413, "BAD_REQUEST"),
    (errors.Damaged, 500, "DATA_LOSS"),
    (errors.OutOfSpace, 507, "RESOURCE_EXHAUSTED"),
    (errors.Unavailable, 503, "TEMPORARILY_UNAVAILABLE"),
)


class WireError(Exception):
    """A refusal that only this protocol knows, in its own words."""

    def __init__(self, message: str, *, code: str = INVALID, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status


def missing(name: str) -> WireError:
    """A required field is absent or empty."""
    return WireError(f"Missing value for required parameter '{name}'.")


def answer(status: int, code: str, message: str) -> HttpResponse:
    """An error as the client reads it."""
    body = msgspec.json.encode({"error_code": code, "message": message})
    response = HttpResponse(body, status=status, content_type="application/json")
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="Modelry"'
    return response


def refusal(request: HttpRequest, error: errors.RegistryError) -> HttpResponse:
    """What the core refused, in one readable line: why, what to do next, and the page where to do it."""
    status, code = next((row[1:] for row in TABLE if isinstance(error, row[0])), (400, "BAD_REQUEST"))
    parts = [error.why, error.next_step]
    if isinstance(error, errors.TeamUnclear):
        profile = absolute(request, reverse("web:profile"))
        parts = [f"Say which team owns it: call it team--name, or choose a default team at {profile}."]
    elif number := getattr(error, "request", None):
        page = absolute(request, reverse("web:promotion", args=[number]))
        parts = [error.why, f"Request #{number} waits for a review at {page}"]
    elif isinstance(error, errors.PolicyUnmet):
        parts = [error.why, _way_out(request, error)]
    return answer(status, code, " ".join(part for part in parts if part))


def _way_out(request: HttpRequest, error: errors.PolicyUnmet) -> str:
    name, _, number = error.subject.rpartition("@")
    if any(item.field for item in error.missing):
        return f"Fill it in at {absolute(request, reverse('web:version_edit', args=[name, number]))} and ask again."
    # Time, or other files: nothing that a form takes.
    page = absolute(request, reverse("web:version", args=[name, number]))
    return f"{error.next_step} See {page}".strip()


def absolute(request: HttpRequest, path: str) -> str:
    """An address on this site as people outside know it."""
    return (
        f"{settings.PUBLIC_URL.rstrip('/')}{path}"
        if settings.PUBLIC_URL
        else request.build_absolute_uri(path)
    )
