"""What follows when a deployment fails: the environment and the stage go back, once and no further."""

from __future__ import annotations

from models_app.models import Alias, Deployment, DeploymentKind, Follows

from . import deployment_steps as steps
from . import lifecycle
from .access import Actor


def fail(deployment: Deployment, *, by: Actor, why: str) -> None:
    """What is under way has failed; its model is locked. What waits behind it goes on; else the environment goes back
    to what ran before, and the version out of the stage or alias in which it failed. A rollback that fails is the end.
    """
    environment = deployment.environment
    steps.end_failed(deployment, by=by, why=why)
    goes_back = deployment.kind != DeploymentKind.ROLLBACK and environment.rolls_back
    if goes_back and environment.follows_production:
        # Whatever overtook it must not go back to what has failed.
        lifecycle.pass_over(deployment.version)
    if steps.start_next(deployment, by=by) or not goes_back:
        return
    system = Actor.system()
    reason = f"Deployment {deployment.pk} of v{deployment.version.number} failed in {environment}: {why}"
    reason = reason[: lifecycle.MAX_REASON]
    if deployment.rollback_target is not None and deployment.started_at is not None:
        go_back(deployment, by=system, reason=reason)
    if deployment.kind == DeploymentKind.FOLLOWED:
        take_back(deployment, by=system, reason=reason)


def take_back(deployment: Deployment, *, by: Actor, reason: str) -> None:
    """Undo the move or the alias that brought the version here, where that still holds.

    Raises Forbidden for whoever may not move it.
    """
    version, environment = deployment.version, deployment.environment
    model = version.model
    if environment.follows == Follows.ALIAS:
        alias = Alias.objects.filter(model=model, name=environment.followed, version=version).first()
        if alias is None:
            return
        if deployment.alias_was is None:
            lifecycle.drop_alias(alias, version, by)
        else:
            deployment.alias_was.model = model
            lifecycle.point_alias(deployment.alias_was, alias.name, by, is_rollback=True)
        lifecycle.touch_version(version)
        return
    current = lifecycle.current_production(model) if environment.follows_production else None
    if current is not None and current.pk == version.pk and current.rollback_target_id is not None:
        lifecycle.rollback(model, by=by, reason=reason)
    elif version.stage == environment.followed and deployment.transition is not None:
        lifecycle.require_move(version, to=deployment.transition.from_stage, by=by)
        lifecycle.change_stage(version, to=deployment.transition.from_stage, by=by, reason=reason)


def go_back(deployment: Deployment, *, by: Actor, reason: str) -> Deployment:
    """Queue the rollback of what is live or under way, which fails by that."""
    target = deployment.rollback_target
    assert target is not None
    target.model = deployment.model
    if deployment.is_unfinished:
        steps.end_failed(deployment, by=by, why=f"Rolled back: {reason}")
    return steps.queue(
        target,
        deployment.environment,
        kind=DeploymentKind.ROLLBACK,
        by=by,
        reason=reason,
        undoes=deployment,
        ignores_freeze=True,
    )
