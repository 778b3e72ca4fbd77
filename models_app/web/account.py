"""A person's own pages: profile, theme, tokens."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from models_app.models import ApiToken, User
from models_app.registry import people
from models_app.registry.access import home_teams
from models_app.registry.errors import Invalid

from .context import site_address
from .door import PageRequest, page, posted, show_problems
from .forms import ProfileForm, TokenForm

THEMES = [value for value, _ in User._meta.get_field("theme").choices or []]
YEAR = 365 * 24 * 3600


def remember_theme(response: HttpResponse, theme: str) -> None:
    """Take the person's theme along."""
    # Readable by script: theme.js sets it before the first paint.
    response.set_cookie("theme", theme, max_age=YEAR, samesite="Lax")


@require_POST
def theme(request: HttpRequest) -> HttpResponse:
    """Choose auto, light or dark; goes back to where one was."""
    chosen = request.POST.get("theme", "auto")
    chosen = chosen if chosen in THEMES else "auto"
    target = request.POST.get("next") or request.META.get("HTTP_REFERER", "/")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure()):
        target = "/"
    response = HttpResponseRedirect(target)
    remember_theme(response, chosen)
    if isinstance(request.user, User):
        from models_app.http.auth import actor_from

        people.update_profile(request.user, by=actor_from(request, door="web"), theme=chosen)
    return response


@page("GET", "HEAD", "POST", login=True)
def profile(request: PageRequest) -> HttpResponse:
    """Name, address, shortcuts; teams and roles."""
    user = request.actor.user
    assert user is not None
    names = ("first_name", "last_name", "email", "notice_mode", "default_team", "hotkeys")
    form = ProfileForm(
        posted(request),
        initial={name: getattr(user, name) for name in names},
        teams=home_teams(request.actor),
    )
    if request.method == "POST" and form.is_valid():
        try:
            people.update_profile(user, by=request.actor, **form.cleaned_data)
        except Invalid as error:
            show_problems(form, error)
        else:
            messages.success(request, "Your profile is saved.")
            return redirect("web:profile")
    memberships = user.memberships.select_related("team").order_by("team__slug")
    context = {"form": form, "memberships": memberships}
    return render(request, "account/profile.html", context, status=422 if form.errors else 200)


@page("GET", "HEAD", "POST", login=True)
def tokens(request: PageRequest) -> HttpResponse:
    """One's tokens; a new one is shown once, in the answer to the request that made it."""
    user = request.actor.user
    assert user is not None
    form = TokenForm(posted(request), initial={"scopes": ["read"]})
    made, secret = None, ""
    if request.method == "POST" and form.is_valid():
        days = form.cleaned_data["days"]
        expires = timezone.now() + timedelta(days=int(days)) if days else None
        try:
            made, secret = people.create_token(
                user=user,
                name=form.cleaned_data["name"],
                scopes=form.cleaned_data["scopes"],
                expires_at=expires,
                by=request.actor,
            )
        except Invalid as error:
            show_problems(form, error)
        else:
            form = TokenForm(initial={"scopes": ["read"]})
    rows = ApiToken.objects.filter(user=user).order_by("revoked_at", "-created_at")[:200]
    context = {"form": form, "tokens": rows, "made": made, "secret": secret, "now": timezone.now()}
    context["base_url"] = site_address(request)
    return render(request, "account/tokens.html", context, status=422 if form.errors else 200)


@page("POST", login=True)
def revoke_token(request: PageRequest, pk: int) -> HttpResponse:
    """Make one of one's tokens useless."""
    token = people.get_token(pk, by=request.actor)
    people.revoke_token(token, by=request.actor)
    messages.success(request, f"The token “{token.name}” is revoked.")
    return redirect("web:tokens")
