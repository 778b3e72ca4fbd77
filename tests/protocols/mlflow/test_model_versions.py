"""Model versions over MLflow's wire: create, read, change, delete, download."""

import pytest

from models_app.models import ModelVersion, OutboxEvent, RegisteredModel
from tests import builders

from .registry_asking import ask, get_version, good, make_model, make_version, refused, tags


@pytest.fixture
def fraud(api):
    return make_model(api.alice)


def test_a_version_is_made_and_read(api, fraud):
    made = make_version(
        api.bob,
        source="s3://bucket/model",
        run_id="elsewhere",
        run_link="https://ci.example.com/1",
        description=" First. ",
        tags=tags(("a", " kept "), ("b", "")),
    )
    assert made == get_version(api.dave)
    assert made == {
        "name": "fraud",
        "version": "1",
        "creation_timestamp": made["creation_timestamp"],
        "last_updated_timestamp": made["creation_timestamp"],
        "user_id": "bob",
        "current_stage": "None",
        "description": " First. ",
        "source": "s3://bucket/model",
        "run_id": "elsewhere",
        "run_link": "https://ci.example.com/1",
        "status": "READY",
        "tags": [{"key": "a", "value": " kept "}, {"key": "b", "value": ""}],
    }
    assert make_version(api.bob)["version"] == "2"
    version = ModelVersion.objects.get(number=1)
    assert version.manifest is None
    assert version.training_run_id == "elsewhere"
    # Nobody answers for the model yet in other words than by having made it.
    assert version.owner.username == "bob"
    payload = OutboxEvent.objects.filter(name="version.registered").first().payload
    assert (payload["version"], payload["run_id"], payload["tags"]) == (
        1,
        "elsewhere",
        {"a": " kept ", "b": ""},
    )


def test_what_is_absent_is_empty(api, fraud):
    made = make_version(api.bob)
    assert (made["description"], made["run_id"], made["run_link"]) == ("", "", "")
    assert not {"tags", "aliases", "model_id"} & made.keys()


REFUSED = [
    ({}, "parameter 'source'"),
    ({"source": ""}, "parameter 'source'"),
    ({"source": 3}, "parameter 'source'"),
    ({"source": "s3://b/m", "tags": [{"key": "k", "value": 3}]}, "tags"),
    ({"source": "s3://b/m", "tags": {"k": "v"}}, "tags"),
    ({"source": "s3://b/" + "x" * 2000}, "2000"),
    ({"source": "s3://b/m", "description": "x" * 20_001}, "20000"),
    ({"source": "s3://b/m", "run_id": "x" * 251}, "250"),
]


def test_bad_versions_are_refused(api, fraud):
    for message, said in REFUSED:
        assert said in refused(ask(api.bob, "model-versions/create", name="fraud", **message))
    assert RegisteredModel.objects.get().last_number == 0


@pytest.mark.parametrize("version", ["one", "1.5", "", "v1", "latest"])
def test_versions_are_whole_numbers(api, fraud, version):
    make_version(api.bob)
    refused(ask(api.bob, "model-versions/get", "GET", name="fraud", version=version))


@pytest.mark.parametrize("version", ["2", "0", "-1", str(2**31), str(2**70)])
def test_a_number_that_no_version_has_is_404(api, fraud, version):
    make_version(api.bob)
    refused(
        ask(api.bob, "model-versions/get", "GET", name="fraud", version=version),
        404,
        "RESOURCE_DOES_NOT_EXIST",
    )
    alias = ask(api.bob, "registered-models/alias", name="fraud", alias="a", version=version)
    refused(alias, 404, "RESOURCE_DOES_NOT_EXIST")


def test_a_number_may_be_a_number(api, fraud):
    make_version(api.bob)
    changed = good(api.bob, "model-versions/update", "PATCH", name="fraud", version=1, description="x")
    assert changed["model_version"]["description"] == "x"


def test_description_changes(api, fraud):
    make_version(api.bob, description="x")
    for text in ("  other\n", ""):
        changed = good(api.bob, "model-versions/update", "PATCH", name="fraud", version="1", description=text)
        assert changed["model_version"]["description"] == text
    before = get_version(api.bob)
    assert (
        good(api.bob, "model-versions/update", "PATCH", name="fraud", version="1")["model_version"] == before
    )


def test_changes_move_the_times_of_version_and_model(api, fraud):
    make_version(api.bob)
    calls = [
        ("model-versions/update", "PATCH", {"version": "1", "description": "new"}),
        ("model-versions/set-tag", "POST", {"version": "1", "key": "k", "value": "v"}),
        ("model-versions/delete-tag", "DELETE", {"version": "1", "key": "k"}),
        ("registered-models/alias", "POST", {"alias": "best", "version": "1"}),
        ("registered-models/alias", "DELETE", {"alias": "best"}),
        ("model-versions/transition-stage", "POST", {"version": "1", "stage": "Staging"}),
    ]
    last = ModelVersion.objects.get()
    for call, method, message in calls:
        good(api.bob, call, method, name="fraud", **message)
        version = ModelVersion.objects.select_related("model__document").get()
        assert version.updated_at > last.updated_at, call
        assert version.model.updated_at == version.model.document.updated_at >= version.updated_at, call
        last = version


def test_delete_and_never_reuse(api, fraud):
    make_version(api.alice)
    make_version(api.alice)
    good(api.alice, "registered-models/alias", name="fraud", alias="best", version="2")
    delete = ("model-versions/delete", "DELETE")
    assert "“best”" in refused(ask(api.alice, *delete, name="fraud", version="2"), 409, "RESOURCE_CONFLICT")
    good(api.alice, "registered-models/alias", "DELETE", name="fraud", alias="best")
    assert good(api.alice, *delete, name="fraud", version="2") == {}
    assert make_version(api.alice)["version"] == "3"
    good(api.alice, "model-versions/transition-stage", name="fraud", version="3", stage="staging")
    said = refused(
        ask(api.alice, "model-versions/delete", "DELETE", name="fraud", version="3"), 409, "RESOURCE_CONFLICT"
    )
    assert "staging" in said
    refused(
        ask(api.bob, "model-versions/delete", "DELETE", name="fraud", version="1"), 403, "PERMISSION_DENIED"
    )


def test_where_to_download(api, people, fraud):
    make_version(api.alice, source="s3://bucket/model")
    answer = good(api.bob, "model-versions/get-download-uri", "GET", name="fraud", version="1")
    assert answer == {"artifact_uri": "s3://bucket/model"}
    made = builders.version(RegisteredModel.objects.get(), by=people.alice)
    answer = good(api.bob, "model-versions/get-download-uri", "GET", name="fraud", version="2")
    assert answer == {"artifact_uri": f"mlflow-artifacts:/versions/{made.pk}"}


def test_stages_are_told(api):
    assert good(api.dave, "model-versions/stages", "GET")["stages"] == [
        "None",
        "Staging",
        "Production",
        "Archived",
    ]
