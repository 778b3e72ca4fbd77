"""What a search finds, in which order, page by page, and at what cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from models_app.models import SearchDocument
from models_app.registry import catalog, lifecycle, promotions
from models_app.registry.access import get_model
from models_app.registry.errors import Invalid, Unauthenticated
from models_app.registry.search import index, postgres, query
from models_app.registry.search.query import find, parse
from tests import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def shelf(people):
    """Five models of two teams, one of them in production, one private."""
    fraud = builders.model(
        "risk/fraudDetector",
        by=people.alice,
        purpose="Flags card payments that look stolen",
        task="tabular-classification",
        library="scikit-learn",
        license="Apache-2.0",
        tags={"payments": "", "tier": "gold"},
        headline_metric="f1",
    )
    builders.promoted(fraud, by=people.alice, approver=people.carol, metrics={"f1": 0.90, "loss": 0.4})
    builders.promoted(fraud, by=people.alice, approver=people.carol, metrics={"f1": 0.93, "loss": 0.3})
    defects = builders.model(
        "vision/resnet50-defects",
        by=people.charlie,
        purpose="Finds scratches on housings",
        task="image-classification",
        library="pytorch",
        license="MIT",
        card="# Défauts\n\nTrained on *photographs* of [housings](https://example.com/secretplace).",
    )
    builders.version(defects, by=people.charlie, metrics={"f1": 0.8}, dataset_name="housing-photos")
    builders.model("vision/segmenter", by=people.charlie, task="image-segmentation", visibility="team")
    builders.model("risk/churn", by=people.alice, purpose="Who leaves next month", tags={"payments": ""})
    builders.model("risk/fraud", by=people.alice, purpose="Old rules")
    return people


def names(text, by, **options):
    return [row.model.name for row in find(parse(text), by=by, **options).rows]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("image classification", ["vision/resnet50-defects"]),
        ("classif stage:production", ["risk/fraudDetector"]),
        ("stolen payment", ["risk/fraudDetector"]),
        ("detector", ["risk/fraudDetector"]),
        ("resnet 50", ["vision/resnet50-defects"]),
        ("resnet-50", ["vision/resnet50-defects"]),
        ("RESNET", ["vision/resnet50-defects"]),
        ("defauts", ["vision/resnet50-defects"]),
        ("photograph", ["vision/resnet50-defects"]),
        ("photographi", ["vision/resnet50-defects"]),
        ("housing-photos", ["vision/resnet50-defects"]),
        ("the scratches on the housings", ["vision/resnet50-defects"]),
        ('"look stolen"', ["risk/fraudDetector"]),
        ('"stolen look"', []),
        ("secretplace", []),
        ("gold", ["risk/fraudDetector"]),
        ("task:image-classification", ["vision/resnet50-defects"]),
        ("team:vision", ["vision/resnet50-defects"]),
        ("tag:payments", ["risk/churn", "risk/fraudDetector"]),
        ("tag:tier=gold", ["risk/fraudDetector"]),
        ("tag:tier=silver", []),
        ("stage:production", ["risk/fraudDetector"]),
        ("stage:none team:risk", ["risk/fraud", "risk/churn"]),
        ("license:MIT license:Apache-2.0", ["vision/resnet50-defects", "risk/fraudDetector"]),
        ("f1 > 0.9", ["risk/fraudDetector"]),
        ("f1 >= 80%", ["vision/resnet50-defects", "risk/fraudDetector"]),
        ("f1 > 0.5 loss < 0.35", ["risk/fraudDetector"]),
        ("scratches f1 > 0.9", []),
        ("team:nobody", []),
        ("!!! ???", []),
        ("the", []),
    ],
)
def test_finds(shelf, text, expected):
    assert names(text, shelf.alice) == expected


def test_an_exact_name_comes_first(shelf):
    assert names("fraud", shelf.alice) == ["risk/fraud", "risk/fraudDetector"]
    assert names("risk/fraudd", shelf.alice) == ["risk/fraudDetector"]


def test_private_models_are_found_by_their_team_only(shelf):
    assert names("segmenter", shelf.alice) == []
    assert names("segmenter", shelf.charlie) == ["vision/segmenter"]
    assert names("segmenter", shelf.root) == ["vision/segmenter"]


def test_nobody_searches_unless_reading_is_public(shelf, settings):
    with pytest.raises(Unauthenticated):
        find(parse(""), by=shelf.anonymous)
    settings.PUBLIC_READ = True
    assert len(find(parse(""), by=shelf.anonymous).rows) == 4


def test_a_row_carries_what_one_decides_by(shelf, django_assert_num_queries):
    [row] = find(parse("payments f1 > 0.9"), by=shelf.alice).rows
    with django_assert_num_queries(0):
        assert row.model.team.slug == "risk"
        assert row.current == row.model.newest_production
        assert row.current.number == 2
        assert [str(tag) for tag in row.tags] == ["payments", "tier=gold"]
        assert (row.metric.name, row.metric.value, row.metric.former) == ("f1", 0.93, 0.90)
        assert row.metric.change == pytest.approx(0.03)
        assert row.metric.higher_is_better is True


def test_without_a_headline_the_first_metric_stands_in(shelf):
    row = next(
        row for row in find(parse(""), by=shelf.alice).rows if row.model.name == "vision/resnet50-defects"
    )
    assert (row.metric.name, row.metric.former) == ("f1", None)


@pytest.mark.parametrize("sort", ["updated", "created", "name", "metric:f1", "relevance"])
def test_pages_join_up_in_every_order(shelf, sort):
    for count in range(7):
        made = builders.model(f"risk/wave-{count}", by=shelf.alice, purpose="payments")
        builders.version(made, by=shelf.alice, metrics={"f1": (count % 3) / 10})
    query = parse({"q": "payments" if sort == "relevance" else "", "sort": sort})
    whole = [row.model.name for row in find(query, by=shelf.alice, limit=100).rows]
    paged, cursor = [], None
    while True:
        page = find(query, by=shelf.alice, cursor=cursor, limit=2)
        assert page.total == len(whole)
        paged += [row.model.name for row in page.rows]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert paged == whole
    assert len(set(whole)) == len(whole) >= 8


def test_orders(shelf):
    everything = {
        sort: names({"sort": sort}, shelf.alice) for sort in ("updated", "created", "name", "metric:loss")
    }
    assert everything["name"] == sorted(everything["name"], key=str.lower)
    assert everything["created"][0] == "risk/fraud"
    assert everything["metric:loss"] == ["risk/fraudDetector"]
    catalog.update_model(catalog.get_model("risk/churn", by=shelf.alice), by=shelf.alice, purpose="New words")
    assert names("", shelf.alice)[0] == "risk/churn"


@pytest.mark.parametrize("cursor", ["x", "WzFd", "W10", "é", "bnVsbA", "A" * 5000])
@pytest.mark.parametrize("text", ["", "payments"])
def test_a_foreign_cursor_is_refused(shelf, text, cursor):
    with pytest.raises(Invalid):
        find(parse(text), by=shelf.alice, cursor=cursor)


def test_a_cursor_belongs_to_its_order(shelf):
    cursor = find(parse({"sort": "name"}), by=shelf.alice, limit=1).next_cursor
    with pytest.raises(Invalid):
        find(parse({"sort": "created"}), by=shelf.alice, cursor=cursor)


@pytest.mark.parametrize("text", ["", "payments", "task:x", "f1 > 0.1", "payments tag:payments f1 > 0.1"])
def test_costs_the_same_for_one_row_and_for_many(
    shelf, django_assert_max_num_queries, text, django_assert_num_queries
):
    for count in range(3):
        made = builders.model(
            f"risk/more-{count}", by=shelf.alice, purpose="payments", tags={"payments": ""}, task="x"
        )
        builders.version(made, by=shelf.alice, metrics={"f1": 0.5})
    query = parse(text)
    assert shelf.alice.roles
    cost = 4 + len(query.metrics)
    with django_assert_num_queries(cost):
        assert len(find(query, by=shelf.alice, limit=1).rows) == 1
    with django_assert_num_queries(cost):
        assert len(find(query, by=shelf.alice).rows) >= 3


def test_the_index_follows_every_verb(shelf):
    churn = catalog.get_model("risk/churn", by=shelf.alice)
    catalog.rename_model(churn, to="risk/attrition", by=shelf.alice)
    assert names("churn", shelf.alice) == []
    assert names("attrition", shelf.alice) == ["risk/attrition"]
    made = builders.complete_version(catalog.get_model("risk/attrition", by=shelf.alice), by=shelf.alice)
    assert names("attrition stage:staging", shelf.alice) == []
    promotions.move(made, to="staging", by=shelf.alice)
    assert names("attrition stage:staging", shelf.alice) == ["risk/attrition"]
    promotions.move(made, to="archived", by=shelf.alice)
    catalog.delete_model(catalog.get_model("risk/attrition", by=shelf.alice), by=shelf.alice)
    assert names("attrition", shelf.alice) == []


def test_only_the_newest_hits_are_judged(people, monkeypatch):
    for number in range(5):
        builders.model(f"risk/{number}", by=people.alice, purpose="" if number == 3 else "credit lines")
    monkeypatch.setattr(query, "CANDIDATES", 2)
    monkeypatch.setattr(query, "TOTAL_CAP", 2)
    for words in ("credit", '"credit lines"'):
        page = find(parse(words), by=people.alice)
        assert [row.model.name for row in page.rows] == ["risk/4", "risk/2"]
        assert (page.total, page.total_is_capped) == (2, True)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="FTS5 gives the newest hits by itself")
@pytest.mark.parametrize("apart", [1, 40], ids=["days", "months"])
def test_only_as_many_days_are_looked_at_as_it_takes(people, monkeypatch, apart):
    """Whether hits are gathered from the last days or from all, and whoever asks, the same ones are found."""
    for number in range(12):
        hidden, other = number == 9, number == 10
        made = builders.model(
            f"vision/{number}" if hidden else f"risk/{number}",
            by=people.charlie if hidden else people.alice,
            purpose="" if other else "credit lines",
            visibility="team" if hidden else "internal",
        )
        moment = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(days=apart * number)
        SearchDocument.objects.filter(pk=made.pk).update(updated_at=moment)
    monkeypatch.setattr(query, "CANDIDATES", 2)
    monkeypatch.setattr(query, "TOTAL_CAP", 2)
    monkeypatch.setattr(postgres, "SAMPLED", 9)
    monkeypatch.setattr(postgres, "SAMPLED_FOR_PHRASES", 9)
    for furthest, gathers_all in ((0, True), (15_000, False)):
        monkeypatch.setattr(postgres, "REACHED", furthest)
        monkeypatch.setattr(postgres, "REACHED_BY_PHRASES", furthest)
        for words in ("credit", "lines cre", '"credit lines"'):
            assert names(words, people.alice) == ["risk/11", "risk/8"]
            assert names(words, people.charlie) == ["risk/11", "vision/9"]
            readable = query.documents(parse(words), by=people.alice, with_words=False)
            readable = readable.values("updated_at", found=F("pk"))
            sql, params = postgres.newest_hits(readable, parse(words).terms(), most=3)
            plan = postgres.fetch(f"EXPLAIN (ANALYZE) {sql}", params, by_index=False)
            hits = [line for (line,) in plan if "Limit" in line][-1]
            assert ("never executed" in hits) is not gathers_all, "\n".join(line for (line,) in plan)


@pytest.mark.parametrize(
    "word", ["photographs", "happy", "the", "resnet50", "50", "classifications", "ødeleggelse"]
)
def test_a_word_is_found_at_each_letter_that_is_typed(people, word):
    builders.model("risk/one", by=people.alice, purpose=f"Knows {word} well", tags=[word])
    for length in range(1, len(word) + 1):
        assert names(word[:length], people.alice) == ["risk/one"], word[:length]


def test_an_alias_brings_its_model_to_the_top(shelf):
    fraud = get_model("risk/fraudDetector", by=shelf.alice)
    lifecycle.set_alias(fraud, name="champion", version=fraud.newest, by=shelf.alice)
    assert names("team:risk", shelf.alice)[0] == "risk/fraudDetector"
    churn = get_model("risk/churn", by=shelf.alice)
    catalog.update_model(churn, by=shelf.alice, purpose="Who stays")
    assert names("team:risk", shelf.alice)[0] == "risk/churn"
    lifecycle.delete_alias(fraud, name="champion", by=shelf.alice)
    assert names("team:risk", shelf.alice)[0] == "risk/fraudDetector"


def test_rebuilding_changes_nothing(shelf):
    before = names("payments", shelf.alice)
    assert list(index.rebuild_all(batch=2)) == [2, 4, 5]
    assert names("payments", shelf.alice) == before


def test_refresh_costs_the_same_for_one_model_and_for_many(shelf):
    fraud = catalog.get_model("risk/fraudDetector", by=shelf.root)
    everything = [row.model.pk for row in find(parse(""), by=shelf.root).rows]
    with CaptureQueriesContext(connection) as one:
        index.refresh([fraud.pk])
    with CaptureQueriesContext(connection) as many:
        index.refresh(everything)
    assert len(one) == len(many) <= 13
