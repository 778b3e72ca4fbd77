"""Registered models over MLflow's wire."""

from models_app.models import AuditEvent, OutboxEvent, RegisteredModel, SearchDocument
from models_app.registry import catalog
from models_app.registry.access import Actor
from models_app.registry.people import set_role
from tests import builders

from .registry_asking import ask, get_model, good, make_model, make_version, refused, tags


def test_a_model_is_made_and_read(api):
    made = make_model(
        api.bob, "fraud detector", description="# Finds fraud.\n\nAll of it. ", tags=tags(("team", "risk"))
    )
    assert made["name"] == "fraud detector"
    assert made["description"] == "# Finds fraud.\n\nAll of it. "
    assert made["tags"] == [{"key": "team", "value": "risk"}]
    assert isinstance(made["creation_timestamp"], int)
    assert made["creation_timestamp"] == made["last_updated_timestamp"]
    assert "latest_versions" not in made
    assert "aliases" not in made
    assert get_model(api.dave, "fraud detector") == made
    model = RegisteredModel.objects.get()
    assert (model.team.slug, model.purpose) == ("risk", "Finds fraud.")
    assert AuditEvent.objects.get(verb="model.registered").door == "mlflow"
    payload = OutboxEvent.objects.get(name="model.registered").payload
    assert payload["tags"] == {"team": "risk"}
    assert payload["description"].startswith("# Finds")


def test_models_of_teams_are_written_with_two_hyphens(api, people):
    made = make_model(api.bob, "risk--fraud")
    assert made["name"] == "risk--fraud"
    assert RegisteredModel.objects.get().name == "risk/fraud"
    assert get_model(api.bob, "risk--fraud") == made
    assert make_model(api.bob, "nobodys--model")["name"] == "nobodys--model"
    assert RegisteredModel.objects.filter(name="nobodys--model").exists()


REFUSED = [
    ({}, "Missing value for required parameter 'name'"),
    ({"name": ""}, "Missing value for required parameter 'name'"),
    ({"name": None}, "Missing value for required parameter 'name'"),
    ({"name": 3}, "parameter 'name'"),
    ({"name": "a/b"}, "cannot contain '/' or ':'"),
    ({"name": "a:b"}, "cannot contain '/' or ':'"),
    ({"name": "a\x00b"}, "NUL"),
    ({"name": "x" * 257}, "256"),
    ({"name": "a", "tags": [{"key": "k", "value": "x" * 100_001}]}, "100000"),
    ({"name": "a", "tags": [{"value": "x"}]}, "tags.key"),
    ({"name": "a", "tags": "k"}, "tags"),
    ({"name": "api"}, "addresses"),
]


def test_a_plain_name_that_could_be_of_several_teams(api, people):
    set_role(people.vision, user=people.bob.user, role="contributor", by=people.root)
    message = refused(
        ask(api.client(Actor.of(people.bob.user, door="shell")), "registered-models/create", name="f")
    )
    assert "team--name" in message
    assert "http://testserver/account/" in message


def test_bad_models_are_refused(api):
    for message, said in REFUSED:
        assert said in refused(ask(api.bob, "registered-models/create", **message))
    assert not RegisteredModel.objects.exists()


def test_a_name_is_taken_once_and_former_names_stay_taken(api):
    make_model(api.alice, "fraud")
    refused(ask(api.alice, "registered-models/create", name="fraud"), 400, "RESOURCE_ALREADY_EXISTS")
    good(api.alice, "registered-models/rename", name="fraud", new_name="scam")
    refused(ask(api.alice, "registered-models/create", name="fraud"), 400, "RESOURCE_ALREADY_EXISTS")


CALLS = [
    ("registered-models/get", "GET", {}),
    ("registered-models/update", "PATCH", {"description": "x"}),
    ("registered-models/rename", "POST", {"new_name": "x"}),
    ("registered-models/delete", "DELETE", {}),
    ("registered-models/get-latest-versions", "POST", {}),
    ("registered-models/get-latest-versions", "GET", {}),
    ("registered-models/set-tag", "POST", {"key": "k", "value": "v"}),
    ("registered-models/delete-tag", "DELETE", {"key": "k"}),
    ("registered-models/alias", "GET", {"alias": "a"}),
    ("registered-models/alias", "POST", {"alias": "a", "version": "1"}),
    ("registered-models/alias", "DELETE", {"alias": "a"}),
    ("model-versions/create", "POST", {"source": "s3://b/m"}),
    ("model-versions/get", "GET", {"version": "1"}),
    ("model-versions/update", "PATCH", {"version": "1"}),
    ("model-versions/transition-stage", "POST", {"version": "1", "stage": "Staging"}),
    ("model-versions/delete", "DELETE", {"version": "1"}),
    ("model-versions/get-download-uri", "GET", {"version": "1"}),
    ("model-versions/set-tag", "POST", {"version": "1", "key": "k", "value": "v"}),
    ("model-versions/delete-tag", "DELETE", {"version": "1", "key": "k"}),
]


def test_what_is_not_there_is_404(api, people):
    builders.model("risk/secret", by=people.alice, visibility="team")
    for call, method, more in CALLS:
        for name in ("nothing", "risk--secret"):
            refused(ask(api.charlie, call, method, name=name, **more), 404, "RESOURCE_DOES_NOT_EXIST")
        said = refused(ask(api.charlie, call, method, **more))
        assert said.startswith("Missing value for required parameter")


