"""A training run: what it was given, what it measured, what came of it. Where MLflow's client says “View run at …”."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render

from models_app.registry import curves, runs
from models_app.registry.access import versions_for

from .door import PageRequest, page

CURVES = 24


@page()
def run(request: PageRequest, uid: str) -> HttpResponse:
    """Params, metrics with their curves, data, code, tags, and the versions that were registered from it."""
    shown = runs.get_run(uid, by=request.actor)
    made = versions_for(request.actor).filter(run=shown).order_by("model__name", "number")
    context = {
        "section": "models",
        "run": shown,
        "params": shown.params.all()[:500],
        "inputs": shown.inputs.select_related("dataset")[:50],
        "metrics": shown.latest_metrics.all()[:500],
        "tags": shown.tags.all()[:200],
        "versions": made[:50],
        "curves": [plot(curve) for curve in curves.curves(shown, most=CURVES)],
    }
    return render(request, "runs/run.html", context)


def plot(curve: curves.Curve) -> dict[str, Any]:
    """A curve as <metric-plot> reads it."""
    series = {"name": curve.name, "x": curve.steps, "y": curve.values}
    return {"name": curve.name, "data": {"x_label": "Step", "series": [series]}}
