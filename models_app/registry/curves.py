"""A run's metrics over steps, thinned to what a picture can show."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, F, IntegerField, Value, Window
from django.db.models.functions import Cast, Greatest, Mod, RowNumber

from models_app.models import Run

MOST_POINTS = 500


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric: its values at increasing steps."""

    name: str
    steps: list[int]
    values: list[float]


def curves(run: Run, *, most: int) -> list[Curve]:
    """The first `most` metrics (by name) that were measured at more than one step, at most ~500 points each.

    Of several values at one step the last counts; NaN is left out. One query, whatever the run's length.
    """
    every = Greatest(Cast(F("count") / MOST_POINTS, IntegerField()), Value(1))
    points = (
        run.metric_points.filter(is_nan=False)
        .annotate(
            nth=Window(RowNumber(), partition_by=F("key"), order_by=["step", "at", "id"]),
            count=Window(Count("id"), partition_by=F("key")),
        )
        .annotate(odd=Mod(F("nth") - 1, every))
        .filter(odd=0, count__gt=1)
        .order_by("key", "nth")
        .values_list("key", "step", "value")
    )
    found: dict[str, Curve] = {}
    for key, step, value in points[: most * MOST_POINTS * 4]:
        curve = found.setdefault(key, Curve(key, [], []))
        if curve.steps and curve.steps[-1] == step:
            curve.values[-1] = value
        else:
            curve.steps.append(step)
            curve.values.append(value)
    return [curve for curve in found.values() if len(curve.steps) > 1][:most]
