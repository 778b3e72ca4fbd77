"""What a search for logged models asks, in terms of the tables."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec
from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Cast, Concat

from models_app.http.paging import Direction, Page, keyset_page
from models_app.models import (
    LoggedModel,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelStatus,
    LoggedModelTag,
)
from models_app.registry.errors import Invalid

from . import filters, locations
from .errors import WireError, missing
from .filters import Condition, Grammar

GRAMMAR = Grammar(
    attributes={
        "name": "string",
        "model_id": "string",
        "model_type": "string",
        "status": "string",
        "source_run_id": "string",
        "experiment_id": "string",
        "artifact_location": "string",
        "creation_timestamp": "number",
        "last_updated_timestamp": "number",
    },
    kinds={"attributes": "attribute", "metrics": "metric", "params": "param", "tags": "tag"},
    synonyms={
        "creation_time": "creation_timestamp",
        "creation_timestamp_ms": "creation_timestamp",
        "last_updated_timestamp_ms": "last_updated_timestamp",
        "artifact_uri": "artifact_location",
    },
    ops={
        "status": filters.EQUAL | {"IN", "NOT IN"},
        "param": filters.STRING,
        "tag": filters.STRING,
    },
)
COLUMNS = {
    "name": "name",
    "model_id": "uid",
    "model_type": "model_type",
    "status": "status",
    "source_run_id": "source_run__uid",
    "experiment_id": "experiment_text",
    "artifact_location": "location",
    "creation_timestamp": "created_at",
    "last_updated_timestamp": "updated_at",
}
STATUS = {
    LoggedModelStatus.PENDING: "LOGGED_MODEL_PENDING",
    LoggedModelStatus.READY: "LOGGED_MODEL_READY",
    LoggedModelStatus.FAILED: "LOGGED_MODEL_UPLOAD_FAILED",
}
# As a filter may write them: with and without what all have in common.
STATUS_WORDS = {
    word: status
    for status, name in STATUS.items()
    for word in (name, name.removeprefix("LOGGED_MODEL_"), name.rpartition("_")[2])
}
MAX_ORDER = 10


class DatasetFilter(msgspec.Struct):
    dataset_name: str = ""
    dataset_digest: str = ""


class OrderBy(msgspec.Struct):
    field_name: str = ""
    ascending: bool = True
    dataset_name: str = ""
    dataset_digest: str = ""


def narrowed(
    models: QuerySet[LoggedModel], text: str, datasets: Sequence[DatasetFilter]
) -> QuerySet[LoggedModel]:
    """The models that fit the filter, on one of the datasets if some are named. Raises WireError."""
    if not all(dataset.dataset_name for dataset in datasets):
        raise missing("datasets.dataset_name")
    conditions = filters.parse(text, GRAMMAR)
    models = _annotated(models, {condition.key for condition in conditions if condition.kind == "attribute"})
    on = _on_datasets(datasets)
    for condition in conditions:
        models = models.filter(_meaning(condition, on))
    if datasets and not any(condition.kind == "metric" for condition in conditions):
        models = models.filter(Exists(_metrics().filter(on)))
    return models


def _annotated(models: QuerySet[LoggedModel], keys: set[str]) -> QuerySet[LoggedModel]:
    if "experiment_id" in keys:
        models = models.annotate(experiment_text=Cast("experiment_id", CharField()))
    if "artifact_location" in keys:
        models = models.annotate(
            location=Concat(
                Value(locations.SCHEME),
                Cast("experiment_id", CharField()),
                Value("/models/"),
                "uid",
                Value("/artifacts"),
            )
        )
    return models


def _metrics() -> QuerySet[LoggedModelMetric]:
    return LoggedModelMetric.objects.filter(logged_model=OuterRef("pk"))


def _on_datasets(datasets: Sequence[DatasetFilter]) -> Q:
    found = Q()
    for dataset in datasets:
        one = Q(dataset_name=dataset.dataset_name)
        if dataset.dataset_digest:
            one &= Q(dataset_digest=dataset.dataset_digest)
        found |= one
    return found


def _meaning(condition: Condition, on: Q) -> Q:
    key, op, value = condition.key, condition.op, condition.value
    if condition.kind == "metric":
        points = _metrics().filter(on, filters.where("value", op, value), key=key, is_nan=False)
        return Q(Exists(points))
    if condition.kind in ("param", "tag"):
        rows: Any = LoggedModelParam if condition.kind == "param" else LoggedModelTag
        found = rows.objects.filter(filters.where("value", op, value), logged_model=OuterRef("pk"), key=key)
        return Q(Exists(found))
    column = COLUMNS[key]
    if key in ("creation_timestamp", "last_updated_timestamp"):
        return filters.when(column, op, value)
    if key == "status":
        value = [_status(word) for word in value] if isinstance(value, list) else _status(value)
    found_there = filters.where(column, op, value)
    return found_there & Q(source_run__isnull=False) if key == "source_run_id" else found_there


def _status(word: str) -> str:
    found = STATUS_WORDS.get(word.upper())
    if found is None:
        raise WireError(f"Invalid status '{word[:40]}'. Valid values are {', '.join(STATUS.values())}.")
    return found


def page_of(
    models: QuerySet[LoggedModel], *, order_by: Sequence[OrderBy], token: str, limit: int, pinned: Any
) -> Page[Any]:
    """A page in this order; models without a value come last. A token is good for what it was made for (`pinned`)."""
    stamp = hashlib.sha256(msgspec.json.encode([pinned, order_by])).hexdigest()[:16]
    begun, _, cursor = token.partition(".")
    if token and begun != stamp:
        raise WireError("Invalid page token: it was made for another search.")
    models, order = _ordered(models, order_by)
    try:
        page = keyset_page(models, order=order, cursor=cursor or None, limit=limit)
    except Invalid as error:
        raise WireError(f"Invalid page token: {error.problems[0].message}") from error
    return Page(page.items, page.next_cursor and f"{stamp}.{page.next_cursor}")


def _ordered(
    models: QuerySet[LoggedModel], order_by: Sequence[OrderBy]
) -> tuple[QuerySet[LoggedModel], list[tuple[str, Direction]]]:
    if len(order_by) > MAX_ORDER:
        raise WireError(f"Invalid order_by: at most {MAX_ORDER} fields.")
    order: list[tuple[str, Direction]] = []
    for at, item in enumerate(order_by):
        direction: Direction = "asc" if item.ascending else "desc"
        entity, dot, name = item.field_name.partition(".")
        if dot and entity != "attributes":
            if entity != "metrics" or not name:
                raise WireError(
                    f"Invalid order by field name: {item.field_name[:100]}. Only metrics are supported."
                )
            column = f"metric_{at}"
            models = models.annotate(**{column: _latest(name.strip("`"), item)})
        else:
            key = GRAMMAR.synonyms.get(name or entity, name or entity)
            if key not in COLUMNS:
                raise WireError(f"Invalid order by field name: {item.field_name[:100]}")
            models = _annotated(models, {key} - {"experiment_id"})
            column = "experiment_id" if key == "experiment_id" else COLUMNS[key]
        if any(column == known for known, _ in order):
            raise WireError(f"`order_by` contains duplicate fields: {item.field_name[:100]}")
        order.append((column, direction))
    if not any(column == "created_at" for column, _ in order):
        order.append(("created_at", "desc"))
    return models, [*order, ("id", "desc")]


def _latest(key: str, item: OrderBy) -> Subquery:
    """The last value of a metric, on the dataset if one is named; none for NaN."""
    points = _metrics().filter(key=key)
    if item.dataset_name:
        points = points.filter(dataset_name=item.dataset_name)
    if item.dataset_digest:
        points = points.filter(dataset_digest=item.dataset_digest)
    value = Case(When(is_nan=True, then=None), default=F("value"))
    return Subquery(points.order_by("-at", "-step", "run__uid").annotate(last=value).values("last")[:1])
