"""What a search for runs asks, in terms of the tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from django.db.models import Case, CharField, Exists, F, FilteredRelation, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Cast, Concat, Left, Upper
from django.http import HttpRequest
from django.urls import path

from models_app.http.paging import Direction, keyset_page
from models_app.models import Run, RunInput, RunLatestMetric, RunParam, RunTag
from models_app.registry import runs
from models_app.registry.access import Actor
from models_app.registry.errors import Invalid

from . import filters, locations, run_rows
from .errors import WireError
from .experiments import limit_of, numbers_of, view_of
from .filters import Condition, Grammar
from .wire import IntLike, call, present

_KINDS = {
    "metric": "metric",
    "metrics": "metric",
    "param": "param",
    "params": "param",
    "parameter": "param",
    "parameters": "param",
    "tag": "tag",
    "tags": "tag",
    "attribute": "attribute",
    "attributes": "attribute",
    "attr": "attribute",
    "run": "attribute",
    "dataset": "dataset",
    "datasets": "dataset",
}
GRAMMAR = Grammar(
    attributes={
        "run_id": "string",
        "run_name": "string",
        "status": "string",
        "artifact_uri": "string",
        "user_id": "string",
        "start_time": "number",
        "end_time": "number",
    },
    kinds=_KINDS,
    synonyms={
        "created": "start_time",
        "Created": "start_time",
        "run name": "run_name",
        "Run name": "run_name",
        "Run Name": "run_name",
    },
    ops={
        "run_name": filters.LIKE,
        "status": filters.LIKE,
        "artifact_uri": filters.LIKE,
        "user_id": filters.LIKE,
        "param": filters.LIKE | filters.NULL,
        "tag": filters.LIKE | filters.NULL,
        "dataset": filters.STRING,
    },
)
COLUMNS = {
    "run_id": "uid",
    "run_name": "name",
    "status": "status_word",
    "artifact_uri": "location",
    "user_id": "user_name",
    "start_time": "started_at",
    "end_time": "ended_at",
}
TIMES = {"start_time", "end_time"}
DATASET = {"name": "dataset__name", "digest": "dataset__digest", "context": "context"}
# Longer texts are in the order of their start.
SORTED_BY = 100


class Search(msgspec.Struct):
    experiment_ids: list[str | int] = []
    filter: str = ""
    run_view_type: str | int = "ACTIVE_ONLY"
    max_results: IntLike | None = None
    order_by: list[str] = []
    page_token: str = ""


@call(Search)
def search(request: HttpRequest, actor: Actor, message: Search) -> dict[str, Any]:
    found = runs.runs_for(actor).select_related(None)
    found = found.filter(experiment__in=numbers_of(message.experiment_ids))
    found = found.filter(view_of(message.run_view_type))
    for condition in filters.parse(message.filter, GRAMMAR):
        found = _narrowed(found, condition)
    found, order = _ordered(found, message.order_by)
    try:
        page = keyset_page(
            found.values(*run_rows.COLUMNS, *(name for name, _ in order if name not in run_rows.COLUMNS)),
            order=order,
            cursor=message.page_token or None,
            limit=limit_of(message.max_results),
        )
    except Invalid as error:
        raise WireError(f"Invalid page token, {error.problems[0].message}") from error
    return present(runs=list(run_rows.many(page.items)), next_page_token=page.next_cursor)


def _with_column(found: QuerySet[Run], key: str) -> QuerySet[Run]:
    """The runs with the column of an attribute, which some have to be made for."""
    if key == "status":
        return found.annotate(status_word=Upper("status"))
    if key == "artifact_uri":
        parts = (Value(locations.SCHEME), Cast("experiment_id", CharField()), Value("/"), "uid")
        return found.annotate(location=Concat(*parts, Value("/artifacts")))
    return found


def _narrowed(found: QuerySet[Run], condition: Condition) -> QuerySet[Run]:
    key, op, value = condition.key, condition.op, condition.value
    if condition.kind == "attribute":
        if key in TIMES:
            return found.filter(filters.when(COLUMNS[key], op, value))
        found = _with_column(found, key)
        return found.filter(filters.where(COLUMNS[key], op, value))
    if condition.kind == "metric":
        rows = RunLatestMetric.objects.filter(run=OuterRef("pk"), key=key)
        fits = filters.where("value", op, value)
        # NaN differs from everything, and compares with nothing.
        return found.filter(
            Exists(rows.filter(fits | Q(is_nan=True) if op == "!=" else fits & Q(is_nan=False)))
        )
    if condition.kind == "dataset":
        return found.filter(Exists(_inputs(key).filter(filters.where(DATASET[key], op, value))))
    table: Any = RunParam if condition.kind == "param" else RunTag
    pairs = table.objects.filter(run=OuterRef("pk"), key=key)
    if op in filters.NULL:
        return found.filter(~Exists(pairs) if op == "IS NULL" else Exists(pairs))
    return found.filter(Exists(pairs.filter(filters.where("value", op, value))))


def _inputs(key: str) -> QuerySet[RunInput]:
    if key not in DATASET:
        raise WireError(f"Invalid dataset key '{key[:60]}' specified. Valid keys are {', '.join(DATASET)}.")
    inputs = RunInput.objects.filter(run=OuterRef("pk"))
    return inputs.exclude(context="") if key == "context" else inputs


def _ordered(found: QuerySet[Run], items: Sequence[str]) -> tuple[QuerySet[Run], list[tuple[str, Direction]]]:
    """The order asked for, then by start and uid. NaN, then what is missing, come last in either direction."""
    order: list[tuple[str, Direction]] = []
    for at, item in enumerate(filters.parse_order(items, GRAMMAR)):
        direction: Direction = "asc" if item.ascending else "desc"
        if item.kind == "attribute":
            found = _with_column(found, item.key)
            order.append((COLUMNS[item.key], direction))
            continue
        if item.kind == "dataset":
            raise WireError(f"Invalid order_by entity type 'dataset' with key '{item.key[:60]}'.")
        found, columns = _joined(found, item.kind, item.key, at)
        order += [(columns[0], "asc"), (columns[1], direction)]
    named = {name for name, _ in order}
    last: list[tuple[str, Direction]] = [("started_at", "desc"), ("uid", "asc")]
    return found, order + [column for column in last if column[0] not in named]


def _joined(found: QuerySet[Run], kind: str, key: str, at: int) -> tuple[QuerySet[Run], tuple[str, str]]:
    """The runs with the value of one metric, param or tag to sort by, and before it whether it is there."""
    relation = {"metric": "latest_metrics", "param": "params", "tag": "tags"}[kind]
    joined, rank, value = f"by_{at}", f"rank_{at}", f"value_{at}"
    found = found.annotate(**{joined: FilteredRelation(relation, condition=Q(**{f"{relation}__key": key}))})
    missing = When(**{f"{joined}__id": None}, then=Value(2))
    if kind == "metric":
        nan = When(**{f"{joined}__is_nan": True}, then=Value(1))
        return found.annotate(**{rank: Case(nan, missing, default=Value(0)), value: F(f"{joined}__value")}), (
            rank,
            value,
        )
    start = Left(f"{joined}__value", SORTED_BY)
    return found.annotate(**{rank: Case(missing, default=Value(0)), value: start}), (rank, value)


routes = [path("runs/search", search)]
