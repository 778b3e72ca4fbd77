"""Words on PostgreSQL: the generated `words` column of search documents, searched through its GIN index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connection
from django.db.models import BooleanField, F, QuerySet
from django.db.models.expressions import RawSQL

from models_app.models import SearchDocument

from .gathered import Gathered
from .grammar import Term
from .text import stems_of

# A set of hits is computed once and then sorted and counted: estimates for words and metrics are too rough to let the
# planner walk an ordered index in hope of meeting enough of them.
HITS = "MATERIALIZED"
# A first page and the number of hits come from the same walk: as many hits in order as are counted.
COUNTS_IN_ORDER = True
# All in one walk of the index; left to itself the planner reads all tags there are.
TAGS_OF = "models_app_modeltag t WHERE t.model_id = ANY(ARRAY({ids}))"
# Names in the order of their characters, which is what the index on them has.
COLLATION = "C"
NAME = 'd.name_lower COLLATE "C"'
SHORT_NAME = "substr(d.name_lower, strpos(d.name_lower, '/') + 1)" + ' COLLATE "C"'
# A sample of the newest documents says how many of them to look among for enough hits: at most so many, beyond which
# all hits are gathered. A phrase has to be read in each document that has its words, so there more is worth it.
SAMPLED, SAMPLED_FOR_PHRASES = 200, 600
REACHED, REACHED_BY_PHRASES = 15_000, 60_000
# The word index also holds the day of a document's update and, as a negative number, the block of 32 days.
_TABLE = SearchDocument._meta.db_table
_DAY = f"((\"{_TABLE}\".updated_at AT TIME ZONE 'UTC')::date - DATE '1970-01-01')"
_BLOCKS = f"(ARRAY[{_DAY}, -({_DAY} >> 5)])"
_MOST_DAYS = 64
_WEIGHTS = "{0.05, 0.2, 0.4, 1.0}"
# The planner does not know what it costs to read a long `words` value, and would rather read all of them than use the
# index for a common word. Sent with the query in one message, so both end with its transaction; within a longer one
# they are taken back at once.
_BEFORE = "SELECT set_config('enable_seqscan', 'off', true), set_config('work_mem', '32MB', true);"
_AFTER = "; SET LOCAL enable_seqscan TO DEFAULT; SET LOCAL work_mem TO DEFAULT"


def _tsquery(
    terms: Sequence[Term], *, brief: bool = False, in_any_order: bool = False
) -> tuple[str, list[Any]]:
    """An expression of type tsquery in which every term must occur. Words are letters and digits only.

    The `brief` one finds the same: where a stem begins the word, what begins with the word begins with the stem too.
    With `in_any_order` the words of a phrase need not follow each other, which the index can tell by itself.
    """
    function = "plainto_tsquery" if in_any_order else "phraseto_tsquery"
    parts: list[str] = []
    params: list[Any] = []
    for term in terms:
        if len(term.words) > 1:
            parts.append(f"({function}('english', %s) || {function}('simple', %s))")
            params += [" ".join(term.words)] * 2
            continue
        [word] = term.words
        either = f"'{word}':*" if term.is_open else f"'{word}'"
        form, given = "to_tsquery('english', %s) || to_tsquery('simple', %s)", [either, either]
        if brief and term.is_open:
            stem = "(ts_lexize('english_stem', %s))[1]"
            begins = f"numnode(to_tsquery('english', %s)) = 1 AND starts_with(%s, {stem})"
            form = f"CASE WHEN {begins} THEN to_tsquery('english', %s) ELSE {form} END"
            given = [either, word, word, either, *given]
        forms = [form]
        params += given
        if term.is_open and (stems := stems_of(word)):
            forms.append("to_tsquery('simple', %s)")
            params.append(" | ".join(f"'{stem}'" for stem in stems))
        parts.append(f"({' || '.join(forms)})")
    return " && ".join(parts), params


def matching(terms: Sequence[Term], *, in_any_order: bool = False) -> RawSQL:
    """The condition on a search document that every term occurs in it."""
    sql, params = _tsquery(terms, brief=True, in_any_order=in_any_order)
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

    `readable` has `updated_at` and `found` (the id) among its values. Of words that many documents have, only the hits
    of the last days are gathered: as many days as a sample of the newest documents says will be enough. Whatever it
    says, what is found is the same: where that was not enough, all hits are gathered.
    """
    if not terms:
        sql, params = readable.order_by("-updated_at", "-pk")[:most].query.sql_with_params()
        return sql, list(params)
    fitting = readable.filter(matching(terms))
    if any(len(term.words) > 1 for term in terms):
        sample, furthest = SAMPLED_FOR_PHRASES, REACHED_BY_PHRASES
        lately = _read_in_order(readable.filter(_updated_lately()), terms, most)
    else:
        sample, furthest = SAMPLED, REACHED
        lately = _found_then_sorted(fitting.filter(_updated_lately()), most)
    sampled, sampled_params = _among_newest(sample, fitting)
    ever, ever_params = _found_then_sorted(fitting, most)
    by_update = f'FROM "{_TABLE}" ORDER BY updated_at DESC, model_id DESC'
    return (
        f"""
        WITH sampled (n) AS (SELECT count(*) FROM ({sampled}) AS newest),
        -- So many of the newest have enough hits even where the sample had more of them than it should.
        enough (n) AS MATERIALIZED (
            SELECT CASE WHEN n > 1 THEN {most * sample} / (n - sqrt(n)) END::bigint FROM sampled
        ),
        since (first, last) AS MATERIALIZED (
            SELECT (SELECT {_DAY} {by_update} OFFSET n LIMIT 1), (SELECT {_DAY} {by_update} LIMIT 1)
            FROM enough WHERE n <= {furthest}
        ),
        met AS MATERIALIZED ({lately[0]})
        SELECT * FROM met WHERE (SELECT count(*) FROM met) = {most}
        UNION ALL
        SELECT * FROM ({ever}) AS hits WHERE (SELECT count(*) FROM met) < {most}
        """,
        [*sampled_params, *lately[1], *ever_params],
    )


