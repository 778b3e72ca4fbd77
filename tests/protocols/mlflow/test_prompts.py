"""Prompts: registered models with a mark, kept out of what lists models."""

import pytest

from models_app.models import ModelVersion, RegisteredModel, SearchDocument
from models_app.registry.artifacts import storage

from .registry_asking import ask, get_model, good, make_model, make_version, refused, tags

MARK = "mlflow.prompt.is_prompt"
SUFFIX = f"tag.`{MARK}` != 'true'"


@pytest.fixture
def greeting(api):
    make_model(api.bob, "greeting", tags=tags((MARK, "true"), ("kind", "short")))
    make_version(
        api.bob,
        "greeting",
        source="dummy-source",
        tags=tags((MARK, "true"), ("mlflow.prompt.text", "Hello, {{ name }}!\n")),
    )
    make_model(api.bob, "fraud", tags=tags(("kind", "short")))
    make_version(api.bob, "fraud")


def names(client, filter="", kind="registered_models"):
    call = "registered-models/search" if kind == "registered_models" else "model-versions/search"
    return [row["name"] for row in good(client, call, "GET", filter=filter).get(kind, [])]


def test_a_version_of_a_prompt_is_its_text(api, greeting):
    version = ModelVersion.objects.get(model__name="greeting")
    (entry,) = version.manifest.entries.all()
    assert entry.path == "prompt.txt"
    assert storage.read(entry.blob_id, limit=100) == b"Hello, {{ name }}!\n"
    shown = good(api.dave, "model-versions/get", "GET", name="greeting", version="1")["model_version"]
    assert shown["source"] == "dummy-source"
    assert {"key": "mlflow.prompt.text", "value": "Hello, {{ name }}!\n"} in shown["tags"]
    assert make_version(api.bob, "greeting", source="dummy")["version"] == "2"


@pytest.mark.parametrize("kind", ["registered_models", "model_versions"])
def test_searches_leave_prompts_out_unless_asked(api, greeting, kind):
    assert names(api.dave, kind=kind) == ["fraud"]
    assert names(api.dave, SUFFIX, kind) == ["fraud"]
    assert names(api.dave, f"tag.`{MARK}` = 'false'", kind) == ["fraud"]
    assert names(api.dave, f"name LIKE '%' AND {SUFFIX}", kind) == ["fraud"]
    assert names(api.dave, f"tag.`{MARK}` = 'true'", kind) == ["greeting"]
    assert names(api.dave, f"tags.`{MARK}` != 'false'", kind) == ["greeting"]
    assert names(api.dave, f"tag.`{MARK}` = 'true' AND {SUFFIX}", kind) == []
    assert names(api.dave, f"tags.kind = 'short' AND {SUFFIX}") == ["fraud"]
    assert names(api.dave, f"tags.kind = 'short' AND tag.`{MARK}` = 'true'") == ["greeting"]


def test_the_sites_search_does_not_know_them(api, greeting):
    assert list(SearchDocument.objects.values_list("name", flat=True)) == ["fraud"]


def test_lists_of_models_leave_them_out(api, client, people, greeting):
    client.force_login(people.bob.user)
    assert [row["name"] for row in api.bob.get("/api/v1/models").json()["items"]] == ["fraud"]
    team = client.get("/teams/risk/").content.decode()
    assert "fraud" in team
    assert "greeting" not in team
    rows = client.get("/teams/").context["rows"]
    assert [row["models"] for row in rows if row["team"] == people.risk] == [1]


def test_the_mark_may_come_and_go(api, greeting):
    good(api.alice, "registered-models/set-tag", name="fraud", key=MARK, value="true")
    assert RegisteredModel.objects.get(name="fraud").is_prompt
    assert not SearchDocument.objects.exists()
    good(api.alice, "registered-models/set-tag", name="fraud", key=MARK, value="no")
    assert not RegisteredModel.objects.get(name="fraud").is_prompt
    good(api.alice, "registered-models/delete-tag", "DELETE", name="greeting", key=MARK)
    assert SearchDocument.objects.count() == 2


def test_contributors_tag_prompts(api, greeting):
    good(api.bob, "registered-models/set-tag", name="greeting", key="_mlflow_experiment_ids", value=",0,")
    assert {"key": "_mlflow_experiment_ids", "value": ",0,"} in get_model(api.bob, "greeting")["tags"]
    good(api.bob, "registered-models/alias", name="greeting", alias="best", version="1")
    refused(ask(api.dave, "registered-models/set-tag", name="greeting", key="a"), 403, "PERMISSION_DENIED")


def test_a_prompt_is_no_source_of_a_model(api, greeting):
    answer = ask(api.bob, "model-versions/create", name="fraud", source="models:/greeting/1")
    assert "prompts" in refused(answer)
