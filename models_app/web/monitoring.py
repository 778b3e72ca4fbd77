"""How models do once they serve: curves with what was deployed and promoted on them, limits, incidents."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render

from models_app.models import Deployment, RegisteredModel, Stage, Threshold
from models_app.registry import incidents, observations, thresholds
from models_app.registry.access import get_model
from models_app.registry.errors import RegistryError

from .door import PageRequest, Refused, page, status_of, tell_refusal
from .models import frame

CHARTS = 24
INCIDENTS = 20
MARKS = 50


@page()
def of_model(request: PageRequest, name: str) -> HttpResponse:
    """Curves of what its deployments observe, limits, and incidents, of one model."""
    model = get_model(name, by=request.actor)
    shown = observations.observed_deployments(model)
    limits = list(thresholds.of_model(model))
    context = {
        **frame(request, model, "monitoring"),
        "charts": charts(shown, observations.curves(shown), _marks(model, shown), limits),
        "deployments": shown,
        "limits": limits,
        "incidents": incidents.incidents_for(request.actor).filter(model=model)[:INCIDENTS],
    }
    return render(request, "monitoring/model.html", context)


def _marks(model: RegisteredModel, shown: list[Deployment]) -> list[dict[str, Any]]:
    """When something went live, and when something was promoted, oldest first."""
    moves = model.transitions.filter(to_stage=Stage.PRODUCTION).select_related("version").order_by("-at")
    found = [(one.at, f"v{one.version.number} promoted") for one in moves[:MARKS]]
    found += [
        (one.live_at, f"v{one.version.number} live in {one.environment.name}") for one in shown if one.live_at
    ]
    return [{"at": at, "x": at.timestamp(), "label": label} for at, label in sorted(found)]


def charts(
    shown: list[Deployment],
    curves: list[observations.Curve],
    marks: list[dict[str, Any]],
    limits: list[Threshold],
) -> list[dict[str, Any]]:
    """A picture per name and feature, with a curve per deployment, as <metric-plot> reads it."""
    of = {one.pk: one for one in shown}
    groups: dict[str, list[observations.Curve]] = {}
    for curve in curves:
        if curve.points:
            groups.setdefault(str(curve.series), []).append(curve)
    made = []
    for title, group in list(groups.items())[:CHARTS]:
        first = min(curve.points[0][0] for curve in group)
        last = max(curve.points[-1][0] for curve in group)
        there = [mark for mark in marks if first <= mark["at"] <= last]
        levels = {
            limit.value: f"limit: {limit.comparison} {limit.value:g}"
            for limit in limits
            if thresholds.covers(limit, group[0].series)
        }
        series = [
            {
                "name": _label(of[curve.series.deployment_id]),
                "x": [at.timestamp() for at, _ in curve.points],
                "y": [value for _, value in curve.points],
            }
            for curve in group
        ]
        data = {
            "x_label": "Time (UTC)",
            "time": True,
            "series": series,
            "marks": [{"x": mark["x"], "label": mark["label"]} for mark in there],
            "levels": [{"y": value, "label": label} for value, label in levels.items()],
        }
        rows = [{"where": _label(of[curve.series.deployment_id]), "series": curve.series} for curve in group]
        made.append({"title": title, "data": data, "marks": there, "rows": rows})
    return made


def _label(deployment: Deployment) -> str:
    return f"{deployment.environment.name} v{deployment.version.number} (#{deployment.pk})"


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
