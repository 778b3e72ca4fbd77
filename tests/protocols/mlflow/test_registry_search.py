"""Searching models and versions over MLflow's wire: filters, order, pages."""

import pytest

from models_app.models import ModelVersion, RegisteredModel
from models_app.registry import catalog
from tests import builders

from .registry_asking import ask, good, make_model, make_version, refused, tags

MODELS, VERSIONS = "registered-models/search", "model-versions/search"


@pytest.fixture
def shelf(api, people):
    """Three models with versions, one of them private to another team."""
    make_model(api.alice, "Alpha", description="first letter", tags=tags(("env", "prod"), ("a b", "x")))
    make_model(api.alice, "beta", tags=tags(("env", "dev"), ("long", "y" * 150 + "z")))
    make_model(api.alice, "risk--gamma_1")
    builders.model("vision/secret", by=people.charlie, visibility="team")
    make_version(api.alice, "Alpha", "s3://bucket/one", run_id="r1", tags=tags(("env", "prod")))
    make_version(api.bob, "Alpha", "s3://bucket/two", run_id="r2", description="second of them")
    make_version(api.alice, "beta", "gs://other/one", run_id="r1", tags=tags(("env", "dev")))
    good(api.alice, "registered-models/alias", name="Alpha", alias="champion", version="1")
    good(api.alice, "model-versions/transition-stage", name="beta", version="1", stage="Staging")
    for number, f1 in ((1, 0.95), (2, 0.85)):
        version = ModelVersion.objects.get(model__name="Alpha", number=number)
        catalog.add_metrics(version, metrics={"f1": f1}, by=people.alice)


def models(client, filter="", **more):
    found = good(client, MODELS, "GET", filter=filter, **more).get("registered_models", [])
    return [row["name"] for row in found]


def versions(client, filter="", **more):
    more = {"order_by": ["name", "version_number"], **more}
    found = good(client, VERSIONS, "GET", filter=filter, **more).get("model_versions", [])
    return [f"{row['name']}/{row['version']}" for row in found]


ALL = ["Alpha", "beta", "risk--gamma_1"]


OF_MODELS = [
    ("", ALL),
    ("name = 'Alpha'", ["Alpha"]),
    ("name = 'alpha'", []),
    ('name = "Alpha"', ["Alpha"]),
    ("attribute.name != 'Alpha'", ["beta", "risk--gamma_1"]),
    ("name LIKE 'A%'", ["Alpha"]),
    ("name like 'a%'", []),
    ("name ILIKE 'a%'", ["Alpha"]),
    ("name LIKE '%e_a'", ["beta"]),
    ("name LIKE '%_1'", ["risk--gamma_1"]),
    ("name IN ('Alpha', 'beta', 'nothing')", ["Alpha", "beta"]),
    ("name NOT IN ('Alpha', 'risk--gamma_1')", ["beta"]),
    ("name = 'risk--gamma_1'", ["risk--gamma_1"]),
    ("name LIKE 'risk--%'", ["risk--gamma_1"]),
    ("name LIKE '%[ab]%'", []),
    ("name LIKE '%\\%'", []),
    ("tags.env = 'prod'", ["Alpha"]),
    ("tag.env != 'prod'", ["beta"]),
    ("tags.env LIKE '%d%'", ["Alpha", "beta"]),
    ("tags.env ILIKE 'PR%'", ["Alpha"]),
    ("tags.`a b` = 'x'", ["Alpha"]),
    ("tags.\"a b\" = 'x'", ["Alpha"]),
    ("tags.env = 'prod' AND tags.env = 'dev'", []),
    ("tags.env = 'prod' and name LIKE '%a' AND tags.`a b` != 'y'", ["Alpha"]),
    (f"tags.long = '{'y' * 150}z'", ["beta"]),
    (f"tags.long = '{'y' * 150}'", []),
    ("tags.nothing = ''", []),
    ("description LIKE '%letter%'", ["Alpha"]),
    ("last_updated_timestamp > 0", ALL),
    ("creation_timestamp < 1000", []),
    ("name = '''; DROP TABLE models_app_registeredmodel; --'", []),
    ('name = "\'; DROP TABLE models_app_registeredmodel; --"', []),
]


