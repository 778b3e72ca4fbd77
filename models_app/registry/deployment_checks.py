"""What deployments need of the clock: time that runs out, health that is asked for, freezes that end."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from models_app.models import DeployKind, Deployment, DeploymentState

from . import deployment_steps as steps
from .access import Actor
from .address_templates import CannotFill, fill
from .deployment_failures import fail
from .deployments import held
from .errors import NotFound

CHECK_EVERY = timedelta(seconds=3)
# Longer than a check takes: then its worker is gone.
CHECKING = timedelta(seconds=30)
HEALTHY_AFTER = 2
AT_ONCE = 100


def fail_late() -> int:
    """Fail what has taken too long, and what waits though it can never start; returns how many."""
    doomed = Deployment.objects.filter(state=DeploymentState.QUEUED, environment__deleted_at=None)
    doomed = doomed.exclude(failure="").select_related("model").order_by("id")
    count = sum(_fail(one, one.failure) for one in doomed[:AT_ONCE])
    late = Deployment.objects.unfinished().filter(due_at__lte=timezone.now()).order_by("due_at")
    return count + sum(_fail_late(one) for one in late.select_related("model")[:AT_ONCE])


def _fail_late(deployment: Deployment) -> int:
    try:
        with held(deployment) as current:
            if not current.is_unfinished or current.due_at is None or current.due_at > timezone.now():
                return 0
            if current.state == DeploymentState.VERIFYING:
                said = f" The last check said: {current.last_check}" if current.last_check else ""
                why = f"Not healthy within {current.environment.health_window} seconds.{said}"
            else:
                why = f"No word of success within {current.environment.timeout} seconds."
            fail(current, by=Actor.system(), why=why)
            return 1
    except NotFound:
        return 0


def _fail(deployment: Deployment, why: str) -> int:
    """Fail one for a reason known beforehand, if it is still where it was."""
    try:
        with held(deployment) as current:
            if current.state != deployment.state:
                return 0
            fail(current, by=Actor.system(), why=why)
            return 1
    except NotFound:
        return 0


def start_waiting() -> int:
    """Start what could not be started before and can now, after a freeze for one; returns how many."""
    waiting = Deployment.objects.filter(
        state=DeploymentState.QUEUED, released=True, environment__deleted_at=None
    ).exclude(environment__kind=DeployKind.AGENT)
    now, count = timezone.now(), 0
    for one in waiting.select_related("model", "environment").order_by("id"):
        if one.environment.freeze_at(now) is not None and not one.ignores_freeze:
            continue
        try:
            with held(one) as current:
                count += steps.start_if_due(current, by=Actor.system())
        except NotFound:
            continue
    return count


# --- health ---------------------------------------------------------------------------------------------------


def due_checks(*, limit: int) -> list[Deployment]:
    """Deployments whose health is to be asked for now; from here on it is ours to ask. Where nobody can be asked, that
    is a failure.
    """
    now = timezone.now()
    due = Deployment.objects.filter(state=DeploymentState.VERIFYING, next_check_at__lte=now)
    rows = due.select_related("model", "version__model__team", "version__manifest", "environment")
    return [
        one
        for one in rows.order_by("next_check_at")[:limit]
        if _can_be_asked(one)
        and Deployment.objects.filter(pk=one.pk, next_check_at=one.next_check_at).update(
            next_check_at=now + CHECKING
        )
    ]


def _can_be_asked(deployment: Deployment) -> bool:
    try:
        address_of(deployment)
    except CannotFill as error:
        _fail(deployment, f"{error.why} {error.next_step}")
        return False
    return True


def address_of(deployment: Deployment) -> str:
    """Where a deployment's health is asked for. Raises CannotFill."""
    environment = deployment.environment
    return fill(environment.health_check, deployment.version, environment, address=deployment.endpoint)


def checked(deployment: Deployment, *, healthy: bool, said: str) -> None:
    """Note what a check said: after HEALTHY_AFTER good ones in a row it is live. Bad ones it may have till its window
    is over.
    """
    said = said[:300]
    row = Deployment.objects.filter(pk=deployment.pk, state=DeploymentState.VERIFYING)
    row.update(
        next_check_at=timezone.now() + CHECK_EVERY,
        last_check=said,
        healthy_in_a_row=F("healthy_in_a_row") + 1 if healthy else 0,
    )
    if not healthy:
        return
    try:
        with held(deployment) as current:
            is_due = current.state == DeploymentState.VERIFYING and current.healthy_in_a_row >= HEALTHY_AFTER
            if is_due:
                steps.go_live(current, by=Actor.system())
    except NotFound:
        return
