"""Home: the box, facets, filters, parts for htmx, and what strangers must not learn from any of them."""

import pytest

from models_app.models import Visibility
from tests import builders
from tests.web.reading import page

PART = {"HX-Request": "true"}


@pytest.fixture
def models(people):
    """Three models of team risk, one of which only it may see."""
    builders.complete_version(
        builders.model(
            "risk/fraud", by=people.bob, purpose="Finds fraud.", task="classification", tags=["x"]
        ),
        by=people.bob,
        metrics={"f1": 0.95},
    )
    builders.model("risk/churn", by=people.bob, purpose="Who leaves?", task="regression", library="xgboost")
    builders.model(
        "risk/hidden",
        by=people.bob,
        purpose="Finds fraud in the dark.",
        task="unheard-of-task",
        library="unheard-of-library",
        license="MPL-2.0",
        tags={"unheard-of-tag": "1"},
        visibility=Visibility.TEAM,
    )


def names(response):
    return [row.model.name for row in response.context["page"].rows]


def test_words_find_models_and_are_kept(pages, models):
    answer = pages.charlie.get("/", {"q": "fraud"})
    shown = page(answer)
    assert names(answer) == ["risk/fraud"]
    assert shown.text("count") == "1 model"
    assert shown.value("q") == "fraud"
    assert "/models/risk/fraud/" in shown.links()


def test_facets_narrow_and_are_taken_away_again(pages, models):
    answer = pages.charlie.get("/", {"task": "classification", "team": "risk"})
    assert names(answer) == ["risk/fraud"]
    links = page(answer).links()
    assert "?team=risk" in links
    assert "?task=classification" in links


def test_metrics_filter_by_box_and_by_field(pages, models):
    for params in ({"q": "f1 > 0.9"}, {"metric": "f1 > 0.9"}, {"metric": "f1>0.9, f1<0.96"}):
        assert names(pages.charlie.get("/", params)) == ["risk/fraud"], params
    assert names(pages.charlie.get("/", {"metric": "f1 > 0.96"})) == []


def test_strangers_learn_nothing_of_private_models(pages, models):
    for params in (
        {},
        {"q": "fraud"},
        {"q": "hidden"},
        {"team": "risk"},
        {"sort": "name"},
        {"license": "MPL-2.0"},
    ):
        answer = pages.charlie.get("/", params)
        assert "risk/hidden" not in names(answer)
        for word in ("risk/hidden", "in the dark", "unheard-of"):
            assert word not in page(answer).text(), params
    assert names(pages.charlie.get("/", {"tag": "unheard-of-tag"})) == []
    assert "unheard-of-task" in page(pages.dave.get("/")).text()
    assert "risk/hidden" in names(pages.root.get("/", {"q": "hidden"}))


@pytest.mark.sqlite_is_enough
def test_counts_of_private_models_stay_within_the_team(pages, models):
    assert page(pages.charlie.get("/teams/risk/")).text().count("risk/") == 2
    assert page(pages.dave.get("/teams/risk/")).text().count("risk/") == 3
    rows = {who: getattr(pages, who).get("/teams/").context["rows"] for who in ("charlie", "dave")}
    assert [next(row["models"] for row in rows[who] if row["team"].slug == "risk") for who in rows] == [2, 3]


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "part,there,absent",
    [
        ("results", 'id="count"', 'id="q"'),
        ("facets", "facet-item", "result-name"),
        ("more", "result-name", 'id="count"'),
    ],
)
def test_htmx_gets_the_part_it_asks_for(pages, models, part, there, absent):
    answer = pages.dave.get("/", {"q": "fraud"}, headers={**PART, "HX-Target": part})
    text = answer.content.decode()
    assert answer.status_code == 200
    assert there in text
    assert absent not in text
    assert "<html" not in text


@pytest.mark.sqlite_is_enough
def test_without_htmx_the_same_address_is_a_whole_page(pages, models):
    answer = pages.dave.get("/", {"q": "fraud"})
    for there in ("<html", 'id="q"', 'id="count"', "facet-item"):
        assert there in answer.content.decode()
    assert answer["Vary"].startswith("HX-Request, HX-Target")


@pytest.mark.parametrize(
    "params,told",
    [
        ({"metric": "f1 >> 0.9"}, "f1"),
        ({"metric": "f1 > much"}, "much"),
        ({"metric": "f1"}, "f1"),
        ({"metric": "> 0.9"}, "Position"),
        ({"metric": "f1 > nan"}, "nan"),
        ({"metric": "f1 > 1e999"}, "1e999"),
        ({"metric": ",".join(f"m{i} > 0" for i in range(20))}, "At most 8"),
        ({"stage": "nowhere"}, "nowhere"),
        ({"risk": "dire"}, "dire"),
        ({"sort": "colour"}, "One of relevance"),
        ({"task": "x" * 600}, "At most"),
        ({"q": "x" * 5000}, "At most"),
        ({"q": "f1 > much"}, "much"),
    ],
)
def test_what_cannot_be_read_is_told_and_left_out(pages, models, params, told):
    shown = page(pages.dave.get("/", params))
    assert "Part of this search could not be read" in shown.text("results")
    assert told.lower() in shown.text("results").lower()
    if "metric" in params:
        assert shown.value("metric") == params["metric"]
        assert "risk/fraud" in shown.text("results")


@pytest.mark.parametrize(
    "text",
    [
        '"',
        "'",
        "*",
        "%",
        "\\",
        "a:b",
        'NEAR("x")',
        "AND OR NOT",
        "-x",
        "(",
        "\u202ex",
        "\ud800",
        "😀",
        "x\x00y",
        "' OR 1=1 --",
    ],
)
def test_any_words_are_only_words(pages, models, text):
    answer = pages.charlie.get(
        "/", {"q": text.encode("utf-8", "replace").decode()} if "\x00" not in text else {"q": "x\ty"}
    )
    assert answer.status_code == 200
    assert "risk/hidden" not in names(answer)


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize("key", ["q", "metric", "task", "tag", "team", "stage", "sort", "license"])
def test_nothing_typed_runs(pages, models, key):
    answer = pages.dave.get("/", {key: '"><script>alert(1)</script><img src=x onerror=alert(1)>'})
    assert page(answer).executable() == []
    assert "<script>alert" not in answer.content.decode()


@pytest.mark.sqlite_is_enough
def test_nothing_found_says_how_to_find_more(pages, models):
    shown = page(pages.dave.get("/", {"q": "fraud", "task": "regression"}))
    assert "Nothing fits" in shown.text()
    assert "without “regression”: 2 models" in shown.text()


@pytest.mark.sqlite_is_enough
def test_an_empty_registry_says_how_to_begin(pages):
    shown = page(pages.dave.get("/"))
    assert "No models yet" in shown.text()
    assert "/register/" in shown.links()