def test_filters_of_models(api, shelf):
    for filter, expected in OF_MODELS:
        if expected is None:
            refused(ask(api.dave, MODELS, "GET", filter=filter))
        else:
            assert sorted(models(api.dave, filter), key=str.lower) == expected, filter
    assert RegisteredModel.objects.count() == 4


OF_VERSIONS = [
    ("", ["Alpha/1", "Alpha/2", "beta/1"]),
    ("name = 'Alpha'", ["Alpha/1", "Alpha/2"]),
    ("name='Alpha' AND version_number = 2", ["Alpha/2"]),
    ("version_number > '1'", ["Alpha/2"]),
    ("version_number >= 1 AND version_number < 2", ["Alpha/1", "beta/1"]),
    ("version_number != 1", ["Alpha/2"]),
    ("run_id = 'r1'", ["Alpha/1", "beta/1"]),
    ("run_id IN ('r2', 'r3')", ["Alpha/2"]),
    ("run_id NOT IN ('r1')", ["Alpha/2"]),
    ("source_path LIKE 's3://%'", ["Alpha/1", "Alpha/2"]),
    ("source_path = 'gs://other/one'", ["beta/1"]),
    ("tags.env = 'prod'", ["Alpha/1"]),
    ("tags.env != 'prod'", ["beta/1"]),
    # beyond the original
    ("stage = 'Staging'", ["beta/1"]),
    ("current_stage != 'staging'", ["Alpha/1", "Alpha/2"]),
    ("stage IN ('None', 'Archived')", ["Alpha/1", "Alpha/2"]),
    ("alias = 'champion'", ["Alpha/1"]),
    ("alias != 'champion'", ["Alpha/2", "beta/1"]),
    ("alias LIKE 'champ%'", ["Alpha/1"]),
    ("description ILIKE '%SECOND%'", ["Alpha/2"]),
    ("status = 'READY' AND name LIKE 'b%'", ["beta/1"]),
    ("status != 'READY'", []),
    ("status = 'PENDING_REGISTRATION'", []),
    ("user_id = 'bob'", ["Alpha/2"]),
    ("created_by != 'bob'", ["Alpha/1", "beta/1"]),
    ("creation_timestamp > 1000", ["Alpha/1", "Alpha/2", "beta/1"]),
    ("last_updated_timestamp <= 1000", []),
    ("metrics.f1 > 0.9", ["Alpha/1"]),
    ("metrics.f1 > 0.8 AND metrics.f1 < 0.9", ["Alpha/2"]),
    ("metrics.`nothing` > 0", []),
    ("model_id = 'm-1'", []),
]


def test_filters_of_versions(api, shelf):
    for filter, expected in OF_VERSIONS:
        assert versions(api.dave, filter) == expected, filter


def test_times_are_met_exactly(api, shelf):
    for number in ("1", "2"):
        made = good(api.dave, "model-versions/get", "GET", name="Alpha", version=number)["model_version"]
        at = made["creation_timestamp"]
        assert f"Alpha/{number}" in versions(api.dave, f"creation_timestamp = {at}")
        assert f"Alpha/{number}" not in versions(api.dave, f"creation_timestamp != {at}")
        assert f"Alpha/{number}" in versions(
            api.dave, f"creation_timestamp >= {at} AND creation_timestamp <= {at}"
        )
        assert f"Alpha/{number}" not in versions(api.dave, f"creation_timestamp > {at}")
        assert f"Alpha/{number}" not in versions(api.dave, f"creation_timestamp < {at}")


REFUSED = [
    "name = 'a' OR name = 'b'",
    "NOT name = 'a'",
    "(name = 'a')",
    "name = 'a';",
    "name = a",
    "name = 3",
    "NAME = 'a'",
    "name > 'a'",
    "name IN ()",
    "name IN 'a'",
    "nothing = 'a'",
    "params.x = 'a'",
    "tags.k = 3",
    "tags.k IN ('a')",
    "tags.k > 'a'",
    "name LIKE",
    "name",
    "= 'a'",
    "name = 'a' name = 'b'",
    "last_updated_timestamp > 1.5",
    "last_updated_timestamp > 99999999999999999",
    "x" * 30_000,
]


@pytest.mark.parametrize("call", [MODELS, VERSIONS])
def test_filters_that_are_refused(api, call):
    for filter in REFUSED:
        refused(ask(api.dave, call, "GET", filter=filter))


