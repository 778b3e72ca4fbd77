"""Finding models: one verb over words, facets and metrics."""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Collate

from models_app.models import (
    ModelTag,
    SearchDocument,
    SearchMetric,
    Team,
    Visibility,
)
from models_app.registry.access import Actor, require_reading
from models_app.registry.errors import Invalid
from models_app.registry.metrics import higher_is_better

from . import index
from .gathered import NOTHING, Gathered, Told
from .grammar import MetricFilter, SearchQuery, parse
from .rows import RowMetric, SearchRow, load

__all__ = [
    "MetricFilter",
    "RowMetric",
    "SearchPage",
    "SearchQuery",
    "SearchRow",
    "documents",
    "find",
    "find_and_gather",
    "parse",
]

# Counting stops here; what is more is told as “more than”.
TOTAL_CAP = 1_000
# Relevance is judged among this many of the most recently updated hits, and among names that start with the words.
CANDIDATES = 500
NAMED = 50
FEW = 1_000
MAX_LIMIT = 100

_OPERATORS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "=": "exact"}
# Column and whether it descends.
_ORDERS = {"updated": ("updated_at", True), "created": ("created_at", True), "name": ("name_lower", False)}


@dataclass(frozen=True, slots=True)
class SearchPage:
    """A page of results. `total` counts up to TOTAL_CAP; `total_is_capped` says that there are more."""

    rows: tuple[SearchRow, ...]
    next_cursor: str | None
    total: int
    total_is_capped: bool


def documents(
    query: SearchQuery, *, by: Actor, leaving_out: str = "", with_words: bool = True
) -> QuerySet[Any]:
    """The search documents the actor may read that fit the query; `leaving_out` names a facet that is not applied.

    Raises Unauthenticated or Forbidden when the actor may not read at all.
    """
    require_reading(by)
    found = SearchDocument.objects.all()
    teams = by.readable_teams
    if teams is not None:
        found = found.filter(Q(visibility=Visibility.INTERNAL) | Q(team_id__in=list(teams)))
    wanted = {key: getattr(query, key) for key in ("task", "library", "license", "stage", "risk", "team")}
    wanted.pop(leaving_out, None)
    for key in ("task", "library", "license"):
        if wanted.get(key):
            found = found.filter(**{f"{key}__in": wanted[key]})
    if wanted.get("risk"):
        found = found.filter(risk_level__in=wanted["risk"])
    if wanted.get("team"):
        # Looked up first: the planner knows how common an id is, but not how common a joined slug is.
        found = found.filter(
            team_id__in=list(Team.objects.filter(slug__in=wanted["team"]).values_list("pk", flat=True))
        )
    if wanted.get("stage"):
        stages = {
            "production": Q(in_production=True),
            "staging": Q(in_staging=True),
            "none": Q(in_production=False, in_staging=False),
        }
        chosen = Q()
        for stage in wanted["stage"]:
            chosen |= stages[stage]
        found = found.filter(chosen)
    for tag in query.tag:
        key, equals, value = tag.partition("=")
        tagged = ModelTag.objects.filter(key=key, **({"value": value} if equals else {}))
        found = found.filter(pk__in=tagged.values("model"))
    for metric in query.metrics:
        measured = SearchMetric.objects.filter(
            name=metric.name, **{f"value__{_OPERATORS[metric.op]}": metric.value}
        )
        # No statistics tell how rare “f1 above 0.97” is; looking does.
        few = list(measured.values_list("document", flat=True)[: FEW + 1])
        fits = Q(pk__in=few) if len(few) <= FEW else index.words().among(measured.values("document"))
        found = found.filter(fits)
    if with_words and query.words:
        terms = query.terms()
        found = found.filter(index.words().matching(terms)) if terms else found.none()
    return found


