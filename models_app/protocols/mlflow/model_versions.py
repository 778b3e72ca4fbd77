"""Model versions: create, find, change, move, delete, tags, where to download. Search is in registry_search.py."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec
from django.http import HttpRequest
from django.urls import path

from models_app.registry import catalog, promotions, sources, tags
from models_app.registry.access import Actor
from models_app.registry.errors import NothingToDo

from . import locations, registry_rows, registry_search
from .errors import WireError
from .registered_models import text_tags
from .registry_rows import STAGES, find_model, find_version, read_version, stage_of
from .wire import IntLike, KeyValue, Nothing, call


class Create(msgspec.Struct):
    name: str
    source: str
    run_id: str = ""
    model_id: str = ""
    run_link: str = ""
    description: str = ""
    tags: list[KeyValue] = []


class Version(msgspec.Struct):
    name: str
    version: IntLike


class Update(msgspec.Struct):
    name: str
    version: IntLike
    description: str | None = None


class Transition(msgspec.Struct):
    name: str
    version: IntLike
    stage: str
    archive_existing_versions: bool = False


class Tag(msgspec.Struct):
    name: str
    version: IntLike
    key: str
    value: str = ""


class TagKey(msgspec.Struct):
    name: str
    version: IntLike
    key: str


@call(Create)
def create(request: HttpRequest, actor: Actor, message: Create) -> dict[str, Any]:
    made = sources.register_version(
        find_model(message.name, actor),
        source=message.source,
        by=actor,
        run_id=message.run_id,
        model_id=message.model_id,
        run_link=message.run_link,
        description=message.description,
        tags=text_tags(message.tags),
    )
    return {"model_version": registry_rows.by_id(made.pk)}


@call(Version, "GET")
def get(request: HttpRequest, actor: Actor, message: Version) -> dict[str, Any]:
    return {"model_version": read_version(message.name, message.version, actor)}


@call(Update, "PATCH", "POST")
def update(request: HttpRequest, actor: Actor, message: Update) -> dict[str, Any]:
    version = find_version(message.name, message.version, actor)
    if message.description is not None:
        catalog.update_version(version, by=actor, metadata={"description": message.description})
    return {"model_version": registry_rows.by_id(version.pk)}


@call(Transition)
def transition(request: HttpRequest, actor: Actor, message: Transition) -> dict[str, Any]:
    """Move to another stage. To where it is already is a success that changes nothing."""
    to, replace = stage_of(message.stage), message.archive_existing_versions
    if replace and to not in ("staging", "production"):
        shown = next(name for name, stage in STAGES.items() if stage == to)
        raise WireError(
            f"Model version transition cannot archive existing model versions because '{shown}' is not an Active "
            "stage. Valid stages are Staging, Production."
        )
    version = find_version(message.name, message.version, actor)
    with suppress(NothingToDo):
        promotions.move(version, to=to, by=actor, keep_former=not replace, archive_former=replace)
    return {"model_version": registry_rows.by_id(version.pk)}


@call(Version, "DELETE", "POST")
def delete(request: HttpRequest, actor: Actor, message: Version) -> None:
    version = find_version(message.name, message.version, actor)
    catalog.delete_version(version, by=actor)


@call(Version, "GET")
def download_uri(request: HttpRequest, actor: Actor, message: Version) -> dict[str, Any]:
    version = find_version(message.name, message.version, actor)
    return {"artifact_uri": locations.of_version(version.pk) if version.manifest_id else version.source}


@call(Tag)
def set_tag(request: HttpRequest, actor: Actor, message: Tag) -> None:
    version = find_version(message.name, message.version, actor)
    tags.set_version_tag(version, key=message.key, value=message.value, by=actor)


@call(TagKey, "DELETE", "POST")
def delete_tag(request: HttpRequest, actor: Actor, message: TagKey) -> None:
    version = find_version(message.name, message.version, actor)
    tags.delete_version_tag(version, key=message.key, by=actor)


@call(Nothing, "GET")
def stages(request: HttpRequest, actor: Actor, message: Nothing) -> dict[str, Any]:
    return {"stages": list(STAGES)}


# Relative to /api/2.0/mlflow/ and /ajax-api/2.0/mlflow/.
routes = [
    path("model-versions/create", create),
    path("model-versions/get", get),
    path("model-versions/update", update),
    path("model-versions/transition-stage", transition),
    path("model-versions/delete", delete),
    path("model-versions/search", registry_search.versions),
    path("model-versions/get-download-uri", download_uri),
    path("model-versions/set-tag", set_tag),
    path("model-versions/delete-tag", delete_tag),
    path("model-versions/stages", stages),
]
