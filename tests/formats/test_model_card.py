"""Cards: YAML facts at the top, Markdown below; nothing in the YAML can do more than be data."""

import contextlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.formats.model_card import ModelCard, read_card, split


def test_facts_and_body():
    card = read_card(
        "---\r\nlicense: apache-2.0\ntags:\n- vision\n- défauts\n"
        "model-index:\n  - name: x\n    value: 0.91\n---\n# Hello\n---\n"
    )
    assert card.facts == {
        "license": "apache-2.0",
        "tags": ["vision", "défauts"],
        "model-index": [{"name": "x", "value": 0.91}],
    }
    assert card.body == "# Hello\n---\n"


@pytest.mark.parametrize(
    "text, body",
    [
        ("", ""),
        ("# Only text", "# Only text"),
        ("---\n---\ntext", "text"),
        ("---\n\n---\n", ""),
        ("\ufeff---\n# comment only\n---\ntext", "text"),
        ("\ufefftext", "text"),
        ("---\nnever: closed\n", "---\nnever: closed\n"),
        ("----\nno: block\n----\n", "----\nno: block\n----\n"),
        ("text\n---\na: b\n---\n", "text\n---\na: b\n---\n"),
    ],
)
def test_no_facts(text, body):
    assert read_card(text) == ModelCard({}, body)


def test_values_are_what_people_wrote():
    facts = read_card(
        "---\ndate: 2026-05-04\ncountry: no\nratio: 1:30\noctal: 010\nhex: 0x1F\nbig: 123456789012345678901\n"
        "n: -5\nf: 1e-4\nyes: true\nnothing: ~\nempty:\nnan: .nan\nquoted: '5'\n1: one\ntrue: t\n---\n"
    ).facts
    assert facts == {
        "date": "2026-05-04",
        "country": "no",
        "ratio": "1:30",
        "octal": "010",
        "hex": "0x1F",
        "big": "123456789012345678901",
        "n": -5,
        "f": 1e-4,
        "yes": True,
        "nothing": None,
        "empty": None,
        "nan": ".nan",
        "quoted": "5",
        "1": "one",
        "true": "t",
    }


@pytest.mark.parametrize(
    "block, why",
    [
        ("a: &x [1]\nb: *x", "anchors are not taken .line 2"),
        ("b: *x", "aliases"),
        ("<<: {a: 1}\nb: !!python/object/apply:os.system [ls]", "tags are not taken .line 3"),
        ("a: !!binary aGk=", "tags"),
        ("a: !x y", "tags"),
        ("a: 1\na: 2", "“a” is there twice .line 3"),
        ("? [a, b]\n: c", "must be text"),
        ("- a\n- b", "names with values"),
        ("just text", "names with values"),
        ("a: [1, 2", "not read"),
        ("a: b: c", "not read"),
        ("a: \x07", "not read"),
        ("\t- a", "not read"),
        ("a: " + "[" * 30 + "]" * 30, "too large or too deep"),
        ("a: [" + "1," * 6000 + "]", "too large or too deep"),
        ("a: " + "x" * 70_000, "more than 65536"),
        ("a: 1\n--- \nb: 2", None),
    ],
)
def test_what_is_not_taken(block, why):
    text = f"---\n{block}\n---\nbody"
    if why is None:
        assert read_card(text).facts == {"a": 1}
        return
    with pytest.raises(ValueError, match=why):
        read_card(text)


def test_a_merge_key_is_a_name_like_others():
    assert read_card("---\n<<: {a: 1}\n---\n").facts == {"<<": {"a": 1}}


@pytest.mark.parametrize(
    "text", ["---\n" * 50_000, "---\n" + "a" * 200_000, "---\n" + "- " * 30_000 + "\n---\n"]
)
def test_hostile_cards_cost_little(text):
    start = time.perf_counter()
    with contextlib.suppress(ValueError):
        read_card(text)
    assert time.perf_counter() - start < 2


@given(st.text(alphabet="-\n\r ab:[]{}&*!|>'\"#?%@`,.\t0é", max_size=60))
def test_any_block_is_read_or_refused(text):
    block, _ = split(f"---\n{text}")
    try:
        card = read_card(f"---\n{text}")
    except ValueError:
        assert block
    else:
        assert isinstance(card.facts, dict)
