"""When which version of a model was in production, who let it in, and under which policies: every period there was.

Periods are read from the record of moves; those of versions that were deleted since, from the audit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.models import (
    AuditEvent,
    ModelVersion,
    PromotionRequest,
    RegisteredModel,
    Review,
    Stage,
    StageTransition,
    TransitionKind,
    User,
    Verdict,
)

LIMIT = 50
MOVES = ("version.moved", "version.rolled_back")
# Moves that the audit is asked for at once; a model with more has them in the audit's own exports.
MOST_EVENTS = 5_000


@dataclass(slots=True)
class Period:
    """One stay in production. `how` is approved, direct (by an approver, no request asked for), emergency or rollback;
    `version` is None when it was deleted.
    """

    number: int
    start: datetime
    how: str
    by: User | None
    by_name: str
    reason: str = ""
    end: datetime | None = None
    ended_how: str = ""
    ended_by: User | None = None
    ended_by_name: str = ""
    end_reason: str = ""
    version: ModelVersion | None = None
    request: PromotionRequest | None = None
    reviews: list[Review] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        return self.end is None

    @property
    def seconds(self) -> int:
        return int(((self.end or timezone.now()) - self.start).total_seconds())

    @property
    def approvals(self) -> list[Review]:
        """The yeses that counted when it was promoted."""
        return [one for one in self.reviews if one.verdict == Verdict.APPROVED and one.dismissed_at is None]


@dataclass(frozen=True, slots=True)
class Periods:
    """Periods, newest first; `total` of all, and the moment before which the next ones began, None on the last page."""

    items: list[Period]
    total: int
    next_until: datetime | None


def of_model(model: RegisteredModel, *, until: datetime | None = None, limit: int = LIMIT) -> Periods:
    """The periods that began before `until`, in a constant number of queries."""
    entries = StageTransition.objects.filter(model=model, to_stage=Stage.PRODUCTION)
    total = entries.count()
    shown = entries if until is None else entries.filter(at__lt=until)
    rows = list(
        shown.select_related(
            "version", "by", "request__requested_by", "request__decided_by", "request__reviewed_after_by"
        )
        .prefetch_related("request__reviews__reviewer")
        .order_by("-at", "-id")[: limit + 1]
    )
    exits = _exits(model, rows)
    events = _events(model)
    periods = [_period(row, exits, events) for row in rows]
    gone = _of_deleted(model, events)
    total += len(gone)
    periods += [one for one in gone if until is None or one.start < until]
    periods.sort(key=lambda one: one.start, reverse=True)
    cut = periods[:limit]
    return Periods(cut, total, cut[-1].start if len(periods) > limit else None)


def _exits(model: RegisteredModel, entries: list[StageTransition]) -> list[StageTransition]:
    if not entries:
        return []
    left: QuerySet[StageTransition] = StageTransition.objects.filter(
        model=model,
        from_stage=Stage.PRODUCTION,
        at__gte=entries[-1].at,
        version__in={entry.version_id for entry in entries},
    )
    return list(left.select_related("by", "caused_by__version").order_by("at", "id"))


def _events(model: RegisteredModel) -> list[dict[str, Any]]:
    """What the audit says of moves into and out of production, oldest first."""
    rows = AuditEvent.objects.filter(model_ref=model.pk, verb__in=MOVES).filter(
        Q(after__stage=Stage.PRODUCTION) | Q(before__stage=Stage.PRODUCTION)
    )
    values = rows.order_by("-id").values(
        "at", "verb", "subject", "actor_name", "before", "after", "reason", "policy"
    )[:MOST_EVENTS]
    return [{**row, "number": _number(row["subject"])} for row in reversed(values)]


def _number(subject: str) -> int:
    text = subject.rpartition("@")[2]
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _period(entry: StageTransition, exits: list[StageTransition], events: list[dict[str, Any]]) -> Period:
    request = getattr(entry, "request", None)
    how = "direct"
    if entry.kind == TransitionKind.ROLLBACK:
        how = "rollback"
    elif request is not None:
        how = "emergency" if request.is_emergency else "approved"
    period = Period(
        number=entry.version.number,
        start=entry.at,
        how=how,
        by=entry.by,
        by_name=entry.by.username if entry.by else "",
        reason=entry.reason,
        version=entry.version,
        request=request,
        reviews=list(request.reviews.all()) if request is not None else [],
        policies=_policies(entry, request, events),
    )
    for left in exits:
        if left.version_id == entry.version_id and (left.at, left.pk) > (entry.at, entry.pk):
            _end(period, left)
            break
    return period


def _end(period: Period, left: StageTransition) -> None:
    period.end, period.end_reason = left.at, left.reason
    period.ended_by, period.ended_by_name = left.by, left.by.username if left.by else ""
    period.ended_how = {
        TransitionKind.REPLACED: "replaced",
        TransitionKind.ROLLBACK: "rolled back",
    }.get(TransitionKind(left.kind), f"moved to {left.to_stage}")
    if left.kind == TransitionKind.REPLACED and left.caused_by is not None:
        period.ended_how = f"replaced by v{left.caused_by.version.number}"


def _policies(
    entry: StageTransition, request: PromotionRequest | None, events: list[dict[str, Any]]
) -> list[str]:
    """The policy versions it was decided under: as the request remembers them, else as the audit does."""
    if request is not None:
        return [f"{one['scope']} #{one['number']}" for one in request.policies]
    entered = [row for row in _into(events) if row["number"] == entry.version.number]
    if not entered:
        return []
    nearest = min(entered, key=lambda row: abs(row["at"] - entry.at))
    return [one for one in str(nearest["policy"]).split(", ") if one]


def _into(events: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    return (row for row in events if row["after"].get("stage") == Stage.PRODUCTION)


def _of_deleted(model: RegisteredModel, events: list[dict[str, Any]]) -> list[Period]:
    """Periods of versions that are no more, as the audit tells them."""
    there = set(ModelVersion.objects.filter(model=model).values_list("number", flat=True))
    found: list[Period] = []
    running: dict[int, Period] = {}
    for row in events:
        number = row["number"]
        if not number or number in there:
            continue
        if row["after"].get("stage") == Stage.PRODUCTION:
            running[number] = Period(
                number=number,
                start=row["at"],
                how="rollback" if row["verb"] == "version.rolled_back" else "direct",
                by=None,
                by_name=row["actor_name"],
                reason=row["reason"],
                policies=[one for one in str(row["policy"]).split(", ") if one],
            )
            found.append(running[number])
        elif number in running:
            period = running.pop(number)
            period.end, period.end_reason, period.ended_by_name = row["at"], row["reason"], row["actor_name"]
            period.ended_how = (
                "rolled back"
                if row["verb"] == "version.rolled_back"
                else f"moved to {row['after'].get('stage')}"
            )
    return found
