"""Tags of models and versions: one at a time, as clients do all day, or all of a model's, for catalog.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from models_app.models import ModelTag, ModelVersion, RegisteredModel, VersionTag

from . import audit, card_facts, card_sync, events, prepared, retraining
from .access import Actor, Right, require_on
from .lifecycle import lock, lock_version, touch_version
from .metadata import brief_tags, clean_tags
from .prepared import Prepared
from .search import index

# What makes a registered model a prompt of the MLflow client.
PROMPT = "mlflow.prompt.is_prompt"
PROMPT_TEXT = "mlflow.prompt.text"


_MODEL_TAG = Prepared(
    lambda model, key: ModelTag.objects.filter(model=model, key=key).order_by().values_list("id", "value"),
    int,
    str,
)
_VERSION_TAG = Prepared(
    lambda version, key: (
        VersionTag.objects.filter(version=version, key=key).order_by().values_list("id", "value")
    ),
    int,
    str,
)


def mark_prompt(tags: Mapping[str, str]) -> bool:
    """Whether these tags make a model a prompt."""
    return tags.get(PROMPT, "").lower() == "true"


def insert_model_tags(model: RegisteredModel, tags: Mapping[str, str]) -> None:
    """Write the tags of a model that has none of them."""
    ModelTag.objects.bulk_create([ModelTag(model=model, key=key, value=value) for key, value in tags.items()])


def replace_model_tags(model: RegisteredModel, tags: dict[str, str], by: Actor) -> None:
    """Give a locked model these tags instead of its own, on record when they differ."""
    before = dict(ModelTag.objects.filter(model=model).values_list("key", "value"))
    if before == tags:
        return
    ModelTag.objects.filter(model=model).delete()
    insert_model_tags(model, tags)
    if model.is_prompt != mark_prompt(tags):
        model.is_prompt = mark_prompt(tags)
        model.save(update_fields=["is_prompt"])
        index.forget(model)
    audit.record(
        "model.tags_set",
        by=by,
        subject=model.name,
        model=model,
        before=brief_tags(before),
        after=brief_tags(tags),
    )
    tell_replaced(model, before=before, after=tags)


@transaction.atomic
def set_model_tag(model: RegisteredModel, *, key: str, value: str = "", by: Actor) -> None:
    """Set one tag, new or changed. Raises Invalid("tags"), Forbidden."""
    ((key, value),) = clean_tags({key: value}).items()
    model = lock(model)
    require_on(by, _right(model), model)
    tag_id, former = _former(_MODEL_TAG(model.pk, key))
    if former == value:
        return
    _write(ModelTag(id=tag_id, model=model, key=key, value=value), is_new=tag_id is None)
    _model_changed(model, key, value, is_new=tag_id is None, by=by)
    _record("model.tag_set", by, model, None, key, former, value)


@transaction.atomic
def delete_model_tag(model: RegisteredModel, *, key: str, by: Actor) -> None:
    """Take one tag away; a missing one is no error. Raises Forbidden."""
    model = lock(model)
    require_on(by, _right(model), model)
    _, former = _former(_MODEL_TAG(model.pk, key))
    if former is None:
        return
    ModelTag.objects.filter(model=model, key=key).delete()
    _model_changed(model, key, "", is_new=False, by=by)
    _record("model.tag_deleted", by, model, None, key, former, None)


@transaction.atomic
def set_version_tag(version: ModelVersion, *, key: str, value: str = "", by: Actor) -> None:
    """Set one tag, new or changed. Raises Invalid("tags"), Forbidden, NotFound when the version is gone."""
    ((key, value),) = clean_tags({key: value}).items()
    version = lock_version(version)
    require_on(by, Right.EDIT_VERSION, version.model)
    tag_id, former = _former(_VERSION_TAG(version.pk, key))
    if former == value:
        return
    retraining.link_by_tags(version, {key: value}, by=by)
    _write(VersionTag(id=tag_id, version=version, key=key, value=value), is_new=tag_id is None)
    touch_version(version)
    _record("version.tag_set", by, version.model, version, key, former, value)


@transaction.atomic
def delete_version_tag(version: ModelVersion, *, key: str, by: Actor) -> None:
    """Take one tag away; a missing one is no error. Raises Forbidden, NotFound when the version is gone."""
    version = lock_version(version)
    require_on(by, Right.EDIT_VERSION, version.model)
    _, former = _former(_VERSION_TAG(version.pk, key))
    if former is None:
        return
    VersionTag.objects.filter(version=version, key=key).delete()
    touch_version(version)
    _record("version.tag_deleted", by, version.model, version, key, former, None)


def _right(model: RegisteredModel) -> Right:
    # The client tags a prompt while it registers a version of it.
    return Right.REGISTER if model.is_prompt else Right.EDIT_MODEL


def _former(rows: list[tuple[Any, ...]]) -> tuple[int | None, str | None]:
    return (rows[0][0], rows[0][1]) if rows else (None, None)


def _write(tag: ModelTag | VersionTag, *, is_new: bool) -> None:
    # Whoever holds the model's lock is alone with its tags.
    if is_new:
        prepared.insert(tag)
    else:
        prepared.update(tag, "value")


def _model_changed(model: RegisteredModel, key: str, value: str, *, is_new: bool, by: Actor) -> None:
    model.updated_at = timezone.now()
    fields = ["updated_at"]
    if key == PROMPT:
        model.is_prompt = mark_prompt({key: value})
        fields.append("is_prompt")
        if model.is_prompt:
            index.forget(model)
    prepared.update(model, *fields)
    card_sync.keep_in_step(model, card_facts.TAG_KEYS, by=by, add=True)
    if key == PROMPT:
        index.refresh([model.pk])
    elif is_new:
        index.add_tag(model, key, value)
    else:
        index.tags_changed(model)


def _record(
    verb: str,
    by: Actor,
    model: RegisteredModel,
    version: ModelVersion | None,
    key: str,
    before: str | None,
    after: str | None,
) -> None:
    """The audit record and the event of one tag; the event has the value as it is."""
    audit.record(
        verb,
        by=by,
        subject=str(version or model),
        model=model,
        before={} if before is None else {"tags": brief_tags({key: before})},
        after={} if after is None else {"tags": brief_tags({key: after})},
    )
    events.emit(verb, model=model, payload=_payload(model, version, key, after))


def _payload(
    model: RegisteredModel, version: ModelVersion | None, key: str, value: str | None
) -> dict[str, Any]:
    return {
        "name": model.name,
        "version": version.number if version else None,
        "key": key,
        "value": value,
        "is_prompt": model.is_prompt,
    }


def tell_replaced(
    model: RegisteredModel,
    version: ModelVersion | None = None,
    *,
    before: Mapping[str, str],
    after: Mapping[str, str],
) -> None:
    """The events of tags that were replaced all at once: those of setting and removing the ones that differ."""
    noun = "version" if version else "model"
    gone = [_payload(model, version, key, None) for key in before if key not in after]
    other = [_payload(model, version, key, value) for key, value in after.items() if before.get(key) != value]
    events.emit_all(f"{noun}.tag_deleted", model=model, payloads=gone)
    events.emit_all(f"{noun}.tag_set", model=model, payloads=other)
