"""Tags of models and versions over MLflow's wire."""

import pytest

from models_app.models import AuditEvent, OutboxEvent
from models_app.registry import search

from .registry_asking import ask, get_model, get_version, good, make_model, make_version, refused

KINDS = [("registered-models", {}), ("model-versions", {"version": "1"})]


@pytest.fixture(autouse=True)
def fraud(api):
    make_model(api.alice)
    make_version(api.alice)


def shown(api, kind):
    found = get_model(api.alice) if kind == "registered-models" else get_version(api.alice)
    return {tag["key"]: tag["value"] for tag in found.get("tags", [])}


@pytest.mark.parametrize("kind,more", KINDS)
def test_set_change_delete(api, kind, more):
    assert good(api.alice, f"{kind}/set-tag", name="fraud", key="k", value="v", **more) == {}
    good(api.alice, f"{kind}/set-tag", name="fraud", key="other", value="x", **more)
    good(api.alice, f"{kind}/set-tag", name="fraud", key="k", value="changed", **more)
    assert shown(api, kind) == {"k": "changed", "other": "x"}
    assert good(api.alice, f"{kind}/delete-tag", "DELETE", name="fraud", key="k", **more) == {}
    assert good(api.alice, f"{kind}/delete-tag", "DELETE", name="fraud", key="k", **more) == {}
    assert shown(api, kind) == {"other": "x"}
    noun = "model" if kind == "registered-models" else "version"
    events = OutboxEvent.objects.filter(name__startswith=f"{noun}.tag").order_by("id")
    assert [(e.name, e.payload["key"], e.payload["value"]) for e in events] == [
        (f"{noun}.tag_set", "k", "v"),
        (f"{noun}.tag_set", "other", "x"),
        (f"{noun}.tag_set", "k", "changed"),
        (f"{noun}.tag_deleted", "k", None),
    ]
    assert events[0].payload["version"] == (1 if more else None)
    record = AuditEvent.objects.filter(verb=f"{noun}.tag_set").first()
    assert (record.before, record.after) == ({"tags": {"k": "v"}}, {"tags": {"k": "changed"}})


KEPT = [
    ("k", "  spaces kept\n\ttabs too  "),
    ("k", ""),
    ("k", "x" * 100_000),
    ("mlflow.source.git.commit", "abc"),
    ("a b/c:d.e", "ü “日本”"),
    ("k" * 250, "v"),
]


@pytest.mark.parametrize("kind,more", KINDS)
def test_values_are_kept_exactly(api, kind, more):
    for key, value in KEPT:
        good(api.alice, f"{kind}/set-tag", name="fraud", key=key, value=value, **more)
        assert shown(api, kind)[key] == value


REFUSED = [
    ({}, "'key'"),
    ({"key": "", "value": "v"}, "'key'"),
    ({"key": "k" * 251, "value": "v"}, "250"),
    ({"key": "k", "value": "x" * 100_001}, "100000"),
    ({"key": "k", "value": 3}, "'value'"),
    ({"key": "k", "value": "a\x00b"}, "NUL"),
    ({"key": "k", "value": "a\x01b"}, "control"),
]


@pytest.mark.parametrize("kind,more", KINDS)
def test_bad_tags_are_refused(api, kind, more):
    for tag, said in REFUSED:
        assert said in refused(ask(api.alice, f"{kind}/set-tag", name="fraud", **tag, **more))
    assert shown(api, kind) == {}


def test_a_value_may_be_left_out(api):
    good(api.alice, "registered-models/set-tag", name="fraud", key="k")
    assert shown(api, "registered-models") == {"k": ""}


def test_long_values_do_not_swell_the_audit(api):
    good(api.alice, "model-versions/set-tag", name="fraud", version="1", key="k", value="x" * 100_000)
    assert len(AuditEvent.objects.get(verb="version.tag_set").after["tags"]["k"]) < 600


def test_search_finds_models_by_their_tags(api, people):
    def found(words):
        return [row.model.name for row in search.query.find(search.grammar.parse(words), by=people.dave).rows]

    good(api.alice, "registered-models/set-tag", name="fraud", key="domain", value="paymentsWorld")
    assert found("world") == ["fraud"]
    good(api.alice, "registered-models/set-tag", name="fraud", key="domain", value="cards")
    assert found("world") == []
    assert found("cards") == ["fraud"]
    good(api.alice, "registered-models/delete-tag", "DELETE", name="fraud", key="domain")
    assert found("cards") == []
