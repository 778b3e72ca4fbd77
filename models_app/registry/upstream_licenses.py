"""Licenses of what a version was made of: base models here and the data they were trained on, and theirs in turn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from django.db.models import Q, QuerySet

from models_app.models import LineageEdge, ModelVersion, Relation, Visibility

from .prepared import Prepared

# Steps up from the version, and things that are looked at in all.
DEPTH = 5
MOST = 200


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One thing that went in. `key` tells it from others; `license` is an SPDX expression."""

    key: str
    what: str
    license: str


class _Edge(NamedTuple):
    """A base version here, or a dataset; columns of the other are None."""

    base: int | None
    number: int | None
    base_license: str | None
    model: str | None
    visibility: str | None
    team: int | None
    dataset: int | None
    name: str | None
    version: str | None
    dataset_license: str | None


def _edges(rows: QuerySet[LineageEdge]) -> QuerySet[LineageEdge, tuple[object, ...]]:
    licensed = Q(base_version__isnull=False) | Q(relation=Relation.TRAINED_ON, dataset__isnull=False)
    base, data = "base_version", "dataset"
    return (
        rows.filter(licensed)
        .order_by("id")
        .values_list(
            f"{base}_id",
            f"{base}__number",
            f"{base}__license",
            f"{base}__model__name",
            f"{base}__model__visibility",
            f"{base}__model__team_id",
            f"{data}_id",
            f"{data}__name",
            f"{data}__version",
            f"{data}__license",
        )
    )


_FIRST = Prepared(lambda version: _edges(LineageEdge.objects.filter(version=version)), int)


def of(version: ModelVersion) -> list[Ingredient]:
    """Everything licensed that went into a version, nearest first; one statement a step, at most DEPTH.

    What the version's own fields say of its data and base model alike is left out. A private model of another team
    counts, but is not named.
    """
    found: dict[str, Ingredient] = {}
    rows, seen = _FIRST(version.pk), {version.pk}
    told = {"data": version.dataset_license, "model": version.base_model_license}
    for _ in range(DEPTH):
        following = []
        for edge in (_Edge(*row) for row in rows[:MOST]):
            one = _ingredient(edge, version)
            if one.license and one.license != told.get(one.key.partition(":")[0]):
                found.setdefault(one.key, one)
            if edge.base is not None and edge.base not in seen:
                seen.add(edge.base)
                following.append(edge.base)
        if not following or len(seen) >= MOST or len(found) >= MOST:
            break
        told = {}
        rows = list(_edges(LineageEdge.objects.filter(version__in=following))[:MOST])
    return list(found.values())[:MOST]


def _ingredient(edge: _Edge, version: ModelVersion) -> Ingredient:
    if edge.dataset is not None:
        what = f"{edge.name}@{edge.version}" if edge.version else str(edge.name)
        return Ingredient(f"data:{edge.dataset}", f"the data {what}", edge.dataset_license or "")
    is_named = edge.visibility == Visibility.INTERNAL or edge.team == version.model.team_id
    what = f"{edge.model}@{edge.number}" if is_named else "a private model"
    return Ingredient(f"model:{edge.base}", what, edge.base_license or "")
