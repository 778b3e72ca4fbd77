"""How models do once they serve: curves with what was deployed and promoted on them, limits, incidents."""

from __future__ import annotations

import shlex
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse

from models_app.models import (
    Comparison,
    Deployment,
    Environment,
    Incident,
    RegisteredModel,
    Retraining,
    Stage,
    Threshold,
)
from models_app.registry import deployment_views, environments, incidents, observations, thresholds
from models_app.registry.access import get_model, require_login
from models_app.registry.errors import Conflict, Invalid, RegistryError

from .door import PageRequest, Refused, page, show_problems, status_of, tell_refusal, whole_number
from .forms import PageForm
from .models import frame

CHARTS = 24
INCIDENTS = 20
MARKS = 50
SHORTLY = timedelta(hours=1)


class ThresholdForm(PageForm):
    """A limit on what a model's deployments observe."""

    name_pattern = forms.CharField(label="Observation", max_length=100, help_text="As in psi or latency_*.")
    feature_pattern = forms.CharField(
        label="Feature", max_length=200, required=False, initial="*", help_text="As in shells; * is any."
    )
    comparison = forms.ChoiceField(label="Beyond is", choices=Comparison.choices)
    value = forms.FloatField(label="Value")
    in_a_row = forms.IntegerField(label="In a row", initial=3, help_text="So many open an incident.")
    environment = forms.ModelChoiceField(
        Environment.objects.none(), label="Only in", required=False, empty_label="Every environment"
    )
    resolves = forms.BooleanField(
        label="Ends by itself",
        required=False,
        help_text="When all is within again, if nobody took it up.",
    )

    def __init__(self, *args: Any, there: QuerySet[Environment], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["environment"].queryset = there  # type: ignore[attr-defined]


@page("GET", "HEAD", "POST")
def of_model(request: PageRequest, name: str) -> HttpResponse:
    """Curves of what its deployments observe, limits to set, and incidents, of one model."""
    model = get_model(name, by=request.actor)
    form = ThresholdForm(
        request.POST if request.method == "POST" and "remove" not in request.POST else None,
        there=environments.environments_for(request.actor),
    )
    if request.method == "POST":
        require_login(request.actor)
        done = _set_limit(request, model, form)
        if done:
            messages.success(request, done)
            return redirect("web:model_monitoring", model.name)
    shown = observations.observed_deployments(model)
    limits = list(thresholds.of_model(model))
    actor = request.actor
    context = {
        **frame(request, model, "monitoring"),
        "charts": charts(shown, observations.curves(shown), _marks(model, shown), limits),
        "deployments": shown,
        "limits": [
            {
                "threshold": one,
                "may_remove": thresholds.may_set(model if one.model_id else None, one.environment, by=actor),
            }
            for one in limits
        ],
        "incidents": incidents.incidents_for(actor).filter(model=model)[:INCIDENTS],
        "form": form if thresholds.may_set(model, None, by=actor) else None,
        "here": reverse("web:model_monitoring", args=[model.name]),
    }
    return render(request, "monitoring/model.html", context, status=422 if form.errors else 200)


def _set_limit(request: PageRequest, model: RegisteredModel, form: ThresholdForm) -> str:
    """What was done, in words; nothing when the form says what is wrong."""
    removed = request.POST.get("remove", "")
    if removed:
        found = thresholds.get_threshold(whole_number(removed), by=request.actor)
        thresholds.remove(found, by=request.actor)
        return "The threshold is removed."
    if form.is_valid():
        try:
            typed = form.cleaned_data
            typed["feature_pattern"] = typed["feature_pattern"] or "*"
            made = thresholds.add(model, by=request.actor, **typed)
        except (Invalid, Conflict) as error:
            show_problems(form, error)
        else:
            return f"Set: {made}."
    return ""


def of_deployment(deployment: Deployment) -> list[dict[str, Any]]:
    """The pictures of one deployment, for its page."""
    if deployment.live_at is None:
        return []
    marks = [{"at": deployment.live_at, "x": deployment.live_at.timestamp(), "label": "live"}]
    curves = observations.curves([deployment])
    return charts([deployment], curves, marks, thresholds.of_deployment(deployment))


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
        # What is observed came into production just before.
        begins = first - max((last - first) / 4, SHORTLY)
        there = [mark for mark in marks if begins <= mark["at"] <= last]
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


def _retrainings(shown: Incident) -> list[tuple[Retraining, list[Deployment]]]:
    """The versions that were trained because of it, and what became of each where it was deployed."""
    rows = list(shown.retrainings.all())
    went = deployment_views.newest([one.version for one in rows])
    return [(one, went.get(one.version_id, [])) for one in rows]


def _incident(request: PageRequest, number: int, refused: Refused | None = None) -> HttpResponse:
    shown = incidents.get_incident(number, by=request.actor)
    context = {
        "section": "models",
        "incident": shown,
        "model": shown.model,
        "breaches": shown.breaches.all(),
        "retrainings": _retrainings(shown),
        "push": shlex.join(
            ["modelry", "push", "FOLDER", f"--model={shown.model.name}", f"--retrains={shown.pk}"]
        ),
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
