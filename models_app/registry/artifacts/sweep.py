"""Removing what nobody refers to: mark, wait, look again under the lock, remove.

Whatever has a foreign key to a blob, manifest or tree refers to it, so a table that comes later is asked too. First go
the files of runs and logged models that were deleted long ago (not where a version under legal hold came from), then
manifests that no version names, then blobs that are in neither. Bytes without a row (left by a killed process) get a
marked row and go the same way.

It cannot race with a reference being made. Who finds bytes there already says so (`wanted.again`), who refers to a
blob takes its mark away (`blobs.keep`), and nobody takes as long for it as the sweep waits. Bytes are removed while the
lock on their row is held, whose mark was committed long before: a process killed there leaves a marked row for the
next sweep, to which nothing refers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import models, transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from models_app.models import (
    ArtifactTree,
    Blob,
    LoggedModel,
    Manifest,
    ManifestEntry,
    Run,
    TreeEntry,
    UploadFile,
)
from models_app.registry import audit, holds
from models_app.registry.access import Actor

from . import storage
from .trees import Holder

Row = TypeVar("Row", bound=models.Model)
AT_ONCE = 500
# So many are locked while their bytes are removed.
REMOVED_AT_ONCE = 20
# A store more than minutes apart refuses us; a disk elsewhere does not.
CLOCKS_APART = timedelta(hours=1)


@dataclass(slots=True)
class Tally:
    """So many, of so many bytes."""

    count: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.count += 1
        self.bytes += size

    def less(self, other: Tally) -> Tally:
        """Without what the other counts of the same."""
        return Tally(self.count - other.count, self.bytes - other.bytes)


@dataclass(slots=True)
class Swept:
    """What a sweep did, or would do: files of what was deleted, manifests, blobs marked and removed."""

    files: int = 0
    trees: int = 0
    manifests_marked: int = 0
    manifests: int = 0
    orphans: Tally = field(default_factory=Tally)
    marked: Tally = field(default_factory=Tally)
    waiting: Tally = field(default_factory=Tally)
    removed: Tally = field(default_factory=Tally)

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def changed(self) -> bool:
        """Whether anything that somebody once stored is gone."""
        return bool(self.files or self.trees or self.manifests or self.removed.count)


@dataclass(slots=True)
class Planned(Swept):
    """What a sweep would do, and of which blobs that no version names it would do nothing yet: of such as were touched
    lately, as listings hold that go first, and as uploads hold that became versions (till they are a day old).
    """

    young: Tally = field(default_factory=Tally)
    in_listings: Tally = field(default_factory=Tally)
    in_uploads: Tally = field(default_factory=Tally)


def unreferenced(rows: QuerySet[Row], *, contents: tuple[type[models.Model], ...] = ()) -> QuerySet[Row]:
    """Those of the rows to which no foreign key leads, except from what they consist of themselves."""
    for relation in _relations(rows.model):
        other = relation.related_model
        if other not in contents:
            leading = other._base_manager.filter(**{relation.field.name: OuterRef("pk")})
            rows = rows.filter(~Exists(leading))
    return rows


def _relations(to: type[models.Model]) -> list[Any]:
    """All foreign keys that lead there, also those without a way back."""
    fields = to._meta.get_fields(include_hidden=True)
    return [one for one in fields if one.is_relation and one.auto_created and not one.concrete]


def _free_blobs() -> QuerySet[Blob]:
    return unreferenced(Blob.objects.all())


def _free_but_for(holding: dict[type[models.Model], Q]) -> QuerySet[Blob]:
    """Blobs to which nothing leads but such rows."""
    found = unreferenced(Blob.objects.all(), contents=tuple(holding))
    for kind, condition in holding.items():
        found = found.filter(~Exists(kind._base_manager.filter(~condition, blob=OuterRef("pk"))))
    return found


def _free_manifests() -> QuerySet[Manifest]:
    return unreferenced(Manifest.objects.all(), contents=(ManifestEntry,))


def sweep(
    *, grace: timedelta | None = None, orphans: bool = True, stop: Callable[[], bool] = lambda: False
) -> Swept:
    """Remove what nobody has referred to for longer than `grace` (else the setting's). Any number may sweep at once.

    `orphans` also looks for bytes without a row, which lists the whole storage. Ends early when `stop` says so.
    Raises Unavailable; what was done till then stays done.
    """
    wait = settings.SWEEP_GRACE if grace is None else grace
    now, done = timezone.now(), Swept()
    try:
        _empty_deleted(done, grace=grace)
        _remove_trees(done, now - wait)
        _remove_manifests(done, now - wait, stop)
        if orphans:
            _adopt_orphans(done, now - wait, stop)
        _mark(done, now - wait, stop)
        _remove_blobs(done, now - wait, stop)
    finally:
        if done.changed():
            audit.record(
                "storage.swept", by=Actor.system(), subject="unreferenced artifacts", after=done.facts()
            )
    return done


def plan(*, grace: timedelta | None = None) -> Planned:
    """What a sweep would do now, and what waits for the next ones. Changes nothing; lists the whole storage."""
    wait = settings.SWEEP_GRACE if grace is None else grace
    limit, found = timezone.now() - wait, Planned()
    for kind in (Run, LoggedModel):
        trees = _deleted(kind, _deleted_limit(grace)).values("tree")
        found.files += TreeEntry.objects.filter(tree__in=trees).count()
    found.trees = _lost_trees(limit).count()
    free = _free_manifests()
    found.manifests_marked = free.filter(condemned_at=None).count()
    found.manifests = free.filter(condemned_at__lte=limit).count()
    blobs = _free_blobs()
    found.marked = tally(blobs.filter(condemned_at=None, touched_at__lt=limit))
    found.young = tally(blobs.filter(condemned_at=None, touched_at__gte=limit))
    listed: dict[type[models.Model], Q] = {ManifestEntry: Q(manifest__in=free.values("pk"))}
    sent: dict[type[models.Model], Q] = {UploadFile: Q(session__sealed_at__isnull=False)}
    in_neither = tally(_free_but_for(listed))
    found.in_listings = in_neither.less(tally(blobs))
    found.in_uploads = tally(_free_but_for(listed | sent)).less(in_neither)
    found.waiting = tally(blobs.filter(condemned_at__gt=limit))
    found.removed = tally(blobs.filter(condemned_at__lte=limit))
    for page in _without_rows(limit):
        for _, size in page:
            found.orphans.add(size)
    return found


def tally(rows: QuerySet[Blob]) -> Tally:
    """How many they are, and of how many bytes."""
    sums = rows.aggregate(count=Count("pk"), bytes=Sum("size"))
    return Tally(sums["count"], sums["bytes"] or 0)


# --- Files of what was deleted --------------------------------------------------------------------------------


def _deleted_limit(grace: timedelta | None) -> datetime:
    return timezone.now() - (settings.DELETED_RUNS_KEPT if grace is None else grace)


def _deleted(kind: type[Run] | type[LoggedModel], limit: datetime) -> QuerySet[Any]:
    held: QuerySet[Any] = holds.held_runs() if kind is Run else holds.held_logged_models()
    rows = kind._base_manager.filter(deleted_at__lt=limit, tree__isnull=False)
    return rows.exclude(pk__in=held.values("pk")).order_by("pk")


def _empty_deleted(done: Swept, *, grace: timedelta | None) -> None:
    limit = _deleted_limit(grace)
    for kind in (Run, LoggedModel):
        for page in _pages(_deleted(kind, limit)):
            for pk in page:
                with transaction.atomic():
                    held = _deleted(kind, limit).select_for_update(no_key=True).filter(pk=pk).first()
                    if held is not None:
                        done.files += _empty(held)


def _empty(holder: Holder) -> int:
    """Take its files from a run or logged model that stays deleted."""
    tree = holder.tree_id
    files, _ = TreeEntry.objects.filter(tree=tree).delete()
    holder.tree = None
    holder.save(update_fields=["tree"])
    ArtifactTree.objects.filter(pk=tree or 0).delete()
    return files


def _lost_trees(limit: datetime) -> QuerySet[ArtifactTree]:
    """Trees whose holder is gone altogether."""
    contents = tuple(
        relation.related_model
        for relation in _relations(ArtifactTree)
        if relation.on_delete is models.CASCADE
    )
    return unreferenced(ArtifactTree.objects.filter(created_at__lt=limit), contents=contents)


def _remove_trees(done: Swept, limit: datetime) -> None:
    for page in _pages(_lost_trees(limit)):
        for pk in page:
            with transaction.atomic():
                done.trees += _lost_trees(limit).filter(pk=pk).delete()[1].get("models_app.ArtifactTree", 0)


# --- Manifests ------------------------------------------------------------------------------------------------


def _remove_manifests(done: Swept, limit: datetime, stop: Callable[[], bool]) -> None:
    for page in _pages(_free_manifests().filter(condemned_at__lte=limit), size=REMOVED_AT_ONCE):
        if stop():
            return
        with transaction.atomic():
            marked = Manifest.objects.filter(pk__in=page, condemned_at__lte=limit)
            held = list(
                marked.select_for_update(skip_locked=True).order_by("pk").values_list("pk", flat=True)
            )
            # Asked only now that nobody can begin to name them.
            for pk in _free_manifests().filter(pk__in=held).values_list("pk", flat=True):
                ManifestEntry.objects.filter(manifest=pk).delete()
                Manifest.objects.filter(pk=pk).delete()
                done.manifests += 1
    named = Manifest.objects.filter(condemned_at__isnull=False).exclude(pk__in=_free_manifests().values("pk"))
    named.update(condemned_at=None)
    for page in _pages(_free_manifests().filter(condemned_at=None, created_at__lt=limit)):
        done.manifests_marked += Manifest.objects.filter(pk__in=page).update(condemned_at=timezone.now())


# --- Blobs ----------------------------------------------------------------------------------------------------


def _mark(done: Swept, limit: datetime, stop: Callable[[], bool]) -> None:
    rows = _free_blobs().filter(condemned_at=None, touched_at__lt=limit)
    for page in _pages(rows):
        if stop():
            return
        young = Blob.objects.filter(pk__in=page, condemned_at=None, touched_at__lt=limit)
        with transaction.atomic():
            found = tally(young)
            young.update(condemned_at=timezone.now())
        done.marked.count += found.count
        done.marked.bytes += found.bytes


def _remove_blobs(done: Swept, limit: datetime, stop: Callable[[], bool]) -> None:
    for page in _pages(Blob.objects.filter(condemned_at__lte=limit), size=REMOVED_AT_ONCE):
        if stop():
            return
        with transaction.atomic():
            marked = Blob.objects.filter(pk__in=page, condemned_at__lte=limit)
            held = list(marked.select_for_update(skip_locked=True).order_by("pk"))
            # Asked only now that nobody can begin to refer to them.
            named = [blob.pk for blob in held]
            free = set(_free_blobs().filter(pk__in=named).values_list("pk", flat=True))
            doomed = [blob for blob in held if blob.pk in free and _takes_bytes(blob, limit)]
            gone = {blob.pk for blob in doomed}
            Blob.objects.filter(pk__in=[blob.pk for blob in held if blob.pk not in gone]).update(
                condemned_at=None
            )
            Blob.objects.filter(pk__in=gone).delete()
        for blob in doomed:
            done.removed.add(blob.size)


def _takes_bytes(blob: Blob, limit: datetime) -> bool:
    """Remove the bytes of a marked blob, under the lock of its row; not when somebody brought them again since.

    What is not there now is not removed either: somebody may just be bringing it. The store's clock may be late.
    """
    if blob.condemned_at is None or blob.touched_at > blob.condemned_at:
        return False
    late = min(CLOCKS_APART, (timezone.now() - limit) / 4)
    if not storage.remove_unless_younger(blob.pk, blob.condemned_at - late):
        return False
    if blob.damaged_at is not None:
        storage.forget_aside(blob.pk)
    return True


# --- Bytes without a row --------------------------------------------------------------------------------------


def _adopt_orphans(done: Swept, limit: datetime, stop: Callable[[], bool]) -> None:
    for page in _without_rows(limit):
        if stop():
            return
        now = timezone.now()
        rows = [
            Blob(sha256=sha256, size=size, created_at=now, touched_at=limit, condemned_at=now)
            for sha256, size in page
        ]
        Blob.objects.bulk_create(rows, ignore_conflicts=True)
        for _, size in page:
            done.orphans.add(size)


def _without_rows(limit: datetime) -> Iterator[list[tuple[str, int]]]:
    """Digest and size of bytes that came before the limit and have no row, a page at a time."""
    page: list[tuple[str, int]] = []
    for kept in storage.stored():
        if kept.written_at < limit:
            page.append((kept.key.rpartition("/")[2], kept.size))
        if len(page) == AT_ONCE:
            yield _unknown(page)
            page = []
    yield _unknown(page)


def _unknown(page: list[tuple[str, int]]) -> list[tuple[str, int]]:
    known = set(Blob.objects.filter(pk__in=[one for one, _ in page]).values_list("pk", flat=True))
    return [one for one in page if one[0] not in known]


def _pages(rows: QuerySet[Any], *, size: int = AT_ONCE) -> Iterator[list[Any]]:
    """Primary keys, a page at a time, each asked for when the one before is done with."""
    last: Any = None
    while True:
        later = rows.filter(Q() if last is None else Q(pk__gt=last)).order_by("pk")
        page = list(later.values_list("pk", flat=True)[:size])
        if not page:
            return
        yield page
        last = page[-1]
