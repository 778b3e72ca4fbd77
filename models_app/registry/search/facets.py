"""How many models each value of each facet would leave: the numbers beside a search."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models import F

from models_app.models import Risk, Team
from models_app.registry.access import Actor

from . import index
from .gathered import Gathered, Told
from .grammar import SearchQuery
from .query import TOTAL_CAP, SearchPage, documents, find_and_gather

# Values listed per facet; chosen ones are always among them.
TOP = 50
# Counting looks at this many of the newest models that fit: as many as the total beside it counts.
COUNTED = TOTAL_CAP
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

    One statement for all facets without a chosen value, one for each facet with one, one for names of teams.
    """
    return _facets(query, _count(query, by, "", _free(query)), by)


def find_and_count(
    query: SearchQuery, *, by: Actor, cursor: str | None = None, limit: int = 25
) -> tuple[SearchPage, list[Facet]]:
    """What `find` and `count` answer; by relevance both look at the same hits, which are gathered once."""
    free = _free(query)
    page, told = find_and_gather(query, _gathered(free), by=by, cursor=cursor, limit=limit)
    return page, _facets(query, _count(query, by, "", free) if told is None else told, by)


def _chosen(query: SearchQuery) -> list[str]:
    return [key for key in _LABELS if key != "tag" and getattr(query, key)]


def _free(query: SearchQuery) -> list[str]:
    chosen = _chosen(query)
    return [key for key in _LABELS if key not in chosen]


def _facets(query: SearchQuery, told_of_free: list[Told], by: Actor) -> list[Facet]:
    counts: dict[str, dict[Any, int]] = defaultdict(dict)
    capped: set[str] = set()
    told = [(_free(query), told_of_free)]
    told += [([key], _count(query, by, key, [key])) for key in _chosen(query)]
    for keys, rows in told:
        for key, value, number in rows:
            if key == "all":
                capped.update(keys if number > COUNTED else ())
            elif value and number:
                counts[key][value] = number
    slugs = dict(Team.objects.filter(pk__in=counts["team"]).values_list("pk", "slug"))
    counts["team"] = {slugs[int(pk)]: number for pk, number in counts["team"].items() if int(pk) in slugs}
    return [
        Facet(key, label, _values(key, counts[key], getattr(query, key)), at_least=key in capped)
        for key, label in _LABELS.items()
    ]


def _gathered(keys: list[str], *, leaving_out: str = "") -> Gathered:
    """What is looked at to count these facets: ("all", None, how many hits) and (facet, value, number)."""
    selects = ["SELECT 'all', NULL, count(*) FROM hits"]
    for key in keys:
        selects += _selects(key, limit=None if leaving_out else 4 * TOP)
    return Gathered(COUNTED + 1, (*_COLUMNS.values(), "in_production", "in_staging"), tuple(selects))


def _count(query: SearchQuery, by: Actor, leaving_out: str, keys: list[str]) -> list[Told]:
    """What `_gathered` tells of the documents that fit when one facet is not applied."""
    words, terms = index.words(), query.terms()
    gathered = _gathered(keys, leaving_out=leaving_out)
    columns = [*gathered.columns, "updated_at"]
    try:
        readable = documents(query, by=by, leaving_out=leaving_out, with_words=False)
        if query.words and not terms:
            readable = readable.none()
        hits, params = words.newest_hits(readable.values(*columns, found=F("pk")), terms, most=gathered.most)
    except EmptyResultSet:
        return []
    rows: list[Told] = words.fetch(
        f"""
        WITH hits ({", ".join(columns)}, id) AS MATERIALIZED ({hits})
        {" UNION ALL ".join(gathered.selects)}
        """,
        params,
        by_index=bool(query.words),
    )
    return rows


def _selects(key: str, *, limit: int | None) -> list[str]:
    """Statements that count the values of one facet over the table `hits`."""
    if key == "stage":
        return [
            f"SELECT 'stage', '{name}', count(*) FROM hits WHERE {is_in}" for name, is_in in _STAGES.items()
        ]
    most = f"ORDER BY 3 DESC LIMIT {limit}" if limit else ""
    if key == "tag":
        tags = index.words().TAGS_OF.format(ids=f"SELECT id FROM hits LIMIT {COUNTED}")
        return [
            f"""
            SELECT * FROM (
                SELECT 'tag', t.key || CASE WHEN t.value = '' THEN '' ELSE '=' || t.value END, count(*)
                FROM {tags} AND length(t.value) <= 100 GROUP BY 2 {most}
            ) AS tag_counts
            """
        ]
    column = _COLUMNS[key]
    return [
        f"""
        SELECT * FROM (
            SELECT '{key}', CAST({column} AS text), count(*) FROM hits GROUP BY {column} {most}
        ) AS {key}_counts
        """
    ]


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
