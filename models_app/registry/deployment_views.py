"""What runs where, for pages and API: the matrix of models and environments, the history of a pair, where a version is.

Declared is what the registry made live; reported is what an environment last said it runs. Where they differ there is
drift, and where what is live is no longer what the environment follows. All of it in a constant number of queries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet
from django.utils import timezone

from models_app.models import (
    CURRENT,
    DeployKind,
    Deployment,
    DeploymentState,
    Environment,
    Follows,
    ModelVersion,
    RegisteredModel,
    Running,
    StageTransition,
)
from models_app.models.catalog import RegisteredModelQuerySet
from models_app.models.deployments import DeploymentQuerySet

from .access import Actor, models_for
from .deployments import deployments_for
from .environments import environments_for, until

# On a page of a model or version.
PLACES = 50


@dataclass(frozen=True)
class Cell:
    """One model in one environment: what is live, what is on its way, how the last one ended, what is reported."""

    environment: Environment
    live: Deployment | None = None
    under_way: Deployment | None = None
    queued: Deployment | None = None
    last: Deployment | None = None
    running: Running | None = None

    @property
    def is_empty(self) -> bool:
        return self.last is None and self.running is None

    @property
    def state(self) -> str:
        """At a glance: a DeploymentState, `drift`, or nothing. What is on its way comes before what is there; `failed`
        stays as long as nothing newer came.
        """
        if self.under_way is not None:
            return str(self.under_way.state)
        if self.queued is not None:
            return str(DeploymentState.QUEUED)
        if self.last is not None and self.last.state == DeploymentState.FAILED:
            return str(DeploymentState.FAILED)
        if self.drift or self.astray:
            return "drift"
        if self.live is not None:
            return str(DeploymentState.LIVE)
        return str(self.last.state) if self.last is not None else ""

    @property
    def shown(self) -> Deployment | None:
        """The deployment that `state` speaks of; none where only a report is known."""
        ending = self.last if self.last is not None and self.last.state == DeploymentState.FAILED else None
        return self.under_way or self.queued or ending or self.live or self.last

    @property
    def astray(self) -> str:
        """How what is live is not what is followed, in words."""
        return astray(self.live) if self.live is not None else ""

    @property
    def held(self) -> str:
        """Why what is queued waits for somebody though the environment starts by itself; nothing when it does not."""
        return self.queued.held if self.queued is not None and not self.queued.released else ""

    @property
    def is_in_trouble(self) -> bool:
        return bool(self.held) or self.state in ("failed", "drift")

    @cached_property
    def drift(self) -> str:
        """How what is reported differs from what is declared, in words; nothing when it does not or nobody knows."""
        return drift(self.live, self.running)


def drift(live: Deployment | None, running: Running | None) -> str:
    """As `Cell.drift`. A report from before the version went live says nothing about it."""
    if running is None or (live is not None and live.live_at is not None and running.at < live.live_at):
        return ""
    if live is None:
        return f"runs v{running.version_number}, which nobody declared" if running.version_number else ""
    declared = live.version
    if running.version_number is None:
        return f"runs nothing, v{declared.number} is declared"
    if running.version_number != declared.number:
        return f"runs v{running.version_number}, v{declared.number} is declared"
    known = declared.manifest.digest if declared.manifest else ""
    if running.digest and running.digest != known:
        return f"runs other files than v{declared.number} has"
    return ""


def astray(deployment: Deployment) -> str:
    """How what is live is not what its environment follows, in words; nothing where it is. Of a deployment that knows
    (`with_followed`).
    """
    if not deployment.is_astray:
        return ""
    where, number = deployment.environment, deployment.followed_number
    runs = f"runs v{deployment.version.number}"
    if where.follows == Follows.STAGE:
        return (
            f"{runs}, {where.followed} is v{number}" if number else f"{runs}, nothing is in {where.followed}"
        )
    name = f"alias “{where.followed}”"
    return f"{runs}, {name} is v{number}" if number else f"{runs}, {name} is gone"


def waits_for(deployment: Deployment) -> str:
    """What a queued one waits for, in words; nothing for any other. `environment` is read."""
    if deployment.state != DeploymentState.QUEUED:
        return ""
    if not deployment.released:
        return f"somebody to start it: {deployment.held}" if deployment.held else "somebody to start it"
    freeze = deployment.environment.freeze_at(timezone.now())
    if freeze is not None and not deployment.ignores_freeze:
        return f"the freeze to end at {until(freeze)}: {freeze['reason']}"
    if deployment.environment.kind == DeployKind.AGENT:
        return "an agent to take it"
    return "another deployment to end"


@dataclass(frozen=True)
class Row:
    """A model in every environment, in their order."""

    model: RegisteredModel
    cells: list[Cell]


def deployed_models(
    actor: Actor,
    *,
    team: str = "",
    words: str = "",
    environment: Environment | None = None,
    in_trouble: bool = False,
) -> RegisteredModelQuerySet:
    """The readable models that are or were deployed anywhere, or are reported to run; narrowed, by name.

    In trouble is a model whose last deployment somewhere failed or is held back, that drifts, or runs what its
    environment does not follow any more.
    """
    here = Q(environment__deleted_at=None)
    if environment is not None:
        here &= Q(environment=environment)
    there = Deployment.objects.filter(here, model=OuterRef("pk"))
    reported = Running.objects.filter(here, model=OuterRef("pk"))
    found = models_for(actor).filter(Exists(there) | Exists(reported)).select_related("team")
    if in_trouble:
        drifts = drifting(by=actor).filter(here)
        found = found.filter(
            Q(pk__in=troubled(Deployment.objects.filter(here)).order_by().values("model"))
            | Q(pk__in=drifts.order_by().values("model"))
        )
    if team:
        found = found.filter(team__slug=team)
    for word in words.split()[:20]:
        found = found.filter(name__icontains=word)
    return found.order_by("name")


def troubled(rows: DeploymentQuerySet) -> DeploymentQuerySet:
    """Those of these deployments to look at: failed last, held back, or live where they should not be."""
    found: DeploymentQuerySet = rows.filter(
        Q(pk__in=_keys(rows.failed_last()))
        | Q(pk__in=_keys(rows.held_back()))
        | Q(pk__in=_keys(rows.astray()))
    )
    return found


def _keys(rows: DeploymentQuerySet) -> QuerySet[Deployment, Any]:
    return rows.order_by().values("pk")


@dataclass(frozen=True)
class Standing:
    """A deployment at a glance: its state, `drift` for what is live and should not be, and what is wrong; nothing when
    it is well.
    """

    deployment: Deployment
    state: str
    told: str


def trouble_of(model: RegisteredModel) -> list[Standing]:
    """What is wrong where a model is deployed, by environment; what reports say is on the page of deployments."""
    return _standing(troubled(Deployment.objects.filter(model=model, environment__deleted_at=None)))


def places_of(version: ModelVersion) -> list[Standing]:
    """Where a version is live, and where it failed last, or is held back, by environment."""
    rows = Deployment.objects.filter(version=version, environment__deleted_at=None)
    return _standing(rows.filter(Q(state=DeploymentState.LIVE) | Q(pk__in=_keys(troubled(rows)))))


def _standing(rows: DeploymentQuerySet) -> list[Standing]:
    rows = rows.with_followed().select_related("version", "environment").order_by("environment__name", "-pk")
    found = []
    for one in rows[:PLACES]:
        told = {DeploymentState.LIVE: astray(one), DeploymentState.FAILED: one.failure}.get(
            DeploymentState(one.state), f"waits for {waits_for(one)}"
        )
        is_adrift = one.state == DeploymentState.LIVE and bool(told)
        found.append(Standing(one, "drift" if is_adrift else str(one.state), told))
    return found


def matrix(
    models: Iterable[RegisteredModel], *, by: Actor, environments: Iterable[Environment] | None = None
) -> list[Row]:
    """A page of models (of `deployed_models`, or any that the actor may read) in these environments, else in all."""
    models = list(models)
    shown = list(environments_for(by) if environments is None else environments)
    cells: dict[tuple[int, int], dict[str, Deployment | Running]] = {}
    for one in _newest_of(models, shown):
        found = cells.setdefault((one.model_id, one.environment_id), {})
        if one.state == DeploymentState.LIVE:
            found["live"] = one
        elif one.is_unfinished:
            found["under_way"] = one
        elif one.state == DeploymentState.QUEUED:
            found["queued"] = one
        found["last"] = one
    for running in Running.objects.filter(model__in=models, environment__in=shown):
        cells.setdefault((running.model_id, running.environment_id), {})["running"] = running
    return [
        Row(
            model,
            [Cell(environment, **cells.get((model.pk, environment.pk), {})) for environment in shown],  # type: ignore[arg-type]
        )
        for model in models
    ]


def _newest_of(models: list[RegisteredModel], environments: list[Environment]) -> DeploymentQuerySet:
    """Of each pair what is current and what came last, oldest first. A rollback is told by what it brought."""
    pairs = Deployment.objects.filter(model__in=models, environment__in=environments)
    last = pairs.exclude(state=DeploymentState.SUPERSEDED).order_by().values("model", "environment")
    rows = pairs.filter(Q(state__in=CURRENT) | Q(pk__in=last.annotate(newest=Max("pk")).values("newest")))
    related = ("version__manifest", "environment", "rollback_target", "by")
    found: DeploymentQuerySet = rows.with_followed().select_related(*related)
    return found.order_by("pk")


def history(model: RegisteredModel, environment: Environment, *, by: Actor) -> DeploymentQuerySet:
    """Everything of a model in an environment, newest first."""
    return deployments_for(by).of_pair(model.pk, environment.pk)


def of_model(model: RegisteredModel, *, by: Actor) -> list[Cell]:
    """Where a model is: the environments in which there is anything of it. For its page and its versions' pages."""
    (row,) = matrix([model], by=by)
    return [cell for cell in row.cells if not cell.is_empty]


