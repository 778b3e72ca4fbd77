"""The points of metrics: one run's curve, or samples of several."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest
from django.urls import path

from models_app.http.paging import keyset_page
from models_app.models import Run, RunMetric
from models_app.registry import run_metrics, runs
from models_app.registry.access import Actor
from models_app.registry.errors import Invalid, NotFound

from .errors import WireError, missing
from .wire import IntLike, call, ms, number, present, whole

COLUMNS = ("id", "key", "value", "is_nan", "at", "step")
MAX_RUNS = 100
MAX_POINTS = 25_000
MAX_SAMPLES = 2500


class History(msgspec.Struct):
    metric_key: str
    run_id: str = ""
    run_uuid: str = ""
    max_results: IntLike | None = None
    page_token: str = ""


@call(History, "GET")
def history(request: HttpRequest, actor: Actor, message: History) -> dict[str, Any]:
    """Every point by time; in pages only when the client asks for pages."""
    if not (message.run_id or message.run_uuid):
        raise missing("run_id")
    run = runs.get_run(message.run_id or message.run_uuid, by=actor)
    points = run_metrics.history(run, message.metric_key).values(*COLUMNS)
    if message.max_results is None:
        return present(metrics=[_point(row, run.uid) for row in points])
    limit = whole(message.max_results, "max_results")
    if limit < 1:
        raise WireError(
            f"Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer."
        )
    try:
        page = keyset_page(
            points.order_by(),
            order=[("at", "asc"), ("step", "asc"), ("value", "asc"), ("id", "asc")],
            cursor=message.page_token or None,
            limit=limit,
        )
    except Invalid as error:
        raise WireError(f"Invalid page token, {error.problems[0].message}") from error
    return present(metrics=[_point(row, run.uid) for row in page.items], next_page_token=page.next_cursor)


def _point(row: Any, run_uid: str) -> dict[str, Any]:
    return {
        "key": row["key"],
        "value": number(row["value"], is_nan=row["is_nan"]),
        "timestamp": ms(row["at"]),
        "step": row["step"],
        "run_id": run_uid,
    }


def _runs(uids: list[str], actor: Actor) -> list[Run]:
    """In the order of the uids. Raises WireError, NotFound for the first that is not there."""
    if not uids:
        raise missing("run_ids")
    if len(uids) > MAX_RUNS:
        raise WireError(f"At most {MAX_RUNS} run_ids can be asked at once. Received {len(uids)} run_ids.")
    known = {run.uid: run for run in runs.runs_for(actor).filter(uid__in=uids)}
    for uid in uids:
        if uid not in known:
            raise NotFound(f"Run with id={uid[:64]} not found")
    return [known[uid] for uid in dict.fromkeys(uids)]


class Samples(msgspec.Struct):
    metric_key: str
    run_ids: list[str] = []
    start_step: IntLike | None = None
    end_step: IntLike | None = None
    max_results: IntLike | None = None


@call(Samples, "GET")
def samples(request: HttpRequest, actor: Actor, message: Samples) -> dict[str, Any]:
    """At most so many points of each run, spread evenly over its curve."""
    most = whole(message.max_results, "max_results", default=MAX_SAMPLES)
    if not 1 <= most <= MAX_SAMPLES:
        raise WireError(f"max_results must be between 1 and {MAX_SAMPLES}.")
    if (message.start_step is None) != (message.end_step is None):
        raise WireError("If either start step or end step are specified, both must be specified.")
    steps = None
    if message.start_step is not None:
        steps = whole(message.start_step, "start_step"), whole(message.end_step, "end_step")
        if steps[0] > steps[1]:
            raise WireError(
                "end_step must be greater than start_step. Found "
                f"start_step={steps[0]} and end_step={steps[1]}."
            )
    of = _runs(message.run_ids, actor)
    uids = {run.pk: run.uid for run in of}
    rows = run_metrics.sampled(of, message.metric_key, most=most, steps=steps)
    return present(metrics=[_point(row, uids[row["run_id"]]) for row in rows])


class Bulk(msgspec.Struct):
    metric_key: str
    run_id: list[str] = []
    max_results: IntLike | None = None


@call(Bulk, "GET")
def bulk(request: HttpRequest, actor: Actor, message: Bulk) -> dict[str, Any]:
    """The first points of several runs, run by run; what older pages of the original ask."""
    most = min(whole(message.max_results, "max_results", default=MAX_POINTS), MAX_POINTS)
    uids = {run.pk: run.uid for run in _runs(message.run_id, actor)}
    rows = RunMetric.objects.filter(run__in=list(uids), key=message.metric_key)
    ordered = rows.order_by("run__uid", "at", "step", "value").values("run_id", *COLUMNS)
    return present(metrics=[_point(row, uids[row["run_id"]]) for row in ordered[: max(most, 0)]])


routes = [
    path("metrics/get-history", history),
    path("metrics/get-history-bulk", bulk),
    path("metrics/get-history-bulk-interval", samples),
]