def _updated_lately() -> RawSQL:
    """The condition that a document was updated in one of the days of `since`; none was when that is empty."""
    blocks = f"""
        SELECT CASE WHEN last - first <= {_MOST_DAYS}
            THEN ARRAY(SELECT generate_series(first, last))
            ELSE ARRAY(SELECT generate_series(-(last >> 5), -(first >> 5)))
        END FROM since WHERE first IS NOT NULL
    """
    return RawSQL(f"{_BLOCKS} && ({blocks})", [], output_field=BooleanField())


def _found_then_sorted(rows: QuerySet[Any], most: int) -> tuple[str, list[Any]]:
    """For rows that may be scattered: OFFSET 0 keeps the planner from hoping to meet enough of them in order."""
    sql, params = rows.query.sql_with_params()
    found = f"SELECT * FROM ({sql} OFFSET 0) AS fitting ORDER BY updated_at DESC, found DESC LIMIT {most}"
    return found, list(params)


def _read_in_order(rows: QuerySet[Any], terms: Sequence[Term], most: int) -> tuple[str, list[Any]]:
    """The same where finding means reading, as phrases do: what has their words is read from the newest on, until
    there is enough.
    """
    sql, params = rows.filter(matching(terms, in_any_order=True)).query.sql_with_params()
    tsquery, words = _tsquery(terms, brief=True)
    newest = f"SELECT * FROM ({sql} OFFSET 0) AS fitting ORDER BY updated_at DESC, found DESC OFFSET 0"
    fits = f"(SELECT d.words @@ ({tsquery}) FROM {_TABLE} d WHERE d.model_id = candidates.found)"
    return f"SELECT * FROM ({newest}) AS candidates WHERE {fits} LIMIT {most}", [*params, *words]


def _among_newest(count: int, rows: QuerySet[Any]) -> tuple[str, list[Any]]:
    """The same query with only the newest documents in the table's place."""
    sql, params = rows.query.sql_with_params()
    newest = f'SELECT * FROM "{_TABLE}" ORDER BY updated_at DESC, model_id DESC LIMIT {count}'
    return f'WITH "{_TABLE}" AS NOT MATERIALIZED ({newest}) {sql}', list(params)


def judged(
    readable: QuerySet[Any], terms: Sequence[Term], *, most: int, cap: int, gathered: Gathered
) -> tuple[str, list[Any]]:
    """Tables for a WITH: `recent` (id, score and what else decides the order) of the `most` hits updated last,
    `counted` (n), up to `cap` + 1 or more, and `hits`, what is `gathered`.

    The score weighs names most, then purpose, tags, card.
    """
    columns = [*gathered.columns, "updated_at"]
    hits, params = newest_hits(
        readable.values(*columns, found=F("pk")), terms, most=max(most, cap + 1, gathered.most)
    )
    tsquery, words = _tsquery(terms)
    return (
        f"""
        hits ({", ".join(columns)}, id) AS MATERIALIZED ({hits}),
        recent (id, name_lower, in_production, updated_at, score) AS (
            SELECT d.model_id, d.name_lower, d.in_production, d.updated_at, ts_rank('{_WEIGHTS}', d.words, {tsquery})
            FROM (SELECT id FROM hits ORDER BY updated_at DESC, id DESC LIMIT {most}) AS newest
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
