"""What deployments need of the clock: time that runs out, health that is asked for, freezes that end.

Whose health is asked for here is failed by nothing but a check: one that was made when its window was over, and said
no. So a worker that was away, or had much to do, fails nothing that is healthy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, Exists, F, OuterRef, Value, When, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from models_app.models import DeployKind, Deployment, DeploymentState

from . import deployment_steps as steps
from . import hook_filters
from .access import Actor
from .address_templates import CannotFill, fill
from .deployment_failures import fail
from .deployments import held
from .errors import NotFound

CHECK_EVERY = timedelta(seconds=3)
# Longer than a check takes: then its worker is gone.
CHECKING = timedelta(seconds=15)
HEALTHY_AFTER = 2
AT_ONCE = 100
# So many of an environment are looked at for one that may be asked for now.
LOOKED_AT = 32


def fail_doomed() -> int:
    """Fail what waits though it can never start; returns how many."""
    doomed = Deployment.objects.filter(state=DeploymentState.QUEUED, environment__deleted_at=None)
    doomed = doomed.exclude(failure="").select_related("model").order_by("id")
    return sum(_fail(one, one.failure) for one in doomed[:AT_ONCE])


def fail_late() -> int:
    """Fail what has taken too long, unless a check decides; returns how many."""
    late = Deployment.objects.unfinished().filter(due_at__lte=timezone.now(), next_check_at=None)
    return sum(_fail_late(one) for one in late.select_related("model").order_by("due_at")[:AT_ONCE])


def _fail_late(deployment: Deployment) -> int:
    try:
        with held(deployment) as current:
            is_late = current.due_at is not None and current.due_at <= timezone.now()
            if not current.is_unfinished or not is_late or current.next_check_at is not None:
                return 0
            if current.state == DeploymentState.VERIFYING:
                why = f"Not healthy within {current.environment.health_window} seconds."
            else:
                why = f"No word of success within {current.environment.timeout} seconds.{_untold(current)}"
            fail(current, by=Actor.system(), why=why)
            return 1
    except NotFound:
        return 0


def _untold(deployment: Deployment) -> str:
    """What explains the silence: that no deployer was told."""
    environment = deployment.environment
    if environment.kind == DeployKind.AGENT or hook_filters.deploying(environment):
        return ""
    return f" No webhook hears of {hook_filters.STARTED} there."


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
    busy = Deployment.objects.unfinished().filter(
        model=OuterRef("model"), environment=OuterRef("environment")
    )
    waiting = Deployment.objects.filter(
        ~Exists(busy), state=DeploymentState.QUEUED, released=True, environment__deleted_at=None
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


@dataclass(frozen=True, slots=True)
class Check:
    """A deployment whose health is ours to ask for, until somebody else may take it."""

    deployment: Deployment
    address: str
    until: datetime

    @property
    def environment_id(self) -> int:
        return self.deployment.environment_id


def _any(check: Check) -> bool:
    return True


def take_checks(
    *, limit: int, but: Collection[int] = (), admit: Callable[[Check], bool] = _any
) -> list[Check]:
    """Up to so many checks that are due, from now on ours to make. What was seen healthy once comes first, then what
    was never asked, then what a check decides, then what waits longest. Where nobody can be asked, that is a failure.
    Leaves out the environments in `but`; `admit` is asked for each.
    """
    now = timezone.now()
    due = Deployment.objects.filter(state=DeploymentState.VERIFYING, next_check_at__lte=now)
    due = due.exclude(environment__in=but)
    if limit <= 0 or not due.exists():
        return []
    never = Case(When(last_check="", then=Value(0)), default=Value(1))
    over = Case(When(due_at__lte=now, then=Value(0)), default=Value(1))
    order = [F("healthy_in_a_row").desc(), never, over, F("next_check_at").asc()]
    place = Window(RowNumber(), partition_by=["environment_id"], order_by=order)
    rows = due.select_related("model", "version__model__team", "version__manifest", "environment")
    taken: list[Check] = []
    for one in rows.annotate(place=place).filter(place__lte=LOOKED_AT).order_by("place", "next_check_at"):
        try:
            check = Check(one, _address_of(one), now + CHECKING)
        except CannotFill as error:
            _fail(one, f"{error.why} {error.next_step}")
            continue
        if len(taken) < limit and admit(check) and _take(check):
            taken.append(check)
    return taken


def _take(check: Check) -> bool:
    """Whether it is ours and no other worker's."""
    found = Deployment.objects.filter(
        pk=check.deployment.pk,
        state=DeploymentState.VERIFYING,
        next_check_at=check.deployment.next_check_at,
    )
    return bool(found.update(next_check_at=check.until))


def _address_of(deployment: Deployment) -> str:
    """Where a deployment's health is asked for. Raises CannotFill."""
    environment = deployment.environment
    return fill(environment.health_check, deployment.version, environment, address=deployment.endpoint)


def checked(check: Check, *, healthy: bool, said: str, at: datetime, decides: bool = True) -> None:
    """Note what a check that began at that moment said. After HEALTHY_AFTER good ones in a row it is live. Bad ones it
    may have till its window is over: the first that begins then and `decides` fails it.

    What is not ours any more is left alone.
    """
    said = said[:300]
    deployment, now = check.deployment, timezone.now()
    again = now + CHECK_EVERY
    if deployment.due_at is not None and deployment.due_at > now:
        # The last one is made when the window ends.
        again = min(again, deployment.due_at)
    ours = Deployment.objects.filter(
        pk=deployment.pk, state=DeploymentState.VERIFYING, next_check_at=check.until
    )
    if not ours.update(
        next_check_at=again,
        last_check=said,
        healthy_in_a_row=F("healthy_in_a_row") + 1 if healthy else 0,
    ):
        return
    is_over = deployment.due_at is not None and deployment.due_at <= at
    if healthy or (is_over and decides):
        _decide(deployment, said=said, healthy=healthy)


def _decide(deployment: Deployment, *, healthy: bool, said: str) -> None:
    try:
        with held(deployment) as current:
            if current.state != DeploymentState.VERIFYING:
                return
            if not healthy:
                window = current.environment.health_window
                why = f"Not healthy within {window} seconds. The last check said: {said}"
                fail(current, by=Actor.system(), why=why)
            elif current.healthy_in_a_row >= HEALTHY_AFTER:
                steps.go_live(current, by=Actor.system())
    except NotFound:
        return
