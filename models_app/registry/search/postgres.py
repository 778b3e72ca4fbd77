"""Words on PostgreSQL: the generated `words` column of search documents, searched through its GIN index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from .grammar import Term
from .text import stems_of

# A set of hits is computed once and then sorted and counted: estimates for words and metrics are too rough to let the
# planner walk an ordered index in hope of meeting enough of them.
HITS = "MATERIALIZED"
NEWEST = "ORDER BY updated_at DESC, id DESC"
# Looked up model by model; left to itself the planner reads all tags there are.
TAGS = "JOIN LATERAL (SELECT key, value FROM models_app_modeltag WHERE model_id = newest.id OFFSET 0) AS t ON true"
# Names in the order of their characters, which is what the index on them has.
COLLATION = "C"
NAME = 'd.name_lower COLLATE "C"'
SHORT_NAME = "substr(d.name_lower, strpos(d.name_lower, '/') + 1)" + ' COLLATE "C"'
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
        parts.append("(to_tsquery('english', %s) || to_tsquery('simple', %s) || to_tsquery('simple', %s))")
        stems = stems_of(word) if term.is_open else []
        params += [either, either, " | ".join(f"'{stem}'" for stem in stems) or either]
    return " && ".join(parts), params


def matching(terms: Sequence[Term]) -> RawSQL:
    """The condition on a search document that every term occurs in it."""
    sql, params = _tsquery(terms)
    return RawSQL(f'"models_app_searchdocument"."words" @@ ({sql})', params, output_field=BooleanField())


def hits(readable: QuerySet[Any], terms: Sequence[Term]) -> tuple[str, list[Any]]:
    """A query for the same columns of those documents in which every term occurs."""
    sql, params = (readable.filter(matching(terms)) if terms else readable).query.sql_with_params()
    return sql, list(params)


def judged(readable: QuerySet[Any], terms: Sequence[Term], *, most: int, cap: int) -> tuple[str, list[Any]]:
    """Two tables for a WITH: `recent` (id, score) of the `most` hits updated last, and `counted` (n), up to `cap` + 1.

    The score weighs names most, then purpose, tags, card.
    """
    hits, params = readable.filter(matching(terms)).values_list("pk", "updated_at").query.sql_with_params()
    tsquery, words = _tsquery(terms)
    return (
        f"""
        hits (id, updated) AS MATERIALIZED ({hits}),
        recent (id, score) AS (
            SELECT newest.id, ts_rank('{_WEIGHTS}', d.words, {tsquery})
            FROM (SELECT id FROM hits ORDER BY updated DESC, id DESC LIMIT {most}) AS newest
            JOIN models_app_searchdocument d ON d.model_id = newest.id
        ),
        counted (n) AS (SELECT count(*) FROM (SELECT 1 FROM hits LIMIT {cap + 1}) AS first)
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
