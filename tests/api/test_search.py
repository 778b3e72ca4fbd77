"""Search over REST."""

import pytest

from tests import builders
from tests.api.asking import V1, items, refused

SEARCH = f"{V1}/search"


@pytest.fixture
def models(people):
    fraud = builders.model(
        "risk/fraud",
        by=people.alice,
        purpose="Finds card fraud.",
        task="tabular",
        tags={"domain": "payments"},
    )
    builders.promoted(fraud, by=people.alice, approver=people.carol)
    churn = builders.model("risk/churn", by=people.alice, purpose="Who leaves?", task="tabular")
    builders.complete_version(churn, by=people.alice, metrics={"f1": 0.4})
    secret = builders.model("vision/secret", by=people.charlie, purpose="Card reader.", visibility="team")
    builders.version(secret, by=people.charlie)


def names(response):
    return [hit["model"]["name"] for hit in items(response)]


def test_words_facets_and_metrics_find_models(api, models):
    found = api.dave.get(f"{SEARCH}?q=fraud").json()
    assert found["total"] == 1
    (hit,) = found["items"]
    assert hit["model"]["name"] == "risk/fraud"
    assert hit["version"] == 1
    assert hit["stage"] == "production"
    assert hit["tags"] == {"domain": "payments"}
    assert hit["metric"]["name"] == "f1"
    assert names(api.dave.get(f"{SEARCH}?task=tabular&sort=name")) == ["risk/churn", "risk/fraud"]
    assert names(api.dave.get(f"{SEARCH}?metric=f1+%3E+0.5")) == ["risk/fraud"]
    assert names(api.dave.get(f"{SEARCH}?q=f1+%3C+0.5")) == ["risk/churn"]
    assert names(api.dave.get(f"{SEARCH}?q=card")) == ["risk/fraud"]
    assert set(names(api.charlie.get(f"{SEARCH}?q=card"))) == {"risk/fraud", "vision/secret"}
    page = api.dave.get(f"{SEARCH}?limit=1&sort=name").json()
    assert names(api.dave.get(page["next"])) == ["risk/fraud"]


def test_facets_count_what_would_be_found(api, models):
    facets = {facet["key"]: facet for facet in api.dave.get(f"{SEARCH}/facets").json()["facets"]}
    assert {value["value"]: value["count"] for value in facets["task"]["values"]} == {"tabular": 2}
    refused(api.anonymous.get(f"{SEARCH}/facets"), 401)


@pytest.mark.parametrize(
    "query,field",
    [
        ("metric=f1+is+good", "metric"),
        ("sort=size", "sort"),
        ("stage=space", "stage"),
        ("colour=red", "colour"),
        ("q=" + "x" * 501, "q"),
        ("cursor=nonsense", "cursor"),
        ("limit=-1", "limit"),
    ],
)
def test_malformed_searches_are_named(api, query, field):
    refused(api.dave.get(f"{SEARCH}?{query}"), 400, fields={field})
