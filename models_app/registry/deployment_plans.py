"""What would happen: where a rollback goes back to, what a move into a stage deploys. Read only; pages tell it before
somebody acts, and the verbs decide anew.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone

from models_app.models import (
    Deployment,
    DeploymentState,
    Environment,
    Follows,
    ModelVersion,
    RegisteredModel,
    StartMode,
)

from . import environments, lifecycle
from .access import Actor
from .deployments import going_back

OVER_AND_BAD = (DeploymentState.FAILED, DeploymentState.ROLLED_BACK)
NOT_TRIED = (DeploymentState.QUEUED, DeploymentState.SUPERSEDED)


@dataclass(frozen=True)
class GoingBack:
    """What a rollback would change: these deployments, each to its target, and production where that moves with it."""

    deployments: list[Deployment]
    production: ModelVersion | None
    is_allowed: bool

    @property
    def words(self) -> str:
        """As in `eu, us: v13 → v12`."""
        places: dict[tuple[int, int], list[str]] = {}
        for one in self.deployments:
            if one.rollback_target is not None:
                pair = (one.version.number, one.rollback_target.number)
                places.setdefault(pair, []).append(one.environment.name)
        if self.production is not None and self.production.rollback_target is not None:
            pair = (self.production.number, self.production.rollback_target.number)
            places.setdefault(pair, []).append("production")
        return "; ".join(
            f"{', '.join(names)}: v{here} → v{there}" for (here, there), names in sorted(places.items())
        )


def going_back_from(
    model: RegisteredModel, environment: Environment | None = None, *, by: Actor
) -> GoingBack:
    """What `deployments.roll_back` would do now, in one environment or in all of them."""
    found = [one for one in going_back(model, environment) if one.rollback_target is not None]
    current = lifecycle.current_production(model)
    moves = current is not None and current.rollback_target_id is not None
    if found and (environment is not None or (current and current.pk != found[0].version_id)):
        moves = False
    return GoingBack(
        found,
        current if moves else None,
        bool(found) and all(environments.may_deploy(one.environment, model, by=by) for one in found),
    )


@dataclass(frozen=True)
class Expected:
    """A deployment that a move would bring about, and why it would wait, if it would."""

    environment: Environment
    target: ModelVersion | None
    waits_for: str = ""
    withheld: bool = False


def expected(version: ModelVersion, *, to: str) -> list[Expected]:
    """What a move of this version into a stage starts, in two queries."""
    found = environments.following(version.model, Follows.STAGE, to)
    live: dict[int, Deployment] = {}
    newest: dict[int, Deployment] = {}
    rows = Deployment.objects.filter(model=version.model_id, environment__in=found)
    for one in rows.select_related("version", "rollback_target").order_by("pk"):
        if one.state == DeploymentState.LIVE:
            live[one.environment_id] = one
        if one.version_id == version.pk and one.state not in NOT_TRIED:
            newest[one.environment_id] = one
    told = []
    for environment in found:
        here = live.get(environment.pk)
        if here is not None and here.version_id == version.pk:
            continue
        last = newest.get(environment.pk)
        told.append(
            Expected(
                environment,
                here.version if here is not None else None,
                waits_for=_would_wait_for(environment),
                withheld=last is not None and last.state in OVER_AND_BAD,
            )
        )
    return told


def _would_wait_for(environment: Environment) -> str:
    if environment.start == StartMode.MANUAL:
        return "somebody to start it"
    freeze = environment.freeze_at(timezone.now())
    return f"the freeze to end: {freeze['reason']}" if freeze else ""
