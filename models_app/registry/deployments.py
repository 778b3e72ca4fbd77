"""Deployments: ordered, started, called off, rolled back. Their steps: deployment_steps.py; what brings them
about by itself: lifecycle.py, which tells of every move; what deployers say and ask: deployment_reports.py and
deployment_claims.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.models import (
    CURRENT,
    UNFINISHED,
    Alias,
    Deployment,
    DeploymentKind,
    DeploymentState,
    Environment,
    Follows,
    ModelVersion,
    RegisteredModel,
    StageTransition,
)
from models_app.models.deployments import DeploymentQuerySet

from . import audit, deployment_failures, environments, lifecycle, prepared
from . import deployment_steps as steps
from .access import Actor, Right, models_for, require, require_reading
from .errors import Conflict, Forbidden, Invalid, NotFound, NothingToDo
from .metadata import clean_text

# --- reading --------------------------------------------------------------------------------------------------


def deployments_for(actor: Actor) -> DeploymentQuerySet:
    """Deployments of the models that the actor may read, newest first. Raises Unauthenticated, Forbidden."""
    require_reading(actor)
    rows = Deployment.objects.with_followed().select_related(
        "version__manifest",
        "version__model__team",
        "environment__team",
        "environment__deploy_team",
        "rollback_target",
        "transition__request",
        "by",
    )
    if actor.readable_teams is not None:
        rows = rows.filter(model__in=models_for(actor))
    return rows.order_by("-id")


def get_deployment(number: int, *, by: Actor) -> Deployment:
    """Raises NotFound."""
    found = deployments_for(by).filter(pk=number).first()
    if found is None:
        raise NotFound(f"There is no deployment {number} that you may see.")
    return found


@contextmanager
def held(deployment: Deployment) -> Iterator[Deployment]:
    """The deployment as it is now, its model locked, in a transaction. Raises NotFound when it is gone."""
    with transaction.atomic():
        model = lifecycle.lock(deployment.model)
        current = (
            Deployment.objects.select_related(
                "version__manifest",
                "environment__team",
                "environment__deploy_team",
                "rollback_target",
                "transition",
            )
            .filter(pk=deployment.pk)
            .first()
        )
        if current is None:
            raise NotFound(f"Deployment {deployment.pk} is gone.")
        current.model = current.version.model = model
        yield current


def present() -> QuerySet[Deployment]:
    """The deployments that are live, wait or are under way: their versions must stay, and what they go back to."""
    return Deployment.objects.filter(state__in=CURRENT, environment__deleted_at=None)


def holding(versions: Iterable[ModelVersion] | Any) -> Deployment | None:
    """A deployment for which one of these versions must stay. None when there is none. For deletion.py."""
    named = Q(version__in=versions) | Q(rollback_target__in=versions)
    return present().filter(named).select_related("environment", "version__model", "rollback_target").first()


# --- by hand --------------------------------------------------------------------------------------------------


def deploy(
    version: ModelVersion, environment: Environment, *, by: Actor, reason: str = "", past_freeze: bool = False
) -> Deployment:
    """Order a version into an environment, also one that failed there before.

    It must be, or have been, where the environment follows: an order is no way around a promotion. In a freeze admins
    may, `past_freeze` and with a reason. Raises Forbidden, Conflict, Invalid.
    """
    reason = lifecycle.clean_reason(reason)
    with transaction.atomic():
        version = lifecycle.lock_version(version)
        environment = _there(environment)
        environments.require_deploying(environment, version.model, by=by)
        environments.require_taking(environment, version.model)
        _require_let_in(version, environment)
        _require_thawed(environment, by=by, reason=reason, past_freeze=past_freeze)
        return steps.queue(
            version,
            environment,
            kind=DeploymentKind.ORDERED,
            by=by,
            reason=reason,
            ignores_freeze=past_freeze,
        )


def start(deployment: Deployment, *, by: Actor, reason: str = "", past_freeze: bool = False) -> Deployment:
    """Start what waits for somebody to start it. Raises Forbidden, Conflict."""
    reason = lifecycle.clean_reason(reason)
    with held(deployment) as current:
        environments.require_deploying(current.environment, current.model, by=by)
        if current.state != DeploymentState.QUEUED:
            raise NothingToDo(f"Deployment {current.pk} is {current.get_state_display().lower()} already.")
        _require_thawed(current.environment, by=by, reason=reason, past_freeze=past_freeze)
        if current.released and not past_freeze:
            raise NothingToDo(
                f"Deployment {current.pk} may start, and does so by itself when those before it have ended."
            )
        current.released = True
        current.ignores_freeze = current.ignores_freeze or past_freeze
        prepared.update(current, "released", "ignores_freeze")
        audit.record(
            "deployment.released",
            by=by,
            subject=str(current.version),
            model=current.model,
            after={"environment": current.environment.name, "deployment": current.pk},
            reason=reason,
        )
        steps.start_if_due(current, by=by)
        return current


def call_off(deployment: Deployment, *, by: Actor, reason: str = "") -> Deployment:
    """Take back one that still waits. Raises Forbidden, Conflict."""
    reason = lifecycle.clean_reason(reason)
    with held(deployment) as current:
        environments.require_deploying(current.environment, current.model, by=by)
        if current.state != DeploymentState.QUEUED:
            raise Conflict(
                f"Deployment {current.pk} is {current.get_state_display().lower()}, it waits no more.",
                next_step="Roll back instead.",
            )
        steps.supersede(current, by=by, why=f"Called off by {by.name}. {reason}".strip())
        return current


def _there(environment: Environment) -> Environment:
    found = environments.with_teams().filter(pk=environment.pk).first()
    if found is None:
        raise NotFound(f"The environment {environment} was deleted.")
    return found


def _require_let_in(version: ModelVersion, environment: Environment) -> None:
    """Raises Conflict unless the version is or was where the environment follows."""
    followed = environment.followed
    if Deployment.objects.filter(version=version, environment=environment, live_at__isnull=False).exists():
        return
    if environment.follows == Follows.STAGE:
        moves = StageTransition.objects.filter(version=version, to_stage=followed)
        if version.stage == followed or moves.exists():
            return
        raise Conflict(f"{version} never was in {followed}.", next_step=f"Promote it to {followed} first.")
    if not Alias.objects.filter(version=version, name=followed).exists():
        raise Conflict(f"{version} has no alias “{followed}”.", next_step="Set the alias.")


def _require_thawed(environment: Environment, *, by: Actor, reason: str, past_freeze: bool) -> None:
    """Raises Conflict in a freeze, unless an admin goes past it and says why."""
    freeze = environment.freeze_at(timezone.now())
    if freeze is None:
        return
    if not past_freeze:
        raise Conflict(
            f"{environment} is frozen until {environments.until(freeze)}: {freeze['reason']}",
            next_step="Wait till then; an admin may deploy past the freeze, with a reason.",
        )
    try:
        require(by, Right.MANAGE_TEAM, environment.team)
    except Forbidden as error:
        raise Forbidden(
            f"Only an admin may deploy past the freeze of {environment}.", next_step=error.next_step
        ) from error
    if not reason:
        raise Invalid("reason", "Say why it cannot wait: whoever asked for the freeze will ask.")


def take_down(environment: Environment, *, by: Actor, reason: str = "") -> None:
    """Take an environment away; what ran there stays on record. Raises Conflict while anything is deployed or waits
    there, unless a reason is given: then that is over. Raises Forbidden, NotFound.
    """
    reason = clean_text("reason", reason, limit=2_000, lines=True)
    there = Deployment.objects.filter(environment=environment, state__in=CURRENT)
    with transaction.atomic():
        # Models first, as everywhere; what comes there meanwhile is found below.
        for model in RegisteredModel.objects.filter(deployments__in=there).distinct().order_by("pk"):
            lifecycle.lock(model)
        current = environments.locked(environment)
        require(by, Right.MANAGE_TEAM, current.team)
        rows = list(there.select_related("version__model", "version__manifest").order_by("pk"))
        if rows and not reason:
            raise Conflict(
                f"{len(rows)} deployments are in {current}, live or on their way.",
                next_step="Give a reason if it is gone with all that runs there.",
            )
        for one in rows:
            one.environment, was_live = current, one.state == DeploymentState.LIVE
            steps.supersede(one, by=by, why=f"The environment was deleted: {reason}")
            if was_live:
                steps.serves_no_more(one)
        environments.remove(current, by=by, reason=reason, deployments=len(rows))


def roll_back(
    model: RegisteredModel,
    environment: Environment | None = None,
    *,
    by: Actor,
    reason: str,
    move_stage: bool | None = None,
) -> list[Deployment]:
    """Go back, in one environment or in all that have the same version, at once and also in a freeze.

    What is under way there counts as failed. With `move_stage`, as unless told for all environments, the stage or alias
    goes back too, and where an environment follows it, it decides what to go back to. Raises Invalid without a reason,
    Forbidden, Conflict when there is nothing to go back to.
    """
    reason = lifecycle.clean_reason(reason)
    if not reason:
        raise Invalid("reason", "Say why: whoever reads the history later will ask.")
    with transaction.atomic():
        model = lifecycle.lock(model)
        going = going_back(model, environment)
        if not going:
            raise _nothing_to_roll_back(model, environment)
        for one in going:
            environments.require_deploying(one.environment, model, by=by)
        moves = environment is None if move_stage is None else move_stage
        known = [one.pk for one in _on_the_way_back(model)]
        if moves:
            for one in going:
                # Read anew: what was taken back for one environment may be so for the next.
                one.version = lifecycle.lock_version(one.version)
                deployment_failures.take_back(one, by=by, reason=reason)
        goes = {one.environment_id for one in _on_the_way_back(model)}
        for one in going:
            if one.rollback_target is not None and one.environment_id not in goes:
                deployment_failures.go_back(one, by=by, reason=reason)
        made = list(_on_the_way_back(model).exclude(pk__in=known).order_by("pk"))
        if not made:
            where = environment or "any environment"
            raise Conflict(
                f"{going[0].version} has nothing to go back to in {where}.",
                next_step="Deploy another version.",
            )
        return made


def _on_the_way_back(model: RegisteredModel) -> QuerySet[Deployment]:
    return (
        present()
        .filter(model=model, kind=DeploymentKind.ROLLBACK)
        .exclude(state=DeploymentState.LIVE)
        .select_related("environment", "version__model")
    )


def _nothing_to_roll_back(model: RegisteredModel, environment: Environment | None) -> Conflict:
    back = _on_the_way_back(model)
    if environment is not None:
        back = back.filter(environment=environment)
    where = f" in {environment}" if environment else ""
    if (under_way := back.first()) is not None:
        return Conflict(f"{model.name} is on its way back{where} already: deployment {under_way.pk}.")
    return Conflict(f"Nothing of {model.name} is deployed{where}.")


def going_back(model: RegisteredModel, environment: Environment | None) -> list[Deployment]:
    """What to take out: of each environment what is under way, else what is live; of all of them one version."""
    rows = Deployment.objects.filter(
        model=model, state__in=(*UNFINISHED, DeploymentState.LIVE), environment__deleted_at=None
    ).exclude(kind=DeploymentKind.ROLLBACK, state__in=UNFINISHED)
    if environment is not None:
        rows = rows.filter(environment=environment)
    newest: dict[int, Deployment] = {}
    related = (
        "environment__team",
        "environment__deploy_team",
        "version__manifest",
        "rollback_target",
        "transition",
        "alias_was",
    )
    for one in rows.select_related(*related).order_by("pk"):
        one.model = one.version.model = model
        if one.environment_id not in newest or one.is_unfinished:
            newest[one.environment_id] = one
    busy = {one.environment_id for one in _on_the_way_back(model)}
    found = [one for pk, one in sorted(newest.items()) if pk not in busy]
    if environment is not None or not found:
        return found
    current = lifecycle.current_production(model)
    bad = max(found, key=lambda one: one.pk).version_id
    if current is not None and any(one.version_id == current.pk for one in found):
        bad = current.pk
    return [one for one in found if one.version_id == bad]
