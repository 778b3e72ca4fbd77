"""Runs as the protocol writes them: rows straight to dicts, with the same few queries for one run as for a page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db.models import QuerySet

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
from models_app.registry import runs
from models_app.registry.access import Actor
from models_app.registry.errors import NotFound

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
    found = runs.runs_for(actor).filter(uid=uid).order_by()
    row = found.values(*COLUMNS).first()
    if row is None:
        raise NotFound(f"Run with id={uid[:64]} not found")
    return next(many([row]))


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
        datasets, (read_models, made_models) = _datasets(ids), _models(ids)
        for row in some:
            run = row["id"]
            yield {
                "info": info(row),
                "data": present(metrics=metrics[run], params=params[run], tags=tags[run]),
                "inputs": present(dataset_inputs=datasets[run], model_inputs=read_models[run]),
                "outputs": present(model_outputs=made_models[run]),
            }


def _metrics(ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rows = RunLatestMetric.objects.filter(run__in=ids).order_by("run", "key")
    for run, key, value, is_nan, at, step in rows.values_list(
        "run_id", "key", "value", "is_nan", "at", "step"
    ):
        found[run].append(
            {"key": key, "value": number(value, is_nan=is_nan), "timestamp": ms(at), "step": step}
        )
    return found


def _pairs(table: type[RunParam] | type[RunTag], ids: list[int]) -> dict[int, list[dict[str, str]]]:
    found: dict[int, list[dict[str, str]]] = defaultdict(list)
    rows: QuerySet[Any] = table.objects.filter(run__in=ids).order_by("run", "key")
    for run, key, value in rows.values_list("run_id", "key", "value"):
        found[run].append({"key": key, "value": value})
    return found


def _datasets(ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    rows = RunInput.objects.filter(run__in=ids).order_by("id")
    for row in rows.values(
        "run_id",
        "context",
        "tags",
        "dataset__name",
        "dataset__digest",
        "dataset__version",
        "dataset__source_type",
        "dataset__source",
        "dataset__schema",
        "dataset__profile",
    ):
        marks = ({CONTEXT: row["context"]} if row["context"] else {}) | row["tags"]
        found[row["run_id"]].append(
            {
                "tags": [{"key": key, "value": value} for key, value in marks.items()],
                "dataset": {
                    "name": row["dataset__name"],
                    # Datasets that were registered without one are known by their version.
                    "digest": row["dataset__digest"] or row["dataset__version"],
                    "source_type": row["dataset__source_type"],
                    "source": row["dataset__source"],
                }
                | present(schema=row["dataset__schema"] or None, profile=row["dataset__profile"] or None),
            }
        )
    return found


def _models(ids: list[int]) -> tuple[dict[int, list[Any]], dict[int, list[Any]]]:
    """Logged models that the runs read, and that they wrote."""
    read_by: dict[int, list[Any]] = defaultdict(list)
    made_by: dict[int, list[Any]] = defaultdict(list)
    rows = RunModel.objects.filter(run__in=ids).order_by("id")
    for run, uid, kind, step in rows.values_list("run_id", "logged_model__uid", "kind", "step"):
        if kind == RunModelKind.INPUT:
            read_by[run].append({"model_id": uid})
        else:
            made_by[run].append({"model_id": uid, "step": step})
    return read_by, made_by
