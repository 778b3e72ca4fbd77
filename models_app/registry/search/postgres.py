"""Words on PostgreSQL: the generated `words` column of search documents, searched through its GIN index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import BooleanField, F, QuerySet
from django.db.models.expressions import RawSQL

from models_app.models import SearchDocument

from .grammar import Term
from .text import stems_of

# A set of hits is computed once and then sorted and counted: estimates for words and metrics are too rough to let the
# planner walk an ordered index in hope of meeting enough of them.
HITS = "MATERIALIZED"
# A first page and the number of hits come from the same walk: as many hits in order as are counted.
COUNTS_IN_ORDER = True
# Looked up model by model; left to itself the planner reads all tags there are.
TAGS = "JOIN LATERAL (SELECT key, value FROM models_app_modeltag WHERE model_id = newest.id OFFSET 0) AS t ON true"
# Names in the order of their characters, which is what the index on them has.
COLLATION = "C"
NAME = 'd.name_lower COLLATE "C"'
SHORT_NAME = "substr(d.name_lower, strpos(d.name_lower, '/') + 1)" + ' COLLATE "C"'
# Words are looked for in the order of update when a sample says that reading so many documents will be enough. Finding
# a phrase by index means reading all documents that have its words, so there it pays far longer.
SAMPLED = 200
READING = 4_000
READING_PHRASES = 20_000
_WEIGHTS = "{0.05, 0.2, 0.4, 1.0}"
# The planner does not know what it costs to read a long `words` value, and would rather read all of them than use the
# index for a common word. Sent with the query in one message, so both end with its transaction; within a longer one
# they are taken back at once.
_BEFORE = "SELECT set_config('enable_seqscan', 'off', true), set_config('work_mem', '32MB', true);"
_AFTER = "; SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL work_mem TO DEFAULT"


def _tsquery(terms: Sequence[Term]) -> tuple[str, list[Any]]:
    """An expression of type tsquery in which every term must occur. Words are letters and digits only."""
    parts: list[str] = []
    params: list[Any] = []
    for term in terms:
        if len(term.words) > 1:
            parts.append("(phraseto_tsquery('english', %s) || phraseto_tsquery('simple', %s))")
            params += [" ".join(term.words)] * 2
            continue
        [word] = term.words
        either = f"'{word}':*" if term.is_open else f"'{word}'"
        forms = ["to_tsquery('english', %s)", "to_tsquery('simple', %s)"]
        params += [either, either]
        if term.is_open and (stems := stems_of(word)):
            forms.append("to_tsquery('simple', %s)")
            params.append(" | ".join(f"'{stem}'" for stem in stems))
        parts.append(f"({' || '.join(forms)})")
    return " && ".join(parts), params


def matching(terms: Sequence[Term]) -> RawSQL:
    """The condition on a search document that every term occurs in it."""
    sql, params = _tsquery(terms)
    return RawSQL(f'"models_app_searchdocument"."words" @@ ({sql})', params, output_field=BooleanField())


def among(ids: QuerySet[Any]) -> RawSQL:
    """The condition that a search document is one of these, of which there may be many.

    IS TRUE keeps the planner from joining: the ids become a hash, and documents are read in order until enough fit.
    """
    sql, params = ids.query.sql_with_params()
    return RawSQL(
        f'("models_app_searchdocument"."model_id" IN ({sql})) IS TRUE', params, output_field=BooleanField()
    )


def newest_hits(readable: QuerySet[Any], terms: Sequence[Term], *, most: int) -> tuple[str, list[Any]]:
    """A query for the `most` documents updated last in which every term occurs.

    `readable` has `updated_at` and `found` (the id) among its values. Words of which many documents are full are met
    by reading a few in the order of update; the index knows all places of a word, but not which is newest. So a sample
    of the newest documents decides, and whatever it says, what is found is the same.
    """
    if not terms:
        sql, params = readable.order_by("-updated_at", "-pk")[:most].query.sql_with_params()
        return sql, list(params)
    fitting = readable.filter(matching(terms))
    reading = READING_PHRASES if any(len(term.words) > 1 for term in terms) else READING
    sampled, sampled_params = _among_newest(str(SAMPLED), fitting)
    met, met_params = _among_newest(
        f"(SELECT CASE WHEN n * {reading} >= {most * SAMPLED} THEN {2 * most * SAMPLED} / n ELSE 0 END FROM sampled)",
        fitting.order_by("-updated_at", "-pk")[:most],
    )
    indexed, indexed_params = _found_then_sorted(fitting, most)
    return (
        f"""
        WITH sampled (n) AS (SELECT count(*) FROM ({sampled}) AS first),
        met AS MATERIALIZED ({met})
        SELECT * FROM met WHERE (SELECT count(*) FROM met) = {most}
        UNION ALL
        SELECT * FROM ({indexed}) AS indexed WHERE (SELECT count(*) FROM met) < {most}
        """,
        [*sampled_params, *met_params, *indexed_params],
    )


def _found_then_sorted(rows: QuerySet[Any], most: int) -> tuple[str, list[Any]]:
    """For rows that may be scattered: OFFSET 0 keeps the planner from hoping to meet enough of them in order."""
    sql, params = rows.query.sql_with_params()
    found = f"SELECT * FROM ({sql} OFFSET 0) AS fitting ORDER BY updated_at DESC, found DESC LIMIT {most}"
    return found, list(params)


def _among_newest(count: str, rows: QuerySet[Any]) -> tuple[str, list[Any]]:
    """The same query with only the newest documents in the table's place; they are read until it has enough."""
    sql, params = rows.query.sql_with_params()
    table = f'"{SearchDocument._meta.db_table}"'
    newest = f"SELECT * FROM {table} ORDER BY updated_at DESC, model_id DESC LIMIT {count}"
    return f"WITH {table} AS NOT MATERIALIZED ({newest}) {sql}", list(params)


def judged(readable: QuerySet[Any], terms: Sequence[Term], *, most: int, cap: int) -> tuple[str, list[Any]]:
    """Two tables for a WITH: `recent` (id, score) of the `most` hits updated last, and `counted` (n), up to `cap` + 1.

    The score weighs names most, then purpose, tags, card.
    """
    columns = readable.values("updated_at", found=F("pk"))
    hits, params = newest_hits(columns, terms, most=max(most, cap + 1))
    tsquery, words = _tsquery(terms)
    return (
        f"""
        hits (updated, id) AS MATERIALIZED ({hits}),
        recent (id, score) AS (
            SELECT newest.id, ts_rank('{_WEIGHTS}', d.words, {tsquery})
            FROM (SELECT id FROM hits ORDER BY updated DESC, id DESC LIMIT {most}) AS newest
            JOIN models_app_searchdocument d ON d.model_id = newest.id
        ),
        counted (n) AS (SELECT count(*) FROM hits)
        """,
        [*params, *words],
    )


def name_starts(start: str) -> tuple[str, list[Any]]:
    """The condition that the name of `d`, or its part after the slash, starts with this text in lower case."""
    pattern = start.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    return f"({NAME} LIKE %s OR {SHORT_NAME} LIKE %s)", [pattern, pattern]


def fetch(sql: str, params: Sequence[Any], *, by_index: bool) -> list[tuple[Any, ...]]:
    """All rows of a query; `by_index` keeps the planner from reading whole tables."""
    with connection.cursor() as cursor:
        if by_index:
            cursor.execute(_BEFORE + sql + _AFTER, params)
            cursor.nextset()
        else:
            cursor.execute(sql, params)
        return list(cursor.fetchall())
