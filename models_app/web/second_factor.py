"""The second factor: the step after the password, setting it up, and being led there where the site demands it."""

from __future__ import annotations

from typing import Any

from allauth.account.internal.decorators import login_stage_required
from allauth.account.internal.flows.login import get_authentication_records, record_authentication
from allauth.mfa.stages import AuthenticateStage
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import SESSION_KEY, authenticate
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.safestring import mark_safe
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from models_app.http.errors import problem_response, wants_problem
from models_app.http.middleware import GetResponse
from models_app.http.throttling import may_try_code, wrong_code
from models_app.models import User
from models_app.registry import logins, second_factor, secrets
from models_app.registry.access import Actor
from models_app.registry.errors import Conflict, Invalid

from .door import PageRequest, away, page, posted, show_problems
from .forms import CodeForm, SecondFactorForm

# Where the secret waits, encrypted, until a code proves that the app has it.
PENDING = "second_factor_pending"
# What one may still do before setting it up.
OPEN = {"web:second_factor", "account_logout", "admin:logout", "web:theme"}
WRONG = "That is not the code of now, or it was used already."


def by_sso(request: HttpRequest, user: User | None) -> bool:
    """Whether this login came, or comes, through single sign-on."""
    records = get_authentication_records(request, user)
    return any(record["method"] == "socialaccount" for record in records)


class CodeStage(AuthenticateStage):
    """The step in which allauth waits for a code."""

    def _should_handle(self, request: HttpRequest) -> bool:
        user = self.login.user
        return user is not None and second_factor.is_asked_at_login(user, sso=by_sso(request, user))


@never_cache
@require_http_methods(["GET", "POST"])
@login_stage_required(stage=AuthenticateStage.key, redirect_urlname="account_login")
def step(request: HttpRequest) -> HttpResponseBase:
    """The login's second step. Wrong codes count like wrong passwords."""
    stage = request._login_stage  # type: ignore[attr-defined]
    user = stage.login.user
    if not logins.may_log_in(user):
        return stage.abort()
    form = CodeForm(posted(request))
    if request.method == "POST" and form.is_valid():
        if not may_try_code(request, user):
            return HttpResponse(status=429)
        kind = second_factor.is_right(user, form.cleaned_data["code"])
        if kind:
            record_authentication(request, user, "mfa", type=kind)
            return stage.exit()
        wrong_code(request, user)
        form.add_error("code", WRONG)
    return render(request, "registration/code.html", {"form": form}, status=422 if form.errors else 200)


@page("GET", "HEAD", "POST", login=True)
def manage(request: PageRequest) -> HttpResponse:
    """Set it up; where it is on: new recovery codes, or turn it off. Each asks again for what proves who one is."""
    user = _person(request)
    if second_factor.is_on(user):
        return _change(request, user)
    form = SecondFactorForm(posted(request), asks_password=user.has_usable_password())
    secret = secrets.decrypt(request.session.get(PENDING, "")) or second_factor.new_secret()
    if request.method == "POST" and form.is_valid() and _is_password(request, user, form):
        try:
            codes = second_factor.set_up(
                user, secret=secret, code=form.cleaned_data["code"], by=request.actor
            )
        except Invalid as error:
            show_problems(form, error)
        else:
            request.session.pop(PENDING, None)
            return _codes(request, codes, target=_next(request))
    request.session[PENDING] = secrets.encrypt(secret)
    address = second_factor.address_for_apps(user, secret)
    context = {
        "form": form,
        "next": _next(request),
        "secret": " ".join(secret[at : at + 4] for at in range(0, len(secret), 4)),
        # Made here of our own address, from nothing that people type but their own name, as paths of a picture.
        "picture": mark_safe(second_factor.picture(address)),  # noqa: S308
        "is_demanded": second_factor.is_required(request.actor),
    }
    return render(request, "account/second_factor_new.html", context, status=422 if form.errors else 200)


def _change(request: PageRequest, user: User) -> HttpResponse:
    form = CodeForm(posted(request))
    if request.method == "POST" and form.is_valid():
        if not may_try_code(request, user):
            return HttpResponse(status=429)
        if second_factor.is_right(user, form.cleaned_data["code"]) is None:
            wrong_code(request, user)
            form.add_error("code", WRONG)
        elif request.POST.get("do") == "off":
            second_factor.turn_off(user, by=request.actor)
            messages.success(request, "The second factor is off.")
            return redirect("web:security")
        else:
            return _codes(request, second_factor.renew_codes(user, by=request.actor), target=_next(request))
    context = {
        "form": form,
        "codes_left": second_factor.codes_left(user),
        "is_demanded": second_factor.is_required(request.actor),
    }
    return render(request, "account/second_factor.html", context, status=422 if form.errors else 200)


def _codes(request: PageRequest, codes: list[str], *, target: str) -> HttpResponse:
    """Shown in the answer itself, and never again."""
    return render(request, "account/recovery_codes.html", {"codes": codes, "next": target})


def _next(request: PageRequest) -> str:
    """Where one wanted to go when the site demanded it."""
    target = request.POST.get("next") or request.GET.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure())
    return target if is_ours else resolve_url("web:security")


def _is_password(request: PageRequest, user: User, form: SecondFactorForm) -> bool:
    if "password" not in form.fields:
        return True
    # Asked as at the login page, so guesses count there too.
    known = authenticate(request, username=user.get_username(), password=form.cleaned_data["password"])
    if known is not None and known.pk == user.pk:
        return True
    form.add_error("password", "This is not your password.")
    return False


def _person(request: PageRequest) -> User:
    if request.actor.user is None:
        raise Conflict("Only people have a second factor.")
    return request.actor.user


class Demanded:
    """Where the site demands a second factor, whoever logged in by password and has none is led to set it up first.

    Single sign-on is the provider's to protect. Nothing of it is remembered in the session: a reset counts at once.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        match = request.resolver_match
        if not settings.REQUIRE_TOTP or SESSION_KEY not in request.session:
            return None
        if match is not None and match.view_name in OPEN:
            return None
        # Who sends a token is who it belongs to, but for the admin, which goes by the login whatever is sent.
        if "Authorization" in request.headers and (match is None or match.app_name != "admin"):
            return None
        actor = Actor.of(request.user, door="web")  # type: ignore[arg-type]
        if not second_factor.is_missing(actor, sso=by_sso(request, actor.user)):
            return None
        if wants_problem(request):
            return problem_response(
                request,
                403,
                detail="Your role needs a second factor here.",
                next_step="Set it up under Account → Security, or use a token.",
            )
        return away(request, "web:second_factor")
