"""What the search box and the address parameters mean."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models_app.registry.errors import Invalid
from models_app.registry.search import text
from models_app.registry.search.grammar import MetricFilter, Term, parse, parse_metrics
from models_app.registry.search.query import find


def test_the_box_understands_filters():
    query = parse(
        'image task:image-classification "exact words" team:vision tag:tier=gold f1 > 0.9 stage:production'
    )
    assert query.words == 'image "exact words"'
    assert query.task == ("image-classification",)
    assert query.team == ("vision",)
    assert query.tag == ("tier=gold",)
    assert query.stage == ("production",)
    assert query.metrics == (MetricFilter("f1", ">", 0.9),)
    assert query.sort == "relevance"


def test_an_unknown_key_is_a_word():
    assert parse("lang:de").terms() == [Term(("lang",)), Term(("de",), is_open=True)]
    assert parse("a=b").metrics == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("f1>0.9", [MetricFilter("f1", ">", 0.9)]),
        ("f1 >= 90%, loss < 1e-3", [MetricFilter("f1", ">=", 0.9), MetricFilter("loss", "<", 0.001)]),
        ('"top 1" = .5 and map@50<=-1', [MetricFilter("top 1", "=", 0.5), MetricFilter("map@50", "<=", -1)]),
        ("f1 == 1", [MetricFilter("f1", "=", 1)]),
    ],
)  # fmt: skip
def test_metric_filters(line, expected):
    assert parse_metrics(line) == expected
    assert parse({"metric": [str(one) for one in expected]}).metrics == tuple(expected)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("f1", "Expected one of > >= < <= = at position 3 but found the end"),
        ("f1 >", "Expected a number at position 5 but found the end"),
        ("f1 > high", "Expected a number at position 6 but found “high”"),
        ("f1 > nan", "Expected a number at position 6"),
        ("f1 > 1_0", "Expected a number at position 6"),
        ("> 0.9", "Expected the name of a metric at position 1 but found “> 0.9”"),
        ("f1 > 0.9 loss < 1", "Expected a comma or the end at position 10 but found “loss < 1”"),
        ("f1 > 0.9,", "Expected the name of a metric at position 10 but found the end"),
        ("f1 => 0.9", "Expected a number at position 5 but found “> 0.9”"),
    ],
)
def test_a_bad_metric_filter_is_told_where_and_how(line, why):
    with pytest.raises(Invalid) as caught:
        parse({"metric": line})
    [problem] = caught.value.problems
    assert problem.field == "metric"
    assert why in problem.message
    assert "f1 > 0.9" in problem.message


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"sort": "size"}, "sort"),
        ({"sort": "metric:"}, "sort"),
        ({"stage": "prod"}, "stage"),
        ({"risk": "huge"}, "risk"),
        ({"q": "x" * 501}, "q"),
        ({"q": "one " * 25}, "q"),
        ({"q": "f1 > high"}, "q"),
        ({"metric": ["f1 > 1"] * 9}, "metric"),
        ({"task": [str(number) for number in range(51)]}, "task"),
    ],
)
def test_a_bad_parameter_is_named(params, field):
    with pytest.raises(Invalid) as caught:
        parse(params)
    assert [problem.field for problem in caught.value.problems] == [field]


def test_every_problem_is_told_at_once():
    with pytest.raises(Invalid) as caught:
        parse({"sort": "size", "stage": "prod", "metric": "f1"})
    assert {problem.field for problem in caught.value.problems} == {"sort", "stage", "metric"}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {
            "q": 'image "exact words"',
            "task": ["a", "b"],
            "tag": ["x=y z", "w"],
            "metric": "f1 > 0.9, loss < 3",
        },
        {"q": "image", "sort": "updated"},
        {"sort": "metric:top 1"},
        {"stage": ["production", "none"], "risk": "high", "sort": "name"},
    ],
)
def test_an_address_leads_back_to_the_same_search(params):
    query = parse(params)
    assert parse(query.to_params()) == query


def test_defaults_are_not_in_the_address():
    assert parse({"q": "", "sort": "updated", "task": ""}).to_params() == {}
    assert parse({"q": "image", "sort": "relevance"}).to_params() == {"q": ["image"]}
    assert parse({"sort": "relevance"}).sort == "updated"


def test_chips_say_what_is_applied_and_lead_away_from_it():
    query = parse({"q": "image", "task": ["a", "b"], "metric": "f1 > 0.9"})
    chips = {(chip.key, chip.value): chip.without for chip in query.chips()}
    assert list(chips) == [("q", "image"), ("task", "a"), ("task", "b"), ("metric", "f1 > 0.9")]
    assert chips["task", "a"].task == ("b",)
    assert chips["metric", "f1 > 0.9"].metrics == ()
    assert (chips["q", "image"].words, chips["q", "image"].sort) == ("", "updated")
    assert query.adding("task", "c").task == ("a", "b", "c")
    assert query.without("task").task == ()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("risk/fraudDetector-v2", "risk frauddetector fraud detector v2 v 2"),
        ("HTTPServer_resnet50", "httpserver http server resnet50 resnet 50"),
        ("Prévision des ventes", "prevision des ventes"),
        ("画像分類", "画 像 分 類"),
    ],
)
def test_names_are_split_into_words(name, expected):
    assert " ".join(text.name_words(name)) == expected


def test_cards_become_words():
    card = "# Title\n\n[link](https://example.com/x_y) <b>bold</b> `code_word` ![img](a.png)"
    assert text.plain(card) == "title link bold code word img a png"
    assert len(text.plain("word " * 10_000)) <= text.MAX_BODY


HOSTILE = [
    '"', '""', "'; DROP TABLE x; --", "a' OR '1'='1", "AND", "NOT", "OR OR", "NEAR(a b)", "*", "a*", "^a", "(", "{a}:b",
    ":", "task:", "-x", "\\", "a\\", "%", "_", "%s", "\x00", "a\x00b", "\ud800", "&", "|", "!a", "<->", "a:*", "a:A",
    "\u202e", "²", "½ cup", "İstanbul", "ß", "ﬁ", "e\u0301", "１２", "\U0001f600", "<script>", "画像",
    "title:x", "rowid:1",
    "a" * 500, '"' * 500, "(" * 500, "f1>" * 10, "f1" + " " * 490,
]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("key", ["q", "task", "team", "tag", "metric", "sort", "license", "library"])
def test_hostile_text_is_answered_or_refused(people, key):
    for hostile in HOSTILE:
        try:
            query = parse({key: hostile})
        except Invalid:
            continue
        find(query, by=people.alice)


@pytest.mark.django_db
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(box=st.text(max_size=60), metric=st.text(alphabet='f1 <>=.,"%e-9a', max_size=20))
def test_any_text_is_answered_or_refused(people, box, metric):
    for params in ({"q": box}, {"metric": metric}):
        try:
            query = parse(params)
        except Invalid:
            continue
        find(query, by=people.alice)
        assert parse(query.to_params()) == query
