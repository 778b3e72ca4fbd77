"""Experiments: create, find, change, delete, tag; and which datasets their runs read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.urls import path

from models_app.http.paging import Direction, keyset_page
from models_app.models import Experiment, ExperimentTag, RunInput
from models_app.registry import experiments as verbs
from models_app.registry.access import Actor, home_team
from models_app.registry.errors import Invalid, NotFound

from . import filters, keys, locations
from .errors import WireError, missing
from .filters import Grammar
from .wire import IntLike, KeyValue, call, ms, present, whole

DEFAULT_PAGE = 1000
MAX_PAGE = 50_000
MAX_SUMMARIES = 1000
COLUMNS = ("id", "name", "created_at", "updated_at", "deleted_at")
# By name, and by number as protobuf has them.
VIEWS = {
    "ACTIVE_ONLY": Q(deleted_at=None),
    "DELETED_ONLY": Q(deleted_at__isnull=False),
    "ALL": Q(),
}


def number_of(text: str | int) -> int:
    """An experiment's id. Raises WireError."""
    written = str(text)
    digits = written.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        raise WireError(f"Invalid experiment ID '{written[:64]}'. Experiment ID must be a valid integer.")
    return int(written)


def numbers_of(texts: Sequence[str | int]) -> list[int]:
    """Experiments' ids that fit into 64 bits: no other exists. Raises WireError."""
    return [number for number in map(number_of, texts) if abs(number) < 2**63]


def view_of(word: str | int) -> Q:
    """Whether live or deleted rows are asked for. Raises WireError."""
    by_number = {str(number): view for number, view in enumerate(VIEWS.values(), 1)}
    found = (VIEWS | by_number).get(str(word))
    if found is None:
        raise WireError(f"Invalid view type '{str(word)[:40]}': one of {', '.join(VIEWS)}.")
    return found


def limit_of(value: IntLike | None) -> int:
    """How many rows a page has. Raises WireError."""
    limit = whole(value, "max_results", default=DEFAULT_PAGE)
    if limit < 1:
        raise WireError(
            f"Invalid value {limit} for parameter 'max_results' supplied. It must be a positive integer."
        )
    if limit > MAX_PAGE:
        raise WireError(
            f"Invalid value {limit} for parameter 'max_results' supplied. It must be at most {MAX_PAGE}, but got "
            f"value {limit}"
        )
    return limit


# --- rows -----------------------------------------------------------------------------------------------------


