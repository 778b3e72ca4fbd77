"""The sums of what models and teams hold: kept in step by the verbs, added up by the worker, checked and set right.

A model's own (`RegisteredModel.size`) is kept under the lock that every change of its versions takes. A team's is
StorageUse and the changes since (quotas.py says why).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, F, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from models_app.models import ModelVersion, RegisteredModel, StorageChange, StorageUse, Team

from . import quotas

AT_ONCE = 1000


def fold() -> int:
    """Add the changes that wait to the sums of their teams; returns how many. Several workers may do so at once."""
    with transaction.atomic():
        waiting = StorageChange.objects.select_for_update(skip_locked=True).order_by("pk")[:AT_ONCE]
        rows = list(waiting.values_list("pk", "team_id", "size"))
        sums: Counter[int] = Counter()
        for _, team, size in rows:
            sums[team] += size
        _make_rows(sums)
        # In this order, so that two of us cannot wait for each other.
        for team in sorted(sums):
            StorageUse.objects.filter(team=team).update(size=F("size") + sums[team])
        StorageChange.objects.filter(pk__in=[pk for pk, _, _ in rows]).delete()
    if sums:
        quotas.tell(sums)
    return len(rows)


def _make_rows(teams: Counter[int]) -> None:
    known = set(StorageUse.objects.filter(team__in=list(teams)).values_list("team_id", flat=True))
    if new := teams.keys() - known:
        StorageUse.objects.bulk_create([StorageUse(team_id=team) for team in new], ignore_conflicts=True)


@dataclass(frozen=True, slots=True)
class Drift:
    """A sum that is not what it should be: whose (`model …`, `team …`), as kept and as added up anew."""

    whose: str
    kept: int
    actual: int


def _zero(found: Subquery) -> Coalesce:
    return Coalesce(found, Value(0), output_field=BigIntegerField())


def _models() -> QuerySet[Any]:
    versions = ModelVersion.objects.filter(model=OuterRef("pk")).order_by().values("model")
    actual = versions.annotate(total=Sum("manifest__total_size")).values("total")
    return RegisteredModel.objects.annotate(actual=_zero(Subquery(actual))).order_by("pk")


def _teams() -> QuerySet[Any]:
    """One statement each: a registration changes the model's sum and the team's at once."""
    models = RegisteredModel.objects.filter(team=OuterRef("pk")).order_by().values("team")
    changes = StorageChange.objects.filter(team=OuterRef("pk")).order_by().values("team")
    waiting = _zero(Subquery(changes.annotate(total=Sum("size")).values("total")))
    kept = Coalesce(F("storage_use__size"), Value(0), output_field=BigIntegerField()) + waiting
    actual = _zero(Subquery(models.annotate(total=Sum("size")).values("total")))
    return Team.objects.annotate(kept=kept, actual=actual).order_by("pk")


def check() -> Iterator[Drift]:
    """Every sum that is wrong. Reads all versions' sizes, and nothing else waits for it."""
    last = 0
    while page := list(_models().filter(pk__gt=last).values_list("pk", "name", "size", "actual")[:AT_ONCE]):
        yield from (Drift(f"model {name}", kept, actual) for _, name, kept, actual in page if kept != actual)
        last = page[-1][0]
    for slug, kept, actual in _teams().exclude(kept=F("actual")).values_list("slug", "kept", "actual"):
        yield Drift(f"team {slug}", kept, actual)


def rebuild() -> list[Drift]:
    """Set every sum right while others register; returns what was wrong. Models first: teams are their sums."""
    wrong = [one for one in check() if one.whose.startswith("model ")]
    for drift in wrong:
        with transaction.atomic():
            held = (
                RegisteredModel.objects.select_for_update(no_key=True)
                .filter(name=drift.whose.removeprefix("model "))
                .first()
            )
            if held is not None:
                actual = _models().filter(pk=held.pk).values_list("actual", flat=True)
                RegisteredModel.objects.filter(pk=held.pk).update(size=actual.get())
    for pk in Team.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            StorageUse.objects.bulk_create([StorageUse(team_id=pk)], ignore_conflicts=True)
            # Else two of us would set the same right twice.
            StorageUse.objects.select_for_update(no_key=True).get(team=pk)
            slug, kept, actual = _teams().values_list("slug", "kept", "actual").get(pk=pk)
            if kept != actual:
                StorageChange.objects.create(team_id=pk, size=actual - kept)
                wrong.append(Drift(f"team {slug}", kept, actual))
    return wrong
