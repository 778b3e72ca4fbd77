"""Stages and aliases: move, promote, roll back, and the record of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from models_app.models import (
    Alias,
    ModelVersion,
    RegisteredModel,
    Stage,
    StageTransition,
    TransitionKind,
)
from models_app.models.catalog import ModelVersionQuerySet

from . import audit, deployment_follows, events, prepared, retraining
from .access import Actor, Right, get_model, may_on, require_on, require_reading, versions_for
from .errors import Conflict, Invalid, NotFound, NothingToDo
from .metadata import clean_text
from .names import check_alias
from .prepared import Prepared, PreparedInstances
from .search import index

MAX_REASON = 2_000
MAX_ALIAS = 255


_LOCKED = PreparedInstances(
    lambda pk: RegisteredModel.objects.select_for_update(no_key=True).filter(pk=pk).order_by(),
    int,
)
_VERSION = PreparedInstances(
    lambda pk, model_id: ModelVersion.objects.filter(pk=pk, model=model_id).order_by(),
    int,
    int,
)
_NEWEST = Prepared(
    lambda model_id, stage: (
        ModelVersion.objects.filter(model=model_id, stage=stage).newest_first().values_list("pk")[:1]
    ),
    int,
    str,
)
_ALIAS = Prepared(
    lambda model_id, name: (
        Alias.objects.filter(model=model_id, name=name).order_by().values_list("id", "version__number")
    ),
    int,
    str,
)


def lock(model: RegisteredModel) -> RegisteredModel:
    """Read the model as it is now and hold its row till the transaction ends. Raises NotFound when it is gone.

    Every verb that changes a model or its versions takes this lock first: the database settles their order.
    """
    found = _LOCKED.one(model.pk)
    if found is None:
        raise NotFound(f"{model.name} was deleted.")
    return found


def lock_version(version: ModelVersion) -> ModelVersion:
    """Lock the model, then read the version as it is now: the same order everywhere, so that verbs cannot deadlock.

    Raises NotFound when either is gone.
    """
    return _current(version, lock(version.model))


def find_newest(model: RegisteredModel, *stages: str) -> list[str]:
    """Point the locked model at its newest version in each of these stages; returns the fields to save."""
    for stage in stages:
        found = _NEWEST(model.pk, stage)
        setattr(model, f"newest_{stage}_id", found[0][0] if found else None)
    return [f"newest_{stage}" for stage in stages]


def clean_reason(text: str) -> str:
    """A reason as the history keeps it. Raises Invalid("reason")."""
    return clean_text("reason", text, limit=MAX_REASON, lines=True)


def _right_for(from_stage: str, to: str) -> Right:
    if to == Stage.PRODUCTION:
        return Right.PROMOTE
    return Right.RETIRE if from_stage == Stage.PRODUCTION else Right.MOVE


def allowed_moves(version: ModelVersion, *, by: Actor) -> list[Stage]:
    """The stages to which the actor may move this version; whether the policy lets it in is another question."""
    stages = [stage for stage in Stage if stage != version.stage]
    return [stage for stage in stages if may_on(by, _right_for(version.stage, stage), version.model)]


def may_move(version: ModelVersion, *, to: str, by: Actor) -> bool:
    """Whether role and token allow this move; what the stage demands is another question."""
    return may_on(by, _right_for(version.stage, to), version.model)


def require_move(version: ModelVersion, *, to: str, by: Actor) -> None:
    """Raises Forbidden unless `may_move`."""
    require_on(by, _right_for(version.stage, to), version.model)


@contextmanager
def locked(version: ModelVersion, *, to: str) -> Iterator[ModelVersion]:
    """The version as it is now, its model locked, in a transaction.

    Raises Invalid for an unknown stage, NothingToDo when it is there already, NotFound when it is gone.
    """
    if to not in Stage.values:
        raise Invalid("to", f"One of {', '.join(Stage.values)}.")
    with transaction.atomic():
        current = _current(version, lock(version.model))
        if current.stage == to:
            raise NothingToDo(f"{current} is already in {to}.")
        yield current


def change_stage(
    version: ModelVersion,
    *,
    to: str,
    by: Actor,
    reason: str = "",
    keep_former: bool = False,
    archive_former: bool = False,
    policy: str = "",
) -> StageTransition:
    """Move a locked version to another stage, no questions asked: promotions.py and reviews.py have asked them.

    Into production: former production versions are archived unless `keep_former`, and the newest of them becomes the
    rollback target. Into staging: the former ones stay unless `archive_former`. Raises Invalid to archive what else is
    in a stage where everything may be.
    """
    if archive_former and to not in (Stage.STAGING, Stage.PRODUCTION):
        raise Invalid("archive_former", "Only what is in staging or production can be replaced.")
    reason = clean_reason(reason)
    model = version.model
    now = timezone.now()
    left = version.stage
    former: list[ModelVersion] = []
    if to == Stage.PRODUCTION:
        former = list(
            ModelVersion.objects.filter(model=model).in_stage(to).order_by("-last_promoted_at", "-number")
        )
        version.rollback_target = former[0] if former else None
    elif archive_former:
        former = list(ModelVersion.objects.filter(model=model).in_stage(to).order_by("-number"))
    transition = _change(
        version,
        to=to,
        kind=TransitionKind.MOVE,
        by=by,
        reason=reason,
        at=now,
        policy=policy,
        former=former[0].number if former else None,
    )
    leaving = former if archive_former or (to == Stage.PRODUCTION and not keep_former) else []
    for other in leaving:
        other.model = model
        _change(
            other,
            to=Stage.ARCHIVED,
            kind=TransitionKind.REPLACED,
            by=by,
            reason=f"Replaced by version {version.number}.",
            at=now,
            caused_by=transition,
        )
    _settle(model, now, left, to, *([Stage.ARCHIVED] if leaving else []))
    return transition


def _current(version: ModelVersion, model: RegisteredModel) -> ModelVersion:
    """The version as it is now, under the lock of its model. Raises NotFound when that model does not have it."""
    found = _VERSION.one(version.pk, model.pk)
    if found is None:
        raise NotFound(f"{model.name} has no such version any more.")
    found.model = model
    return found


def _change(
    version: ModelVersion,
    *,
    to: str,
    kind: TransitionKind,
    by: Actor,
    reason: str,
    at: datetime,
    caused_by: StageTransition | None = None,
    policy: str = "",
    stays: ModelVersion | None = None,
    **facts: Any,
) -> StageTransition:
    """Change one version's stage and write its transition, audit and outbox rows, the last with the facts. The model
    is locked. `stays` is the version that alone remains in the stage that this one leaves.
    """
    former = version.stage
    version.stage = to
    version.stage_changed_at = version.updated_at = at
    fields = ["stage", "stage_changed_at", "updated_at"]
    if to == Stage.PRODUCTION:
        version.last_promoted_at, version.last_promoted_by = at, by.user
        fields += ["last_promoted_at", "last_promoted_by", "rollback_target"]
    prepared.update(version, *fields)
    transition = StageTransition(
        model=version.model,
        version=version,
        from_stage=former,
        to_stage=to,
        kind=kind,
        reason=reason,
        by=by.user,
        at=at,
        caused_by=caused_by,
    )
    prepared.insert(transition)
    audit.record(
        "version.rolled_back" if kind == TransitionKind.ROLLBACK else "version.moved",
        by=by,
        subject=str(version),
        model=version.model,
        before={"stage": former},
        after={"stage": to},
        reason=reason,
        policy=policy,
    )
    events.emit(
        "version.moved",
        model=version.model,
        payload={
            "name": version.model.name,
            "version": version.number,
            "from": former,
            "to": to,
            "kind": kind.value,
            "transition": transition.pk,
            "by": by.name,
            "by_id": by.user.pk if by.user else None,
            "text": reason,
            "is_prompt": version.model.is_prompt,
            **facts,
        },
    )
    if to == Stage.PRODUCTION:
        retraining.entered_production(version, transition, by=by)
    deployment_follows.followed_stage(version, transition, by=by, is_guarded=bool(policy), stays=stays)
    return transition


def _settle(model: RegisteredModel, at: datetime, *stages: str) -> None:
    """After moves: the model's newest versions of these stages, its time, and what search shows of it."""
    counted = model.newest_production_id
    model.updated_at = at
    prepared.update(model, "updated_at", *find_newest(model, *dict.fromkeys(stages)))
    if model.newest_production_id == counted:
        index.touch(model)
    else:
        index.refresh([model.pk])


