"""Problem details (RFC 9457): the one shape in which everything under /api/ says no."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from django.http import HttpRequest, HttpResponse

CONTENT_TYPE = "application/problem+json"
CODES = {
    400: "invalid",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "not_acceptable",
    409: "conflict",
    412: "precondition_failed",
    413: "too_large",
    415: "unsupported_media_type",
    416: "range_not_satisfiable",
    422: "mismatch",
    500: "unexpected",
    503: "unavailable",
}
CHALLENGE = 'Bearer realm="Modelry"'


def wants_problem(request: HttpRequest) -> bool:
    """Whether errors of this request are problem details; people elsewhere get pages."""
    return request.path.startswith("/api/") and not request.path.startswith("/api/docs")


def problem(
    request: HttpRequest,
    status: int,
    *,
    detail: str,
    code: str = "",
    next_step: str = "",
    errors: list[dict[str, str]] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """The members of a problem; `errors` are the wrong fields, `more` whatever else the kind of problem carries."""
    body = {
        "type": f"urn:modelry:problem:{(code or CODES.get(status, 'error')).replace('_', '-')}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.path,
        "errors": errors,
        **more,
        "next_step": next_step,
        "request_id": getattr(request, "request_id", ""),
    }
    return {name: value for name, value in body.items() if value not in (None, "")}


def problem_response(
    request: HttpRequest, status: int, *, headers: Mapping[str, str] | None = None, **members: Any
) -> HttpResponse:
    """A problem as a plain answer, for errors outside the REST framework."""
    body = json.dumps(problem(request, status, **members), ensure_ascii=False)
    response = HttpResponse(body, status=status, content_type=CONTENT_TYPE, headers=headers)
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers.setdefault("WWW-Authenticate", CHALLENGE)
    response.headers["Cache-Control"] = "no-store"
    return response
