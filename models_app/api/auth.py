"""Who asks: token or login, and nobody by default."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, QueryDict
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.permissions import BasePermission

from models_app.http.auth import actor_from
from models_app.http.errors import CHALLENGE
from models_app.registry.access import Actor, require_reading
from models_app.registry.errors import Forbidden

DOOR = "api"


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer TOKEN`, or Basic with the token as password."""

    def authenticate(self, request: Any) -> tuple[Any, Actor] | None:
        if not request.META.get("HTTP_AUTHORIZATION"):
            return None
        request._request.actor = actor = actor_from(request._request, door=DOOR)
        return actor.user, actor

    def authenticate_header(self, request: Any) -> str:
        return CHALLENGE


class SessionAuthentication(BaseAuthentication):
    """The login of the pages. Whatever changes something needs their CSRF token in `X-CSRFToken`."""

    def authenticate(self, request: Any) -> tuple[Any, Actor] | None:
        request._request.actor = actor = actor_from(request._request, door=DOOR)
        if actor.user is None:
            return None
        _refuse_forged(request._request)
        return actor.user, actor


def _refuse_forged(request: HttpRequest) -> None:
    # The check looks into POST first: an empty one keeps it from reading a stream of artifacts.
    request.POST = QueryDict()
    guard = CSRFCheck(lambda _: None)
    guard.process_request(request)
    if guard.process_view(request, lambda _: None, (), {}) is not None:
        raise Forbidden(
            "The request came with a login but without its protection token.",
            next_step="Send the CSRF cookie's value in X-CSRFToken, or use an API token.",
        )


class ActorRequired(BasePermission):
    """Nobody reads anything unless known, or unless everyone may read. What may be changed, the verbs decide."""

    def has_permission(self, request: Any, view: Any) -> bool:
        require_reading(request.actor)
        return True
