"""Registered models: create, find, change, rename, delete, tags, aliases. Their search is in registry_search.py."""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest
from django.urls import path

from models_app.models import Alias
from models_app.registry import catalog, lifecycle, tags
from models_app.registry.access import Actor, Right, get_model, require_scope, unflat
from models_app.registry.errors import NotFound

from . import registry_rows, registry_search
from .errors import WireError
from .registry_rows import STAGES, find_model, find_version, stage_of
from .wire import IntLike, KeyValue, by_method, call, pairs, present


class Create(msgspec.Struct):
    name: str
    tags: list[KeyValue] = []
    description: str = ""


class Name(msgspec.Struct):
    name: str


class Rename(msgspec.Struct):
    name: str
    new_name: str


class Update(msgspec.Struct):
    name: str
    description: str | None = None


class Latest(msgspec.Struct):
    name: str
    stages: list[str] = []


class Tag(msgspec.Struct):
    name: str
    key: str
    value: str = ""


class TagKey(msgspec.Struct):
    name: str
    key: str


class AliasName(msgspec.Struct):
    name: str
    alias: str


class AliasTarget(msgspec.Struct):
    name: str
    alias: str
    version: IntLike


def _new_name(name: str) -> str:
    if "/" in name or ":" in name:
        raise WireError(
            f"Invalid model name: '{name[:256]}'. Registered model names cannot contain '/' or ':'. A model of a team "
            "is written team--name."
        )
    return unflat(name)


def text_tags(items: list[KeyValue]) -> dict[str, str]:
    return {key: value or "" for key, value in pairs(items, "tags").items()}


@call(Create)
def create(request: HttpRequest, actor: Actor, message: Create) -> dict[str, Any]:
    given: dict[str, Any] = {"tags": text_tags(message.tags)} if message.tags else {}
    if message.description:
        given["card"] = message.description
    model = catalog.register_model(_new_name(message.name), by=actor, **given)
    return {"registered_model": registry_rows.model_by_id(model.pk)}


@call(Name, "GET")
def get(request: HttpRequest, actor: Actor, message: Name) -> dict[str, Any]:
    return {"registered_model": registry_rows.read_model(message.name, actor)}


@call(Rename)
def rename(request: HttpRequest, actor: Actor, message: Rename) -> dict[str, Any]:
    model = get_model(unflat(message.name), by=actor, right=Right.EDIT_MODEL)
    renamed = catalog.rename_model(model, to=_new_name(message.new_name), by=actor)
    return {"registered_model": registry_rows.model_by_id(renamed.pk)}


@call(Update, "PATCH", "POST")
def update(request: HttpRequest, actor: Actor, message: Update) -> dict[str, Any]:
    model = get_model(unflat(message.name), by=actor)
    if message.description is not None:
        catalog.update_model(model, by=actor, card=message.description)
    return {"registered_model": registry_rows.model_by_id(model.pk)}


@call(Name, "DELETE", "POST")
def delete(request: HttpRequest, actor: Actor, message: Name) -> None:
    catalog.delete_model(get_model(unflat(message.name), by=actor), by=actor)


@call(Latest, "GET", "POST")
def latest_versions(request: HttpRequest, actor: Actor, message: Latest) -> dict[str, Any]:
    wanted = {stage_of(stage) for stage in message.stages} or set(STAGES.values())
    found = registry_rows.read_model(message.name, actor).get("latest_versions", [])
    return present(model_versions=[one for one in found if STAGES[one["current_stage"]] in wanted])


@call(Tag)
def set_tag(request: HttpRequest, actor: Actor, message: Tag) -> None:
    tags.set_model_tag(find_model(message.name, actor), key=message.key, value=message.value, by=actor)


@call(TagKey, "DELETE", "POST")
def delete_tag(request: HttpRequest, actor: Actor, message: TagKey) -> None:
    tags.delete_model_tag(find_model(message.name, actor), key=message.key, by=actor)


@call(AliasName, "GET")
def get_alias(request: HttpRequest, actor: Actor, message: AliasName) -> dict[str, Any]:
    """“latest” is an alias that every model with versions has."""
    if message.alias.lower() == "latest":
        model = get_model(unflat(message.name), by=actor)
        if model.newest_id is None:
            raise NotFound(f"Latest version not found for model {message.name[:256]}.")
        return {"model_version": registry_rows.by_id(model.newest_id)}
    found = registry_rows.read_alias(message.name, message.alias, actor)
    if found is None:
        model = get_model(unflat(message.name), by=actor)
        alias = Alias.objects.filter(model=model, name=message.alias).first()
        if alias is None:
            raise WireError(f"Registered model alias {message.alias[:255]} not found.")
        found = registry_rows.by_id(alias.version_id)
    return {"model_version": found}


@call(AliasTarget)
def set_alias(request: HttpRequest, actor: Actor, message: AliasTarget) -> None:
    version = find_version(message.name, message.version, actor)
    lifecycle.set_alias(version.model, name=message.alias, version=version, by=actor)


@call(AliasName, "DELETE", "POST")
def delete_alias(request: HttpRequest, actor: Actor, message: AliasName) -> None:
    model = find_model(message.name, actor)
    try:
        lifecycle.delete_alias(model, name=message.alias, by=actor)
    except NotFound:
        # One that is not there is gone already, as the client sees it.
        require_scope(actor, Right.EDIT_VERSION)


# Relative to /api/2.0/mlflow/ and /ajax-api/2.0/mlflow/.
routes = [
    path("registered-models/create", create),
    path("registered-models/get", get),
    path("registered-models/rename", rename),
    path("registered-models/update", update),
    path("registered-models/delete", delete),
    path("registered-models/search", registry_search.models),
    path("registered-models/get-latest-versions", latest_versions),
    path("registered-models/set-tag", set_tag),
    path("registered-models/delete-tag", delete_tag),
    path("registered-models/alias", by_method(GET=get_alias, POST=set_alias, DELETE=delete_alias)),
]
