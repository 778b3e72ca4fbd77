"""The steps of a deployment: queued, deploying, verifying, live, failed. Written for the verbs of deployments.py and
for deployment_follows.py; whoever calls has locked the model and asked who may.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from models_app.models import (
    UNFINISHED,
    DeployKind,
    Deployment,
    DeploymentKind,
    DeploymentState,
    Environment,
    Follows,
    ModelVersion,
    Stage,
)

from . import address_templates, audit, events, prepared, retraining
from .access import Actor
from .names import flat

OVERTAKEN = "Overtaken by version {}."
REPLACED = "Replaced by version {}."


# --- what is told ---------------------------------------------------------------------------------------------


def facts(deployment: Deployment) -> dict[str, Any]:
    """All that a deployer needs, JSON-ready: payload of every event and answer to an agent that asks. Addresses are
    paths; whoever sends them makes them whole.
    """
    version, environment = deployment.version, deployment.environment
    model, manifest = version.model, version.manifest
    endpoint = deployment.endpoint
    target = deployment.rollback_target
    return {
        "deployment": deployment.pk,
        "state": str(deployment.state),
        "kind": str(deployment.kind),
        "environment": environment.name,
        "site": environment.site,
        "deployer": str(environment.kind),
        # For who wants to hear of some stages only.
        **({"stage": environment.followed} if environment.follows == Follows.STAGE else {}),
        "name": model.name,
        "flat_name": flat(model.name),
        "version": version.number,
        "digest": manifest.digest if manifest else "",
        "total_size": manifest.total_size if manifest else 0,
        "framework": version.framework,
        "serving_address": endpoint,
        "health_check": address_templates.told_health(version, environment, endpoint),
        "health_window": environment.health_window,
        "timeout": environment.timeout,
        "rollback_target": target.number if target else None,
        "undoes": deployment.undoes_id,
        "transition": deployment.transition_id,
        "ordered_by_id": deployment.by_id,
        "reason": deployment.reason,
        "failure": deployment.failure,
        "held": "" if deployment.released else deployment.held,
    }


def _tell(deployment: Deployment, verb: str, *, by: Actor, before: str = "", why: str = "") -> None:
    """Record and emit what became of a deployment; why, unless for the reason that it was made or failed for."""
    version = deployment.version
    audit.record(
        f"deployment.{verb}",
        by=by,
        subject=str(version),
        model=version.model,
        before={"state": str(before)} if before else {},
        after={
            "state": str(deployment.state),
            "environment": deployment.environment.name,
            "deployment": deployment.pk,
            **({"held": deployment.held} if verb == "queued" and deployment.held else {}),
        },
        reason=why or (deployment.failure if verb == "failed" else deployment.reason),
    )
    events.emit(
        f"deployment.{verb}",
        model=version.model,
        payload={
            **facts(deployment),
            "by": by.name,
            "by_id": by.user.pk if by.user else None,
            "text": why or deployment.failure or deployment.reason,
        },
    )


# --- queue ----------------------------------------------------------------------------------------------------


def live_in(model_id: int, environment: Environment) -> Deployment | None:
    """What runs there, as far as declared."""
    found = Deployment.objects.of_pair(model_id, environment.pk).live()
    return found.select_related("version__model", "version__manifest", "rollback_target").first()


def _target(version: ModelVersion, live: Deployment | None) -> ModelVersion | None:
    """What runs now is what one goes back to; where that is the version itself, what it would go back to."""
    if live is None:
        return None
    return live.rollback_target if live.version_id == version.pk else live.version


def _further_back(
    version: ModelVersion, environment: Environment, undone: Deployment | None
) -> ModelVersion | None:
    """What a version that comes back would go back to itself: what it replaced when it was live there, and never what
    is taken out now.
    """
    served = Deployment.objects.of_pair(version.model_id, environment.pk).filter(
        version=version, live_at__isnull=False, rollback_target__isnull=False
    )
    if undone is not None:
        served = served.exclude(rollback_target=undone.version_id)
    former = served.order_by("-pk").select_related("rollback_target").first()
    return former.rollback_target if former else None


def agree_on_target(version: ModelVersion, environment: Environment) -> None:
    """A version in production goes back to the newest of what its environments go back to: what served, so that stage
    and environments end at the same version. Where nobody may ever start it, it counts for nothing.
    """
    if not environment.follows_production or version.stage != Stage.PRODUCTION:
        return
    brought = (DeploymentKind.FOLLOWED, DeploymentKind.ROLLBACK)
    its = Deployment.objects.current().filter(
        version=version,
        kind__in=brought,
        released=True,
        environment__follows=Follows.STAGE,
        environment__followed=Stage.PRODUCTION,
        environment__deleted_at=None,
    )
    targets = ModelVersion.objects.filter(pk__in=its.order_by().values("rollback_target"))
    newest = targets.order_by("-last_promoted_at", "-number").only("pk", "number").first()
    if newest is not None and newest.pk not in (version.pk, version.rollback_target_id):
        version.rollback_target_id = newest.pk
        prepared.update(version, "rollback_target")


def queue(
    version: ModelVersion,
    environment: Environment,
    *,
    kind: DeploymentKind,
    by: Actor,
    reason: str = "",
    released: bool = True,
    **more: Any,
) -> Deployment:
    """Queue a version and start it if it can start by itself. It overtakes what is queued for its model there; a
    rollback overtakes only other rollbacks: what was promoted meanwhile comes after it.
    """
    now = timezone.now()
    model = version.model
    waiting = Deployment.objects.of_pair(model.pk, environment.pk).filter(state=DeploymentState.QUEUED)
    is_rollback = kind == DeploymentKind.ROLLBACK
    if is_rollback:
        waiting = waiting.filter(kind=kind)
    for older in waiting.select_related("version__model", "version__manifest"):
        older.environment = environment
        supersede(older, by=by, why=OVERTAKEN.format(version.number))
    endpoint, failure = address_templates.of_deployment(version, environment)
    deployment = Deployment(
        model=model,
        version=version,
        environment=environment,
        kind=kind,
        by=by.user,
        reason=reason,
        released=released,
        rollback_target=_further_back(version, environment, more.get("undoes"))
        if is_rollback
        else _target(version, live_in(model.pk, environment)),
        endpoint=endpoint,
        # Never starts, and fails when the clock comes by: the move that brought it is not done yet.
        failure=failure,
        queued_at=now,
        **more,
    )
    prepared.insert(deployment)
    _tell(deployment, "queued", by=by)
    if not start_if_due(deployment, by=by):
        agree_on_target(version, environment)
    return deployment


def supersede(deployment: Deployment, *, by: Actor, why: str) -> None:
    """It is over without having come to an end of its own."""
    before = deployment.state
    deployment.failure = why if before != DeploymentState.LIVE else deployment.failure
    _end(deployment, DeploymentState.SUPERSEDED)
    _tell(deployment, "superseded", by=by, before=before, why=why)


def _end(deployment: Deployment, state: DeploymentState) -> None:
    deployment.state = state
    deployment.ended_at = timezone.now()
    deployment.due_at = deployment.next_check_at = deployment.lease_until = None
    prepared.update(deployment, "state", "ended_at", "due_at", "next_check_at", "lease_until", "failure")


# --- start ----------------------------------------------------------------------------------------------------


def may_start(deployment: Deployment) -> bool:
    """Whether a queued one may be handed out now: released, not known to fail, no freeze in the way, nothing else under
    way.
    """
    if not deployment.released or deployment.failure or deployment.state != DeploymentState.QUEUED:
        return False
    if not deployment.ignores_freeze and deployment.environment.freeze_at(timezone.now()) is not None:
        return False
    pair = Deployment.objects.of_pair(deployment.model_id, deployment.environment_id)
    others = pair.unfinished()
    if deployment.kind != DeploymentKind.ROLLBACK:
        others = pair.filter(state__in=UNFINISHED) | pair.filter(
            state=DeploymentState.QUEUED, kind=DeploymentKind.ROLLBACK
        )
    return not others.exclude(pk=deployment.pk).exists()


def start_if_due(deployment: Deployment, *, by: Actor) -> bool:
    """Start it where deployers are told; an agent asks when it is ready."""
    if deployment.environment.kind == DeployKind.AGENT or not may_start(deployment):
        return False
    start(deployment, by=by)
    return True


def start(deployment: Deployment, *, by: Actor, holder: str = "", lease: timedelta | None = None) -> None:
    """Hand it out: from here on a deployer works on it, and the time runs. What it goes back to is fixed now."""
    now = timezone.now()
    if deployment.kind != DeploymentKind.ROLLBACK:
        live = live_in(deployment.model_id, deployment.environment)
        deployment.rollback_target = _target(deployment.version, live)
    deployment.state, deployment.started_at = DeploymentState.DEPLOYING, now
    deployment.due_at = now + timedelta(seconds=deployment.environment.timeout)
    deployment.holder, deployment.lease_until = holder, now + lease if lease else None
    prepared.update(deployment, "state", "started_at", "due_at", "rollback_target", "holder", "lease_until")
    _tell(deployment, "started", by=by, before=DeploymentState.QUEUED)
    agree_on_target(deployment.version, deployment.environment)


def start_next(deployment: Deployment, *, by: Actor) -> bool:
    """After one has ended: start what waits for its model there, if it may; a rollback goes first. Whether something
    that may start is there, also where an agent has to ask for it.
    """
    pair = Deployment.objects.of_pair(deployment.model_id, deployment.environment_id)
    waiting = pair.filter(state=DeploymentState.QUEUED).select_related(
        "version__model", "version__manifest", "environment", "rollback_target"
    )
    for one in sorted(waiting, key=lambda each: each.kind != DeploymentKind.ROLLBACK):
        if may_start(one):
            start_if_due(one, by=by)
            return True
    return False


# --- go on ----------------------------------------------------------------------------------------------------


def verify(deployment: Deployment, *, by: Actor) -> None:
    """The deployer is done; now it has the environment's window to show that it is healthy."""
    now = timezone.now()
    before = deployment.state
    environment = deployment.environment
    deployment.state, deployment.verifying_at = DeploymentState.VERIFYING, now
    deployment.due_at = now + timedelta(seconds=environment.health_window)
    deployment.next_check_at = now if is_checked_here(environment) else None
    deployment.healthy_in_a_row = 0
    prepared.update(
        deployment, "state", "verifying_at", "due_at", "next_check_at", "healthy_in_a_row", "endpoint"
    )
    _tell(deployment, "verifying", by=by, before=before)