def find(query: SearchQuery, *, by: Actor, cursor: str | None = None, limit: int = 25) -> SearchPage:
    """A page of models that fit, in the order asked for; the same number of statements whatever is found.

    By relevance the best of the CANDIDATES most recent hits can be paged through; any other order reaches everything.
    Sorting by a metric lists the models that have it, best first. Raises Invalid("cursor") for one that is not ours or
    belongs to another order, Unauthenticated or Forbidden when the actor may not read.
    """
    return find_and_gather(query, NOTHING, by=by, cursor=cursor, limit=limit)[0]


def find_and_gather(
    query: SearchQuery, gathered: Gathered, *, by: Actor, cursor: str | None = None, limit: int = 25
) -> tuple[SearchPage, list[Told] | None]:
    """What `find` finds, and what the statements of `gathered` tell of the newest hits; None where the order asked for
    does not need these hits.
    """
    limit = max(1, min(limit, MAX_LIMIT))
    told: list[Told] | None = None
    try:
        if query.sort == "relevance" and query.terms():
            told = []
            ids, more, total = _by_relevance(query, by, cursor, limit, gathered, told)
        else:
            ids, more, total = _by_column(query, by, cursor, limit)
    except EmptyResultSet:
        ids, more, total = [], None, 0
    page = SearchPage(
        rows=tuple(load(ids)),
        next_cursor=more,
        total=min(total, TOTAL_CAP),
        total_is_capped=total > TOTAL_CAP,
    )
    return page, told


def _by_column(
    query: SearchQuery, by: Actor, cursor: str | None, limit: int
) -> tuple[list[int], str | None, int]:
    words = index.words()
    found = documents(query, by=by)
    if name := query.sort_metric:
        found = found.filter(metrics__name=name).values_list("pk", "metrics__value")
        descending = higher_is_better(name) is not False
    else:
        column, descending = _ORDERS.get(query.sort, _ORDERS["updated"])
        key = Collate(column, words.COLLATION) if column == "name_lower" else F(column)
        found = found.values_list("pk", key)
    hits, params = found.query.sql_with_params()
    where, direction, compare = "", "DESC" if descending else "ASC", "<" if descending else ">"
    order = f"ORDER BY key {direction}, id {direction}"
    mode = words.HITS if query.words or query.metrics else "NOT MATERIALIZED"
    after: list[Any] = []
    if cursor:
        where, after = f"WHERE (key, id) {compare} (%s, %s)", _read_cursor(cursor, query.sort)
    elif words.COUNTS_IN_ORDER:
        fence = "OFFSET 0" if query.words else ""
        hits = f"SELECT * FROM ({hits} {fence}) AS fitting (id, key) {order} LIMIT {TOTAL_CAP + 1}"
        mode = "MATERIALIZED"
    rows = words.fetch(
        f"""
        WITH hits (id, key) AS {mode} ({hits})
        SELECT id, key, (SELECT count(*) FROM (SELECT 1 FROM hits LIMIT {TOTAL_CAP + 1}) AS counted)
        FROM hits {where} {order} LIMIT %s
        """,
        [*params, *after, limit + 1],
        by_index=bool(query.words),
    )
    page = rows[:limit]
    more = _write_cursor(query.sort, page[-1][1], page[-1][0]) if len(rows) > limit else None
    return [row[0] for row in page], more, rows[0][2] if rows else 0


