"""Refusals that arrive: a client which is still sending must get to read why it may not."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.http import HttpRequest, UnreadablePostError
from django.http.response import HttpResponseBase

PATIENCE = 5.0
PIECE = 64 << 10


class Linger:
    """Read what a refused client still sends, for some seconds, before the answer goes out.

    Closing a connection with unread bytes resets it, and the client then sees “connection reset” instead of the answer.
    A client that waits for “100 Continue” and was not told to go on sends nothing, so there is nothing to read.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code >= 400 and request.method in ("POST", "PUT", "PATCH"):
            waits = "HTTP_EXPECT" in request.META and not getattr(request, "_read_started", False)
            if not waits:
                _read_on(request)
        return response


def _read_on(request: HttpRequest) -> None:
    chunked = not request.META.get("CONTENT_LENGTH") and "HTTP_TRANSFER_ENCODING" in request.META
    # Django takes a body without declared length for an empty one.
    read = request.META["wsgi.input"].read if chunked else request.read
    end = time.monotonic() + PATIENCE
    try:
        while read(PIECE) and time.monotonic() < end:
            pass
    except (UnreadablePostError, OSError):
        return