def _many(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    tags: dict[int, list[dict[str, str]]] = defaultdict(list)
    named = ExperimentTag.objects.filter(experiment__in=[row["id"] for row in rows]).order_by("key")
    for experiment, key, value in named.values_list("experiment_id", "key", "value"):
        tags[experiment].append({"key": key, "value": value})
    return [
        present(
            experiment_id=str(row["id"]),
            name=row["name"],
            artifact_location=locations.of_experiment(row["id"]),
            lifecycle_stage="deleted" if row["deleted_at"] else "active",
            creation_time=ms(row["created_at"]),
            last_update_time=ms(row["updated_at"]),
            tags=tags[row["id"]],
        )
        for row in rows
    ]


def _one(found: QuerySet[Experiment], otherwise: str) -> dict[str, Any]:
    rows = list(found.order_by().values(*COLUMNS)[:1])
    if not rows:
        raise NotFound(otherwise)
    return {"experiment": _many(rows)[0]}


# --- calls ----------------------------------------------------------------------------------------------------


class Create(msgspec.Struct):
    name: str
    artifact_location: str = ""
    tags: list[KeyValue] = []


@call(Create)
def create(request: HttpRequest, actor: Actor, message: Create) -> dict[str, Any]:
    _check_location(message.artifact_location)
    made = verbs.create_experiment(
        message.name,
        team=home_team(actor),
        artifact_location=message.artifact_location,
        tags={
            keys.check(tag.key, f"tags[{index}].key"): tag.value or ""
            for index, tag in enumerate(message.tags)
        },
        by=actor,
    )
    return {"experiment_id": str(made.pk)}


def _check_location(address: str) -> None:
    """Files come to this server wherever a client wanted them; what is no address at all is refused."""
    try:
        parts = urlsplit(address)
    except ValueError:
        raise WireError(f"Invalid artifact_location '{address[:100]}'.") from None
    if parts.fragment or ";" in parts.path:
        raise WireError("'artifact_location' URL can't include fragments or params.")
    if ".." in (parts.path + parts.query).replace("%2e", ".").replace("%2E", ".").split("/"):
        raise WireError("Invalid artifact_location: it may not contain '..'.")
    if parts.scheme == "runs":
        raise WireError(f"Artifact location cannot be a runs:/ URI. Given: '{address[:100]}'")


class Id(msgspec.Struct):
    experiment_id: str


@call(Id, "GET")
def get(request: HttpRequest, actor: Actor, message: Id) -> dict[str, Any]:
    number = number_of(message.experiment_id)
    found = verbs.experiments_for(actor).filter(pk__in=numbers_of([number]))
    return _one(found, f"No Experiment with id={number} exists")


class Name(msgspec.Struct):
    experiment_name: str


@call(Name, "GET")
def get_by_name(request: HttpRequest, actor: Actor, message: Name) -> dict[str, Any]:
    name = message.experiment_name
    found = verbs.experiments_for(actor).filter(name=name)
    return _one(found, f"Could not find experiment with name '{name[:500]}'")


class Rename(Id):
    new_name: str


@call(Rename)
def update(request: HttpRequest, actor: Actor, message: Rename) -> dict[str, Any]:
    verbs.rename_experiment(_find(message.experiment_id, actor), to=message.new_name, by=actor)
    return {}


def _find(text: str, actor: Actor) -> Experiment:
    return verbs.get_experiment(number_of(text), by=actor)


@call(Id)
def delete(request: HttpRequest, actor: Actor, message: Id) -> dict[str, Any]:
    verbs.delete_experiment(_find(message.experiment_id, actor), by=actor)
    return {}


@call(Id)
def restore(request: HttpRequest, actor: Actor, message: Id) -> dict[str, Any]:
    verbs.restore_experiment(_find(message.experiment_id, actor), by=actor)
    return {}


class Tag(Id):
    key: str
    value: str | None = ""


@call(Tag)
def set_tag(request: HttpRequest, actor: Actor, message: Tag) -> dict[str, Any]:
    key = keys.check(message.key, "key")
    verbs.set_experiment_tag(
        _find(message.experiment_id, actor), key=key, value=message.value or "", by=actor
    )
    return {}


class TagKey(Id):
    key: str


@call(TagKey)
def delete_tag(request: HttpRequest, actor: Actor, message: TagKey) -> dict[str, Any]:
    verbs.delete_experiment_tag(_find(message.experiment_id, actor), key=message.key, by=actor)
    return {}


# --- search ---------------------------------------------------------------------------------------------------

GRAMMAR = Grammar(
    attributes={
        "name": "string",
        "experiment_id": "whole",
        "creation_time": "whole",
        "last_update_time": "whole",
    },
    kinds={
        "attribute": "attribute",
        "attributes": "attribute",
        "attr": "attribute",
        "tag": "tag",
        "tags": "tag",
    },
    ops={
        "name": filters.LIKE,
        "experiment_id": filters.EQUAL | {"IN", "NOT IN"},
        "tag": filters.LIKE | filters.NULL,
    },
)
BY = {
    "name": "name",
    "experiment_id": "id",
    "creation_time": "created_at",
    "last_update_time": "updated_at",
}


class Search(msgspec.Struct):
    filter: str = ""
    order_by: list[str] = []
    max_results: IntLike | None = None
    page_token: str = ""
    view_type: str | int = "ACTIVE_ONLY"


@call(Search, "POST", "GET")
def search(request: HttpRequest, actor: Actor, message: Search) -> dict[str, Any]:
    found = verbs.experiments_for(actor).select_related(None).filter(view_of(message.view_type))
    for condition in filters.parse(message.filter, GRAMMAR):
        found = found.filter(_meaning(condition))
    try:
        page = keyset_page(
            found.values(*COLUMNS),
            order=_order(message.order_by),
            cursor=message.page_token or None,
            limit=limit_of(message.max_results),
        )
    except Invalid as error:
        raise WireError(f"Invalid page token, {error.problems[0].message}") from error
    return present(experiments=_many(page.items), next_page_token=page.next_cursor)


def _meaning(condition: filters.Condition) -> Any:
    key, op, value = condition.key, condition.op, condition.value
    if condition.kind == "tag":
        tags = ExperimentTag.objects.filter(experiment=OuterRef("pk"), key=key)
        if op in filters.NULL:
            return ~Exists(tags) if op == "IS NULL" else Exists(tags)
        return Exists(tags.filter(filters.where("value", op, value)))
    if key == "experiment_id":
        wanted = numbers_of(value if isinstance(value, list) else [value])
        return Q(pk__in=wanted) if op in ("=", "IN") else ~Q(pk__in=wanted)
    if key == "name":
        return filters.where("name", op, value)
    return filters.when(BY[key], op, value)


def _order(items: Sequence[str]) -> list[tuple[str, Direction]]:
    order: list[tuple[str, Direction]] = []
    for item in filters.parse_order(items, GRAMMAR):
        if item.kind != "attribute":
            raise WireError(f"Invalid order_by entity: {item.kind}")
        order.append((BY[item.key], "asc" if item.ascending else "desc"))
    if not order:
        return [("created_at", "desc"), ("id", "asc")]
    return order if any(name == "id" for name, _ in order) else [*order, ("id", "desc")]


class Datasets(msgspec.Struct):
    experiment_ids: list[str | int] = []


@call(Datasets)
def search_datasets(request: HttpRequest, actor: Actor, message: Datasets) -> dict[str, Any]:
    if not message.experiment_ids:
        raise missing("experiment_ids")
    readable = verbs.experiments_for(actor).filter(pk__in=numbers_of(message.experiment_ids))
    rows = RunInput.objects.filter(run__experiment__in=readable.order_by().values("pk"))
    names = ("run__experiment_id", "dataset__name", "dataset__digest", "context")
    summaries = [
        present(experiment_id=str(experiment), name=name, digest=digest, context=context or None)
        for experiment, name, digest, context in rows.order_by(*names)
        .values_list(*names)
        .distinct()[:MAX_SUMMARIES]
    ]
    return present(dataset_summaries=summaries)


# Relative to /api/2.0/mlflow/ and /ajax-api/2.0/mlflow/.
routes = [
    path("experiments/create", create),
    path("experiments/get", get),
    path("experiments/get-by-name", get_by_name),
    path("experiments/search", search),
    path("experiments/update", update),
    path("experiments/delete", delete),
    path("experiments/restore", restore),
    path("experiments/set-experiment-tag", set_tag),
    path("experiments/delete-experiment-tag", delete_tag),
    path("experiments/search-datasets", search_datasets),
]
