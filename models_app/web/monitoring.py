"""How models do once they serve: curves with what was deployed and promoted on them, limits, incidents."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import redirect, render

from models_app.registry import incidents
from models_app.registry.errors import RegistryError

from .door import PageRequest, Refused, page, status_of, tell_refusal


@page()
def incident(request: PageRequest, number: int) -> HttpResponse:
    """One incident: what went beyond, who answered, which version was trained because of it, and its promotion."""
    return _incident(request, number)


def _incident(request: PageRequest, number: int, refused: Refused | None = None) -> HttpResponse:
    shown = incidents.get_incident(number, by=request.actor)
    context = {
        "section": "models",
        "incident": shown,
        "model": shown.model,
        "breaches": shown.breaches.all(),
        "retrainings": shown.retrainings.all(),
        "may_answer": incidents.may_answer(shown, by=request.actor),
        "refused": refused,
    }
    status = status_of(refused.error) if refused else 200
    return render(request, "monitoring/incident.html", context, status=status)


@page("POST", login=True)
def acknowledge(request: PageRequest, number: int) -> HttpResponse:
    return _answered(request, number, "acknowledge")


@page("POST", login=True)
def resolve(request: PageRequest, number: int) -> HttpResponse:
    return _answered(request, number, "resolve")


def _answered(request: PageRequest, number: int, act: str) -> HttpResponse:
    found = incidents.get_incident(number, by=request.actor)
    verb = incidents.acknowledge if act == "acknowledge" else incidents.resolve
    try:
        verb(found, by=request.actor, reason=request.POST.get("reason", ""))
    except RegistryError as error:
        tell_refusal(request, error, name=found.model.name)
        return _incident(request, number, Refused(act, error, request.POST))
    return redirect("web:incident", number=number)
