"""Agents take what is to be deployed, and keep it in hand by a lease.

For all agents that wait, `claimable` is asked four times a second in each process: two statements over partial indexes,
which find nothing as long as nothing is there. A counter on the environment would be as quick to read, but every
promotion would have to write it, so that promotions of different models waited for each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from models_app.models import (
    UNFINISHED,
    DeployKind,
    Deployment,
    DeploymentKind,
    DeploymentState,
    Environment,
    RegisteredModel,
)
from models_app.models.deployments import DeploymentQuerySet

from . import deployment_reports, environments, prepared
from . import deployment_steps as steps
from .access import Actor, models_for
from .deployments import deployments_for, held
from .errors import Conflict, Invalid, NotFound
from .metadata import clean_text

LEASE = range(10, 3_601)
AT_ONCE = 20


def clean_agent(name: str) -> str:
    """An agent's name as leases keep it. Raises Invalid("agent")."""
    text = clean_text("agent", name, limit=100)
    if not text:
        raise Invalid("agent", "Say who you are: a name that no other agent of this environment has.")
    return text


def require_claiming(environment: Environment, *, by: Actor) -> None:
    """Raises Forbidden for who does not speak for the environment, Conflict where deployers are told instead."""
    environments.require_reporting(environment, by=by)
    if environment.kind != DeployKind.AGENT:
        raise Conflict(
            f"{environment} is not deployed by agents: its deployer is told by {environment.get_kind_display()}.",
            next_step="Change how it deploys to “agent”.",
        )


def _lost(now: datetime) -> DeploymentQuerySet:
    """What is under way in nobody's hand."""
    return Deployment.objects.unfinished().filter(Q(lease_until=None) | Q(lease_until__lte=now))


def _queued() -> DeploymentQuerySet:
    """What may be handed out, but for freezes: it waits for nobody, and nothing of its model there goes first."""
    pair = Deployment.objects.filter(model=OuterRef("model"), environment=OuterRef("environment"))
    goes_first = pair.filter(
        state=DeploymentState.QUEUED, kind=DeploymentKind.ROLLBACK, pk__gt=OuterRef("pk")
    )
    found: DeploymentQuerySet = Deployment.objects.filter(
        ~Exists(pair.filter(state__in=UNFINISHED)),
        ~Exists(goes_first) | Q(kind=DeploymentKind.ROLLBACK),
        state=DeploymentState.QUEUED,
        released=True,
    )
    return found


def waiting_for(environment: Environment, agent: str, *, by: Actor) -> list[Deployment]:
    """What this agent could claim: what it has in hand already, what another lost, what waits; in this order."""
    now = timezone.now()
    in_hand = Deployment.objects.unfinished().filter(holder=agent)
    taken, queued = ((in_hand | _lost(now)), _queued())
    taken, queued = (rows.filter(environment=environment) for rows in (taken, queued))
    readable = by.readable_teams
    if readable is not None:
        taken, queued = (rows.filter(model__in=models_for(by)) for rows in (taken, queued))
    if environment.freeze_at(now) is not None:
        queued = queued.filter(ignores_freeze=True)
    mine = list(taken.order_by("id")[:AT_ONCE])
    mine.sort(key=lambda one: (one.holder != agent, one.pk))
    waiting = sorted(queued.order_by("id")[:AT_ONCE], key=lambda one: one.kind != DeploymentKind.ROLLBACK)
    return mine + waiting


def claimable(environments: Collection[int]) -> dict[int, list[int]]:
    """Of each of these environments what an agent might get now, by primary keys; those that have nothing are left out.

    Whoever finds something asks `claim`, which decides.
    """
    now = timezone.now()
    found: dict[int, list[int]] = defaultdict(list)
    for place, pk in (
        _lost(now).filter(environment__in=environments).order_by("id").values_list("environment", "id")
    ):
        found[place].append(pk)
    queued = _queued().filter(environment__in=environments).order_by("id")
    rows = list(queued.values_list("environment", "id", "ignores_freeze"))
    frozen: set[int] = set()
    if rows:
        there = Environment.objects.filter(pk__in={row[0] for row in rows}).only("freezes")
        frozen = {one.pk for one in there if one.freeze_at(now) is not None}
    for place, pk, ignores_freeze in rows:
        if ignores_freeze or place not in frozen:
            found[place].append(pk)
    return dict(found)


def declared(environment: Environment, *, by: Actor) -> DeploymentQuerySet:
    """What is live there, of models that the actor may read: what each machine of the environment is to run. Without
    models of which something is under way. Raises Forbidden, Conflict.
    """
    require_claiming(environment, by=by)
    changing = Deployment.objects.unfinished().filter(model=OuterRef("model"), environment=environment)
    found: DeploymentQuerySet = deployments_for(by).live().filter(~Exists(changing), environment=environment)
    return found


def claim(environment: Environment, *, agent: str, by: Actor, lease: int = 60) -> Deployment | None:
    """The next deployment for this agent, in its hand for so many seconds; None when there is none now.

    An agent gets first what it had in hand, so that after a crash it goes on where it was. Raises Forbidden, Conflict,
    Invalid.
    """
    agent = clean_agent(agent)
    span = _span(lease)
    require_claiming(environment, by=by)
    for candidate in waiting_for(environment, agent, by=by):
        if (taken := _take(candidate, agent, span, by)) is not None:
            return taken
    return None


def _span(lease: int) -> timedelta:
    if lease not in LEASE:
        raise Invalid("lease", f"Seconds, {LEASE[0]} to {LEASE[-1]}.")
    return timedelta(seconds=lease)


def _take(candidate: Deployment, agent: str, span: timedelta, by: Actor) -> Deployment | None:
    """Take it, unless another was quicker: whose model is locked at the moment is left for the next time."""
    with transaction.atomic():
        free = RegisteredModel.objects.select_for_update(no_key=True, skip_locked=True)
        if not free.filter(pk=candidate.model_id).order_by().exists():
            return None
        try:
            with held(candidate) as current:
                return current if _is_ours(current, agent, span, by) else None
        except NotFound:
            return None


def _is_ours(current: Deployment, agent: str, span: timedelta, by: Actor) -> bool:
    now = timezone.now()
    if current.is_unfinished:
        lost = current.lease_until is None or current.lease_until <= now
        if current.holder != agent and not lost:
            return False
        if current.holder != agent:
            told = f"Agent {agent} went on where {current.holder or 'nobody'} was lost."
            deployment_reports.add_lines(current, [{"text": told, "url": ""}])
        current.holder, current.lease_until = agent, now + span
        prepared.update(current, "holder", "lease_until")
        return True
    if not steps.may_start(current):
        return False
    steps.start(current, by=by, holder=agent, lease=span)
    return True


def renew(deployment: Deployment, *, agent: str, by: Actor, lease: int = 60) -> Deployment:
    """Keep it in hand for so many seconds from now. Raises Forbidden, Conflict when it is over or another has it."""
    agent = clean_agent(agent)
    span = _span(lease)
    environments.require_reporting(deployment.environment, by=by)
    until = timezone.now() + span
    ours = Deployment.objects.filter(pk=deployment.pk, holder=agent, state__in=UNFINISHED)
    if not ours.update(lease_until=until):
        raise Conflict(
            f"Deployment {deployment.pk} is not in the hands of {agent} any more.", next_step="Claim again."
        )
    deployment.lease_until = until
    return deployment
