"""Answers that need no body when the client has it already."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TypeVar

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.http import http_date

Answer = TypeVar("Answer", bound=HttpResponseBase)


def etag_of(*parts: object) -> str:
    """A strong ETag that changes when one of the parts does."""
    listing = "\0".join(str(part) for part in parts)
    return f'"{hashlib.sha256(listing.encode()).hexdigest()[:32]}"'


def settled(
    request: HttpRequest, *, etag: str, last_modified: datetime | None = None
) -> HttpResponseBase | None:
    """304 or 412 when the request's conditions settle the matter; None when the answer must be made, and marked."""
    answer = mark(HttpResponse(), etag=etag, last_modified=last_modified)
    when = None if last_modified is None else int(last_modified.timestamp())
    found = get_conditional_response(request, etag, when, answer)
    return None if found is answer else found


def mark(response: Answer, *, etag: str, last_modified: datetime | None = None) -> Answer:
    """Write what a later request can be conditional on. Caches may keep the answer for this user, and must ask."""
    response.headers["ETag"] = etag
    response.headers.setdefault("Cache-Control", "private, no-cache")
    if last_modified is not None:
        response.headers["Last-Modified"] = http_date(last_modified.timestamp())
    return response
