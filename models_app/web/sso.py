"""Single sign-on by OpenID Connect: allauth speaks with the provider, the core decides who it is."""

from __future__ import annotations

import logging
from typing import Any

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.openid_connect import views as oidc
from django.conf import settings
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from requests import RequestException

from models_app.http.throttling import stranger
from models_app.registry import logins, sso
from models_app.registry.access import Actor
from models_app.registry.errors import Forbidden, RegistryError

log = logging.getLogger(__name__)


def begin(request: HttpRequest, provider_id: str) -> HttpResponse:
    """To the provider, and afterwards to where one wanted to go. Only that is taken from the address: with more,
    others' links could attach their account to somebody's who is logged in.
    """
    if not settings.OIDC_ISSUER:
        raise Http404
    taken = QueryDict(mutable=True)
    if "next" in request.GET:
        taken["next"] = request.GET["next"]
    request.GET = taken  # type: ignore[assignment]
    try:
        return oidc.login(request, provider_id)
    except RequestException as error:
        return _failed(request, error, status=503)


def back(request: HttpRequest, provider_id: str) -> HttpResponse:
    """From the provider, with a code or a refusal."""
    if not settings.OIDC_ISSUER:
        raise Http404
    try:
        return oidc.callback(request, provider_id)
    except RequestException as error:
        return _failed(request, error, status=503)


def _failed(request: HttpRequest, error: object, *, status: int) -> HttpResponse:
    log.warning("Single sign-on failed: %s", error)
    told = RegistryError(
        f"Signing in with {settings.OIDC_NAME} did not work.",
        next_step="Try again. If it goes on, tell a site admin the reference below: the reason is in the server's log.",
    )
    return render(request, "errors/sso.html", {"error": told}, status=status)


class SocialAdapter(DefaultSocialAccountAdapter):
    """Where allauth asks who has come."""

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        sociallogin.state["process"] = "login"
        data = sociallogin.account.extra_data
        claims: dict[str, Any] = {**data.get("id_token", {}), **data.get("userinfo", {})}
        known = sociallogin.user if sociallogin.is_existing else None
        where = stranger(request)
        by = Actor(user=None, door="web", address=where.address, request_id=where.request_id, is_system=True)
        try:
            with transaction.atomic():
                user = sso.arrive(known, claims=claims, by=by)
                if known is None:
                    sociallogin.connect(request, user)
        except Forbidden as error:
            logins.failed(known.username if known else "", by=where, locked=False, what="sso")
            answer = render(request, "errors/403.html", {"error": error}, status=403)
            raise ImmediateHttpResponse(answer) from error
        sociallogin.user = user

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, **more: Any
    ) -> None:
        raise ImmediateHttpResponse(_failed(request, exception or error, status=401))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        """`arrive` makes people; nobody fills in a form."""
        return False
