"""Judging observations: what goes beyond a limit often enough in a row opens the model's incident, or adds to it.

Judged is how each series that a batch touched stands after it, by its newest observations; only of what is live.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from models_app.models import (
    Breach,
    Comparison,
    Deployment,
    DeploymentState,
    Incident,
    IncidentState,
    Observation,
    ObservationSeries,
    Resolution,
    Threshold,
)

from . import audit, events, incident_facts, thresholds
from .access import Actor

Points = list[tuple[datetime, float]]


@dataclass(frozen=True, slots=True)
class Case:
    """A series under one limit, with its newest points, oldest first."""

    series: ObservationSeries
    threshold: Threshold
    points: Points

    @property
    def newest(self) -> Points:
        return self.points[-self.threshold.in_a_row :]

    def is_beyond(self, since: datetime | None) -> bool:
        """Whether the last `in_a_row`, all made after a moment, are beyond."""
        newest = self.newest
        return (
            len(newest) == self.threshold.in_a_row
            and (since is None or newest[0][0] > since)
            and all(self.threshold.is_beyond(value) for _, value in newest)
        )

    def is_within(self) -> bool:
        """Whether the last `in_a_row` are within."""
        newest = self.newest
        full = len(newest) == self.threshold.in_a_row
        return full and not any(self.threshold.is_beyond(value) for _, value in newest)

    def worse(self, one: float, other: float) -> float:
        return max(one, other) if self.threshold.comparison == Comparison.ABOVE else min(one, other)


def found_in(series: Iterable[int]) -> Incident | None:
    """The incident that series are part of and that is not over."""
    found = Incident.objects.filter(breaches__series__in=series)
    return found.exclude(state=IncidentState.RESOLVED).first()


def judge(deployment: Deployment, series: Iterable[ObservationSeries], *, by: Actor) -> Incident | None:
    """Open an incident on the model, or add to the open one, or end it; returns the one that is open now or was just
    ended. The model is locked; the queries do not grow with the batch.

    What an incident was resolved with is settled: only what was observed after that opens another.
    """
    touched = list(series)
    if not touched or deployment.state != DeploymentState.LIVE:
        return None
    limits = thresholds.of_deployment(deployment)
    pairs = [(one, limit) for one in touched for limit in limits if thresholds.covers(limit, one)]
    if not pairs:
        return None
    longest = max(limit.in_a_row for _, limit in pairs)
    newest = _newest({one.pk for one, _ in pairs}, longest)
    cases = [Case(one, limit, newest.get(one.pk, [])) for one, limit in pairs]
    last = Incident.objects.filter(model=deployment.model_id).order_by("-pk").first()
    incident = last if last is not None and not last.is_over else None
    settled = last.resolved_at if last is not None and last.is_over else None
    beyond = [case for case in cases if case.is_beyond(settled)]
    if incident is None:
        if not beyond:
            return None
        incident = Incident(model=deployment.model, opened_at=timezone.now())
        incident.save(force_insert=True)
        _note(incident, beyond, cases)
        _opened(incident, beyond[0], deployment, by=by)
        return incident
    _note(incident, beyond, cases)
    _end_if_recovered(incident, deployment, by=by)
    return incident


def _newest(series: set[int], count: int) -> dict[int, Points]:
    """The newest points of each series, oldest first. Each is read from the end of its index: a window would read all
    of it.
    """
    nth = Observation.objects.filter(series=OuterRef("pk")).order_by("-at").values("at")[count - 1 : count]
    starts = ObservationSeries.objects.filter(pk__in=series).annotate(start=Subquery(nth))
    since = Q(pk__in=[])
    for pk, start in starts.order_by().values_list("pk", "start"):
        since |= Q(series=pk, at__gte=start) if start is not None else Q(series=pk)
    found: dict[int, Points] = {}
    rows = Observation.objects.filter(since).order_by("at").values_list("series", "at", "value")
    for pk, at, value in rows:
        found.setdefault(pk, []).append((at, value))
    return found


def _note(incident: Incident, beyond: list[Case], cases: list[Case]) -> None:
    """Write what is beyond, and what is within again of what was beyond."""
    there = {(one.series_id, one.threshold_id): one for one in incident.breaches.all()}
    new, changed = [], []
    for case in cases:
        breach = there.get((case.series.pk, case.threshold.pk))
        if breach is None:
            if case in beyond:
                new.append(_breach(incident, case))
            continue
        later = [(at, value) for at, value in case.points if at > breach.last_at]
        for at, value in later:
            if case.threshold.is_beyond(value):
                breach.last_at, breach.last_value, breach.within_since = at, value, None
                breach.worst_value = case.worse(breach.worst_value, value)
                breach.count += 1
        if breach.within_since is None and case.is_within():
            breach.within_since = case.newest[0][0]
        changed.append(breach)
    Breach.objects.bulk_create(new)
    Breach.objects.bulk_update(changed, ["last_at", "last_value", "worst_value", "count", "within_since"])


def _breach(incident: Incident, case: Case) -> Breach:
    at, value = case.newest[-1]
    worst = value
    for _, other in case.newest:
        worst = case.worse(worst, other)
    return Breach(
        incident=incident,
        series=case.series,
        threshold=case.threshold,
        comparison=case.threshold.comparison,
        limit=case.threshold.value,
        first_at=case.newest[0][0],
        last_at=at,
        last_value=value,
        worst_value=worst,
        count=len(case.newest),
    )


def _opened(incident: Incident, case: Case, deployment: Deployment, *, by: Actor) -> None:
    at, value = case.newest[-1]
    facts: dict[str, Any] = {
        "deployment": deployment.pk,
        "environment": deployment.environment.name,
        "observed": case.series.name,
        "feature": case.series.feature,
        "comparison": case.threshold.comparison,
        "limit": case.threshold.value,
        "value": value,
        "in_a_row": case.threshold.in_a_row,
        "observed_at": at.isoformat(),
    }
    audit.record(
        "incident.opened",
        by=by,
        subject=str(deployment.version),
        model=deployment.model,
        after={"incident": incident.pk, **facts},
    )
    events.emit(
        "model.drifted",
        model=deployment.model,
        payload={
            **incident_facts.of(incident, deployment.model),
            **facts,
            "version": deployment.version.number,
            "by": by.name,
            "text": incident_facts.sentence(facts),
        },
    )


def _end_if_recovered(incident: Incident, deployment: Deployment, *, by: Actor) -> None:
    """An open incident that nobody took up ends when all of it is within again, and each limit lets it."""
    if incident.state != IncidentState.OPEN:
        return
    lasting = incident.breaches.filter(
        Q(within_since=None) | Q(threshold=None) | Q(threshold__resolves=False)
    )
    if not lasting.exists():
        incident_facts.end(
            incident,
            deployment.model,
            by=by,
            resolution=Resolution.RECOVERED,
            reason="Everything is within its limits again.",
        )