REFUSED_OF_VERSIONS = [
    "version_number = 1.5",
    "version_number LIKE '1'",
    "stage = 'Prod'",
    "stage LIKE 'S%'",
    "metrics.f1 = 'x'",
]


def test_filters_of_versions_that_are_refused(api):
    for filter in REFUSED_OF_VERSIONS:
        refused(ask(api.dave, VERSIONS, "GET", filter=filter))


ORDERS = [
    ([], ALL),
    (["name DESC"], ALL[::-1]),
    (["timestamp desc"], None),
    (["last_updated_timestamp ASC", "name"], None),
    (["creation_timestamp"], ALL),
    (["`name` desc"], ALL[::-1]),
]


def test_order_of_models(api, shelf):
    for order, expected in ORDERS:
        found = models(api.dave, order_by=order)
        assert len(found) == 3
        if expected:
            assert found == expected, order


@pytest.mark.parametrize("call", [MODELS, VERSIONS])
@pytest.mark.parametrize(
    "order", ["nothing", "name sideways", "name DESC, name", "", "tags.k", "description"]
)
def test_orders_that_are_refused(api, call, order):
    refused(ask(api.dave, call, "GET", order_by=[order]))
    refused(ask(api.dave, call, "GET", order_by=["name", "name desc"]))


def test_versions_come_last_updated_first(api, shelf):
    good(api.alice, "model-versions/set-tag", name="Alpha", version="1", key="k", value="v")
    found = good(api.dave, VERSIONS, "GET")["model_versions"]
    assert (found[0]["name"], found[0]["version"]) == ("Alpha", "1")
    times = [row["last_updated_timestamp"] for row in found]
    assert times == sorted(times, reverse=True)


def test_results_are_whole(api, shelf):
    (found,) = good(api.dave, MODELS, "GET", filter="name = 'Alpha'")["registered_models"]
    assert found == good(api.dave, "registered-models/get", "GET", name="Alpha")["registered_model"]
    assert found["aliases"] == [{"alias": "champion", "version": "1"}]
    assert found["latest_versions"][0]["version"] == "2"
    (version,) = good(api.dave, VERSIONS, "GET", filter="alias = 'champion'")["model_versions"]
    assert version == good(api.dave, "model-versions/get", "GET", name="Alpha", version="1")["model_version"]
    assert version["aliases"] == ["champion"]


@pytest.mark.parametrize("call,key", [(MODELS, "registered_models"), (VERSIONS, "model_versions")])
def test_pages_join_to_the_whole(api, call, key):
    for number in range(7):
        make_model(api.alice, f"m{number}")
        make_version(api.alice, f"m{number}")
    for order in [[], ["name"], ["name DESC"], ["last_updated_timestamp"], ["creation_timestamp DESC"]]:
        whole = good(api.dave, call, "GET", order_by=order)
        assert "next_page_token" not in whole
        assert len(whole[key]) == 7
        rows, token = [], ""
        while True:
            page = good(api.dave, call, "GET", order_by=order, max_results=3, page_token=token)
            rows += page[key]
            token = page.get("next_page_token", "")
            if not token:
                break
        assert rows == whole[key]


@pytest.mark.parametrize("call,limit", [(MODELS, 1000), (VERSIONS, 200_000)])
def test_limits_and_tokens(api, call, limit):
    assert good(api.dave, call, "GET") == {}
    assert good(api.dave, call, "GET", max_results=limit) == {}
    for wrong in (0, -1, limit + 1, "many", 2**64):
        refused(ask(api.dave, call, "GET", max_results=wrong))
    for wrong in ("nonsense", "eyJvZmZzZXQiOiA1fQ==", "x" * 5000):
        assert "Invalid page token" in refused(ask(api.dave, call, "GET", page_token=wrong))


def test_searching_costs_the_same_for_more(api, people, django_assert_num_queries):
    make_model(api.alice, "m", tags=tags(("a", "b")))
    make_version(api.alice, "m")
    models(api.dave)
    with django_assert_num_queries(8):
        models(api.dave)
    with django_assert_num_queries(5):
        versions(api.dave)
    for number in range(5):
        make_model(api.alice, f"m{number}", tags=tags(("a", "b")))
        make_version(api.alice, f"m{number}")
        make_version(api.alice, "m")
    with django_assert_num_queries(8):
        models(api.dave)
    with django_assert_num_queries(5):
        versions(api.dave)