def current_production(model: RegisteredModel) -> ModelVersion | None:
    """The version promoted last among those in production."""
    versions = ModelVersion.objects.filter(model=model).in_stage(Stage.PRODUCTION)
    return (
        versions.select_related("rollback_target", "last_promoted_by")
        .order_by("-last_promoted_at", "-number")
        .first()
    )


def rollback_target(model: RegisteredModel) -> ModelVersion | None:
    """What `rollback` would bring back."""
    current = current_production(model)
    return current.rollback_target if current else None


def pass_over(version: ModelVersion) -> None:
    """What would go back to this version goes back to what it would go back to itself. The model is locked."""
    for later in ModelVersion.objects.filter(rollback_target=version).select_related("model"):
        further = version.rollback_target_id
        later.rollback_target_id = None if further == later.pk else further
        prepared.update(later, "rollback_target")
        touch_version(later)


@transaction.atomic
def rollback(model: RegisteredModel, *, by: Actor, reason: str) -> StageTransition:
    """Make the previous production version production again and archive the one that replaced it.

    The target was let into production once, so the policy is not asked again. It keeps its own rollback target, so that
    rolling back twice goes back two versions, but never returns to the one just taken out. Raises Conflict when there
    is nothing to go back to, Invalid without a reason, Forbidden.
    """
    model = lock(model)
    require_on(by, Right.ROLLBACK, model)
    reason = clean_reason(reason)
    if not reason:
        raise Invalid("reason", "Say why: whoever reads the history later will ask.")
    current = current_production(model)
    if current is None:
        raise Conflict(f"{model.name} has nothing in production.")
    target_id = current.rollback_target_id
    if target_id is None:
        raise Conflict(
            f"{model.name} has no earlier production version to go back to.",
            next_step=f"Archive v{current.number}, or promote another version.",
        )
    current = _current(current, model)
    target = _current(ModelVersion.objects.get(pk=target_id), model)
    if target.rollback_target_id == current.pk:
        target.rollback_target = None
    now = timezone.now()
    left = target.stage
    move = partial(_change, kind=TransitionKind.ROLLBACK, by=by, reason=reason, at=now)
    # In the event of the move that stands for the whole, not in that of the one it causes.
    facts: dict[str, Any] = {"restored": target.number, "taken_out": current.number}
    if target.stage == Stage.PRODUCTION:
        # It was kept beside its successor: it is still there, only the successor goes.
        transition = move(current, to=Stage.ARCHIVED, stays=target, **facts)
    else:
        transition = move(target, to=Stage.PRODUCTION, **facts)
        move(current, to=Stage.ARCHIVED, caused_by=transition)
    _settle(model, now, left, Stage.PRODUCTION, Stage.ARCHIVED)
    return transition


