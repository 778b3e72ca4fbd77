"""What a serving system or job posts of a deployment, bounded, and read as curves thinned to what a picture shows.

Kept are the newest POINTS of each of at most SERIES series of a deployment, for KEEP.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, Exists, F, IntegerField, OuterRef, QuerySet, Value, Window
from django.db.models.functions import Cast, Greatest, Mod, RowNumber
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from models_app.models import Deployment, Incident, Observation, ObservationSeries, RegisteredModel

from . import audit, drift, environments
from .access import Actor
from .deployments import held
from .errors import FieldProblem, Invalid, TooLarge
from .metadata import clean_text

AT_ONCE = 1_000
SERIES = 200
POINTS = 10_000
# How far a series may grow beyond POINTS before it is cut: cutting at each post would cost more than it frees.
SLACK = 1_000
KEEP = timedelta(days=400)
AHEAD = timedelta(minutes=5)
CURVE_POINTS = 300
_KNOWN = {"name", "feature", "at", "value"}

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Point:
    """An observation as a caller gives it."""

    name: str
    feature: str
    at: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Observed:
    """What became of a batch: how many are new, how many were there already, and the model's incident, if any."""

    added: int
    known: int
    incident: Incident | None


@dataclass(frozen=True, slots=True)
class Curve:
    """A series in a span of time: at most ~CURVE_POINTS of its points, of `count`."""

    series: ObservationSeries
    count: int
    points: list[tuple[datetime, float]]


# --- posting --------------------------------------------------------------------------------------------------


def observe(deployment: Deployment, *, by: Actor, observations: Iterable[Any]) -> Observed:
    """Keep a batch of observations of a deployment: all of them or none. What is observed for the first time is on
    record with who began it; single points are not.

    One is known by deployment, name, feature and time: what is there already stays as it is, so that a batch may be
    sent again. The model is locked, so that of batches that cross a limit together one opens the incident. Raises
    Invalid naming what is wrong, TooLarge, Forbidden for who does not speak for the environment, NotFound.
    """
    points = _clean(observations)
    with held(deployment) as current:
        environments.require_reporting(current.environment, by=by)
        series = _series(current, points, by=by)
        new = _new(points, series)
        Observation.objects.bulk_create(
            [Observation(series=series[p.name, p.feature], at=p.at, value=p.value) for p in new]
        )
        touched = _count(new, series)
        if new:
            incident = drift.judge(current, touched, by=by)
        else:
            incident = drift.found_in({series[p.name, p.feature].pk for p in points})
    return Observed(len(new), len(points) - len(new), incident)


def _clean(observations: Iterable[Any]) -> list[Point]:
    """Checked points, each once. Raises Invalid listing every problem."""
    rows = list(observations)
    if not rows:
        raise Invalid("observations", "At least one.")
    if len(rows) > AT_ONCE:
        raise TooLarge(f"At most {AT_ONCE} observations at once.", limit=AT_ONCE)
    latest = timezone.now() + AHEAD
    problems: list[FieldProblem] = []
    found: dict[tuple[str, str, datetime], Point] = {}
    for number, row in enumerate(rows):
        try:
            point = _point(f"observations[{number}]", row, latest)
        except Invalid as error:
            problems.extend(error.problems)
            if len(problems) >= 20:
                break
            continue
        if found.setdefault((point.name, point.feature, point.at), point).value != point.value:
            where = f"observations[{number}].value"
            problems.append(FieldProblem(where, "There is another value of the same moment in this batch."))
    if problems:
        raise Invalid.many(problems)
    return list(found.values())


