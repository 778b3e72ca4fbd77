"""The filter language by itself: what it reads, what it refuses, and that nothing else ever comes out."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.models import Run
from models_app.protocols.mlflow import experiments, filters, run_search
from models_app.protocols.mlflow.errors import WireError
from models_app.protocols.mlflow.filters import Condition, Grammar, Order, parse, parse_order

GRAMMAR = Grammar(
    attributes={"name": "string", "at": "number", "version": "whole"},
    kinds={"attribute": "attribute", "tags": "tag", "tag": "tag", "metrics": "metric"},
    synonyms={"time": "at"},
    ops={"tag": filters.STRING | filters.NULL},
)


@pytest.mark.parametrize(
    "text,conditions",
    [
        ("", []),
        ("   \n", []),
        ("name = 'a'", [("attribute", "name", "=", "a")]),
        ("name='a'and name!='b'", [("attribute", "name", "=", "a"), ("attribute", "name", "!=", "b")]),
        ("name <> 'a' AnD", [("attribute", "name", "!=", "a")]),
        ("attribute.name like '%_'", [("attribute", "name", "LIKE", "%_")]),
        ('name iLike "it\'s"', [("attribute", "name", "ILIKE", "it's")]),
        ("name = 'it''s'", [("attribute", "name", "=", "it''s")]),
        ("name = ''", [("attribute", "name", "=", "")]),
        ("name in ('a','b' , \"c\")", [("attribute", "name", "IN", ["a", "b", "c"])]),
        ("name NOT  IN ('a')", [("attribute", "name", "NOT IN", ["a"])]),
        ("tags.`a b` = 'x'", [("tag", "a b", "=", "x")]),
        ("tag.\"a b\" = 'x'", [("tag", "a b", "=", "x")]),
        ("tags.a.b.c = 'x'", [("tag", "a.b.c", "=", "x")]),
        ("tags.5 = 'x'", [("tag", "5", "=", "x")]),
        ("tags.a-b/c = 'AND'", [("tag", "a-b/c", "=", "AND")]),
        ("tags.k is null", [("tag", "k", "IS NULL", None)]),
        ("tags.k IS NOT NULL", [("tag", "k", "IS NOT NULL", None)]),
        ("time > 5", [("attribute", "at", ">", 5.0)]),
        ("at <= -1.5e-3", [("attribute", "at", "<=", -0.0015)]),
        ("version >= '7'", [("attribute", "version", ">=", 7)]),
        ("metrics.f1 >.5", [("metric", "f1", ">", 0.5)]),
        ("metrics.f1 > -.5", [("metric", "f1", ">", -0.5)]),
        ("metrics.f1.macro > 1.", [("metric", "f1.macro", ">", 1.0)]),
    ],
)
def test_what_it_reads(text, conditions):
    assert parse(text, GRAMMAR) == [Condition(*condition) for condition in conditions]


@pytest.mark.parametrize(
    "text",
    [
        "name",
        "name =",
        "= 'a'",
        "name = a",
        "name = 5",
        "name = 'a",
        "name = 'a' OR name = 'b'",
        "name = 'a' name = 'b'",
        "NOT name = 'a'",
        "(name = 'a')",
        "name = ('a')",
        "name = 'a';",
        "name = 'a'; DROP TABLE models_app_run",
        "name = 'a' --",
        "'name' = 'a'",
        "NAME = 'a'",
        "colour = 'a'",
        "colours.x = 'a'",
        "tags. = 'a'",
        ".x = 'a'",
        "name > 'a'",
        "name == 'a'",
        "name BETWEEN 'a' AND 'b'",
        "name IN ()",
        "name IN 'a'",
        "name IN ('a'",
        "name IN ('a',)",
        "name IN ('a' 'b')",
        "name IN (1)",
        "name IS NULL",
        "tags.k IS",
        "tags.k IS NOT",
        "tags.k NOT LIKE 'a'",
        "at = 'a'",
        "at = 1e999",
        "at IN ('1')",
        "version = 1.5",
        "version = '1.5'",
        "version = 99999999999999999999",
        "metrics.f1 > inf",
        "metrics.f1 > 1e",
        "metrics.f1 > 0x1",
        "name = '\0'",
        "AND",
    ],
)
def test_what_it_refuses(text):
    with pytest.raises(WireError):
        parse(text, GRAMMAR)


def test_order():
    assert parse_order(["name", "tags.`a b` DESC", "time asc"], GRAMMAR) == [
        Order("attribute", "name", True),
        Order("tag", "a b", False),
        Order("attribute", "at", True),
    ]
    for bad in (["colour"], [""], ["name up"], ["name", "name DESC"], ["time", "at"], ["name,at"], ["desc"]):
        with pytest.raises(WireError):
            parse_order(bad, GRAMMAR)


PIECES = st.sampled_from(
    [
        *[
            "name",
            "at",
            "version",
            "tags",
            "metrics",
            "params",
            "dataset",
            "attribute",
            "status",
            "start_time",
            "run_id",
            "f1",
            ".",
            ",",
            "(",
            ")",
            ";",
            "'",
        ],
        *[
            "'",
            "'",
            '"',
            "`",
            "=",
            "!=",
            "<>",
            "<",
            ">",
            "<=",
            ">=",
            "LIKE",
            "ILIKE",
            "IN",
            "NOT",
            "IS",
            "NULL",
            "AND",
            "OR",
            "'a'",
            '"b"',
            "`c`",
            "1",
            "-2.5",
            ".5",
            "1e999",
            "9",
        ],
        *["99999999999999999999", "asc", "desc", "%", "_", "\\", "--", "/*", "*/", "ü"],
        *["'it''s'", "'\0'", "\0", "\n", "\t", "`c d`"],
    ]
)
TEXTS = st.one_of(
    st.text(max_size=60), st.lists(PIECES, max_size=14).map(" ".join), st.lists(PIECES).map("".join)
)
GRAMMARS = st.sampled_from([GRAMMAR, run_search.GRAMMAR, experiments.GRAMMAR])


@given(TEXTS, GRAMMARS)
def test_nothing_but_conditions_or_a_refusal(text, grammar):
    try:
        found = parse(text, grammar)
    except WireError:
        return
    for condition in found:
        assert condition.op in grammar.operators(condition.kind, condition.key)


@given(st.lists(TEXTS, max_size=3), GRAMMARS)
def test_nothing_but_an_order_or_a_refusal(items, grammar):
    with suppress(WireError):
        parse_order(items, grammar)


@pytest.mark.django_db
@given(TEXTS)
def test_no_filter_and_no_order_breaks_a_search(text):
    """Whatever is read is also understood by the database."""
    try:
        runs = Run.objects.all()
        for condition in parse(text, run_search.GRAMMAR):
            runs = run_search._narrowed(runs, condition)
        runs, order = run_search._ordered(runs, [text.strip()[:40]] if "=" not in text else [])
    except WireError:
        return
    assert list(runs.order_by(*(name for name, _ in order))) == []
