"""How much a team may hold, and what happens when it would hold more.

What counts is every version's files in full, though equal bytes are stored once: a team knows the number beforehand,
it does not change with what others do, and it tells nobody which bytes others have. To these come bytes that only the
team's runs and logged models hold, as counted last; but no run is refused in the middle, only registering.

Who registers appends to StorageChange and waits for nobody. Only where a hard quota stands, the row of the team's use
is locked for the end of the transaction, so that of registrations at once none passes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.utils import timezone

from models_app.formats import sizes
from models_app.models import RegisteredModel, StorageChange, StorageQuota, StorageUse, Team

from . import audit, events, prepared
from .access import Actor, Right, require
from .errors import Invalid, OverQuota
from .prepared import Prepared

PASSED = "quota.passed"
MOST = 2**62
EVERY_TEAM = "every team"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a team holds, in bytes, and what it may: None is no limit. `is_own` when the quota is its own."""

    team: int
    slug: str
    versions: int
    runs: int
    soft: int | None
    hard: int | None
    is_own: bool
    was_warned: bool

    @property
    def used(self) -> int:
        return self.versions + self.runs

    @property
    def warned_from(self) -> int | None:
        """Where warnings begin: the soft quota, else nine tenths of the hard one."""
        return self.soft if self.soft is not None or self.hard is None else self.hard * 9 // 10

    @property
    def is_full(self) -> bool:
        return self.hard is not None and self.used >= self.hard

    @property
    def is_near(self) -> bool:
        """Whether its people are warned."""
        return self.warned_from is not None and self.used > self.warned_from

    @property
    def state(self) -> str:
        return "full" if self.is_full else "warning" if self.is_near else "fine"

    @property
    def warning(self) -> str:
        """One sentence for its people; nothing while there is room."""
        if not self.is_near and not self.is_full:
            return ""
        said = f"Team {self.slug} holds {sizes.in_words(self.used)}"
        if self.hard is None:
            return f"{said}, more than the {sizes.in_words(self.soft or 0)} that it was given."
        said = f"{said} of {sizes.in_words(self.hard)}"
        if self.is_full:
            return f"{said}: nothing more is registered till versions are deleted or a site admin gives more."
        return f"{said}; past that nothing is registered."


_CHANGES = StorageChange.objects.filter(team=OuterRef("pk")).order_by().values("team")
_DEFAULT = StorageQuota.objects.filter(team=None)


def _standings(teams: QuerySet[Team]) -> QuerySet[Team, tuple[object, ...]]:
    """One statement, so that what is added to the sum meanwhile is in it once."""
    return teams.order_by("slug").values_list(
        "pk",
        "slug",
        "storage_use__size",
        Subquery(_CHANGES.annotate(total=Sum("size")).values("total")),
        "storage_use__run_size",
        "storage_use__warned_at",
        "storage_quota__pk",
        "storage_quota__soft",
        "storage_quota__hard",
        Subquery(_DEFAULT.values("soft")),
        Subquery(_DEFAULT.values("hard")),
    )


_OF_TEAM = Prepared(lambda team: _standings(Team.objects.filter(pk=team)), int)


def _read(row: tuple[object, ...]) -> Standing:
    team, slug, size, waiting, runs, warned_at, own, soft, hard, default_soft, default_hard = row
    return Standing(
        team=_number(team),
        slug=str(slug),
        versions=_number(size) + _number(waiting),
        runs=_number(runs),
        soft=_limit(default_soft if own is None else soft),
        hard=_limit(default_hard if own is None else hard),
        is_own=own is not None,
        was_warned=warned_at is not None,
    )


def _number(value: object) -> int:
    return int(str(value or 0))


def _limit(value: object) -> int | None:
    return None if value is None else int(str(value))


def standing_of(team: int) -> Standing:
    """Where a team stands now."""
    (row,) = _OF_TEAM(team)
    return _read(row)


def standings(teams: QuerySet[Team]) -> list[Standing]:
    """Where teams stand now, by slug; in one statement."""
    return [_read(row) for row in _standings(teams)]


# --- Judging ----------------------------------------------------------------------------------------------------


def check(team: int, size: int) -> None:
    """Refuse beforehand what `charge` would refuse now. Raises OverQuota."""
    if size > 0:
        _refuse_over(standing_of(team), size)


