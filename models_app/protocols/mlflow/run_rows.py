"""Runs as the protocol writes them: rows straight to dicts, with the same few queries for one run as for a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import QuerySet, Value

from models_app.models import (
    Run,
    RunInput,
    RunLatestMetric,
    RunModel,
    RunModelKind,
    RunParam,
    RunStatus,
    RunTag,
)
from models_app.registry.access import Actor, may_read, require_reading
from models_app.registry.errors import NotFound
from models_app.registry.prepared import Prepared

from . import locations
from .wire import ms, number, present

COLUMNS = (
    "id",
    "uid",
    "name",
    "experiment_id",
    "user_name",
    "status",
    "started_at",
    "ended_at",
    "deleted_at",
)
CONTEXT = "mlflow.data.context"
# As many ids as go into one statement on every database.
MANY = 10_000
_STATUS = {status.value: status.value.upper() for status in RunStatus}


def read(uid: str, actor: Actor) -> dict[str, Any]:
    """A run with all that it reported. Raises NotFound."""
    require_reading(actor)
    for *columns, visibility, team in _OF_UID(uid):
        if may_read(actor, visibility, team):
            return _one(dict(zip(COLUMNS, columns, strict=True)))
    raise NotFound(f"Run with id={uid[:64]} not found")


def _one(row: Mapping[str, Any]) -> dict[str, Any]:
    run = row["id"]
    pairs: dict[str, list[dict[str, str]]] = {"param": [], "tag": []}
    for kind, key, value in sorted(_PAIRS(run)):
        pairs[kind].append({"key": key, "value": value})
    metrics = [_metric(*columns) for columns in _METRICS(run)]
    models = _of_kinds(_MODELS(run))
    return {
        "info": info(row),
        "data": present(metrics=metrics, params=pairs["param"], tags=pairs["tag"]),
        "inputs": present(
            dataset_inputs=[_dataset(*columns) for columns in _DATASETS(run)],
            model_inputs=models[RunModelKind.INPUT],
        ),
        "outputs": present(model_outputs=models[RunModelKind.OUTPUT]),
    }


_METRIC = ("key", "value", "is_nan", "at", "step")
_DATASET = (
    "context",
    "tags",
    "dataset__name",
    "dataset__digest",
    "dataset__version",
    "dataset__source_type",
    "dataset__source",
    "dataset__schema",
    "dataset__profile",
)
_MODEL = ("logged_model__uid", "kind", "step")
_OF_UID = Prepared(
    lambda uid: (
        Run.objects.filter(uid=uid)
        .order_by()
        .values_list(*COLUMNS, "experiment__visibility", "experiment__team_id")
    ),
    str,
)
_METRICS = Prepared(
    lambda run: RunLatestMetric.objects.filter(run=run).order_by("key").values_list(*_METRIC), int
)
_PAIRS = Prepared(
    lambda run: _kind(RunParam.objects.filter(run=run), "param").union(
        _kind(RunTag.objects.filter(run=run), "tag"), all=True
    ),
    int,
)
_DATASETS = Prepared(lambda run: RunInput.objects.filter(run=run).order_by("id").values_list(*_DATASET), int)
_MODELS = Prepared(lambda run: RunModel.objects.filter(run=run).order_by("id").values_list(*_MODEL), int)


def _kind(rows: QuerySet[Any], kind: str) -> QuerySet[Any, Any]:
    return rows.order_by().annotate(kind=Value(kind)).values_list("kind", "key", "value")


def info(row: Mapping[str, Any]) -> dict[str, Any]:
    """The head of a run."""
    return present(
        run_id=row["uid"],
        run_uuid=row["uid"],
        run_name=row["name"],
        experiment_id=str(row["experiment_id"]),
        user_id=row["user_name"] or None,
        status=_STATUS[row["status"]],
        start_time=ms(row["started_at"]),
        end_time=ms(row["ended_at"]),
        artifact_uri=locations.of_run(row["experiment_id"], row["uid"]),
        lifecycle_stage="deleted" if row["deleted_at"] else "active",
    )


def fresh(run: Run, tags: Mapping[str, str]) -> dict[str, Any]:
    """A run that has nothing but these tags yet."""
    listed = [{"key": key, "value": value} for key, value in sorted(tags.items())]
    return {"info": info(columns_of(run)), "data": present(tags=listed), "inputs": {}, "outputs": {}}


def columns_of(run: Run) -> dict[str, Any]:
    """A run at hand as a row."""
    return {name: getattr(run, name) for name in COLUMNS}


def many(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Runs with their data, in the order given."""
    for start in range(0, len(rows), MANY):
        some = rows[start : start + MANY]
        ids = [row["id"] for row in some]
        metrics, params, tags = _metrics(ids), _pairs(RunParam, ids), _pairs(RunTag, ids)
        datasets, models = _datasets(ids), _models(ids)
        for row in some:
            run = row["id"]
            yield {
                "info": info(row),
                "data": present(metrics=metrics[run], params=params[run], tags=tags[run]),
                "inputs": present(dataset_inputs=datasets[run], model_inputs=models[run][RunModelKind.INPUT]),
                "outputs": present(model_outputs=models[run][RunModelKind.OUTPUT]),
            }


def _metric(key: str, value: float, is_nan: bool, at: datetime, step: int) -> dict[str, Any]:
    return {"key": key, "value": number(value, is_nan=is_nan), "timestamp": ms(at), "step": step}


def _metrics(ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rows = RunLatestMetric.objects.filter(run__in=ids).order_by("run", "key")
    for run, *columns in rows.values_list("run_id", *_METRIC):
        found[run].append(_metric(*columns))
    return found


def _pairs(table: type[RunParam] | type[RunTag], ids: list[int]) -> dict[int, list[dict[str, str]]]:
    found: dict[int, list[dict[str, str]]] = defaultdict(list)
    rows: QuerySet[Any] = table.objects.filter(run__in=ids).order_by("run", "key")
    for run, key, value in rows.values_list("run_id", "key", "value"):
        found[run].append({"key": key, "value": value})
    return found


def _dataset(context: str, remarks: Mapping[str, str], *columns: str) -> dict[str, Any]:
    name, digest, version, source_type, source, schema, profile = columns
    marks = ({CONTEXT: context} if context else {}) | dict(remarks)
    # Datasets that were registered without a digest are known by their version.
    dataset = {"name": name, "digest": digest or version, "source_type": source_type, "source": source}
    return {
        "tags": [{"key": key, "value": value} for key, value in marks.items()],
        "dataset": dataset | present(schema=schema or None, profile=profile or None),
    }


def _datasets(ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rows = RunInput.objects.filter(run__in=ids).order_by("id")
    for run, *columns in rows.values_list("run_id", *_DATASET):
        found[run].append(_dataset(*columns))
    return found


def _of_kinds(rows: Iterable[Sequence[Any]]) -> dict[str, list[dict[str, Any]]]:
    """Logged models that a run read, and that it wrote."""
    found: dict[str, list[dict[str, Any]]] = {RunModelKind.INPUT: [], RunModelKind.OUTPUT: []}
    for uid, kind, step in rows:
        found[kind].append({"model_id": uid} | ({"step": step} if kind == RunModelKind.OUTPUT else {}))
    return found


def _models(ids: list[int]) -> dict[int, dict[str, list[dict[str, Any]]]]:
    rows: dict[int, list[Any]] = defaultdict(list)
    found = RunModel.objects.filter(run__in=ids).order_by("id")
    for run, *columns in found.values_list("run_id", *_MODEL):
        rows[run].append(columns)
    return {run: _of_kinds(rows[run]) for run in ids}
