"""Words on PostgreSQL: the generated `words` column of search documents, searched through its GIN index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import BooleanField
from django.db.models.expressions import RawSQL

from .grammar import Term
from .text import stems_of

# A set of hits is computed once and then sorted and counted: estimates for words and metrics are too rough to let the
# planner walk an ordered index in hope of meeting enough of them.
HITS = "MATERIALIZED"
FACET_HITS = 200_000
SHORT_NAME = "substr(d.name_lower, strpos(d.name_lower, '/') + 1)"
_WEIGHTS = "{0.05, 0.2, 0.4, 1.0}"


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


def score(terms: Sequence[Term]) -> tuple[str, list[Any]]:
    """An expression that grows with how well document `d` fits: names weigh most, then purpose, tags, card."""
    sql, params = _tsquery(terms)
    return f"ts_rank('{_WEIGHTS}', d.words, {sql})", params


def name_starts(start: str) -> tuple[str, list[Any]]:
    """The condition that the name of `d`, or its part after the slash, starts with this text in lower case."""
    pattern = start.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    return f"(d.name_lower LIKE %s OR {SHORT_NAME} LIKE %s)", [pattern, pattern]
