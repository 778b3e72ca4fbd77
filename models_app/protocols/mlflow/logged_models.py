"""Logged models: create, finish, find, search, tags, params."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import path

from models_app.models import (
    LoggedModel,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelStatus,
    LoggedModelTag,
)
from models_app.registry import experiments, runs
from models_app.registry import logged_models as verbs
from models_app.registry.access import Actor
from models_app.registry.errors import NotFound

from . import locations
from .errors import WireError
from .logged_model_search import STATUS, DatasetFilter, OrderBy, narrowed, page_of
from .wire import IntLike, KeyValue, Nothing, by_method, call, ms, number, pairs, present, whole

DEFAULT_PAGE = 100
MAX_PAGE = 50_000
# In the order of the protocol's numbers, from 1.
STATUSES = [LoggedModelStatus.PENDING, LoggedModelStatus.READY, LoggedModelStatus.FAILED]
COLUMNS = (
    "id",
    "uid",
    "name",
    "experiment_id",
    "created_at",
    "updated_at",
    "status",
    "status_message",
    "model_type",
    "source_run__uid",
)


# --- Answers ------------------------------------------------------------------------------------------------------


def shown(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of COLUMNS as the protocol has logged models, with tags, params and metrics: three queries for all."""
    ids = [row["id"] for row in rows]
    tags, params = _by_model(LoggedModelTag.objects, ids), _by_model(LoggedModelParam.objects, ids)
    metrics = _metrics(ids)
    return [
        {
            "info": present(
                model_id=row["uid"],
                experiment_id=str(row["experiment_id"]),
                name=row["name"],
                creation_timestamp_ms=ms(row["created_at"]),
                last_updated_timestamp_ms=ms(row["updated_at"]),
                artifact_uri=locations.of_logged_model(row["experiment_id"], row["uid"]),
                status=STATUS[row["status"]],
                status_message=row["status_message"] or None,
                model_type=row["model_type"] or None,
                source_run_id=row["source_run__uid"],
                tags=tags[row["id"]],
            ),
            "data": present(params=params[row["id"]], metrics=metrics[row["id"]]),
        }
        for row in rows
    ]


def _by_model(rows: Any, ids: list[int]) -> dict[int, list[dict[str, str]]]:
    found: dict[int, list[dict[str, str]]] = defaultdict(list)
    for at in range(0, len(ids), 1000):
        some = rows.filter(logged_model__in=ids[at : at + 1000]).order_by("logged_model", "key")
        for model, key, value in some.values_list("logged_model_id", "key", "value"):
            found[model].append({"key": key, "value": value})
    return found


