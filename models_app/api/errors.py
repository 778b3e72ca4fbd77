"""The whole table from what goes wrong to what the API answers: problem details, always in one shape (RFC 9457)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.urls import reverse
from rest_framework import exceptions
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response
from rest_framework.views import set_rollback

from models_app.http.errors import CHALLENGE, CONTENT_TYPE, problem
from models_app.registry import audit, errors

# The first class that fits decides; subclasses stand before their bases.
STATUS: tuple[tuple[type[errors.RegistryError], int], ...] = (
    (errors.Mismatch, 422),
    (errors.Invalid, 400),
    (errors.Unauthenticated, 401),
    (errors.Forbidden, 403),
    (errors.NotFound, 404),
    (errors.Conflict, 409),
    (errors.PolicyUnmet, 409),
    (errors.TooLarge, 413),
    (errors.Damaged, 500),
    (errors.OutOfSpace, 507),
    (errors.Unavailable, 503),
)
LOG_IN = "Send “Authorization: Bearer TOKEN”. Make a token under Account → Tokens."


def handle(exception: Exception, context: dict[str, Any]) -> Response | None:
    """The answer to any refusal; None for an unexpected error, which Django logs and answers without details."""
    request = context["request"]
    if isinstance(exception, errors.RegistryError):
        if request.method not in SAFE_METHODS and (actor := getattr(request, "actor", None)) is not None:
            set_rollback()
            name = str((context.get("kwargs") or {}).get("name", ""))
            audit.refuse(exception, by=actor, what=f"{request.method} {request.path}", model=name)
        return _refusal(exception, request)
    if isinstance(exception, Http404):
        exception = exceptions.NotFound("There is nothing here.")
    elif isinstance(exception, PermissionDenied):
        exception = exceptions.PermissionDenied()
    elif isinstance(exception, SuspiciousOperation):
        exception = exceptions.ParseError("The request was refused.")
    if not isinstance(exception, exceptions.APIException):
        return None
    set_rollback()
    status = exception.status_code
    fields = isinstance(exception, exceptions.ValidationError)
    wrong = list(_flat(exception.detail)) if fields else None
    detail = _sentence(wrong) if wrong else str(exception.detail)
    headers = {"WWW-Authenticate": CHALLENGE} if status == HTTPStatus.UNAUTHORIZED else None
    next_step = LOG_IN if status == HTTPStatus.UNAUTHORIZED else ""
    return _answer(request, status, headers, detail=detail, errors=wrong, next_step=next_step)


def _refusal(error: errors.RegistryError, request: Any) -> Response:
    status = next((status for kind, status in STATUS if isinstance(error, kind)), 400)
    members: dict[str, Any] = {"detail": error.why, "code": error.code, "next_step": error.next_step}
    headers = None
    if isinstance(error, errors.Invalid):
        members["errors"] = [
            {"field": problem.field, "message": problem.message} for problem in error.problems
        ]
    elif isinstance(error, errors.PolicyUnmet):
        members["missing"] = [_missing(requirement, request) for requirement in error.missing]
    elif isinstance(error, errors.StillNeeded):
        members["obstacles"] = [asdict(one) for one in error.obstacles]
    elif isinstance(error, errors.TooLarge):
        members["limit"] = error.limit
    elif isinstance(error, errors.OverQuota):
        members |= {"limit": error.limit, "used": error.used, "asked": error.asked}
    elif isinstance(error, errors.Unauthenticated):
        headers = {"WWW-Authenticate": CHALLENGE}
        members["next_step"] = error.next_step or LOG_IN
    if number := getattr(error, "request", None):
        for name, view in (("promotion_request", "api:request"), ("promotion_page", "web:promotion")):
            members[name] = request.build_absolute_uri(reverse(view, args=[number]))
    return _answer(request, status, headers, **members)


def _missing(requirement: errors.Requirement, request: Any) -> dict[str, str]:
    """What a stage demands, with the addresses where to fill it in: PATCH the field at `url`, or open `page_url`."""
    match = request.resolver_match
    names = {key: match.kwargs[key] for key in ("name", "revision") if match and key in match.kwargs}
    url = request.build_absolute_uri(reverse("api:version", kwargs=names)) if len(names) == 2 else ""
    page = (
        request.build_absolute_uri(reverse("web:version_edit", args=[*names.values()]))
        if len(names) == 2
        else ""
    )
    return {
        "key": requirement.key,
        "label": requirement.label,
        "field": requirement.field,
        "detail": requirement.detail,
        "url": url,
        "page_url": f"{page}#id_{requirement.field}" if page else "",
    }


def _answer(request: Any, status: int, headers: dict[str, str] | None, **members: Any) -> Response:
    body = problem(request, status, **members)
    return Response(body, status=status, headers=headers, content_type=CONTENT_TYPE)


def _flat(detail: Any, field: str = "") -> Iterator[dict[str, str]]:
    """The framework's nested messages as a list of fields and messages."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            own = "" if name == "non_field_errors" else str(name)
            yield from _flat(inner, f"{field}.{own}".strip("."))
    elif isinstance(detail, list):
        for position, inner in enumerate(detail):
            at = f"{field}.{position}" if isinstance(inner, dict | list) else field
            yield from _flat(inner, at)
    else:
        yield {"field": field, "message": str(detail)}


def _sentence(wrong: list[dict[str, str]]) -> str:
    first = wrong[0]
    return f"{first['field']}: {first['message']}" if first["field"] else first["message"]
