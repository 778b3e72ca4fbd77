"""How one's account is kept one's own: password, sessions."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import authenticate, update_session_auth_hash
from django.http import HttpResponse
from django.shortcuts import redirect, render

from models_app.http.sessions import note
from models_app.models import User
from models_app.registry import people, second_factor, sessions
from models_app.registry.errors import Invalid

from .devices import device
from .door import PageRequest, page, posted, show_problems
from .forms import PasswordForm


def _person(request: PageRequest) -> User:
    assert request.actor.user is not None
    return request.actor.user


@page(login=True)
def security(request: PageRequest) -> HttpResponse:
    """What protects one's account, and where one is logged in."""
    user = _person(request)
    rows = [
        {
            "session": row,
            "device": device(row.agent),
            "is_this": row.session_key == request.session.session_key,
        }
        for row in sessions.sessions_of(user, by=request.actor)[:100]
    ]
    context = {
        "sessions": rows,
        "others": [row for row in rows if not row["is_this"]],
        "has_second_factor": second_factor.is_on(user),
    }
    return render(request, "account/security.html", context)


@page("GET", "HEAD", "POST", login=True)
def password(request: PageRequest) -> HttpResponse:
    """Change one's password; every other session ends."""
    user = _person(request)
    form = PasswordForm(posted(request))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        # Asked as at the login page, so guesses count there too.
        known = authenticate(request, username=user.get_username(), password=data["current"])
        if known is None or known.pk != user.pk:
            form.add_error("current", "This is not your password.")
        else:
            try:
                people.set_password(user, password=data["password"], by=request.actor)
            except Invalid as error:
                show_problems(form, error)
            else:
                update_session_auth_hash(request, user)
                note(request)
                messages.success(request, "Your password is changed; you are logged out everywhere else.")
                return redirect("web:security")
    return render(request, "account/password.html", {"form": form}, status=422 if form.errors else 200)


@page("POST", login=True)
def end_session(request: PageRequest, pk: int) -> HttpResponse:
    """Log one of one's browsers out."""
    sessions.end_session(pk, user=_person(request), by=request.actor)
    messages.success(request, "That browser is logged out.")
    return redirect("web:security")


@page("POST", login=True)
def end_other_sessions(request: PageRequest) -> HttpResponse:
    """Log out everywhere but here."""
    here = request.session.session_key or ""
    count = sessions.end_sessions(_person(request), by=request.actor, keep=here)
    messages.success(request, f"{count} other session{'' if count == 1 else 's'} ended.")
    return redirect("web:security")
