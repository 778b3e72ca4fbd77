"""Points of metrics: written once, in any order and by many at once, with the last of each metric at hand.

NaN is a point with a mark and the value 0; infinities are the greatest finite numbers, as some databases keep neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime
from sys import float_info
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import F, QuerySet, Window
from django.db.models.functions import RowNumber

from models_app.models import LoggedModelMetric, Run, RunMetric

from .access import Actor, require_logging
from .errors import Invalid, NotFound
from .logged_models import logged_models_for

MAX_KEY = 250
MAX_DATASET_NAME = 500
MAX_DATASET_DIGEST = 128
_BATCH = 1000
_COLUMNS = ("key", "step", "at", "value", "is_nan")


class Point(NamedTuple):
    """One measurement. `model` is the uid of a logged model that was measured, on a dataset if one is named."""

    key: str
    value: float
    at: datetime
    step: int = 0
    model: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


class _Row(NamedTuple):
    """A point as the tables have it. Compared as a tuple behind the key, the greater one is the later one."""

    key: str
    step: int
    at: datetime
    value: float
    is_nan: bool


def as_kept(point: Point) -> _Row:
    """A point as the tables have it. Raises Invalid for one that they cannot have."""
    if not point.key or len(point.key) > MAX_KEY or "\0" in point.key:
        raise Invalid("metrics", f"The key of a metric has 1 to {MAX_KEY} characters: {point.key[:80]!r}")
    if not -(2**63) <= point.step < 2**63:
        raise Invalid("metrics", f"The step of “{point.key}” is not in 64 bits.")
    value = point.value
    if math.isnan(value):
        return _Row(point.key, point.step, point.at, 0.0, True)
    if math.isinf(value):
        value = math.copysign(float_info.max, value)
    return _Row(point.key, point.step, point.at, value, False)


def write(run: Run, points: Sequence[Point], *, by: Actor) -> None:
    """Add points to a run that is locked. One that is there already is left alone. Raises Invalid, NotFound for an
    unknown logged model, Forbidden.
    """
    if not points:
        return
    rows = list(dict.fromkeys(map(as_kept, points)))
    _insert(_NEW, run, rows)
    newest: dict[str, _Row] = {}
    for row in rows:
        known = newest.get(row.key)
        if known is None or row[1:] > known[1:]:
            newest[row.key] = row
    # The lock of the run's row puts those who come here at once into an order.
    _insert(_LATEST, run, list(newest.values()))
    of_models = [point for point in points if point.model]
    if of_models:
        _write_of_models(run, of_models, by)


# Batches are what training waits for: instances of tables would take most of the time. What people write goes in as
# parameters only; both databases read these statements alike.
_NEW = """
    INSERT INTO models_app_runmetric (run_id, key, step, at, value, is_nan) VALUES {rows} ON CONFLICT DO NOTHING
"""
_LATEST = """
    INSERT INTO models_app_runlatestmetric AS kept (run_id, key, step, at, value, is_nan) VALUES {rows}
    ON CONFLICT (run_id, key) DO UPDATE
    SET step = excluded.step, at = excluded.at, value = excluded.value, is_nan = excluded.is_nan
    WHERE (excluded.step, excluded.at, excluded.value, excluded.is_nan) > (kept.step, kept.at, kept.value, kept.is_nan)
"""


def _insert(statement: str, run: Run, rows: Sequence[_Row]) -> None:
    written = connection.ops.adapt_datetimefield_value
    moments = {at: written(at) for at in {row.at for row in rows}}
    for start in range(0, len(rows), _BATCH):
        some = rows[start : start + _BATCH]
        parameters = [
            value
            for key, step, at, number, is_nan in some
            for value in (run.pk, key, step, moments[at], number, is_nan)
        ]
        with connection.cursor() as cursor:
            cursor.execute(statement.format(rows=",".join(["(%s,%s,%s,%s,%s,%s)"] * len(some))), parameters)


def _write_of_models(run: Run, points: Sequence[Point], by: Actor) -> None:
    uids = {point.model for point in points}
    named = logged_models_for(by).select_related("experiment__team").filter(uid__in=_sane(uids))
    models = {model.uid: model for model in named}
    for uid in uids:
        if uid not in models:
            raise NotFound(f"Logged model with ID '{uid[:64]}' not found.")
    for experiment in {model.experiment for model in models.values()}:
        if experiment != run.experiment:
            require_logging(by, experiment.team)
    made = []
    for point in points:
        if len(point.dataset_name) > MAX_DATASET_NAME or len(point.dataset_digest) > MAX_DATASET_DIGEST:
            raise Invalid("metrics", "The name or digest of the dataset is too long.")
        if "\0" in point.dataset_name + point.dataset_digest:
            raise Invalid("metrics", "The name and digest of a dataset may not contain NUL.")
        made.append(
            LoggedModelMetric(
                logged_model=models[point.model],
                run=run,
                dataset_name=point.dataset_name,
                dataset_digest=point.dataset_digest,
                **as_kept(point)._asdict(),
            )
        )
    LoggedModelMetric.objects.bulk_create(made, ignore_conflicts=True, batch_size=_BATCH)


def _sane(texts: Iterable[str]) -> list[str]:
    """Those that a database takes as text."""
    return [text for text in texts if "\0" not in text]


def latest_metrics(run: Run) -> dict[str, float | None]:
    """The last value of each metric: greatest step, then time, then value. None is NaN."""
    rows = run.latest_metrics.order_by("key").values_list("key", "value", "is_nan")
    return {key: None if is_nan else value for key, value, is_nan in rows}


def history(run: Run, key: str) -> QuerySet[RunMetric]:
    """The points of one metric, by time."""
    points = RunMetric.objects.filter(run=run, key=key) if "\0" not in key else RunMetric.objects.none()
    return points.order_by("at", "step", "value", "id")


def sampled(
    runs: Sequence[Run], key: str, *, most: int, steps: tuple[int, int] | None = None
) -> list[dict[str, Any]]:
    """At most `most` points of each run, spread evenly over its curve, first and last among them, run by run.

    Each has the run's id as `run_id` and the columns of a point.
    """
    if "\0" in key:
        return []
    points = RunMetric.objects.filter(key=key)
    if steps is not None:
        points = points.filter(step__gte=steps[0], step__lte=steps[1])
    found: list[dict[str, Any]] = []
    for run in runs:
        of_run = points.filter(run=run)
        count = of_run.count()
        if count > most:
            nth = Window(RowNumber(), order_by=[F("step"), F("at"), F("value"), F("id")])
            of_run = of_run.annotate(nth=nth).filter(nth__in=_spread(count, most))
        found += of_run.order_by("step", "at", "value", "id").values("run_id", *_COLUMNS)
    return found


def _spread(count: int, most: int) -> list[int]:
    """`most` whole numbers from 1 to `count`, evenly, the ends among them; of one, the last."""
    if most == 1:
        return [count]
    return sorted({1 + round(n * (count - 1) / (most - 1)) for n in range(most)})
