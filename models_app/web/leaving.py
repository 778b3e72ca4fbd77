"""Somebody leaves: the list of what hangs on the person, and who takes it over."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from models_app.registry import leavers
from models_app.registry.errors import Conflict, Invalid
from models_app.registry.metadata import find_person

from .door import PageRequest, page, posted, show_problems
from .forms import LeavingForm


@page("GET", "HEAD", "POST", login=True)
def leaving(request: PageRequest, username: str) -> HttpResponse:
    """For site admins."""
    person = leavers.get_person(username, by=request.actor)
    form = LeavingForm(posted(request))
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        try:
            leavers.leave(
                person,
                heir=find_person("heir", data["heir"]),
                heirs={name: find_person("heirs", heir) for name, heir in data["heirs"].items()},
                take_over_roles=data["take_over_roles"],
                reason=data["reason"],
                by=request.actor,
            )
        except (Invalid, Conflict) as error:
            show_problems(form, error)
        else:
            messages.success(request, f"{person} has left; everything is handed over.")
            return redirect("web:leaving", username)
    there = leavers.holdings(person, by=request.actor)
    context = {"person": person, "there": there, "empty": not there.told(), "form": form}
    return render(request, "people/leaving.html", context, status=422 if form.errors else 200)
