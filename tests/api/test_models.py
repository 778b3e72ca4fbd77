"""Models over REST: list, register, read, change, rename, delete."""

import pytest

from models_app.models import AuditEvent, RegisteredModel
from tests import builders
from tests.api.asking import V1, items, refused

MODELS = f"{V1}/models"


def test_a_contributor_registers_a_model(api):
    answer = api.bob.post(
        MODELS,
        {
            "name": "risk/fraud",
            "purpose": "Finds fraud.",
            "tags": {"domain": "payments"},
            "license": "apache-2.0",
            "card": "# Card\n",
            "owner": "alice",
        },
    )
    assert answer.status_code == 201
    model = answer.json()
    assert answer["Location"] == model["url"] == "http://testserver/api/v1/models/risk/fraud"
    assert model["team"] == "risk"
    assert model["license"] == "Apache-2.0"
    assert model["tags"] == {"domain": "payments"}
    assert model["owner"] == "alice"
    assert model["created_by"] == "bob"
    assert model["version_count"] == 0
    assert model["production_version"] is None
    assert api.bob.get(model["url"]).json() == model
    assert AuditEvent.objects.get(verb="model.registered").door == "api"


@pytest.mark.parametrize(
    "who,status", [("dave", 403), ("carol", 403), ("charlie", 403), ("anonymous", 401), ("alice", 201)]
)
def test_registering_takes_the_role(api, who, status):
    answer = getattr(api, who).post(MODELS, {"name": "risk/fraud"})
    assert answer.status_code == status
    if status != 201:
        assert refused(answer, status)["next_step"]
        assert not RegisteredModel.objects.exists()


def test_registering_takes_the_scope(api, people):
    problem = refused(api.client(people.bob, "read").post(MODELS, {"name": "risk/fraud"}), 403)
    assert "write" in problem["next_step"]


def test_wrong_tokens_are_refused_with_a_challenge(api, client):
    for header in ("Bearer mdl_nonsense", "Bearer", "Basic !!!", "Digest x"):
        answer = client.get(MODELS, headers={"Authorization": header})
        refused(answer, 401)
        assert answer["WWW-Authenticate"].startswith("Bearer")


def test_basic_takes_the_token_as_password(api, people, client):
    import base64

    from tests.people import token

    text = base64.b64encode(f"alice:{token(people.alice)}".encode()).decode()
    assert client.get(MODELS, headers={"Authorization": f"Basic {text}"}).status_code == 200


@pytest.mark.parametrize(
    "body,fields",
    [
        ({}, {"name"}),
        ({"name": ""}, {"name"}),
        ({"name": 5}, {"name"}),
        ({"name": "risk/../x"}, {"name"}),
        ({"name": "risk/x\\y"}, {"name"}),
        ({"name": "risk/" + "x" * 300}, {"name"}),
        ({"name": "api/x"}, {"name"}),
        ({"name": "risk/versions"}, {"name"}),
        ({"name": "nobody/x"}, {"name"}),
        ({"name": "risk/x", "license": "Freeish-1.0"}, {"license"}),
        ({"name": "risk/x", "by": "root", "colour": 1}, {"by", "colour"}),
        ({"name": "risk/x", "owner": "nobody"}, {"owner"}),
        ({"name": "risk/x", "risk_level": "dire", "visibility": "secret"}, {"risk_level", "visibility"}),
        ({"name": "risk/x", "tags": ["a"]}, {"tags"}),
        ({"name": "risk/x", "team": "vision"}, {"team"}),
    ],
)
def test_bad_fields_are_named_and_nothing_is_made(api, body, fields):
    refused(api.alice.post(MODELS, body), 400, fields=fields)
    assert not RegisteredModel.objects.exists()


def test_a_taken_name_is_a_conflict(api, people):
    builders.model("risk/fraud", by=people.alice)
    problem = refused(api.bob.post(MODELS, {"name": "risk/fraud"}), 409)
    assert problem["type"] == "urn:modelry:problem:already-exists"


def test_private_models_of_other_teams_do_not_exist(api, people):
    builders.model("risk/secret", by=people.alice, visibility="team")
    assert refused(api.charlie.get(f"{MODELS}/risk/secret"), 404)["detail"].count("secret") == 1
    refused(api.charlie.patch(f"{MODELS}/risk/secret", {"purpose": "x"}), 404)
    refused(api.charlie.delete(f"{MODELS}/risk/secret"), 404)
    assert items(api.charlie.get(MODELS)) == []
    assert len(items(api.dave.get(MODELS))) == 1


def test_nobody_reads_without_login_unless_reading_is_public(api, people, settings):
    builders.model("risk/open", by=people.alice)
    builders.model("risk/secret", by=people.alice, visibility="team")
    refused(api.anonymous.get(MODELS), 401)
    settings.PUBLIC_READ = True
    assert [row["name"] for row in items(api.anonymous.get(MODELS))] == ["risk/open"]
    refused(api.anonymous.get(f"{MODELS}/risk/secret"), 404)
    refused(api.anonymous.patch(f"{MODELS}/risk/open", {"purpose": "x"}), 401)


