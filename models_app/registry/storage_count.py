"""What takes reading every listing: which bytes are distinct, and who alone holds them. Counted by the clock
(artifacts/storage_tasks.py).

One pass over all digests, a 256th at a time (digests are spread evenly), by an index: memory stays flat and nothing
waits. What a model has “only here” is what nothing else in its team holds, no other model and no run, so that it tells
nobody of other teams' bytes. Runs and logged models count until the sweep takes their files.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from models_app.models import (
    Blob,
    ManifestEntry,
    ModelStorage,
    ModelVersion,
    RegisteredModel,
    StorageDay,
    StorageUse,
    Team,
    TreeEntry,
)

from . import quotas

MOST_LARGEST = 30
AT_ONCE = 500
# With fewer blobs than this one look is enough.
MOST_AT_A_LOOK = 20_000


@dataclass(slots=True)
class Holders:
    """Who holds one blob: models with their teams, and the teams of runs (None for runs without a team)."""

    size: int
    models: dict[int, int] = field(default_factory=dict)
    runs: set[int | None] = field(default_factory=set)


@dataclass(slots=True)
class Count:
    """Bytes by model and by team."""

    stored: Counter[int] = field(default_factory=Counter)
    only_here: Counter[int] = field(default_factory=Counter)
    team_stored: Counter[int] = field(default_factory=Counter)
    team_only: Counter[int] = field(default_factory=Counter)
    runs: Counter[int] = field(default_factory=Counter)
    all_stored: int = 0

    def add(self, blob: Holders) -> None:
        """Count one blob."""
        of_models = Counter(blob.models.values())
        for model, owner in blob.models.items():
            self.stored[model] += blob.size
            if of_models[owner] == 1 and owner not in blob.runs:
                self.only_here[model] += blob.size
        holders = blob.runs | of_models.keys()
        for team in holders - {None}:
            assert team is not None
            self.team_stored[team] += blob.size
            self.team_only[team] += blob.size if len(holders) == 1 else 0
            if team not in of_models:
                self.runs[team] += blob.size
        self.all_stored += blob.size


def _slices() -> list[str]:
    """Beginnings of digests."""
    if Blob.objects.order_by().values("pk")[: MOST_AT_A_LOOK + 1].count() <= MOST_AT_A_LOOK:
        return [""]
    return [f"{number:02x}" for number in range(256)]


def _holders(begin: str) -> Iterator[Holders]:
    """Of every blob whose digest begins so."""
    found: dict[str, Holders] = {}
    within = {"blob__gte": begin, "blob__lt": begin + "g"}
    versions = ManifestEntry.objects.filter(**within, manifest__versions__isnull=False).order_by()
    for sha256, size, model, team in (
        versions.values_list(
            "blob_id", "size", "manifest__versions__model_id", "manifest__versions__model__team_id"
        )
        .distinct()
        .iterator(chunk_size=5000)
    ):
        found.setdefault(sha256, Holders(size)).models[model] = team
    for kind in ("run", "logged_model"):
        files = TreeEntry.objects.filter(**within, **{f"tree__{kind}__isnull": False}).order_by()
        rows = files.values_list("blob_id", "blob__size", f"tree__{kind}__experiment__team_id").distinct()
        for sha256, size, team in rows.iterator(chunk_size=5000):
            found.setdefault(sha256, Holders(size)).runs.add(team)
    yield from found.values()


def count(*, stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Count, and keep it as today's; returns the facts. Nothing is kept when `stop` said so before the end."""
    found, now = Count(), timezone.now()
    for begin in _slices():
        if stop():
            return {}
        for blob in _holders(begin):
            found.add(blob)
    _keep_models(found)
    largest = _largest()
    for team in Team.objects.order_by("pk").values_list("pk", flat=True):
        kept = {
            "run_size": found.runs[team],
            "stored": found.team_stored[team],
            "only_here": found.team_only[team],
            "largest": largest[team],
            "counted_at": now,
        }
        StorageUse.objects.update_or_create(team_id=team, defaults=kept)
    facts = keep_day(now.date(), stored=found.all_stored)
    quotas.tell()
    return facts


def _keep_models(found: Count) -> None:
    """A model can go while its row is written; then those of its batch wait for the next count."""
    now = timezone.now()
    for page in _pages(RegisteredModel.objects.all()):
        rows = [
            ModelStorage(model_id=pk, stored=found.stored[pk], only_here=found.only_here[pk], counted_at=now)
            for pk in page
        ]
        try:
            with transaction.atomic():
                ModelStorage.objects.bulk_create(
                    rows,
                    update_conflicts=True,
                    unique_fields=["model"],
                    update_fields=["stored", "only_here", "counted_at"],
                )
        except IntegrityError:
            continue


def _pages(rows: QuerySet[RegisteredModel]) -> Iterator[list[int]]:
    last = 0
    while page := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:AT_ONCE]):
        yield page
        last = page[-1]


def _largest() -> defaultdict[int, list[int]]:
    """The largest versions of every team."""
    nth = Window(RowNumber(), partition_by="model__team_id", order_by=["-manifest__total_size", "-pk"])
    rows = ModelVersion.objects.filter(manifest__isnull=False).annotate(nth=nth).filter(nth__lte=MOST_LARGEST)
    found: defaultdict[int, list[int]] = defaultdict(list)
    for team, pk in rows.order_by("nth").values_list("model__team_id", "pk"):
        found[team].append(pk)
    return found


def keep_day(day: date, *, stored: int) -> dict[str, Any]:
    """Note what every team, and all together, hold on this day; the day's last count stays."""
    total = runs = 0
    uses = dict(StorageUse.objects.values_list("team", F("stored")))
    for standing in quotas.standings(Team.objects.all()):
        total += standing.versions
        runs += standing.runs
        values = {"size": standing.versions, "run_size": standing.runs, "stored": uses.get(standing.team, 0)}
        StorageDay.objects.update_or_create(team_id=standing.team, day=day, defaults=values)
    values = {"size": total, "run_size": runs, "stored": stored}
    StorageDay.objects.update_or_create(team=None, day=day, defaults=values)
    return values
