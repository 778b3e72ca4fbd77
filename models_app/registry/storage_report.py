"""What pages and the API tell of storage: to a team's members, to site admins, and of a model to its readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from models_app.models import (
    Blob,
    ManifestEntry,
    ModelStorage,
    ModelVersion,
    RegisteredModel,
    StorageDay,
    StorageTask,
    StorageUse,
    Team,
    TreeEntry,
    UploadSession,
)

from . import cold_storage, quotas
from .access import Actor, Right, may, models_for, require, versions_for
from .artifacts import integrity, storage
from .errors import Unavailable
from .quotas import Standing

SHOWN = timedelta(days=366)
# A page does not look up more files than this while somebody waits.
MOST_FILES = 500


# --- a team, and all --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TeamUse:
    """A team's standing, and what was counted last: `stored` its distinct bytes, `only_here` those that no other team
    holds (for site admins; else None).
    """

    standing: Standing
    stored: int
    only_here: int | None
    counted_at: datetime | None


def require_seeing(team: Team, *, by: Actor) -> None:
    """What a team holds is for its members and site admins. Raises Unauthenticated, Forbidden."""
    require(by, Right.READ, team)


def of_team(team: Team, *, by: Actor) -> TeamUse:
    """What a team holds, and may. Raises Forbidden."""
    require_seeing(team, by=by)
    use = StorageUse.objects.filter(team=team).first() or StorageUse()
    only_here = use.only_here if by.is_site_admin else None
    return TeamUse(quotas.standing_of(team.pk), use.stored, only_here, use.counted_at)


def of_teams(*, by: Actor) -> list[Standing]:
    """Every team, the largest first. Site admins only."""
    require(by, Right.READ, None)
    return sorted(quotas.standings(Team.objects.all()), key=lambda one: -one.used)


def days(team: Team | None, standings: Sequence[Standing], *, by: Actor) -> list[StorageDay]:
    """A year of days, oldest first; without a team, of all teams together (site admins only). The last is today, as the
    standings say it is now; what is `stored` was counted (`counted_at`).
    """
    require(by, Right.READ, team)
    today = timezone.now().date()
    known = list(StorageDay.objects.filter(team=team, day__gte=today - SHOWN, day__lte=today).order_by("day"))
    now = StorageDay(
        team=team,
        day=today,
        size=sum(one.versions for one in standings),
        run_size=sum(one.runs for one in standings),
        stored=known[-1].stored if known else 0,
    )
    return [*(one for one in known if one.day < today), now]


def counted_at(*, by: Actor) -> datetime | None:
    """When all that only counting tells was counted last; None: not yet. Site admins only."""
    require(by, Right.READ, None)
    found: datetime | None = StorageUse.objects.aggregate(at=Max("counted_at"))["at"]
    return found


def largest_models(team: Team | None, *, by: Actor, most: int) -> list[RegisteredModel]:
    """With what was counted of them (`storage`, where there is a row)."""
    rows = models_for(by).filter(size__gt=0)
    if team is not None:
        rows = rows.filter(team=team)
    return list(rows.select_related("team", "storage").order_by("-size")[:most])


def largest_versions(team: Team, *, by: Actor, most: int) -> list[ModelVersion]:
    """The largest when they were counted last, and what came since."""
    use = StorageUse.objects.filter(team=team).first()
    counted = Q(pk__in=use.largest) if use else Q(pk__in=[])
    if use is None or use.counted_at is None:
        counted |= Q(model__team=team)
    else:
        counted |= Q(created_at__gte=use.counted_at, model__team=team)
    rows = versions_for(by).filter(counted, model__team=team, manifest__isnull=False)
    return list(rows.select_related("manifest", "created_by").order_by("-manifest__total_size", "-pk")[:most])


# --- a model, a version -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Use:
    """Bytes of a model or version. `stored`: equal ones once. `only_here`: what nothing else in its team holds, so what
    deleting it would free there; None for who is not in the team. `counted_at` None: as it is now. `cold` (of a
    version) is in the store's colder class.
    """

    size: int
    stored: int
    only_here: int | None
    counted_at: datetime | None = None
    cold: int = 0


def of_model(model: RegisteredModel, *, by: Actor) -> Use:
    """Of a model that the actor may read."""
    counted = ModelStorage.objects.filter(model=model).first()
    size = RegisteredModel.objects.values_list("size", flat=True).get(pk=model.pk)
    if counted is None:
        return Use(size, 0, None)
    only_here = counted.only_here if may(by, Right.READ, model.team_id) else None
    return Use(size, counted.stored, only_here, counted.counted_at)


def of_version(version: ModelVersion, *, by: Actor) -> Use:
    """Of a version that the actor may read, counted now."""
    entries = ManifestEntry.objects.filter(manifest=version.manifest_id or 0)
    only_here = None
    if may(by, Right.READ, version.model.team_id):
        only_here = _sum(_held_only_by(version, entries))
    return Use(version.size, _sum(entries), only_here, cold=cold_storage.of_version(version).bytes)


def shown_of_version(version: ModelVersion, *, by: Actor) -> Use | None:
    """The same for a page, which does not wait for it; None where that would take long, or there is nothing."""
    if version.manifest is None or version.manifest.file_count > MOST_FILES:
        return None
    return of_version(version, by=by)


def _held_only_by(version: ModelVersion, entries: QuerySet[ManifestEntry]) -> QuerySet[ManifestEntry]:
    team = version.model.team_id
    # Equal versions are one listing.
    again = ModelVersion.objects.filter(manifest=version.manifest_id, model__team=team).exclude(pk=version.pk)
    if again.exists():
        return entries.none()
    others = ManifestEntry.objects.filter(blob=OuterRef("blob"), manifest__versions__model__team=team)
    runs = TreeEntry.objects.filter(
        Q(tree__run__experiment__team=team) | Q(tree__logged_model__experiment__team=team),
        blob=OuterRef("blob"),
    )
    return entries.filter(~Exists(others.exclude(manifest=version.manifest_id)), ~Exists(runs))


def _sum(entries: QuerySet[ManifestEntry]) -> int:
    distinct = entries.order_by().values("blob", "size").distinct()
    return distinct.aggregate(total=Sum("size"))["total"] or 0


# --- health -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Health:
    """How the storage is. `free` and `total` are of the disk, None in an object store; None for a time: never yet.
    `counted_at` is when `blobs` and `bytes` were counted, None: just now.
    """

    blobs: int
    bytes: int
    counted_at: datetime | None
    damaged: int
    missing: int
    verified_at: datetime | None
    sampled_at: datetime | None
    sampled_blobs: int
    swept_at: datetime | None
    condemned: int
    condemned_bytes: int
    uploads: int
    free: int | None
    total: int | None
    answers: bool
    # The colder class that is used ("" for none), whether the store has any, and what is there.
    cold_class: str
    has_cold_classes: bool
    cold: int
    cold_bytes: int

    @property
    def is_well(self) -> bool:
        return self.answers and not self.damaged and not self.is_short

    @property
    def is_short(self) -> bool:
        """Whether less than a tenth of the disk is left."""
        return self.free is not None and bool(self.total) and self.free * 10 < (self.total or 0)


def health(*, by: Actor) -> Health:
    """Site admins only."""
    require(by, Right.READ, None)
    damaged = Blob.objects.filter(damaged_at__isnull=False).aggregate(
        all=Count("pk"), missing=Count("pk", filter=Q(damage="missing"))
    )
    condemned = Blob.objects.filter(condemned_at__isnull=False).aggregate(all=Count("pk"), bytes=Sum("size"))
    tasks = {task.name: task for task in StorageTask.objects.all()}
    ended = {name: task.ended_at for name, task in tasks.items()}
    swept = [at for name, at in ended.items() if name.startswith("sweep") and at is not None]
    blobs, size, counted = _all_blobs(tasks)
    room, answers = _room()
    sampled = tasks.get("sample")
    cold = cold_storage.held()
    return Health(
        blobs=blobs,
        bytes=size,
        counted_at=counted,
        damaged=damaged["all"],
        missing=damaged["missing"],
        verified_at=ended.get(integrity.VERIFYING),
        sampled_at=ended.get("sample"),
        sampled_blobs=sampled.facts.get("blobs", 0) if sampled else 0,
        swept_at=max(swept, default=None),
        condemned=condemned["all"],
        condemned_bytes=condemned["bytes"] or 0,
        uploads=UploadSession.objects.filter(sealed_at=None, expires_at__gt=timezone.now()).count(),
        free=room[0] if room else None,
        total=room[1] if room else None,
        answers=answers,
        cold_class=storage.store().cold_class,
        has_cold_classes=bool(storage.store().cold_classes),
        cold=cold.count,
        cold_bytes=cold.bytes,
    )


def has_cold_classes() -> bool:
    """Whether the store could keep anything colder: a disk could not."""
    return bool(storage.store().cold_classes)


def _all_blobs(tasks: dict[str, StorageTask]) -> tuple[int, int, datetime | None]:
    """As counted last, and when: counting millions takes seconds. Before the first count, now."""
    if (task := tasks.get("count")) and "blobs" in task.facts:
        return task.facts["blobs"], task.facts["bytes"], task.ended_at
    return *integrity.total(), None


def _room() -> tuple[tuple[int, int] | None, bool]:
    try:
        return storage.store().room_left(), True
    except Unavailable:
        return None, False


def damaged_blobs(*, by: Actor, most: int) -> Sequence[integrity.Hit]:
    """Some of the damaged blobs, with what they hit. Site admins only."""
    require(by, Right.READ, None)
    found = []
    for hit in integrity.damaged():
        found.append(hit)
        if len(found) == most:
            break
    return found