def test_a_login_of_the_pages_reads_and_needs_its_csrf_token_to_write(people):
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(people.alice.user)
    assert client.get(MODELS).status_code == 200
    refused(client.post(MODELS, {"name": "risk/x"}, content_type="application/json"), 403)
    token = "a" * 32
    client.cookies["csrftoken"] = token
    answer = client.post(
        MODELS, {"name": "risk/x"}, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert answer.status_code == 201


def test_an_owner_changes_a_model_and_a_contributor_may_not(api, people):
    builders.model("risk/fraud", by=people.alice, tags={"a": "1"})
    url = f"{MODELS}/risk/fraud"
    assert api.alice.patch(url, {"purpose": "New.", "tags": {"b": "2"}}).json()["tags"] == {"b": "2"}
    refused(api.bob.patch(url, {"purpose": "Mine."}), 403)
    assert api.bob.get(url).json()["purpose"] == "New."


def test_a_renamed_model_is_found_by_both_names(api, people):
    builders.model("risk/fraud", by=people.alice)
    answer = api.alice.post(f"{MODELS}/risk/fraud/rename", {"to": "risk/fraud 2"})
    assert answer.json()["name"] == "risk/fraud 2"
    assert answer.json()["url"].endswith("/models/risk/fraud%202")
    assert api.bob.get(f"{MODELS}/risk/fraud").json()["name"] == "risk/fraud 2"
    assert api.bob.get(answer.json()["url"]).status_code == 200


def test_deleting_is_refused_while_something_is_live(api, people):
    model = builders.model("risk/fraud", by=people.alice)
    builders.promoted(model, by=people.alice, approver=people.carol)
    refused(api.alice.delete(f"{MODELS}/risk/fraud"), 409)
    builders.model("risk/old", by=people.alice)
    refused(api.bob.delete(f"{MODELS}/risk/old"), 403)
    assert api.alice.delete(f"{MODELS}/risk/old?reason=unused").status_code == 204
    refused(api.alice.get(f"{MODELS}/risk/old"), 404)
    assert AuditEvent.objects.get(verb="model.deleted").reason == "unused"


def test_lists_are_filtered_ordered_and_paged(api, people):
    for number in range(5):
        builders.model(
            f"risk/m{number}",
            by=people.alice,
            task="tabular" if number % 2 else "text",
            tags={"n": str(number)},
        )
    names = [row["name"] for row in items(api.bob.get(f"{MODELS}?task=tabular&ordering=name"))]
    assert names == ["risk/m1", "risk/m3"]
    assert [row["name"] for row in items(api.bob.get(f"{MODELS}?tag=n%3D2"))] == ["risk/m2"]
    assert items(api.bob.get(f"{MODELS}?team=vision")) == []
    seen, url = [], f"{MODELS}?ordering=-name&limit=2"
    while url:
        page = api.bob.get(url).json()
        seen += [row["name"] for row in page["items"]]
        url = page["next"]
    assert seen == [f"risk/m{number}" for number in (4, 3, 2, 1, 0)]


@pytest.mark.parametrize(
    "query,field",
    [
        ("taks=x", "taks"),
        ("ordering=size", "ordering"),
        ("limit=0", "limit"),
        ("limit=many", "limit"),
        ("cursor=nonsense", "cursor"),
        ("created_after=yesterday", "created_after"),
        ("created_after=0001-01-01T00:00:00%2B23:00", "created_after"),
        ("visibility=secret", "visibility"),
        ("name=%00", "name"),
        ("%00=1", "\0"),
    ],
)
def test_malformed_filters_are_named(api, query, field):
    refused(api.bob.get(f"{MODELS}?{query}"), 400, fields={field})


def test_moments_may_have_any_offset(api):
    for moment in ("2026-05-03T12:00:00%2B17:16", "2026-05-03", "1900-01-02T00:00:00-23:59"):
        assert items(api.bob.get(f"{MODELS}?created_before={moment}")) == []


def test_a_cursor_of_another_order_is_refused(api, people):
    for number in range(3):
        builders.model(f"risk/m{number}", by=people.alice)
    following = api.bob.get(f"{MODELS}?limit=1&ordering=name").json()["next"]
    refused(api.bob.get(following.replace("ordering=name", "ordering=-name")), 400, fields={"cursor"})


def test_polling_a_model_costs_no_body(api, people):
    model = builders.model("risk/fraud", by=people.alice)
    first = api.bob.get(f"{MODELS}/risk/fraud")
    assert first["Cache-Control"] == "private, no-cache"
    again = api.bob.get(f"{MODELS}/risk/fraud", headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 304
    assert not again.content
    builders.version(model, by=people.alice)
    changed = api.bob.get(f"{MODELS}/risk/fraud", headers={"If-None-Match": first["ETag"]})
    assert changed.json()["latest_version"] == 1
    refused(api.bob.get(f"{MODELS}/risk/fraud", headers={"If-Match": '"other"'}), 412)