def _by_relevance(
    query: SearchQuery, by: Actor, cursor: str | None, limit: int, gathered: Gathered, told: list[Told]
) -> tuple[list[int], str | None, int]:
    words, terms = index.words(), query.terms()
    offset = _read_offset(cursor) if cursor else 0
    readable = documents(query, by=by, with_words=False)
    judged, params = words.judged(readable, terms, most=CANDIDATES, cap=TOTAL_CAP, gathered=gathered)
    ids, ids_params = readable.values(found=F("pk")).query.sql_with_params()
    is_readable = f"EXISTS (SELECT 1 FROM ({ids}) AS readable WHERE readable.found = d.model_id)"
    typed = query.words.strip('"').lower()
    exactly, exact_params = f"({words.NAME} = %s OR {words.SHORT_NAME} = %s)", [typed, typed]
    starts, start_params = words.name_starts(typed)
    table, shown = SearchDocument._meta.db_table, "d.model_id, d.name_lower, d.in_production, d.updated_at"
    selects = " ".join(f"UNION ALL {select}" for select in gathered.selects)
    rows = words.fetch(
        f"""
        WITH {judged},
        named (id, name_lower, in_production, updated_at) AS (
            SELECT * FROM (SELECT {shown} FROM {table} d WHERE {exactly} AND {is_readable} LIMIT {NAMED}) AS exact
            UNION
            SELECT * FROM (SELECT {shown} FROM {table} d WHERE {starts} AND {is_readable} LIMIT {NAMED}) AS starting
        ),
        candidates (id, name_lower, in_production, updated_at, score) AS (
            SELECT id, name_lower, in_production, updated_at, score FROM recent
            UNION ALL
            SELECT id, name_lower, in_production, updated_at, 0 FROM named WHERE id NOT IN (SELECT id FROM recent)
        ),
        page (id, place) AS (
            SELECT d.id, row_number() OVER (
                ORDER BY
                CASE WHEN {exactly} THEN 2 WHEN {starts} THEN 1 ELSE 0 END DESC,
                d.score * CASE WHEN d.in_production THEN 1.25 ELSE 1.0 END DESC, d.updated_at DESC, d.id DESC
            )
            FROM candidates d ORDER BY 2 LIMIT %s OFFSET %s
        )
        SELECT 'page', CAST(id AS text), place FROM page
        UNION ALL SELECT 'total', NULL, n FROM counted
        {selects}
        """,
        [
            *params,
            *exact_params,
            *ids_params,
            *start_params,
            *ids_params,
            *exact_params,
            *start_params,
            limit + 1,
            offset,
        ],
        by_index=True,
    )
    found = [int(pk) for _, pk in sorted((place, pk) for what, pk, place in rows if what == "page")]
    [total] = [n for what, _, n in rows if what == "total"]
    told += [row for row in rows if row[0] not in ("page", "total")]
    page = found[:limit]
    more = _encode(["relevance", offset + limit]) if len(found) > limit else None
    return page, more, max(total, len(page)) if page else 0


def _encode(parts: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts, separators=(",", ":")).encode()).decode().rstrip("=")


def _decode(cursor: str, sort: str, length: int) -> list[Any]:
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor[:2000] + "=" * (-len(cursor[:2000]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise _bad_cursor() from None
    if not isinstance(parts, list) or len(parts) != length or parts[0] != sort:
        raise _bad_cursor()
    return parts


def _bad_cursor() -> Invalid:
    return Invalid(
        "cursor", "Not a cursor of this search in this order.", next_step="Start again at the first page."
    )


def _write_cursor(sort: str, key: Any, pk: int) -> str:
    return _encode([sort, key.isoformat() if isinstance(key, datetime) else key, pk])


def _read_cursor(cursor: str, sort: str) -> list[Any]:
    _, key, pk = _decode(cursor, sort, 3)
    if type(pk) is not int or not 0 <= pk < 2**63:
        raise _bad_cursor()
    if sort.startswith("metric:"):
        if not isinstance(key, int | float) or not math.isfinite(key):
            raise _bad_cursor()
        return [float(key), pk]
    if not isinstance(key, str) or "\x00" in key or not key.isprintable():
        raise _bad_cursor()
    if sort == "name":
        return [key, pk]
    try:
        moment = datetime.fromisoformat(key)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise _bad_cursor() from None
    return [connection.ops.adapt_datetimefield_value(moment), pk]


def _read_offset(cursor: str) -> int:
    _, offset = _decode(cursor, "relevance", 2)
    if type(offset) is not int or not 0 <= offset <= CANDIDATES + NAMED:
        raise _bad_cursor()
    return offset