def history(model: RegisteredModel) -> QuerySet[StageTransition]:
    """Every move of every version, newest first."""
    return StageTransition.objects.filter(model=model).select_related("version", "by").order_by("-at", "-id")


def in_stage(
    stage: str, *, by: Actor, model: str = "", team: str = "", tag: str = ""
) -> ModelVersionQuerySet:
    """The readable versions in a stage, most recently moved first. `tag` is `key` or `key=value` of the model."""
    if stage not in Stage.values:
        raise NotFound(f"There is no stage “{stage}”.", next_step=f"Stages are {', '.join(Stage.values)}.")
    require_reading(by)
    versions = versions_for(by).in_stage(stage)
    if model:
        versions = versions.filter(model=get_model(model, by=by))
    if team:
        versions = versions.filter(model__team__slug=team)
    if tag:
        key, equals, value = tag.partition("=")
        wanted = {"model__tags__key": key, **({"model__tags__value": value} if equals else {})}
        versions = versions.filter(**wanted)
    return versions.order_by("-stage_changed_at", "-id")


def point_alias(version: ModelVersion, name: str, by: Actor, *, is_rollback: bool = False) -> Alias:
    """Point an alias at a version whose model is locked."""
    now = timezone.now()
    found = _ALIAS(version.model_id, name)
    alias_id, former = found[0] if found else (None, None)
    alias = Alias(id=alias_id, model=version.model, version=version, name=name, updated_at=now)
    if found:
        prepared.update(alias, "version", "updated_at")
    else:
        prepared.insert(alias)
    audit.record(
        "alias.set",
        by=by,
        subject=str(version),
        model=version.model,
        before={name: former},
        after={name: version.number},
    )
    events.emit("alias.set", model=version.model, payload=_of_alias(version, name))
    deployment_follows.followed_alias(version, name, by=by, former=former, is_rollback=is_rollback)
    return alias


def _of_alias(version: ModelVersion, name: str) -> dict[str, Any]:
    model = version.model
    return {
        "name": model.name,
        "alias": name,
        "version": version.number,
        "is_prompt": model.is_prompt,
    }


@transaction.atomic
def set_alias(model: RegisteredModel, *, name: str, version: ModelVersion, by: Actor) -> Alias:
    """Point an alias at a version, new or moved. Raises Invalid("alias"), Forbidden, NotFound for another
    model's version.
    """
    check_alias(name)
    model = lock(model)
    require_on(by, Right.EDIT_VERSION, model)
    version = _current(version, model)
    alias = point_alias(version, name, by)
    touch_version(version)
    return alias


@transaction.atomic
def delete_alias(model: RegisteredModel, *, name: str, by: Actor) -> None:
    """Take an alias away. Raises NotFound for a missing one, Forbidden, Invalid for text that no alias has."""
    name = clean_text("alias", name, limit=MAX_ALIAS)
    model = lock(model)
    require_on(by, Right.EDIT_VERSION, model)
    alias = Alias.objects.select_related("version").filter(model=model, name=name).first()
    if alias is None:
        raise NotFound(f"{model.name} has no alias “{name}”.")
    version = alias.version
    version.model = model
    drop_alias(alias, version, by)
    touch_version(version)


def drop_alias(alias: Alias, version: ModelVersion, by: Actor) -> None:
    """Delete an alias of a version whose model is locked."""
    alias.delete()
    audit.record(
        "alias.deleted",
        by=by,
        subject=str(version),
        model=version.model,
        before={alias.name: version.number},
        after={alias.name: None},
    )
    events.emit("alias.deleted", model=version.model, payload=_of_alias(version, alias.name))
    deployment_follows.unfollowed_alias(version, alias.name, by=by)


def touch_version(version: ModelVersion) -> None:
    """Note that something about a version changed, where lists by update show it. The model is locked."""
    model = version.model
    version.updated_at = model.updated_at = timezone.now()
    prepared.update(version, "updated_at")
    prepared.update(model, "updated_at")
    index.touch(model)
