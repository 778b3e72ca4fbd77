"""Aliases over MLflow's wire."""

import pytest

from models_app.models import OutboxEvent

from .registry_asking import ask, get_model, get_version, good, make_model, make_version, refused

ALIAS = "registered-models/alias"


@pytest.fixture(autouse=True)
def fraud(api):
    make_model(api.alice)
    make_version(api.alice)
    make_version(api.alice)


def test_set_move_read_delete(api):
    assert good(api.bob, ALIAS, name="fraud", alias="champion", version="1") == {}
    found = good(api.dave, ALIAS, "GET", name="fraud", alias="champion")["model_version"]
    assert found == get_version(api.dave)
    assert found["aliases"] == ["champion"]
    good(api.bob, ALIAS, name="fraud", alias="champion", version="2")
    assert get_model(api.bob)["aliases"] == [{"alias": "champion", "version": "2"}]
    assert "aliases" not in get_version(api.bob)
    assert good(api.bob, ALIAS, "DELETE", name="fraud", alias="champion") == {}
    assert good(api.bob, ALIAS, "DELETE", name="fraud", alias="champion") == {}
    assert "aliases" not in get_model(api.bob)
    events = OutboxEvent.objects.filter(name__startswith="alias.").order_by("id")
    assert [(event.name, event.payload["version"]) for event in events] == [
        ("alias.set", 1),
        ("alias.set", 2),
        ("alias.deleted", 2),
    ]


def test_an_unknown_alias_is_400_and_an_unknown_model_404(api):
    assert "alias nothing not found" in refused(ask(api.bob, ALIAS, "GET", name="fraud", alias="nothing"))
    refused(ask(api.bob, ALIAS, "GET", name="other", alias="nothing"), 404, "RESOURCE_DOES_NOT_EXIST")
    refused(ask(api.bob, ALIAS, "GET", name="fraud"))


REFUSED = ["latest", "LATEST", "v1", "V22", "a b", "a/b", "a:b", "ü", "x" * 256, "3"]


def test_names_that_an_alias_may_not_have(api):
    for alias in REFUSED:
        refused(ask(api.bob, ALIAS, name="fraud", alias=alias, version="1"))


TAKEN = ["champion", "a_b-c", "V1_x", "x" * 255]


def test_names_that_it_may_have(api):
    for alias in TAKEN:
        good(api.bob, ALIAS, name="fraud", alias=alias, version="1")


def test_latest_is_the_newest_version(api):
    good(api.bob, "model-versions/transition-stage", name="fraud", version="2", stage="Archived")
    for alias in ("latest", "LATEST"):
        found = good(api.bob, ALIAS, "GET", name="fraud", alias=alias)["model_version"]
        assert found["version"] == "2"
    make_model(api.bob, "empty")
    refused(ask(api.bob, ALIAS, "GET", name="empty", alias="latest"), 404, "RESOURCE_DOES_NOT_EXIST")


def test_aliases_survive_a_rename(api):
    good(api.alice, ALIAS, name="fraud", alias="champion", version="1")
    good(api.alice, "registered-models/rename", name="fraud", new_name="scam")
    for name in ("fraud", "scam"):
        found = good(api.alice, ALIAS, "GET", name=name, alias="champion")["model_version"]
        assert (found["name"], found["version"]) == ("scam", "1")


def test_viewers_may_not(api):
    for method, more in (("POST", {"version": "1"}), ("DELETE", {})):
        refused(ask(api.dave, ALIAS, method, name="fraud", alias="a", **more), 403, "PERMISSION_DENIED")