def is_checked_here(environment: Environment) -> bool:
    """Whether the registry asks for its health itself: an agent does that where it is."""
    return bool(environment.health_check) and environment.kind != DeployKind.AGENT


def go_live(deployment: Deployment, *, by: Actor) -> None:
    """It serves. What served before is over: rolled back where this is the rollback, superseded else."""
    now = timezone.now()
    before = deployment.state
    former = live_in(deployment.model_id, deployment.environment)
    is_rollback = deployment.kind == DeploymentKind.ROLLBACK
    undone = [deployment.undoes] if is_rollback and deployment.undoes else []
    undone = [one for one in undone if one.state == DeploymentState.FAILED]
    if former is not None and former.pk != deployment.pk:
        former.environment = deployment.environment
        if is_rollback and former.version_id != deployment.version_id:
            # The row that is live must be gone before the next may be.
            _end(former, DeploymentState.ROLLED_BACK)
            undone.append(former)
        else:
            supersede(former, by=by, why=REPLACED.format(deployment.version.number))
    deployment.state, deployment.live_at = DeploymentState.LIVE, now
    deployment.due_at = deployment.next_check_at = deployment.lease_until = None
    prepared.update(
        deployment, "state", "live_at", "due_at", "next_check_at", "lease_until", "endpoint", "last_check"
    )
    version = deployment.version
    if deployment.endpoint and version.serving_endpoint != deployment.endpoint:
        version.serving_endpoint = deployment.endpoint
        version.updated_at = now
        prepared.update(version, "serving_endpoint", "updated_at")
    _tell(deployment, "live", by=by, before=before)
    if former is not None and former.version_id != version.pk:
        serves_no_more(former)
    for one in undone:
        _rolled_back(one, deployment, by=by)
    retraining.went_live(deployment, by=by)
    start_next(deployment, by=by)


def serves_no_more(former: Deployment) -> None:
    """Take the address from its version, unless it still serves elsewhere or somebody gave it one by hand."""
    version = former.version
    ours = Deployment.objects.filter(version=version).exclude(endpoint="")
    live = list(ours.live().order_by("-pk").values_list("endpoint", flat=True))
    given = version.serving_endpoint
    if given not in live and ours.filter(endpoint=given).exists():
        version.serving_endpoint = live[0] if live else ""
        prepared.update(version, "serving_endpoint")


def _rolled_back(undone: Deployment, rollback: Deployment, *, by: Actor) -> None:
    """The rollback serves, so what it undoes is rolled back."""
    undone.environment = rollback.environment
    undone.state = DeploymentState.ROLLED_BACK
    prepared.update(undone, "state")
    _tell(undone, "rolled_back", by=by)


def end_failed(deployment: Deployment, *, by: Actor, why: str) -> None:
    """It failed; what follows from that, deployment_failures.py decides."""
    before = deployment.state
    deployment.failure = why
    _end(deployment, DeploymentState.FAILED)
    _tell(deployment, "failed", by=by, before=before)
