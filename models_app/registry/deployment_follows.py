"""What stages and aliases bring into the environments that follow them, and what waits for somebody there.

Moves between stages and aliases tell of themselves here, with the model locked.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q

from models_app.models import (
    Deployment,
    DeploymentKind,
    DeploymentState,
    Environment,
    Follows,
    ModelVersion,
    Stage,
    StageTransition,
    StartMode,
    TransitionKind,
)

from . import environments
from .access import Actor
from .deployment_steps import OVERTAKEN, end_failed, queue, supersede
from .prepared import Prepared


def followed_stage(
    version: ModelVersion,
    transition: StageTransition,
    *,
    by: Actor,
    is_guarded: bool,
    stays: ModelVersion | None = None,
) -> None:
    """A version came into a stage: queue it wherever that is followed, and call off what waits of it elsewhere.

    `is_guarded`: a policy was asked, so that nobody needs to be asked again who may deploy. `stays`: a rollback took
    the version out of a stage in which this one was all the time, and which it now has alone.
    """
    former = transition.from_stage
    followed = _followed(Follows.STAGE, former, transition.to_stage)
    waited_in: set[int] = set()
    if former in followed:
        waited_in = _call_off(version, Follows.STAGE, former, by=by)
    if transition.to_stage in followed:
        _bring_into(transition.to_stage, version, transition, by=by, is_guarded=is_guarded)
    if stays is not None and former in followed:
        _bring_into(former, stays, transition, by=by, is_guarded=True, instead_in=waited_in)


def _bring_into(
    stage: str,
    version: ModelVersion,
    transition: StageTransition,
    *,
    by: Actor,
    is_guarded: bool,
    instead_in: Collection[int] = (),
) -> None:
    _bring(
        version,
        environments.following(version.model, Follows.STAGE, stage),
        by=by,
        reason=transition.reason,
        is_rollback=transition.kind == TransitionKind.ROLLBACK,
        is_allowed=is_guarded or stage == Stage.PRODUCTION,
        instead_in=instead_in,
        transition=transition,
    )


def followed_alias(
    version: ModelVersion, name: str, *, by: Actor, former: int | None, is_rollback: bool = False
) -> None:
    """An alias was set, which pointed at the version of the former number: queue it wherever the alias is followed."""
    if not _followed(Follows.ALIAS, name, name):
        return
    was = ModelVersion.objects.filter(model=version.model_id, number=former or 0).first()
    if was is not None and was.pk != version.pk:
        was.model = version.model
        _call_off(was, Follows.ALIAS, name, by=by)
    _bring(
        version,
        environments.following(version.model, Follows.ALIAS, name),
        by=by,
        reason=f"Alias “{name}”.",
        is_rollback=is_rollback,
        is_allowed=False,
        alias_was=was if was is not None and was.pk != version.pk else None,
    )


def unfollowed_alias(version: ModelVersion, name: str, *, by: Actor) -> None:
    """An alias is gone: what waits because of it waits no more."""
    if _followed(Follows.ALIAS, name, name):
        _call_off(version, Follows.ALIAS, name, by=by)


# Nearly all moves and aliases are followed by nobody; that costs one quick question.
_FOLLOWED = Prepared(
    lambda follows, one, other: (
        Environment.objects.filter(Q(followed=one) | Q(followed=other), deleted_at=None, follows=follows)
        .order_by()
        .values_list("followed")
        .distinct()
    ),
    str,
    str,
    str,
)


def _followed(follows: Follows, *places: str) -> set[str]:
    return {row[0] for row in _FOLLOWED(follows.value, *places)}


def _call_off(version: ModelVersion, follows: str, followed: str, *, by: Actor) -> set[int]:
    """What waits because of that waits no more; returns the environments."""
    called_off = set()
    waiting = Deployment.objects.filter(
        version=version,
        state=DeploymentState.QUEUED,
        kind=DeploymentKind.FOLLOWED,
        environment__follows=follows,
        environment__followed=followed,
    )
    for one in waiting.select_related("environment", "version__manifest"):
        one.version.model = version.model
        supersede(one, by=by, why=f"No longer under {followed}.")
        called_off.add(one.environment_id)
    return called_off


@dataclass
class _Place:
    """How a model stands in an environment, and what of one version came to an end there last."""

    live: Deployment | None = None
    under_way: Deployment | None = None
    queued: Deployment | None = None
    back_queued: Deployment | None = None
    failed: Deployment | None = None

    @property
    def back(self) -> Deployment | None:
        """The newest rollback on its way."""
        is_back = self.under_way is not None and self.under_way.kind == DeploymentKind.ROLLBACK
        return self.back_queued or (self.under_way if is_back else None)

    @property
    def is_bare(self) -> bool:
        """Nothing runs, nothing is on its way."""
        return not (self.live or self.under_way or self.queued or self.back_queued)

    def has_only(self, version: ModelVersion) -> bool:
        """The version is live, and nothing else is under way."""
        is_live = self.live is not None and self.live.version_id == version.pk
        return is_live and self.under_way is None and self.back_queued is None


def _places(version: ModelVersion, there: list[Environment]) -> dict[int, _Place]:
    """Of each environment, in one query. `failed` is the version's newest deployment that went out and has ended, where
    it ended in failure: what was live in its time has not, nor what a person stopped.
    """
    rows = Deployment.objects.filter(model=version.model_id, environment__in=there)
    ended = Q(version=version, started_at__isnull=False)
    found = {one.pk: _Place() for one in there}
    of_pair = {one.pk: one for one in there}
    stopped = Deployment.objects.filter(undoes=OuterRef("pk"), by__isnull=False)
    known = (rows.filter(ended) | rows.current()).annotate(was_stopped=Exists(stopped))
    for one in known.select_related("version__manifest", "rollback_target").order_by("pk"):
        place = found[one.environment_id]
        one.environment = of_pair[one.environment_id]
        one.version.model = version.model
        if one.state == DeploymentState.LIVE:
            place.live = one
        elif one.is_unfinished:
            place.under_way = one
        elif one.state == DeploymentState.QUEUED:
            if one.kind == DeploymentKind.ROLLBACK:
                place.back_queued = one
            else:
                place.queued = one
            continue
        if one.version_id == version.pk:
            has_failed = one.state in (DeploymentState.FAILED, DeploymentState.ROLLED_BACK)
            is_own = one.live_at is None and not one.was_stopped
            place.failed = one if has_failed and is_own else None
    return found


def _bring(
    version: ModelVersion,
    there: list[Environment],
    *,
    by: Actor,
    reason: str,
    is_rollback: bool,
    is_allowed: bool,
    instead_in: Collection[int] = (),
    **more: Any,
) -> None:
    """Queue the version in these environments, where it is not yet or on its way back anyway."""
    places = _places(version, there) if there else {}
    for environment in there:
        place = places[environment.pk]
        if _is_coming_back(version, place, is_rollback=is_rollback, by=by):
            continue
        if place.has_only(version):
            if place.queued is not None:
                supersede(place.queued, by=by, why=OVERTAKEN.format(version.number))
            continue
        if is_rollback and place.is_bare and environment.pk not in instead_in:
            # There is nothing to go back from.
            continue
        held = _held(version, environment, place, by=by, is_rollback=is_rollback, is_allowed=is_allowed)
        goes_back = is_rollback and place.live is not None and not held
        undoes = _stopped(version, place, reason=reason, by=by) if is_rollback and not held else None
        queue(
            version,
            environment,
            kind=DeploymentKind.ROLLBACK if goes_back else DeploymentKind.FOLLOWED,
            by=by,
            reason=reason,
            released=goes_back or (environment.start == StartMode.AUTOMATIC and not held),
            held=held,
            ignores_freeze=goes_back,
            undoes=undoes,
            **more,
        )


def _is_coming_back(version: ModelVersion, place: _Place, *, is_rollback: bool, by: Actor) -> bool:
    """Whether a rollback on its way makes it needless. What goes back by itself does not get in the way of another
    rollback; what a person wants overtakes it.
    """
    if place.back is None:
        return False
    return place.back.version_id == version.pk or (is_rollback and by.is_system)


def _held(
    version: ModelVersion,
    environment: Environment,
    place: _Place,
    *,
    by: Actor,
    is_rollback: bool,
    is_allowed: bool,
) -> str:
    """Why it has to wait for somebody here; nothing when it has not."""
    if place.failed is not None and (by.is_system or not is_rollback):
        return f"v{version.number} failed here before (deployment {place.failed.pk})"
    if not is_allowed and not environments.may_deploy(environment, version.model, by=by):
        return f"{by.name} may not deploy here"
    return ""


def _stopped(version: ModelVersion, place: _Place, *, reason: str, by: Actor) -> Deployment | None:
    """What a rollback undoes. What is under way of another version counts as failed when a person goes back."""
    under_way, live = place.under_way, place.live
    if under_way is not None and under_way.kind != DeploymentKind.ROLLBACK:
        if not by.is_system and under_way.version_id != version.pk:
            end_failed(under_way, by=by, why=f"Rolled back: {reason}")
        return under_way
    return live if live is not None and live.version_id != version.pk else None
