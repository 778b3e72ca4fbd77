"""What an order or a rollback would do. Read only; a page tells it before somebody acts, and the verb decides anew."""

from __future__ import annotations

from dataclasses import dataclass

from models_app.models import (
    Alias,
    Deployment,
    Environment,
    Follows,
    ModelVersion,
    RegisteredModel,
    StageTransition,
)

from . import environments, lifecycle
from .access import Actor
from .deployments import going_back


@dataclass(frozen=True)
class Return:
    """A deployment that would be taken out, and what would serve there again."""

    deployment: Deployment
    target: ModelVersion


@dataclass(frozen=True)
class GoingBack:
    """What a rollback would change: these, and production where that moves with them."""

    returns: list[Return]
    production: ModelVersion | None
    is_allowed: bool


def going_back_from(
    model: RegisteredModel, environment: Environment | None = None, *, by: Actor
) -> GoingBack:
    """What `deployments.roll_back` would do now, in one environment or in all of them: where one follows production
    and that goes back, it goes to the same version.
    """
    found = going_back(model, environment)
    current = lifecycle.current_production(model) if environment is None else None
    target = current.rollback_target if current is not None else None
    if current is None or target is None or not any(_follows(one, current) for one in found):
        current = target = None
    returns = [
        Return(one, back)
        for one in found
        if (back := target if current and _follows(one, current) else one.rollback_target) is not None
    ]
    allowed = bool(found) and all(environments.may_deploy(one.environment, model, by=by) for one in found)
    return GoingBack(returns, current, allowed and bool(returns))


def _follows(deployment: Deployment, production: ModelVersion) -> bool:
    return deployment.version_id == production.pk and deployment.environment.follows_production


def open_to(version: ModelVersion, *, by: Actor) -> list[Environment]:
    """The environments into which the actor may order this version now: those that take the model, where she may
    deploy, and whose stage or alias it has or had.
    """
    taking = [
        one
        for one in environments.taking(version.model)
        if environments.may_deploy(one, version.model, by=by)
    ]
    stages = set(
        StageTransition.objects.filter(version=version).order_by().values_list("to_stage", flat=True)
    )
    aliases = set(Alias.objects.filter(version=version).order_by().values_list("name", flat=True))
    served = Deployment.objects.filter(version=version, live_at__isnull=False)
    known = set(served.order_by().values_list("environment", flat=True))
    had = {Follows.STAGE: stages | {version.stage}, Follows.ALIAS: aliases}
    return [one for one in taking if one.pk in known or one.followed in had[Follows(one.follows)]]