def _point(where: str, row: Any, latest: datetime) -> Point:
    if not isinstance(row, Mapping) or not {"name", "value"} <= set(row) <= _KNOWN:
        raise Invalid(where, "An object of name, value, and perhaps feature and at.")
    name = clean_text(f"{where}.name", row["name"], limit=100)
    if not name:
        raise Invalid(f"{where}.name", "Say what was observed.")
    value = row["value"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise Invalid(f"{where}.value", "A finite number.")
    feature = clean_text(f"{where}.feature", row.get("feature"), limit=200)
    return Point(name, feature, _moment(f"{where}.at", row.get("at"), latest), float(value))


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _moment(where: str, value: Any, latest: datetime) -> datetime:
    if value is None or value == "":
        return latest - AHEAD
    try:
        at = (
            value
            if isinstance(value, datetime)
            else parse_datetime(value)
            if isinstance(value, str)
            else None
        )
        at = at.astimezone(UTC) if at is not None and at.tzinfo is not None else None
    except (ValueError, OverflowError):
        at = None
    if at is None:
        raise Invalid(where, "A moment with its time zone, as in 2026-12-20T18:00:00Z.")
    if at > latest:
        raise Invalid(where, "Lies in the future.")
    if at < latest - KEEP:
        raise Invalid(where, f"Older than the {KEEP.days} days that observations are kept.")
    return at


def _series(deployment: Deployment, points: list[Point], *, by: Actor) -> dict[Key, ObservationSeries]:
    """The series of a deployment, those of these points made where they lack."""
    there = {(one.name, one.feature): one for one in deployment.series.all()}
    lacking = dict.fromkeys((p.name, p.feature) for p in points if (p.name, p.feature) not in there)
    if len(there) + len(lacking) > SERIES:
        raise TooLarge(
            f"A deployment has at most {SERIES} series of name and feature.",
            limit=SERIES,
            next_step="Post fewer names and features.",
        )
    if lacking:
        made = ObservationSeries.objects.bulk_create(
            [
                ObservationSeries(deployment=deployment, name=name, feature=feature)
                for name, feature in lacking
            ]
        )
        there.update({(one.name, one.feature): one for one in made})
        audit.record(
            "deployment.observed",
            by=by,
            subject=str(deployment.version),
            model=deployment.model,
            after={"deployment": deployment.pk, "series": sorted(str(one) for one in made)},
        )
    return there


def _new(points: list[Point], series: Mapping[Key, ObservationSeries]) -> list[Point]:
    """Those that are not there yet."""
    moments = {point.at for point in points}
    keys = {series[point.name, point.feature].pk for point in points}
    known = set(
        Observation.objects.filter(series__in=keys, at__in=moments).order_by().values_list("series", "at")
    )
    return [point for point in points if (series[point.name, point.feature].pk, point.at) not in known]


def _count(new: list[Point], series: Mapping[Key, ObservationSeries]) -> list[ObservationSeries]:
    """Bring the series in step with what was added, cut those that grew too long; returns them."""
    touched: dict[int, ObservationSeries] = {}
    for point in sorted(new, key=lambda one: one.at):
        one = series[point.name, point.feature]
        touched[one.pk] = one
        one.count += 1
        if one.last_at is None or point.at >= one.last_at:
            one.last_at, one.last_value = point.at, point.value
    for one in touched.values():
        if one.count > POINTS + SLACK:
            one.count = _cut(one)
    if touched:
        ObservationSeries.objects.bulk_update(touched.values(), ["count", "last_at", "last_value"])
    return list(touched.values())


def _cut(series: ObservationSeries) -> int:
    """Keep the newest POINTS; returns how many there are."""
    rows = series.observations.order_by("-at")
    oldest = rows.values_list("at", flat=True)[POINTS - 1 : POINTS].first()
    if oldest is not None:
        rows.filter(at__lt=oldest).delete()
    return rows.count()


def forget_old() -> int:
    """Delete observations past KEEP, and series of which nothing is left and no incident tells; returns how many
    observations that were.
    """
    old = Observation.objects.filter(at__lt=timezone.now() - KEEP)
    counts = dict(old.order_by().values_list("series").annotate(n=Count("id")))
    gone = 0
    for pk, n in counts.items():
        removed = old.filter(series=pk).delete()[0]
        ObservationSeries.objects.filter(pk=pk).update(count=F("count") - (removed or n))
        gone += removed
    ObservationSeries.objects.filter(count__lte=0, breaches=None).delete()
    return gone


# --- reading --------------------------------------------------------------------------------------------------


def curves(
    deployments: Iterable[Deployment],
    *,
    name: str = "",
    feature: str | None = None,
    after: datetime | None = None,
    before: datetime | None = None,
    most: int = SERIES,
) -> list[Curve]:
    """The series of these deployments, each thinned to at most ~CURVE_POINTS points, evenly, the newest among them.

    Two queries, whatever there is. Whose deployments these are, the caller has asked.
    """
    rows = ObservationSeries.objects.filter(deployment__in=list(deployments))
    if name:
        rows = rows.filter(name=name)
    if feature is not None:
        rows = rows.filter(feature=feature)
    series = list(rows.order_by("name", "feature", "deployment")[:most])
    found = {one.pk: Curve(one, one.count, []) for one in series}
    counts: dict[int, int] = {}
    for pk, count, at, value in _thinned(Observation.objects.filter(series__in=found), after, before):
        found[pk].points.append((at, value))
        counts[pk] = count
    narrowed = after is not None or before is not None
    if not narrowed:
        return list(found.values())
    return [Curve(one.series, counts.get(pk, 0), one.points) for pk, one in found.items()]


def _thinned(
    rows: QuerySet[Observation], after: datetime | None, before: datetime | None
) -> Iterable[tuple[int, int, datetime, float]]:
    if after is not None:
        rows = rows.filter(at__gte=after)
    if before is not None:
        rows = rows.filter(at__lt=before)
    every = Greatest(
        Cast((F("total") + Value(CURVE_POINTS - 1)) / Value(CURVE_POINTS), IntegerField()), Value(1)
    )
    numbered = rows.annotate(
        # From the newest, which is so always among them.
        nth=Window(RowNumber(), partition_by=F("series"), order_by=F("at").desc()),
        total=Window(Count("id"), partition_by=F("series")),
    ).annotate(odd=Mod(F("nth") - 1, every))
    return numbered.filter(odd=0).order_by("series", "at").values_list("series", "total", "at", "value")


def observed_deployments(model: RegisteredModel, *, most: int = 6) -> list[Deployment]:
    """The newest deployments of a model that observed something."""
    rows = Deployment.objects.filter(Exists(ObservationSeries.objects.filter(deployment=OuterRef("pk"))))
    rows = rows.filter(model=model).select_related("environment", "version")
    return list(rows.order_by("-pk")[:most])
