"""The numbers beside a search."""

from __future__ import annotations

import pytest

from models_app.registry.search import facets
from models_app.registry.search.query import find, parse
from tests import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelf(people):
    for number in range(6):
        made = builders.model(
            f"risk/model-{number}",
            by=people.alice,
            task=["classification", "regression"][number % 2],
            library=["xgboost", "pytorch", ""][number % 3],
            risk_level="high" if number == 0 else "",
            tags={"even": "", "tier": "gold"} if number % 2 == 0 else {"odd": ""},
            purpose="credit" if number < 4 else "other",
        )
        if number == 1:
            builders.promoted(made, by=people.alice, approver=people.carol)
    builders.model(
        "vision/hidden", by=people.charlie, task="classification", visibility="team", tags={"secret": ""}
    )
    return people


def counts(query, by):
    return {
        facet.key: {value.value: value.count for value in facet.values}
        for facet in facets.count(parse(query), by=by)
    }


def test_counts_everything_readable(shelf):
    found = counts("", shelf.alice)
    assert list(found) == ["task", "stage", "library", "license", "team", "tag", "risk"]
    assert found["task"] == {"classification": 3, "regression": 3}
    assert found["stage"] == {"production": 1, "none": 5}
    assert found["library"] == {"pytorch": 2, "xgboost": 2}
    assert found["team"] == {"risk": 6}
    assert found["tag"] == {"even": 3, "odd": 3, "tier=gold": 3}
    assert found["risk"] == {"high": 1}
    assert counts("", shelf.charlie)["tag"]["secret"] == 1


def test_a_facet_is_counted_without_its_own_filter(shelf):
    found = counts("task:regression library:xgboost", shelf.alice)
    assert found["task"] == {"classification": 1, "regression": 1}
    assert found["library"] == {"pytorch": 1, "xgboost": 1}
    assert found["tag"] == {"odd": 1}


def test_words_and_metrics_narrow_the_counts(shelf):
    assert counts("credit", shelf.alice)["task"] == {"classification": 2, "regression": 2}
    assert counts("credit f1 > 0.5", shelf.alice)["task"] == {"regression": 1}
    assert counts("nothinglikeit", shelf.alice)["task"] == {}


def test_every_count_is_what_choosing_it_finds(shelf):
    for text in ("", "credit", "task:regression", "tag:odd library:xgboost"):
        query = parse(text)
        for facet in facets.count(query, by=shelf.alice):
            for value in facet.values:
                chosen = query.adding(facet.key, value.value)
                if facet.key != "tag":
                    chosen = query.without(facet.key).adding(facet.key, value.value)
                assert find(chosen, by=shelf.alice).total == value.count, (text, facet.key, value)


def test_counting_beside_a_page_changes_neither(shelf):
    for text in (
        "",
        "credit",
        "credit sort",
        "other task:regression",
        "credit tag:odd f1 > 0.1",
        "the",
        "!!!",
    ):
        query = parse(text)
        page, counted = facets.find_and_count(query, by=shelf.alice, limit=2)
        assert page == find(query, by=shelf.alice, limit=2), text
        assert counted == facets.count(query, by=shelf.alice), text
        if page.next_cursor:
            after = {"by": shelf.alice, "cursor": page.next_cursor, "limit": 2}
            assert facets.find_and_count(query, **after) == (find(query, **after), counted)


def test_a_chosen_value_is_shown_even_with_nothing_left(shelf):
    [task] = [
        facet for facet in facets.count(parse("task:translation"), by=shelf.alice) if facet.key == "task"
    ]
    assert [(one.value, one.count, one.selected) for one in task.values][-1] == ("translation", 0, True)


def test_labels(shelf):
    labels = {
        (facet.key, value.value): value.label
        for facet in facets.count(parse(""), by=shelf.alice)
        for value in facet.values
    }
    assert labels["stage", "none"] == "In neither"
    assert labels["risk", "high"] == "High"


def test_counting_that_stopped_early_says_so(shelf, monkeypatch):
    monkeypatch.setattr(facets, "COUNTED", 3)
    found = {facet.key: facet for facet in facets.count(parse(""), by=shelf.alice)}
    assert found["task"].at_least
    assert found["tag"].at_least
    assert sum(value.count for value in found["task"].values) <= 4


def test_costs_the_same_however_much_is_found(shelf, django_assert_num_queries):
    assert shelf.alice.roles
    for text, cost in (("", 2), ("credit", 2), ("task:regression team:risk", 6)):
        with django_assert_num_queries(cost):
            facets.count(parse(text), by=shelf.alice)
