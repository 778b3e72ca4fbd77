"""Words on SQLite: the FTS5 table `models_app_searchwords`, kept by triggers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import BooleanField, F, Q, QuerySet
from django.db.models.expressions import RawSQL

from .gathered import Gathered
from .grammar import Term
from .text import stems_of

# Words become a set of ids, against which an ordered index is walked until a page is full.
HITS = "NOT MATERIALIZED"
# Counting in any order is quicker than walking on until so many are met.
COUNTS_IN_ORDER = False
TAGS_OF = "({ids}) AS newest JOIN models_app_modeltag t ON t.model_id = newest.id WHERE true"
# Names in the order of their characters, which is what the index on them has.
COLLATION = "BINARY"
NAME = "d.name_lower"
SHORT_NAME = "substr(d.name_lower, instr(d.name_lower, '/') + 1)"


def _match(terms: Sequence[Term]) -> str:
    """An FTS5 expression in which every term must occur. Words are letters and digits only, so quoting is enough."""
    parts: list[str] = []
    for term in terms:
        quoted = f'"{" ".join(term.words)}"'
        if term.is_open:
            quoted = " OR ".join([f"{quoted} *", *(f'"{stem}"' for stem in stems_of(term.words[0]))])
        parts.append(f"({quoted})")
    return " AND ".join(parts)


def matching(terms: Sequence[Term]) -> RawSQL:
    """The condition on a search document that every term occurs in it."""
    return RawSQL(
        '"models_app_searchdocument"."model_id" IN '
        "(SELECT rowid FROM models_app_searchwords WHERE models_app_searchwords MATCH %s)",
        [_match(terms)],
        output_field=BooleanField(),
    )


def among(ids: QuerySet[Any]) -> Q:
    """The condition that a search document is one of these, of which there may be many."""
    return Q(pk__in=ids)


def newest_hits(readable: QuerySet[Any], terms: Sequence[Term], *, most: int) -> tuple[str, list[Any]]:
    """A query for the `most` documents registered last (without terms: updated last) in which every term occurs.

    `readable` has `updated_at` and `found` (the id) among its values. FTS5 gives hits by id without looking at all of
    them, and cannot by time of update.
    """
    sql, params = readable.query.sql_with_params()
    if not terms:
        return f"SELECT * FROM ({sql}) ORDER BY updated_at DESC, found DESC LIMIT {most}", list(params)
    return (
        f"""
        SELECT readable.* FROM models_app_searchwords CROSS JOIN ({sql}) AS readable
        ON readable.found = models_app_searchwords.rowid WHERE models_app_searchwords MATCH %s
        ORDER BY models_app_searchwords.rowid DESC LIMIT {most}
        """,
        [*params, _match(terms)],
    )


def judged(
    readable: QuerySet[Any], terms: Sequence[Term], *, most: int, cap: int, gathered: Gathered
) -> tuple[str, list[Any]]:
    """Tables for a WITH: `recent` (id, score and what else decides the order) of the `most` hits registered last,
    `counted` (n), up to `cap` + 1, and `hits`, what is `gathered`.

    The score weighs names most, then purpose, tags, card.
    """
    columns = [*gathered.columns, "updated_at"]
    newest, newest_params = newest_hits(
        readable.values(*columns, found=F("pk")), terms, most=max(gathered.most, 1)
    )
    deciding = readable.values("name_lower", "in_production", "updated_at", found=F("pk"))
    documents, params = deciding.query.sql_with_params()
    hits = f"""
        FROM models_app_searchwords CROSS JOIN ({documents}) AS readable
        ON readable.found = models_app_searchwords.rowid WHERE models_app_searchwords MATCH %s
    """
    given = [*params, _match(terms)]
    return (
        f"""
        hits ({", ".join(columns)}, id) AS MATERIALIZED ({newest}),
        recent (id, name_lower, in_production, updated_at, score) AS (
            SELECT
                readable.found, readable.name_lower, readable.in_production, readable.updated_at,
                -bm25(models_app_searchwords, 10.0, 4.0, 2.0, 0.5)
            {hits}
            ORDER BY models_app_searchwords.rowid DESC LIMIT {most}
        ),
        counted (n) AS (SELECT count(*) FROM (SELECT 1 {hits} LIMIT {cap + 1}) AS first)
        """,
        [*newest_params, *given, *given],
    )


def name_starts(start: str) -> tuple[str, list[Any]]:
    """The condition that the name of `d`, or its part after the slash, starts with this text in lower case."""
    end = start + "\U0010ffff"
    return (
        f"(({NAME} >= %s AND {NAME} < %s) OR ({SHORT_NAME} >= %s AND {SHORT_NAME} < %s))",
        [start, end, start, end],
    )


def fetch(sql: str, params: Sequence[Any], *, by_index: bool) -> list[tuple[Any, ...]]:
    """All rows of a query; SQLite prefers indexes unasked."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
