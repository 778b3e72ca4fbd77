"""From a request to the Actor behind it: bearer token, basic with a token as password, else the session."""

from __future__ import annotations

import base64
import binascii

from django.http import HttpRequest

from models_app.registry.access import Actor
from models_app.registry.errors import Unauthenticated
from models_app.registry.people import find_token


def actor_from(request: HttpRequest, *, door: str) -> Actor:
    """Who acts. Raises Unauthenticated for credentials that are sent and wrong; no credentials is an anonymous
    Actor.
    """
    secret = token_in(request)
    where = {
        "door": door,
        "address": request.META.get("REMOTE_ADDR", ""),
        "request_id": getattr(request, "request_id", ""),
    }
    if secret is not None:
        token = find_token(secret)
        return Actor.of(token.user, token=token, **where)
    return Actor.of(getattr(request, "user", None), **where)


def token_in(request: HttpRequest) -> str | None:
    """The token in the Authorization header, or None without one. Raises Unauthenticated for a malformed header."""
    header: str = request.META.get("HTTP_AUTHORIZATION", "")
    if not header:
        return None
    scheme, _, value = header.partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    if scheme.lower() == "basic":
        try:
            _, colon, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            colon, password = "", ""
        if colon and password:
            return password
    raise Unauthenticated(
        "The Authorization header is neither “Bearer TOKEN” nor Basic with a token as password.",
        next_step="Make a token under Account → Tokens.",
    )
