"""Sessions on the way through: noted for their owner's list. Calls with a token never come near."""

from __future__ import annotations

import time

from django.contrib.auth import SESSION_KEY
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from models_app.registry import sessions

from .auth import address_of
from .middleware import GetResponse

NOTED = "noted"


class Sessions:
    """Note whose session this is, from where and with what, at most every few minutes: in between the mark in the
    session itself says that there is nothing to do.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if request.session.accessed and SESSION_KEY in request.session:
            note(request)
        return response


def note(request: HttpRequest) -> None:
    session = request.session
    if not session.session_key:
        return  # Begun anew in this request; it gets its key when it is saved, and is noted by the next.
    now = time.time()
    at, key = session.get(NOTED, (0, ""))
    if key == session.session_key and now - at < sessions.SEEN_EVERY.total_seconds():
        return
    session[NOTED] = (now, session.session_key)
    sessions.seen(
        int(session[SESSION_KEY]),
        session.session_key,
        address=address_of(request),
        agent=request.headers.get("User-Agent", ""),
    )
