"""How many models each value of each facet would leave: the numbers beside a search."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet

from models_app.models import Risk, Team
from models_app.registry.access import Actor

from . import index
from .grammar import SearchQuery
from .query import documents

# Values listed per facet; chosen ones are always among them.
TOP = 50
# Counting looks at this many of the most recently updated models that fit, and at fewer for tags.
COUNTED = 20_000
TAGGED = 5_000
_COLUMNS = {
    "task": "task",
    "library": "library",
    "license": "license",
    "team": "team_id",
    "risk": "risk_level",
}
_STAGES = {
    "production": "in_production",
    "staging": "in_staging",
    "none": "NOT in_production AND NOT in_staging",
}
_LABELS = {
    "task": "Task",
    "stage": "Stage",
    "library": "Library",
    "license": "License",
    "team": "Team",
    "tag": "Tag",
    "risk": "Risk",
}
_STAGE_LABELS = {"production": "In production", "staging": "In staging", "none": "In neither"}


@dataclass(frozen=True, slots=True)
class FacetValue:
    """One value, how many models have it, and whether the query asks for it."""

    value: str
    label: str
    count: int
    selected: bool


@dataclass(frozen=True, slots=True)
class Facet:
    """A facet's values, most frequent first. With `at_least`, counting stopped early: each count may be higher."""

    key: str
    label: str
    values: tuple[FacetValue, ...]
    at_least: bool


def count(query: SearchQuery, *, by: Actor) -> list[Facet]:
    """Counts of every facet for what fits the query. A facet is counted without its own filter, so that one sees what
    widening would bring; tags narrow, so they are counted with theirs. Models without a value count nowhere.

    One statement for all facets without a chosen value, one for each facet with one, one for tags.
    """
    chosen = [key for key in _LABELS if key != "tag" and getattr(query, key)]
    counts: dict[str, dict[Any, int]] = defaultdict(dict)
    capped: set[str] = set()
    free = [key for key in _LABELS if key != "tag" and key not in chosen]
    for leaving_out, keys in [("", free), *((key, [key]) for key in chosen)]:
        for key, value, number in _count(query, by, leaving_out, keys):
            if key == "all":
                capped.update(keys if number > COUNTED else [])
            else:
                counts[key][value] = number
    for tag, number, is_capped in _count_tags(query, by):
        counts["tag"][tag] = number
        capped.update(["tag"] if is_capped else [])
    slugs = dict(Team.objects.filter(pk__in=counts["team"]).values_list("pk", "slug"))
    counts["team"] = {slugs[pk]: number for pk, number in counts["team"].items() if pk in slugs}
    return [
        Facet(key, label, _values(key, counts[key], getattr(query, key)), at_least=key in capped)
        for key, label in _LABELS.items()
    ]


def _count(
    query: SearchQuery, by: Actor, leaving_out: str, keys: list[str]
) -> Iterator[tuple[str, Any, int]]:
    """(facet, value, number) of the documents that fit, and ("all", None, how many there are)."""
    if not keys:
        return
    columns = ["pk", "task", "library", "license", "team_id", "risk_level", "in_production", "in_staging"]
    found = documents(query, by=by, leaving_out=leaving_out).order_by("-updated_at", "-pk")
    try:
        sql, params = found.values_list(*columns)[: COUNTED + 1].query.sql_with_params()
    except EmptyResultSet:
        return
    selects = ["SELECT 'all', NULL, count(*) FROM hits"]
    for key in keys:
        if key == "stage":
            selects += [
                f"SELECT 'stage', '{name}', count(*) FROM hits WHERE {is_in}"
                for name, is_in in _STAGES.items()
            ]
        else:
            column = _COLUMNS[key]
            selects.append(
                f"SELECT * FROM (SELECT '{key}', CAST({column} AS text), count(*) FROM hits GROUP BY {column}"
                f" ORDER BY count(*) DESC LIMIT {4 * TOP}) AS {key}_counts"
            )
    rows = index.words().fetch(
        "WITH hits (id, task, library, license, team_id, risk_level, in_production, in_staging) AS MATERIALIZED"
        f" ({sql}) {' UNION ALL '.join(selects)}",
        params,
        by_index=True,
    )
    for key, value, number in rows:
        if key == "all" or (value and number):
            yield key, int(value) if key == "team" else value, number


def _count_tags(query: SearchQuery, by: Actor) -> Iterator[tuple[str, int, bool]]:
    """(tag, number, whether only some of the documents were looked at); a tag with a value reads `key=value`."""
    recent = documents(query, by=by).order_by("-updated_at", "-pk").values_list("pk")[: TAGGED + 1]
    try:
        sql, params = recent.query.sql_with_params()
    except EmptyResultSet:
        return
    rows = index.words().fetch(
        f"""
        WITH hits (id) AS MATERIALIZED ({sql})
        SELECT t.key, t.value, count(*), (SELECT count(*) FROM hits)
        FROM hits JOIN models_app_modeltag t ON t.model_id = hits.id
        WHERE length(t.value) <= 100 GROUP BY t.key, t.value ORDER BY count(*) DESC, t.key, t.value LIMIT {TOP}
        """,
        params,
        by_index=True,
    )
    for key, value, number, looked_at in rows:
        yield f"{key}={value}" if value else key, number, looked_at > TAGGED


def _values(key: str, counts: dict[str, int], selected: tuple[str, ...]) -> tuple[FacetValue, ...]:
    order = sorted(counts, key=lambda value: (-counts[value], value))
    shown = dict.fromkeys([*selected, *order[:TOP]])
    values = [
        FacetValue(value, _label(key, value), counts.get(value, 0), value in selected) for value in shown
    ]
    if key == "stage":
        return tuple(sorted(values, key=lambda one: list(_STAGES).index(one.value)))
    return tuple(sorted(values, key=lambda one: (-one.count, one.value)))


def _label(key: str, value: str) -> str:
    if key == "stage":
        return _STAGE_LABELS[value]
    return str(Risk(value).label) if key == "risk" else value
