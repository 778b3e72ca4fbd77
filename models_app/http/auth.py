"""From a request to the Actor behind it: bearer token, basic with a token as password, else the session."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from typing import Any

from django.conf import settings
from django.http import HttpRequest

from models_app.registry.access import Actor
from models_app.registry.errors import Unauthenticated
from models_app.registry.people import find_token


def actor_from(request: HttpRequest, *, door: str) -> Actor:
    """Who acts. Raises Unauthenticated for credentials that are sent and wrong; no credentials is an anonymous
    Actor.
    """
    secret = token_in(request)
    where: dict[str, Any] = {
        "door": door,
        "address": address_of(request),
        "request_id": getattr(request, "request_id", ""),
    }
    if secret is not None:
        token = find_token(secret)
        return Actor.of(token.user, token=token, **where)
    return Actor.of(getattr(request, "user", None), **where)


def address_of(request: HttpRequest) -> str:
    """Where a request comes from: the peer, or what the proxy in front of us says of its peer.

    Only the last entry of X-Forwarded-For is the proxy's own word; whatever stands before it, anybody can send.
    """
    peer: str = request.META.get("REMOTE_ADDR", "")
    if not settings.BEHIND_PROXY:
        return peer
    told = request.META.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(told))
    except ValueError:
        return peer


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
