"""Licenses of what a version was made of: base models here and the data they were trained on, and theirs in turn."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q

from models_app.models import LineageEdge, ModelVersion, Relation, Visibility

# Steps up from the version, and things that are looked at in all.
DEPTH = 5
MOST = 200


@dataclass(frozen=True, slots=True)
class Ingredient:
    """One thing that went in. `key` tells it from others; `license` is an SPDX expression."""

    key: str
    what: str
    license: str


def of(version: ModelVersion) -> list[Ingredient]:
    """Everything licensed that went into a version, nearest first; one statement a step, at most DEPTH.

    What the version's own fields say of its data and base model alike is left out. A private model of another team
    counts, but is not named.
    """
    found: dict[str, Ingredient] = {}
    level, seen = [version.pk], {version.pk}
    for _ in range(DEPTH):
        following = []
        for edge in _edges(level):
            one = _ingredient(edge, version)
            if one.license and not _is_told(edge, version):
                found.setdefault(one.key, one)
            if edge.base_version_id is not None and edge.base_version_id not in seen:
                seen.add(edge.base_version_id)
                following.append(edge.base_version_id)
        level = following[: MOST - len(seen)]
        if not level or len(found) >= MOST:
            break
    return list(found.values())[:MOST]


def _edges(level: list[int]) -> list[LineageEdge]:
    licensed = Q(base_version__isnull=False) | Q(relation=Relation.TRAINED_ON, dataset__isnull=False)
    edges = LineageEdge.objects.filter(licensed, version__in=level)
    return list(edges.select_related("base_version__model", "dataset").order_by("id")[:MOST])


def _is_told(edge: LineageEdge, version: ModelVersion) -> bool:
    if edge.version_id != version.pk:
        return False
    if edge.dataset is not None:
        return edge.dataset.license == version.dataset_license
    return edge.base_version is not None and edge.base_version.license == version.base_model_license


def _ingredient(edge: LineageEdge, version: ModelVersion) -> Ingredient:
    if edge.dataset is not None:
        return Ingredient(f"data:{edge.dataset_id}", f"the data {edge.dataset}", edge.dataset.license)
    base = edge.base_version
    if base is None:
        raise ValueError("Only edges to datasets and versions here have a license.")
    model = base.model
    named = model.visibility == Visibility.INTERNAL or model.team_id == version.model.team_id
    return Ingredient(f"model:{base.pk}", str(base) if named else "a private model", base.license)