@dataclass(frozen=True)
class Counted:
    """An environment, with how many readable models are live there, on their way, or drift."""

    environment: Environment
    live: int = 0
    on_the_way: int = 0
    drifting: int = 0


def with_counts(environments: Iterable[Environment], *, by: Actor) -> list[Counted]:
    """Each with its counts, in three queries."""
    shown = list(environments)
    rows = Deployment.objects.filter(environment__in=shown, model__in=models_for(by), state__in=CURRENT)
    states = (
        rows.order_by()
        .values_list("environment")
        .annotate(
            live=Count("pk", filter=Q(state=DeploymentState.LIVE)),
            on_the_way=Count("pk", filter=~Q(state=DeploymentState.LIVE)),
        )
    )
    counts = {pk: (live, on_the_way) for pk, live, on_the_way in states}
    adrift = drifting(by=by).filter(environment__in=shown).order_by().values_list("environment")
    drifts = dict(adrift.annotate(count=Count("pk")))
    strays = Deployment.objects.filter(environment__in=shown, model__in=models_for(by)).astray()
    for pk, count in strays.order_by().values_list("environment").annotate(count=Count("pk")):
        drifts[pk] = drifts.get(pk, 0) + count
    return [Counted(one, *counts.get(one.pk, (0, 0)), drifts.get(one.pk, 0)) for one in shown]


