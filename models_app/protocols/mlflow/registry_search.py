"""The two searches of the registry: what their conditions mean in the tables, and in which order they answer.

Beyond the original's keys, versions are found by stage, alias, description, status, times, creator and metrics.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Left
from django.http import HttpRequest

from models_app.http.paging import Page, keyset_page
from models_app.models import Alias, ModelTag, VersionMetric, VersionTag
from models_app.models.catalog import TAG_PREFIX
from models_app.registry.access import Actor, models_for, unflat, versions_for
from models_app.registry.errors import Invalid
from models_app.registry.tags import PROMPT

from . import registry_rows
from .errors import WireError
from .filters import EQUAL, LIKE, NUMBER, Condition, Grammar, parse, parse_order, where
from .registry_rows import stage_of
from .wire import IntLike, call, moment, whole

_KINDS = {"attribute": "attribute", "attributes": "attribute", "tag": "tag", "tags": "tag"}
_SOME = EQUAL | {"IN", "NOT IN"}
MODELS = Grammar(
    attributes={
        "name": "string",
        "description": "string",
        "creation_timestamp": "whole",
        "last_updated_timestamp": "whole",
    },
    kinds=_KINDS,
)
VERSIONS = Grammar(
    attributes={
        "name": "string",
        "run_id": "string",
        "source_path": "string",
        "version_number": "whole",
        "current_stage": "string",
        "alias": "string",
        "description": "string",
        "status": "string",
        "user_id": "string",
        "model_id": "string",
        "creation_timestamp": "whole",
        "last_updated_timestamp": "whole",
    },
    kinds={**_KINDS, "metric": "metric", "metrics": "metric"},
    synonyms={"stage": "current_stage", "created_by": "user_id", "version": "version_number"},
    ops={"source_path": LIKE, "current_stage": _SOME, "status": _SOME, "version_number": NUMBER},
)
# What can be sorted by, as columns.
MODEL_ORDERS = {
    "name": "name",
    "timestamp": "updated_at",
    "last_updated_timestamp": "updated_at",
    "creation_timestamp": "created_at",
}
VERSION_ORDERS = {
    "name": "model__name",
    "version_number": "number",
    "creation_timestamp": "created_at",
    "last_updated_timestamp": "updated_at",
}
MAX_MODELS = 1_000
MAX_VERSIONS = 200_000
_COLUMNS = {
    "run_id": "training_run_id",
    "source_path": "source",
    "version_number": "number",
    "description": "description",
    "user_id": "created_by__username",
    "model_id": "logged_model__uid",
}
_TIMES = {"creation_timestamp": "created_at", "last_updated_timestamp": "updated_at"}
_MS = timedelta(milliseconds=1)


class Search(msgspec.Struct):
    filter: str = ""
    max_results: IntLike | None = None
    order_by: list[str] = []
    page_token: str = ""


@call(Search, "GET", "POST")
def models(request: HttpRequest, actor: Actor, message: Search) -> dict[str, Any]:
    conditions = parse(message.filter, MODELS)
    found = models_for(actor)
    for wanted in _prompts_wanted(conditions):
        found = found.filter(is_prompt=wanted)
    for condition in conditions:
        if not _is_about_prompts(condition):
            found = found.filter(_of_model(condition))
    order = _order(message.order_by, MODEL_ORDERS) or [("name", "asc")]
    if order[-1][0] != "name":
        order.append(("id", order[-1][1]))
    page = _page(found.values(*registry_rows.MODEL), order, message, default=100, limit=MAX_MODELS)
    return _answer(
        "registered_models", registry_rows.models([tuple(row.values()) for row in page.items]), page
    )


@call(Search, "GET", "POST")
def versions(request: HttpRequest, actor: Actor, message: Search) -> dict[str, Any]:
    conditions = parse(message.filter, VERSIONS)
    found = versions_for(actor)
    for wanted in _prompts_wanted(conditions):
        found = found.filter(model__is_prompt=wanted)
    for condition in conditions:
        if not _is_about_prompts(condition):
            found = found.filter(_of_version(condition))
    order = _order(message.order_by, VERSION_ORDERS) or [("updated_at", "desc")]
    order += _ties(order)
    columns = dict.fromkeys((*registry_rows.VERSION, *(name for name, _ in order)))
    page = _page(found.values(*columns), order, message, default=10_000, limit=MAX_VERSIONS)
    return _answer(
        "model_versions", registry_rows.versions([tuple(row.values()) for row in page.items]), page
    )


# --- prompts ------------------------------------------------------------------------------------------------


def _is_about_prompts(condition: Condition) -> bool:
    return condition.kind == "tag" and condition.key == PROMPT and condition.op in EQUAL


def _prompts_wanted(conditions: list[Condition]) -> set[bool]:
    """Whether a filter wants prompts or models; both at once is nothing. Prompts are left out if it says nothing."""
    about = [condition for condition in conditions if _is_about_prompts(condition)]
    return {(condition.op == "=") is (condition.value.lower() == "true") for condition in about} or {False}


# --- conditions ---------------------------------------------------------------------------------------------


def _of_model(condition: Condition) -> Q | Exists:
    key, op, value = condition.key, condition.op, condition.value
    if condition.kind == "tag":
        return _tagged(ModelTag.objects.filter(model=OuterRef("pk")), condition)
    if key == "name":
        return _named("name", op, value)
    return _at(_TIMES[key], op, value) if key in _TIMES else where("card", op, value)


def _of_version(condition: Condition) -> Q | Exists:
    key, op, value = condition.key, condition.op, condition.value
    if condition.kind == "tag":
        return _tagged(VersionTag.objects.filter(version=OuterRef("pk")), condition)
    if condition.kind == "metric":
        measured = VersionMetric.objects.filter(version=OuterRef("pk"), name=key)
        return Exists(measured.filter(where("value", op, value)))
    if key == "name":
        return _named("model__name", op, value)
    if key == "alias":
        return _aliased(op, value)
    if key == "current_stage":
        return where(
            "stage", op, [stage_of(one) for one in value] if isinstance(value, list) else stage_of(value)
        )
    if key == "status":
        # A version is there when it is ready, and not before.
        is_ready = "READY" in (value if isinstance(value, list) else [value])
        return Q() if is_ready is (op in ("=", "IN")) else Q(pk__in=[])
    return _at(_TIMES[key], op, value) if key in _TIMES else where(_COLUMNS[key], op, value)


def _tagged(rows: QuerySet[Any], condition: Condition) -> Exists:
    """A row of this key whose value is so: for “!=” too, one without the tag is not meant."""
    rows = rows.filter(key=condition.key)
    if condition.op == "=":
        # The index holds only the beginnings of values.
        rows = rows.annotate(start=Left("value", TAG_PREFIX)).filter(start=condition.value[:TAG_PREFIX])
    return Exists(rows.filter(where("value", condition.op, condition.value)))


def _aliased(op: str, value: Any) -> Q | Exists:
    """With “!=” and NOT IN: without such an alias."""
    plain = {"!=": "=", "NOT IN": "IN"}.get(op)
    rows = Exists(Alias.objects.filter(where("name", plain or op, value), version=OuterRef("pk")))
    return ~rows if plain else rows


def _named(column: str, op: str, value: Any) -> Q:
    """Names as this protocol writes them, team--name; patterns are tried in both spellings."""
    if op in ("LIKE", "ILIKE"):
        condition = where(column, op, value)
        return condition | where(column, op, value.replace("--", "/", 1)) if "--" in value else condition
    return where(column, op, [unflat(one) for one in value] if isinstance(value, list) else unflat(value))


def _at(column: str, op: str, value: int) -> Q:
    """A time that is answered in milliseconds, which are less than what is stored."""
    start = moment(value, column)
    try:
        end = start + _MS if start else None
    except OverflowError:
        end = start
    within = Q(**{f"{column}__gte": start, f"{column}__lt": end})
    return {
        "=": within,
        "!=": ~within,
        ">": Q(**{f"{column}__gte": end}),
        ">=": Q(**{f"{column}__gte": start}),
        "<": Q(**{f"{column}__lt": start}),
        "<=": Q(**{f"{column}__lt": end}),
    }[op]


# --- order and pages ----------------------------------------------------------------------------------------


def _order(items: list[str], columns: dict[str, str]) -> list[tuple[str, Any]]:
    sortable = Grammar(attributes=dict.fromkeys(columns, "string"), kinds={"attribute": "attribute"})
    found: dict[str, str] = {}
    for order in parse_order(items, sortable):
        column = columns[order.key]
        if column in found:
            raise WireError(f"`order_by` contains duplicate fields: {order.key}")
        found[column] = "asc" if order.ascending else "desc"
    return list(found.items())


def _ties(order: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """What makes an order total: the id beside a single time, which an index has; name and number otherwise."""
    names = [name for name, _ in order]
    if names in (["updated_at"], ["created_at"]):
        return [("id", order[0][1])]
    return [(name, way) for name, way in (("model__name", "asc"), ("number", "desc")) if name not in names]


def _page(
    found: QuerySet[Any, Any], order: list[tuple[str, Any]], message: Search, *, default: int, limit: int
) -> Page[Any]:
    size = whole(message.max_results, "max_results", default=default)
    if not 0 < size <= limit:
        raise WireError(
            f"Invalid value {size} for parameter 'max_results' supplied. It must be at least 1 and at most {limit}."
        )
    try:
        return keyset_page(found, order=order, cursor=message.page_token or None, limit=size)
    except Invalid as error:
        raise WireError(f"Invalid page token, could not base64-decode: {error.why}") from error


def _answer(name: str, items: list[dict[str, Any]], page: Page[Any]) -> dict[str, Any]:
    return ({name: items} if items else {}) | (
        {"next_page_token": page.next_cursor} if page.next_cursor else {}
    )