def test_a_description_is_kept_exactly(api):
    make_model(api.alice)
    for text in ("  two\n\n  lines\t\n", "", "ünïcode “quotes” 日本語"):
        changed = good(api.alice, "registered-models/update", "PATCH", name="fraud", description=text)
        assert changed["registered_model"].get("description", "") == text
        assert get_model(api.alice).get("description", "") == text
    assert RegisteredModel.objects.get().purpose == "ünïcode “quotes” 日本語"
    good(api.alice, "registered-models/update", "PATCH", name="fraud")
    assert get_model(api.alice)["description"].startswith("ünï")


def test_a_purpose_that_somebody_wrote_stays(api, people):
    builders.model("fraud", by=people.alice, purpose="Mine.", team="risk")
    good(api.alice, "registered-models/update", "PATCH", name="fraud", description="Other.")
    assert RegisteredModel.objects.get().purpose == "Mine."


def test_rename_and_the_former_name(api):
    make_model(api.alice)
    make_version(api.alice)
    renamed = good(api.alice, "registered-models/rename", name="fraud", new_name="scam")["registered_model"]
    assert renamed["name"] == "scam"
    assert renamed["latest_versions"][0]["name"] == "scam"
    assert get_model(api.alice, "fraud")["name"] == "scam"
    make_model(api.alice, "other")
    taken = ask(api.alice, "registered-models/rename", name="other", new_name="scam")
    refused(taken, 400, "RESOURCE_ALREADY_EXISTS")
    refused(ask(api.alice, "registered-models/rename", name="other", new_name="a/b"))
    refused(ask(api.alice, "registered-models/rename", name="other"))


def test_delete_takes_everything_along(api):
    make_model(api.alice, tags=tags(("a", "b")))
    make_version(api.alice, tags=tags(("a", "b")))
    good(api.alice, "registered-models/alias", name="fraud", alias="best", version="1")
    assert good(api.alice, "registered-models/delete", "DELETE", name="fraud") == {}
    refused(ask(api.alice, "registered-models/get", "GET", name="fraud"), 404, "RESOURCE_DOES_NOT_EXIST")
    assert not SearchDocument.objects.exists()


def test_a_model_in_use_is_not_deleted(api):
    make_model(api.alice)
    make_version(api.alice)
    good(api.alice, "model-versions/transition-stage", name="fraud", version="1", stage="Staging")
    said = refused(
        ask(api.alice, "registered-models/delete", "DELETE", name="fraud"), 409, "RESOURCE_CONFLICT"
    )
    assert "staging" in said
    assert "Archive" in said


def test_roles_decide(api):
    make_model(api.alice)
    for client, call, method, more in (
        (api.dave, "registered-models/create", "POST", {"name": "mine"}),
        (api.bob, "registered-models/update", "PATCH", {"name": "fraud", "description": "x"}),
        (api.bob, "registered-models/delete", "DELETE", {"name": "fraud"}),
        (api.dave, "model-versions/create", "POST", {"name": "fraud", "source": "s3://b/m"}),
        (api.bob, "registered-models/set-tag", "POST", {"name": "fraud", "key": "k", "value": "v"}),
    ):
        message = {"name": "risk--x", **more} if call.endswith("create") and more["name"] == "mine" else more
        assert "role" in refused(ask(client, call, method, **message), 403, "PERMISSION_DENIED")
    refused(ask(api.anonymous, "registered-models/get", "GET", name="fraud"), 401, "UNAUTHENTICATED")


def test_models_of_other_doors_are_the_same(api, people):
    model = builders.model("risk/credit", by=people.alice, card="Scores.", tags={"a": "1"})
    builders.version(model, by=people.alice, description="first")
    shown = get_model(api.dave, "risk--credit")
    assert shown["description"] == "Scores."
    (latest,) = shown["latest_versions"]
    assert latest["source"].startswith("mlflow-artifacts:/versions/")
    assert latest["current_stage"] == "None"
    make_model(api.bob, "risk--new", description="Of MLflow.")
    listed = api.bob.get("/api/v1/models/risk/new").json()
    assert (listed["purpose"], listed["card"]) == ("Of MLflow.", "Of MLflow.")
    catalog.update_model(model, by=people.alice, card="Changed.")
    assert get_model(api.dave, "risk--credit")["description"] == "Changed."


def test_latest_versions_of_stages(api, people):
    make_model(api.alice)
    for _ in range(4):
        make_version(api.alice)
    for number, stage in (("1", "Staging"), ("2", "Staging"), ("3", "Archived")):
        good(api.alice, "model-versions/transition-stage", name="fraud", version=number, stage=stage)
    shown = get_model(api.alice)["latest_versions"]
    assert {row["current_stage"]: row["version"] for row in shown} == {
        "None": "4",
        "Staging": "2",
        "Archived": "3",
    }
    for method in ("GET", "POST"):
        answer = good(api.alice, "registered-models/get-latest-versions", method, name="fraud")
        assert answer["model_versions"] == shown
        some = good(
            api.alice, "registered-models/get-latest-versions", method, name="fraud", stages=["sTaging"]
        )
        assert [row["version"] for row in some["model_versions"]] == ["2"]
        none = good(
            api.alice, "registered-models/get-latest-versions", method, name="fraud", stages=["Production"]
        )
        assert none.get("model_versions", []) == []
        wrong = ask(api.alice, "registered-models/get-latest-versions", method, name="fraud", stages=["dev"])
        assert "Invalid Model Version stage: dev" in refused(wrong)


def test_get_does_not_feel_the_number_of_versions(api, people, django_assert_num_queries):
    make_model(api.alice)
    make_version(api.alice)
    get_model(api.alice)
    with django_assert_num_queries(4):
        get_model(api.alice)
    for _ in range(10):
        make_version(api.alice, tags=tags(("a", "b")))
    with django_assert_num_queries(4):
        get_model(api.alice)
