"""Polling that is nearly free: an answer that the client already has is not made again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework.response import Response

from models_app.http.conditional import etag_of, mark, settled

# A transaction that began earlier may still commit: younger dates than this prove nothing.
SETTLED = timedelta(seconds=60)


def answer_unless_known(
    request: Any, *facts: object, body: Callable[[], Any], last_modified: datetime | None = None
) -> Any:
    """304 when the client has what these facts say, else what `body` makes, with the headers to ask again with.

    While the newest change is younger than SETTLED, If-Modified-Since alone never gives a 304, and the date sent lies
    before that change, so that a client which holds it asks for the whole once more.
    """
    # The host is a fact too, for answers hold addresses.
    etag = etag_of("1", settings.PUBLIC_URL or request.get_host(), *facts)
    proof, shown = last_modified, last_modified
    if last_modified is not None and timezone.now() - last_modified < SETTLED:
        proof, shown = None, last_modified - SETTLED
    early = settled(request._request, etag=etag, last_modified=proof)
    answer = Response(body()) if early is None else early
    return mark(answer, etag=etag, last_modified=shown)
