"""Runs: create, read, change, log to, note inputs and outputs. Search is in run_search.py, curves in histories.py."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from django.http import HttpRequest
from django.urls import path

from models_app.models import RunStatus
from models_app.registry import datasets, experiments
from models_app.registry import runs as verbs
from models_app.registry.access import Actor
from models_app.registry.run_metrics import Point

from . import histories, keys, run_rows, run_search
from .errors import WireError, missing
from .experiments import number_of
from .wire import IntLike, KeyValue, call, moment, real, whole

MAX_METRICS = 1000
MAX_PAIRS = 100
MAX_ENTITIES = 1000
MAX_DATASETS = 1000
# In the order of the protocol's enumeration, which some clients send as a number.
STATUS = {
    "RUNNING": RunStatus.RUNNING,
    "SCHEDULED": RunStatus.SCHEDULED,
    "FINISHED": RunStatus.FINISHED,
    "FAILED": RunStatus.FAILED,
    "KILLED": RunStatus.KILLED,
}


class Named(msgspec.Struct):
    """A run. Old clients say run_uuid, most say both."""

    run_id: str = ""
    run_uuid: str = ""


def uid_in(message: Any) -> str:
    """Raises WireError without one."""
    uid = message.run_id or message.run_uuid
    if not uid:
        raise missing("run_id")
    return str(uid)


class Create(msgspec.Struct):
    experiment_id: str = ""
    user_id: str = ""
    run_name: str = ""
    start_time: IntLike | None = None
    tags: list[KeyValue] = []


@call(Create)
def create(request: HttpRequest, actor: Actor, message: Create) -> dict[str, Any]:
    # Only here does the original take keys of any characters.
    tags = {tag.key: (tag.value or "")[: keys.MAX_TAG] for tag in message.tags}
    run = verbs.start_run(
        experiments.get_experiment(number_of(message.experiment_id), by=actor),
        by=actor,
        name=message.run_name,
        user_name=message.user_id,
        started_at=moment(message.start_time, "start_time"),
        tags=tags,
    )
    return {"run": run_rows.fresh(run, tags | {verbs.NAME_TAG: run.name})}


@call(Named, "GET")
def get(request: HttpRequest, actor: Actor, message: Named) -> dict[str, Any]:
    return {"run": run_rows.read(uid_in(message), actor)}


class Update(Named):
    status: str | int | None = None
    end_time: IntLike | None = None
    run_name: str = ""


@call(Update)
def update(request: HttpRequest, actor: Actor, message: Update) -> dict[str, Any]:
    run = verbs.update_run(
        uid_in(message),
        by=actor,
        status=_status(message.status) if message.status else None,
        ended_at=moment(message.end_time, "end_time"),
        name=message.run_name,
    )
    return {"run_info": run_rows.info(run_rows.columns_of(run))}


def _status(word: str | int) -> str:
    by_number = {str(number): status for number, status in enumerate(STATUS.values(), 1)}
    found = (STATUS | by_number).get(str(word))
    if found is None:
        raise WireError(
            f"Invalid value {str(word)[:50]} for parameter 'status' supplied: one of {', '.join(STATUS)}."
        )
    return found


@call(Named)
def delete(request: HttpRequest, actor: Actor, message: Named) -> dict[str, Any]:
    verbs.delete_run(uid_in(message), by=actor)
    return {}


@call(Named)
def restore(request: HttpRequest, actor: Actor, message: Named) -> dict[str, Any]:
    verbs.restore_run(uid_in(message), by=actor)
    return {}


# --- logging --------------------------------------------------------------------------------------------------


class MetricIn(msgspec.Struct):
    key: str
    value: float | str
    timestamp: IntLike
    step: IntLike | None = None
    model_id: str | None = None
    dataset_name: str | None = None
    dataset_digest: str | None = None


class LogMetric(MetricIn, kw_only=True):
    run_id: str = ""
    run_uuid: str = ""


def _point(metric: MetricIn, where: str = "") -> Point:
    at = moment(metric.timestamp, f"{where}timestamp")
    if at is None or at.year < 1970:
        raise WireError(
            f"Invalid value {str(metric.timestamp)[:50]} for parameter '{where}timestamp' supplied: Timestamp must be "
            "a nonnegative long (64-bit integer)"
        )
    return Point(
        keys.check(metric.key, f"{where}name"),
        real(metric.value, f"{where}value"),
        at,
        whole(metric.step, f"{where}step"),
        metric.model_id or "",
        metric.dataset_name or "",
        metric.dataset_digest or "",
    )


@call(LogMetric)
def log_metric(request: HttpRequest, actor: Actor, message: LogMetric) -> dict[str, Any]:
    verbs.log_batch(uid_in(message), points=[_point(message)], by=actor)
    return {}


class Pair(Named, kw_only=True):
    key: str
    value: str | None = ""


@call(Pair)
def log_parameter(request: HttpRequest, actor: Actor, message: Pair) -> dict[str, Any]:
    value = (message.value or "")[: keys.MAX_PARAM]
    verbs.log_batch(uid_in(message), params={keys.check(message.key, "key"): value}, by=actor)
    return {}


@call(Pair)
def set_tag(request: HttpRequest, actor: Actor, message: Pair) -> dict[str, Any]:
    value = (message.value or "")[: keys.MAX_TAG]
    verbs.log_batch(uid_in(message), tags={keys.check(message.key, "key"): value}, by=actor)
    return {}


class DeleteTag(Named, kw_only=True):
    key: str


@call(DeleteTag)
def delete_tag(request: HttpRequest, actor: Actor, message: DeleteTag) -> dict[str, Any]:
    verbs.delete_tag(uid_in(message), key=message.key, by=actor)
    return {}


class Batch(msgspec.Struct):
    run_id: str
    metrics: list[MetricIn] = []
    params: list[KeyValue] = []
    tags: list[KeyValue] = []


@call(Batch)
def log_batch(request: HttpRequest, actor: Actor, message: Batch) -> dict[str, Any]:
    for name, count, limit in (
        ("metrics", len(message.metrics), MAX_METRICS),
        ("params", len(message.params), MAX_PAIRS),
        ("tags", len(message.tags), MAX_PAIRS),
        (
            "metrics, params, and tags",
            len(message.metrics) + len(message.params) + len(message.tags),
            MAX_ENTITIES,
        ),
    ):
        if count > limit:
            raise WireError(
                f"A batch logging request can contain at most {limit} {name}. Got {count} {name}. Please split up "
                f"{name} across multiple requests and try again."
            )
    verbs.log_batch(
        message.run_id,
        points=[_point(metric, f"metrics[{index}].") for index, metric in enumerate(message.metrics)],
        params=keys.params(message.params),
        tags=keys.tags(message.tags),
        by=actor,
    )
    return {}


# --- inputs and outputs ---------------------------------------------------------------------------------------


class DatasetIn(msgspec.Struct):
    name: str
    digest: str
    source_type: str = ""
    source: str = ""
    schema: str | None = None
    profile: str | None = None


class DatasetInput(msgspec.Struct):
    dataset: DatasetIn
    tags: list[KeyValue] = []


class ModelInput(msgspec.Struct):
    model_id: str


class Inputs(msgspec.Struct):
    run_id: str
    datasets: list[DatasetInput] = []
    models: list[ModelInput] = []


def _read(item: DatasetInput) -> datasets.Read:
    tags = {tag.key: tag.value or "" for tag in item.tags}
    context = tags.get(run_rows.CONTEXT, "")
    if len(context) <= datasets.MAX_CONTEXT:
        tags.pop(run_rows.CONTEXT, None)
    return datasets.Read(
        name=item.dataset.name,
        digest=item.dataset.digest,
        context=context,
        source_type=item.dataset.source_type,
        source=item.dataset.source,
        schema=item.dataset.schema or "",
        profile=item.dataset.profile or "",
        tags=tags,
    )


@call(Inputs)
def log_inputs(request: HttpRequest, actor: Actor, message: Inputs) -> dict[str, Any]:
    if len(message.datasets) > MAX_DATASETS or len(message.models) > MAX_DATASETS:
        raise WireError(f"At most {MAX_DATASETS} datasets and {MAX_DATASETS} models can be logged at once.")
    verbs.log_inputs(
        message.run_id,
        reads=[_read(item) for item in message.datasets],
        models=[model.model_id for model in message.models],
        by=actor,
    )
    return {}


class ModelOutput(msgspec.Struct):
    model_id: str
    step: IntLike | None = None


class Outputs(msgspec.Struct):
    run_id: str
    models: list[ModelOutput]


@call(Outputs)
def outputs(request: HttpRequest, actor: Actor, message: Outputs) -> dict[str, Any]:
    if len(message.models) > MAX_DATASETS:
        raise WireError(f"At most {MAX_DATASETS} models can be logged at once.")
    steps = {model.model_id: whole(model.step, "models.step") for model in message.models}
    verbs.log_outputs(message.run_id, models=steps, by=actor)
    return {}


class LogModel(msgspec.Struct):
    run_id: str
    model_json: str


MODEL_FIELDS = ("artifact_path", "flavors", "utc_time_created", "run_id")


@call(LogModel)
def log_model(request: HttpRequest, actor: Actor, message: LogModel) -> dict[str, Any]:
    """What 2.x clients send behind a model that they put among the run's files."""
    try:
        model = json.loads(message.model_json)
    except (ValueError, RecursionError):
        model = None
    if not isinstance(model, dict):
        raise WireError(f"Malformed model info. \n {message.model_json[:200]} \n is not a valid JSON object.")
    if absent := [name for name in MODEL_FIELDS if name not in model]:
        raise WireError(f"Model json is missing mandatory fields: {', '.join(absent)}")
    if not isinstance(model["flavors"], dict):
        raise WireError("Model json is malformed: 'flavors' must be an object.")
    facts = {name: model[name] for name in (*MODEL_FIELDS, "model_uuid") if name in model}
    facts["flavors"] = {
        name: {key: value for key, value in flavor.items() if key != "config"}
        if isinstance(flavor, dict)
        else flavor
        for name, flavor in model["flavors"].items()
    }
    verbs.note_model(message.run_id, facts=facts, by=actor)
    return {}


# Relative to /api/2.0/mlflow/ and /ajax-api/2.0/mlflow/.
routes = [
    path("runs/create", create),
    path("runs/get", get),
    path("runs/update", update),
    path("runs/delete", delete),
    path("runs/restore", restore),
    path("runs/log-metric", log_metric),
    path("runs/log-parameter", log_parameter),
    path("runs/set-tag", set_tag),
    path("runs/delete-tag", delete_tag),
    path("runs/log-batch", log_batch),
    path("runs/log-inputs", log_inputs),
    path("runs/outputs", outputs),
    path("runs/log-model", log_model),
    *run_search.routes,
    *histories.routes,
]