def _metrics(ids: list[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    names = ("key", "value", "is_nan", "at", "step", "dataset_name", "dataset_digest", "run__uid")
    for at in range(0, len(ids), 1000):
        points = LoggedModelMetric.objects.filter(logged_model__in=ids[at : at + 1000]).order_by("id")
        for model, uid, key, value, is_nan, when, step, dataset, digest, run in points.values_list(
            "logged_model_id", "logged_model__uid", *names
        ):
            found[model].append(
                present(
                    key=key,
                    value=number(value, is_nan=is_nan),
                    timestamp=ms(when),
                    step=step,
                    model_id=uid,
                    dataset_name=dataset or None,
                    dataset_digest=digest or None,
                    run_id=run,
                )
            )
    return found


def _answer(models: QuerySet[LoggedModel], uid: str) -> dict[str, Any]:
    rows = list(models.filter(uid=uid).order_by().values(*COLUMNS)[:1]) if "\x00" not in uid else []
    if not rows:
        raise NotFound(f"Logged model with ID '{uid[:64]}' not found.")
    return {"model": shown(rows)[0]}


# --- Calls --------------------------------------------------------------------------------------------------------


class Create(msgspec.Struct):
    experiment_id: str
    name: str = ""
    model_type: str = ""
    source_run_id: str = ""
    params: list[KeyValue] = []
    tags: list[KeyValue] = []


@call(Create)
def create(request: HttpRequest, actor: Actor, message: Create) -> dict[str, Any]:
    number = experiment_number(message.experiment_id)
    experiment = experiments.experiments_for(actor).filter(pk=number).first()
    if experiment is None:
        raise NotFound(f"No Experiment with id={number} exists")
    run = runs.get_run(message.source_run_id, by=actor) if message.source_run_id else None
    made = verbs.create_logged_model(
        experiment,
        by=actor,
        name=message.name,
        source_run=run,
        model_type=message.model_type,
        params=_texts(message.params, "params"),
        tags=_texts(message.tags, "tags"),
    )
    return _answer(LoggedModel.objects.all(), made.uid)


def experiment_number(text: str) -> int:
    """An experiment's id. Raises WireError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise WireError(f"Invalid experiment ID: {text[:40]!r}. It must be a whole number.")
    return int(text)


def _texts(items: list[KeyValue], name: str) -> dict[str, str]:
    """Keys and values; of a tag that is there twice the last counts, as everywhere for tags."""
    return {key: value or "" for key, value in pairs(items, name, once=name == "params").items()}


@call(Nothing, "GET")
def get(request: HttpRequest, actor: Actor, message: Nothing, model_id: str) -> dict[str, Any]:
    return _answer(verbs.logged_models_for(actor), model_id)


class Finalize(msgspec.Struct):
    status: IntLike


@call(Finalize, "PATCH")
def finalize(request: HttpRequest, actor: Actor, message: Finalize, model_id: str) -> dict[str, Any]:
    names = {name: status for status, name in STATUS.items()}
    status = names.get(str(message.status))
    if status is None:
        at = whole(message.status, "status")
        if not 1 <= at <= len(STATUSES):
            raise WireError(f"Invalid value {at} for parameter 'status' supplied.")
        status = STATUSES[at - 1]
    model = verbs.get_logged_model(model_id, by=actor)
    verbs.finalize(model, status=status, by=actor)
    return _answer(LoggedModel.objects.all(), model.uid)


@call(Nothing, "DELETE")
def delete(request: HttpRequest, actor: Actor, message: Nothing, model_id: str) -> dict[str, Any]:
    verbs.delete_logged_model(verbs.get_logged_model(model_id, by=actor), by=actor)
    return {}


class Tags(msgspec.Struct):
    tags: list[KeyValue] = []


class Params(msgspec.Struct):
    params: list[KeyValue] = []


@call(Tags, "PATCH")
def set_tags(request: HttpRequest, actor: Actor, message: Tags, model_id: str) -> dict[str, Any]:
    model = verbs.get_logged_model(model_id, by=actor)
    verbs.set_tags(model, _texts(message.tags, "tags"), by=actor)
    return {}


@call(Nothing, "DELETE")
def delete_tag(
    request: HttpRequest, actor: Actor, message: Nothing, model_id: str, tag_key: str
) -> dict[str, Any]:
    verbs.delete_tag(verbs.get_logged_model(model_id, by=actor), tag_key, by=actor)
    return {}


@call(Params, "POST")
def log_params(request: HttpRequest, actor: Actor, message: Params, model_id: str) -> dict[str, Any]:
    model = verbs.get_logged_model(model_id, by=actor)
    verbs.log_params(model, _texts(message.params, "params"), by=actor)
    return {}


class Search(msgspec.Struct):
    experiment_ids: list[str] = []
    filter: str = ""
    datasets: list[DatasetFilter] = []
    max_results: IntLike = 0
    order_by: list[OrderBy] = []
    page_token: str = ""


@call(Search)
def search(request: HttpRequest, actor: Actor, message: Search) -> dict[str, Any]:
    limit = whole(message.max_results, "max_results") or DEFAULT_PAGE
    if not 1 <= limit <= MAX_PAGE:
        raise WireError(
            f"Invalid value {limit} for parameter 'max_results' supplied. It must be from 1 to {MAX_PAGE}."
        )
    numbers = [experiment_number(text) for text in message.experiment_ids]
    models = verbs.logged_models_for(actor).filter(experiment__in=numbers)
    page = page_of(
        narrowed(models, message.filter, message.datasets).values(*COLUMNS),
        order_by=message.order_by,
        token=message.page_token,
        limit=limit,
        pinned=[numbers, message.filter, message.datasets],
    )
    return present(models=shown(page.items), next_page_token=page.next_cursor)


# Relative to /api/2.0/mlflow/ and /ajax-api/2.0/mlflow/.
routes = [
    path("logged-models", create),
    path("logged-models/search", search),
    path("logged-models/<str:model_id>", by_method(GET=get, PATCH=finalize, DELETE=delete)),
    path("logged-models/<str:model_id>/tags", set_tags),
    path("logged-models/<str:model_id>/tags/<path:tag_key>", delete_tag),
    path("logged-models/<str:model_id>/params", log_params),
]