def charge(team: int, size: int, *, judged: bool = True) -> None:
    """Note that a team's versions hold so many bytes more or less, last in the transaction that makes it so.

    Raises OverQuota when that is more and too much, unless nobody is to judge (what is moved in from elsewhere).
    """
    if size > 0 and judged and standing_of(team).hard is not None:
        _hold(team)
        _refuse_over(standing_of(team), size)
    if size:
        prepared.insert(StorageChange(team_id=team, size=size))


def move(model: RegisteredModel, *, to: Team) -> None:
    """Note that a locked model's versions are another team's from now on. Raises OverQuota."""
    charge(model.team_id, -model.size)
    charge(to.pk, model.size)


def _hold(team: int) -> None:
    rows = StorageUse.objects.select_for_update(no_key=True).filter(team=team)
    if rows.first() is None:
        StorageUse.objects.bulk_create([StorageUse(team_id=team)], ignore_conflicts=True)
        rows.first()


def _refuse_over(standing: Standing, size: int) -> None:
    if standing.hard is None or standing.used + size <= standing.hard:
        return
    raise OverQuota(
        f"Team {standing.slug} may hold {sizes.in_words(standing.hard)} and holds {sizes.in_words(standing.used)}: "
        f"{sizes.in_words(size)} more are too much.",
        limit=standing.hard,
        used=standing.used,
        asked=size,
        next_step=f"Delete versions that nobody needs (the page Storage of team {standing.slug} names the largest), "
        "or ask a site admin for a larger quota.",
    )


# --- Setting ----------------------------------------------------------------------------------------------------


@transaction.atomic
def set_quota(team: Team | None, *, soft: int | None, hard: int | None, by: Actor) -> StorageQuota:
    """What a team may hold in bytes, or (None) every team without a quota of its own. Site admins only.

    A team with a quota of its own and neither limit may hold what it likes. What is there already stays. Raises
    Invalid("soft", "hard"), Forbidden.
    """
    require(by, Right.MANAGE_TEAM, None)
    for name, value in (("soft", soft), ("hard", hard)):
        if value is not None and not 0 <= value <= MOST:
            raise Invalid(name, "Bytes, 0 or more.")
    if soft is not None and hard is not None and soft > hard:
        raise Invalid("soft", "People are warned before the hard quota, not after.")
    row = StorageQuota.objects.select_for_update().filter(team=team).first()
    before = None if row is None else _facts(row)
    if before == {"soft": soft, "hard": hard}:
        assert row is not None
        return row
    row = row or StorageQuota(team=team)
    row.soft, row.hard, row.changed_at, row.changed_by = soft, hard, timezone.now(), by.user
    row.save()
    audit.record("quota.set", by=by, subject=_called(team), before=before, after=_facts(row))
    tell(None if team is None else [team.pk])
    return row


def quota_of_every_team() -> StorageQuota:
    """What holds for teams without a quota of their own; without limits when nobody set one."""
    return StorageQuota.objects.filter(team=None).first() or StorageQuota()


@transaction.atomic
def drop_quota(team: Team | None, *, by: Actor) -> None:
    """Let a team have what every team has; without a team, let them have no limit. Site admins only; nothing happens
    where there is none.
    """
    require(by, Right.MANAGE_TEAM, None)
    row = StorageQuota.objects.select_for_update().filter(team=team).first()
    if row is None:
        return
    audit.record("quota.dropped", by=by, subject=_called(team), before=_facts(row))
    row.delete()
    tell(None if team is None else [team.pk])


def _facts(row: StorageQuota) -> dict[str, int | None]:
    return {"soft": row.soft, "hard": row.hard}


def _called(team: Team | None) -> str:
    return team.slug if team else EVERY_TEAM


# --- Warning ----------------------------------------------------------------------------------------------------


@transaction.atomic
def tell(teams: Iterable[int] | None = None) -> int:
    """Have the people of teams told once that theirs comes near its quota (None: of all); returns of how many."""
    rows = Team.objects.all() if teams is None else Team.objects.filter(pk__in=list(teams))
    told = 0
    for standing in standings(rows):
        if standing.is_near == standing.was_warned:
            continue
        use = StorageUse.objects.filter(team=standing.team, warned_at__isnull=standing.is_near)
        if not use.update(warned_at=timezone.now() if standing.is_near else None) or not standing.is_near:
            continue
        told += 1
        events.emit(
            PASSED,
            payload={
                "team": standing.slug,
                "used": standing.used,
                "soft": standing.soft,
                "hard": standing.hard,
                "text": standing.warning,
            },
        )
    return told