def serving(versions: Iterable[ModelVersion]) -> dict[int, list[Deployment]]:
    """Where each of these versions is live, by its primary key."""
    found: dict[int, list[Deployment]] = {}
    rows = Deployment.objects.live().filter(version__in=list(versions), environment__deleted_at=None)
    related = ("version", "environment", "rollback_target")
    for one in rows.with_followed().select_related(*related).order_by("environment__name"):
        found.setdefault(one.version_id, []).append(one)
    return found


def newest(versions: Iterable[ModelVersion]) -> dict[int, list[Deployment]]:
    """What last became of each of these versions in every environment, by its primary key."""
    found: dict[tuple[int, int], Deployment] = {}
    rows = Deployment.objects.filter(version__in=list(versions), environment__deleted_at=None)
    rows = rows.exclude(state=DeploymentState.SUPERSEDED)
    for one in rows.select_related("environment").order_by("environment__name", "pk"):
        found[one.version_id, one.environment_id] = one
    by_version: dict[int, list[Deployment]] = {}
    for (version, _), one in found.items():
        by_version.setdefault(version, []).append(one)
    return by_version


def brought_by(transition: StageTransition) -> DeploymentQuerySet:
    """The deployments that a move brought about, by environment."""
    found: DeploymentQuerySet = Deployment.objects.filter(transition=transition).select_related("environment")
    return found.order_by("environment__name", "pk")


def running_in(environment: Environment, *, by: Actor) -> QuerySet[Running]:
    """What an environment reported, of models that the actor may read."""
    rows = Running.objects.filter(environment=environment, model__in=models_for(by))
    return rows.select_related("model", "environment", "by").defer("model__card")


def drifting(*, by: Actor) -> QuerySet[Running]:
    """Reports about readable models that name another version than is declared, newest first."""
    live = Deployment.objects.live().filter(model=OuterRef("model"), environment=OuterRef("environment"))
    same = live.filter(version__number=OuterRef("version_number"))
    digest = Q(version__manifest__digest=OuterRef("digest")) | Q(pk__isnull=False, live_at__gt=OuterRef("at"))
    rows = Running.objects.filter(model__in=models_for(by), environment__deleted_at=None)
    rows = rows.filter(
        Q(Exists(live.filter(live_at__lte=OuterRef("at"))) & ~Exists(same))
        | Q(~Exists(live), version_number__isnull=False)
        | (Exists(same) & ~Q(digest="") & ~Exists(same.filter(digest)))
    )
    return rows.select_related("model", "environment").order_by(F("at").desc(), "-pk")
