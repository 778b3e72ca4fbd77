"""Where a rollback would go back to. Read only; a page tells it before somebody acts, and the verb decides anew."""

from __future__ import annotations

from dataclasses import dataclass

from models_app.models import Deployment, Environment, ModelVersion, RegisteredModel

from . import environments, lifecycle
from .access import Actor
from .deployments import going_back


@dataclass(frozen=True)
class GoingBack:
    """What a rollback would change: these deployments, each to its target, and production where that moves with it."""

    deployments: list[Deployment]
    production: ModelVersion | None
    is_allowed: bool


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
