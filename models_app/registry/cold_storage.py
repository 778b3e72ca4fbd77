"""What is archived moves to the store's colder class when retention policies say so, and back when it is wanted again.

A blob is cold when every version that names it is archived, and has been for long enough; what only runs name besides
keeps nothing warm. Readers notice nothing: only classes that are read at once are used (stores/base.py). The row says
`cold_place` before the bytes move and `cooled_at` after, so that of a killed pass nothing is forgotten.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from models_app.models import Blob, ManifestEntry, ModelVersion, Stage

from . import audit, retention
from .access import Actor
from .artifacts import storage, sweep
from .artifacts.stores.base import Store
from .artifacts.sweep import Tally
from .retention import Rules

log = logging.getLogger(__name__)

# Of smaller ones stores count as much in their colder classes, or more.
SMALLEST = 128 << 10
AT_ONCE = 64
SIDE_BY_SIDE = 8
# What one pass moves at most; the next one goes on.
MOST = 20_000

Stop = Callable[[], bool]


@dataclass(slots=True)
class Moved:
    """What a pass moved to the colder class, and back."""

    cooled: Tally = field(default_factory=Tally)
    warmed: Tally = field(default_factory=Tally)

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "cooled": self.cooled.count,
            "cooled_bytes": self.cooled.bytes,
            "warmed": self.warmed.count,
            "warmed_bytes": self.warmed.bytes,
        }


def due(rules: Rules, versions: QuerySet[Any] | None = None) -> QuerySet[Any]:
    """Those of the versions (else of all) whose bytes are to be cold."""
    now, condition = timezone.now(), Q(pk__in=[])
    for team, days in rules.cold_of_team.items():
        condition |= Q(model__team=team, reached__lt=now - timedelta(days=days))
    if rules.cold is not None:
        others = ~Q(model__team__in=list(rules.cold_of_team))
        condition |= others & Q(reached__lt=now - timedelta(days=rules.cold))
    rows = ModelVersion.objects.all() if versions is None else versions
    return rows.annotate(reached=Coalesce("stage_changed_at", "created_at")).filter(
        condition, stage=Stage.ARCHIVED
    )


def _wanted_warm(rules: Rules) -> Exists:
    """Whether a blob is named by a version that is not to be cold."""
    warm = ModelVersion.objects.filter(manifest=OuterRef("manifest")).exclude(pk__in=due(rules).values("pk"))
    return Exists(ManifestEntry.objects.filter(Exists(warm), blob=OuterRef("pk")))


def run(*, stop: Stop = lambda: False) -> Moved:
    """Warm what is wanted again, then cool what is to be cold; so much at most. Raises Unavailable."""
    done, store = Moved(), storage.store()
    # Where nothing is cold by now, nothing has to be.
    rules = retention.saved() if store.cold_class else retention.rules([])
    if not store.cold_classes:
        # They were moved to a disk.
        Blob.objects.exclude(cold_place="").update(cold_place="", cooled_at=None)
        return done
    try:
        _each(_to_warm(rules), lambda page: _warm(store, page, done), stop)
        if store.cold_class:
            _each(_to_cool(rules, store), lambda page: _cool(store, page, done), stop)
    finally:
        if done.cooled.count or done.warmed.count:
            subject = store.cold_class or "the usual class"
            audit.record("storage.cooled", by=Actor.system(), subject=subject, after=done.facts())
    return done


def _to_warm(rules: Rules) -> QuerySet[Blob]:
    return Blob.objects.exclude(cold_place="").filter(_wanted_warm(rules), damaged_at=None)


def _to_cool(rules: Rules, store: Store) -> QuerySet[Blob]:
    named = ManifestEntry.objects.filter(manifest__versions__in=due(rules).values("pk")).values("blob")
    return Blob.objects.filter(
        ~Q(cold_place=store.cold_place) | Q(cooled_at=None),
        ~_wanted_warm(rules),
        pk__in=named,
        size__gte=SMALLEST,
        damaged_at=None,
        condemned_at=None,
    )


def _each(rows: QuerySet[Blob], work: Callable[[list[Blob]], None], stop: Stop) -> None:
    # Asked once: it takes reading many listings. What changes meanwhile the next pass sees.
    found = list(rows.order_by("pk")[:MOST])
    for start in range(0, len(found), AT_ONCE):
        if stop():
            return
        work(found[start : start + AT_ONCE])


def _cool(store: Store, page: list[Blob], done: Moved) -> None:
    Blob.objects.filter(pk__in=[blob.pk for blob in page]).update(cold_place=store.cold_place, cooled_at=None)
    for blob in _moved(store, page, cold=True):
        Blob.objects.filter(pk=blob.pk).update(cooled_at=timezone.now())
        done.cooled.add(blob.size)


def _warm(store: Store, page: list[Blob], done: Moved) -> None:
    for blob in _moved(store, page, cold=False):
        Blob.objects.filter(pk=blob.pk).update(cold_place="", cooled_at=None)
        done.warmed.add(blob.size)


def _moved(store: Store, page: list[Blob], *, cold: bool) -> Iterator[Blob]:
    """Move each; yields those that were. Whatever is not there the sweep or a verification knows about."""

    def move(blob: Blob) -> Blob | None:
        try:
            store.set_class(storage.blob_name(blob.pk), cold=cold)
        except FileNotFoundError:
            log.warning("%s is not where its class could be changed", blob)
            return None
        return blob

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for blob in pool.map(move, page):
            if blob is not None:
                yield blob


# --- What is told -----------------------------------------------------------------------------------------------


def held() -> Tally:
    """What is in the colder class now."""
    return sweep.tally(Blob.objects.exclude(cold_place="").filter(cooled_at__isnull=False))


def of_version(version: ModelVersion) -> Tally:
    """What of a version's files is in the colder class."""
    named = ManifestEntry.objects.filter(manifest=version.manifest_id or 0).values("blob")
    return sweep.tally(Blob.objects.exclude(cold_place="").filter(pk__in=named, cooled_at__isnull=False))
