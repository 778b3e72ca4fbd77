"""Logging in: password, then whatever else the site asks for. allauth leads from step to step."""

from __future__ import annotations

import math
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import get_authentication_records, perform_password_login
from allauth.account.models import Login as LoginState
from django.conf import settings
from django.contrib.auth import views as auth_views
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from models_app.http.auth import actor_from, address_of
from models_app.http.backends import PASSWORD, SSO
from models_app.http.throttling import left_of_lock
from models_app.models import User
from models_app.registry import logins
from models_app.registry.errors import Forbidden, RegistryError

from .account import remember_theme
from .forms import LoginForm

# Of allauth's messages, these say what one sees anyway.
QUIET = {"account/messages/logged_in.txt", "account/messages/logged_out.txt"}


class Login(auth_views.LoginView):
    """Name and password."""

    authentication_form = LoginForm
    template_name = "registration/login.html"
    redirect_authenticated_user = True

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        sso = {"sso": settings.OIDC_NAME if settings.OIDC_ISSUER else "", "only_sso": settings.OIDC_ONLY}
        return super().get_context_data(**more) | sso

    def form_valid(self, form: LoginForm) -> HttpResponse:  # type: ignore[override]
        user = form.get_user()
        state = LoginState(user=user, email_verification="none", redirect_url=self.get_success_url())
        return perform_password_login(self.request, {"username": user.get_username()}, state)


class AccountAdapter(DefaultAccountAdapter):
    """Where allauth asks what it may do here."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """People are made by admins, or by single sign-on."""
        return False

    def get_login_stages(self) -> list[str]:
        return ["models_app.web.second_factor.CodeStage"]

    def pre_login(self, request: HttpRequest, user: User, **more: Any) -> HttpResponse | None:  # type: ignore[override]
        try:
            logins.require_may_log_in(user)
        except Forbidden as error:
            return render(request, "errors/403.html", {"error": error}, status=403)
        return super().pre_login(request, user, **more)

    def login(self, request: HttpRequest, user: User) -> None:  # type: ignore[override]
        records = get_authentication_records(request, user)
        how = [record.get("type", record["method"]) for record in records]
        # The second step forgets how the first was done.
        user.backend = SSO if "socialaccount" in how else PASSWORD  # type: ignore[attr-defined]
        super().login(request, user)
        logins.succeeded(user, by=actor_from(request, door="web"), how=how)

    def post_login(self, request: HttpRequest, user: User, **more: Any) -> HttpResponse:  # type: ignore[override]
        response = super().post_login(request, user, **more)
        remember_theme(response, user.theme)
        return response

    def get_client_ip(self, request: HttpRequest) -> str:
        return address_of(request)

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *args: Any, **more: Any
    ) -> None:
        if message_template not in QUIET:
            super().add_message(request, level, message_template, *args, **more)


def locked_out(
    request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any] | None
) -> HttpResponse:
    """The page for who guessed too often: says how long it holds, nothing about whether the name exists."""
    left = left_of_lock(request, credentials)
    minutes = math.ceil(left.total_seconds() / 60)
    error = RegistryError(
        f"There were too many wrong attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}.",
        next_step="Is it urgent? A site admin can release your account at once.",
    )
    answer = render(request, "errors/429.html", {"error": error}, status=429)
    answer["Retry-After"] = str(math.ceil(left.total_seconds()))
    return answer
