"""Service accounts of a team, and their tokens."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from models_app.models import ApiToken, Team, User
from models_app.registry import people, service_accounts
from models_app.registry.access import Right
from models_app.registry.errors import Conflict, Invalid

from .context import site_address
from .door import PageRequest, page, show_problems
from .forms import ServiceAccountForm, TokenForm
from .teams import show_team


@page("POST", login=True)
def create(request: PageRequest, slug: str) -> HttpResponse:
    """Make one for the team."""
    team = people.get_team(slug, by=request.actor, right=Right.MANAGE_TEAM)
    form = ServiceAccountForm(request.POST, auto_id="id_service_%s")
    if form.is_valid():
        try:
            name, role = form.cleaned_data["name"], form.cleaned_data["role"]
            user = service_accounts.create_account(name, roles={team: role}, by=request.actor)
        except (Invalid, Conflict) as error:
            show_problems(form, error)
        else:
            messages.success(request, f"{user} is made. It acts with a token.")
            return redirect("web:service_account", slug, user.username)
    return show_team(request, team, service=form)


@page("GET", "HEAD", "POST", login=True)
def account(request: PageRequest, slug: str, username: str) -> HttpResponse:
    """Its tokens. What is posted says what to do: make one, rotate or revoke one, or deactivate the account."""
    team = people.get_team(slug, by=request.actor, right=Right.MANAGE_TEAM)
    user = service_accounts.get(team, username, by=request.actor)
    service_accounts.require_managing(user, by=request.actor)
    if request.method != "POST":
        return _show(request, team, user)
    action = request.POST.get("action", "")
    if action == "make":
        return _make(request, team, user)
    if action == "deactivate":
        service_accounts.deactivate(user, by=request.actor)
        messages.success(request, f"{user} is deactivated and its tokens are revoked.")
    elif action in ("rotate", "revoke"):
        number = request.POST.get("token", "")
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            raise Invalid("token", "Say which token.")
        token = service_accounts.get_token(user, int(number), by=request.actor)
        if action == "rotate":
            made, secret = service_accounts.rotate_token(token, by=request.actor)
            return _show(request, team, user, made=made, secret=secret)
        people.revoke_token(token, by=request.actor)
        messages.success(request, f"The token “{token.name}” is revoked.")
    else:
        raise Invalid("action", "One of make, rotate, revoke and deactivate.")
    return redirect("web:service_account", slug, username)


def _make(request: PageRequest, team: Team, user: User) -> HttpResponse:
    form = TokenForm(request.POST)
    if not form.is_valid():
        return _show(request, team, user, form=form)
    days = form.cleaned_data["days"]
    try:
        made, secret = people.create_token(
            user=user,
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            expires_at=timezone.now() + timedelta(days=int(days)) if days else None,
            by=request.actor,
        )
    except (Invalid, Conflict) as error:
        show_problems(form, error)
        return _show(request, team, user, form=form)
    return _show(request, team, user, made=made, secret=secret)


def _show(
    request: PageRequest,
    team: Team,
    user: User,
    *,
    form: TokenForm | None = None,
    made: ApiToken | None = None,
    secret: str = "",
) -> HttpResponse:
    context = {
        "team": team,
        "account": user,
        "memberships": user.memberships.select_related("team"),
        "tokens": service_accounts.tokens_of(user, by=request.actor)[:200],
        "form": form or TokenForm(initial={"scopes": ["read", "write"], "days": "90"}),
        "made": made,
        "secret": secret,
        "now": timezone.now(),
        "base_url": site_address(request),
    }
    return render(request, "teams/service_account.html", context, status=422 if form else 200)
