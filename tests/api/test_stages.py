"""Stages over REST: what a deployer reads, moves, roll back, aliases."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.http import http_date

from models_app.models import AuditEvent, ModelVersion, RegisteredModel, StageTransition
from models_app.registry import catalog, lifecycle, promotions
from tests import builders
from tests.api.asking import V1, content, items, refused
from tests.append_only import lifted

MODEL = f"{V1}/models/risk/fraud"
PRODUCTION = f"{V1}/stages/production"


@pytest.fixture
def model(people):
    return builders.model("risk/fraud", by=people.alice, tags={"domain": "payments"})


def test_a_version_goes_from_dev_to_production_and_back(api, people, model):
    first = builders.complete_version(model, by=people.alice)
    builders.complete_version(model, by=people.alice)
    moved = api.bob.post(f"{MODEL}/versions/1/stage", {"to": "staging", "reason": "Looks good."})
    assert moved.json()["transition"]["reason"] == "Looks good."
    assert moved.json()["transition"]["by"] == "bob"
    assert moved.json()["version"]["stage"] == "staging"
    refused(api.bob.post(f"{MODEL}/versions/1/stage", {"to": "production"}), 403)
    assert api.carol.post(f"{MODEL}/versions/1/stage", {"to": "production"}).status_code == 200
    assert api.carol.post(f"{MODEL}/versions/2/stage", {"to": "production"}).status_code == 200
    second = api.dave.get(f"{MODEL}/versions/production").json()
    assert second["version"] == 2
    assert second["rollback_target"] == 1
    assert second["last_promoted_by"] == "carol"
    refused(api.bob.post(f"{MODEL}/rollback", {"reason": "It drifts."}), 403)
    refused(api.carol.post(f"{MODEL}/rollback", {}), 400, fields={"reason"})
    back = api.carol.post(f"{MODEL}/rollback", {"reason": "It drifts."}).json()
    assert back["transition"]["kind"] == "rollback"
    assert back["version"]["version"] == first.number
    assert api.dave.get(f"{MODEL}/versions/production").json()["version"] == 1
    refused(api.carol.post(f"{MODEL}/rollback", {"reason": "Again."}), 409)
    history = items(api.dave.get(f"{MODEL}/transitions"))
    assert len(history) == 6
    assert {row["version"] for row in items(api.dave.get(f"{MODEL}/transitions?kind=rollback"))} == {1, 2}


def test_the_gate_lists_what_is_missing_and_where_to_fill_it_in(api, people, model):
    builders.version(model, by=people.alice)
    problem = refused(api.carol.post(f"{MODEL}/versions/1/stage", {"to": "production"}), 409)
    assert problem["type"] == "urn:modelry:problem:policy-unmet"
    assert {row["key"] for row in problem["missing"]} == {"dataset_version", "metrics", "owner", "license"}
    assert all(row["url"] == f"http://testserver{MODEL}/versions/1" for row in problem["missing"])
    api.alice.patch(
        problem["missing"][0]["url"],
        {
            "dataset_name": "tx",
            "dataset_version": "1",
            "metrics": {"f1": 1},
            "owner": "alice",
            "license": "MIT",
        },
    )
    assert api.carol.post(f"{MODEL}/versions/1/stage", {"to": "production"}).status_code == 200


@pytest.mark.parametrize(
    "body,fields",
    [
        ({}, {"to"}),
        ({"to": "space"}, {"to"}),
        ({"to": ["staging"]}, {"to"}),
        ({"to": "staging", "keep_former": "yes"}, {"keep_former"}),
        ({"to": "staging", "reason": "x" * 2001}, {"reason"}),
        ({"to": "staging", "force": True}, {"force"}),
    ],
)
def test_bad_moves_change_nothing(api, people, model, body, fields):
    builders.version(model, by=people.alice)
    refused(api.alice.post(f"{MODEL}/versions/1/stage", body), 400, fields=fields)
    assert not StageTransition.objects.exists()


@pytest.mark.parametrize(
    "scopes,to,status",
    [
        (("read",), "staging", 403),
        (("write",), "staging", 200),
        (("write",), "production", 403),
        (("promote",), "production", 200),
    ],
)
def test_moving_takes_the_scope(api, people, model, scopes, to, status):
    builders.complete_version(model, by=people.erin)
    client = api.client(people.erin, *scopes)
    assert client.post(f"{MODEL}/versions/1/stage", {"to": to}).status_code == status


def test_the_same_stage_again_is_a_conflict(api, people, model):
    builders.version(model, by=people.alice)
    refused(api.alice.post(f"{MODEL}/versions/1/stage", {"to": "dev"}), 409)


def test_strangers_do_not_move_what_they_may_read(api, people, model):
    builders.version(model, by=people.alice)
    refused(api.charlie.post(f"{MODEL}/versions/1/stage", {"to": "staging"}), 403)
    refused(api.anonymous.post(f"{MODEL}/versions/1/stage", {"to": "staging"}), 401)


def test_aliases_are_set_moved_and_deleted(api, people, model):
    builders.version(model, by=people.alice)
    builders.version(model, by=people.alice)
    url = f"{MODEL}/aliases/champion"
    assert api.bob.put(url, {"version": 1}).json()["version"] == 1
    assert api.bob.put(url, {"version": "latest"}).json()["version"] == 2
    assert api.dave.get(f"{MODEL}/versions/champion").json()["version"] == 2
    assert api.dave.get(MODEL).json()["aliases"] == {"champion": 2}
    refused(api.dave.put(url, {"version": 1}), 403)
    refused(api.bob.put(f"{MODEL}/aliases/production", {"version": 1}), 400, fields={"alias"})
    refused(api.bob.put(f"{MODEL}/aliases/12", {"version": 1}), 400, fields={"alias"})
    refused(api.bob.put(url, {"version": 9}), 404)
    refused(api.bob.put(url, {}), 400, fields={"version"})
    assert api.bob.delete(url).status_code == 204
    refused(api.bob.delete(url), 404)


def test_a_deployer_reads_what_is_in_production(api, people, model):
    version = builders.promoted(
        model, by=people.alice, approver=people.carol, serving_endpoint="https://serve.example.com/fraud"
    )
    builders.version(model, by=people.alice)
    lifecycle.set_alias(model, name="champion", version=version, by=people.alice)
    (row,) = items(api.dave.get(PRODUCTION))
    assert row["model"] == "risk/fraud"
    assert row["version"] == 1
    assert row["digest"] == version.manifest.digest
    assert row["promoted_by"] == "carol"
    assert row["serving_endpoint"] == "https://serve.example.com/fraud"
    assert row["aliases"] == ["champion"]
    assert row["metrics"][0]["name"] == "f1"
    assert row["rollback_target"] is None
    (file,) = row["files"]
    data = content(api.dave.get(file["url"]))
    assert builders.sha256(data) == file["sha256"]
    assert len(data) == file["size"]
    assert content(api.dave.get(row["archive_url"]))


def test_the_list_of_a_stage_is_filtered_and_paged(api, people, model):
    builders.promoted(model, by=people.alice, approver=people.carol)
    for number in range(3):
        builders.promoted(
            builders.model(f"risk/m{number}", by=people.alice), by=people.alice, approver=people.carol
        )
    assert [row["model"] for row in items(api.dave.get(f"{PRODUCTION}?model=risk/m1"))] == ["risk/m1"]
    assert [row["model"] for row in items(api.dave.get(f"{PRODUCTION}?tag=domain%3Dpayments"))] == [
        "risk/fraud"
    ]
    assert items(api.dave.get(f"{PRODUCTION}?team=vision")) == []
    assert items(api.dave.get(f"{V1}/stages/staging")) == []
    seen, url = [], f"{PRODUCTION}?limit=3"
    while url:
        page = api.dave.get(url).json()
        seen += [row["model"] for row in page["items"]]
        url = page["next"]
    assert seen == ["risk/m2", "risk/m1", "risk/m0", "risk/fraud"]
    refused(api.dave.get(f"{V1}/stages/space"), 404)
    refused(api.dave.get(f"{PRODUCTION}?model=risk/none"), 404)
    refused(api.dave.get(f"{PRODUCTION}?colour=red"), 400, fields={"colour"})
    refused(api.anonymous.get(PRODUCTION), 401)


def test_private_models_are_in_production_for_their_team_only(api, people):
    secret = builders.model("risk/secret", by=people.alice, visibility="team")
    builders.promoted(secret, by=people.alice, approver=people.carol)
    assert items(api.charlie.get(PRODUCTION)) == []
    assert len(items(api.dave.get(PRODUCTION))) == 1


def test_polling_with_an_etag_is_nearly_free(api, people, model, django_assert_max_num_queries):
    builders.promoted(model, by=people.alice, approver=people.carol)
    first = api.dave.get(PRODUCTION)
    with django_assert_max_num_queries(5):
        again = api.dave.get(PRODUCTION, headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 304
    assert again["ETag"] == first["ETag"]
    changes = [
        lambda: catalog.update_version(
            ModelVersion.objects.get(), by=people.alice, metadata={"metrics": {"auc": 1}}
        ),
        lambda: catalog.set_model_tags(model, tags={}, by=people.alice),
        lambda: builders.promoted(model, by=people.alice, approver=people.carol),
        lambda: lifecycle.rollback(RegisteredModel.objects.get(), by=people.carol, reason="x"),
        lambda: promotions.move(ModelVersion.objects.get(number=1), to="archived", by=people.carol),
    ]
    seen = {first["ETag"]}
    for change in changes:
        change()
        answer = api.dave.get(PRODUCTION, headers={"If-None-Match": ", ".join(seen)})
        assert answer.status_code == 200
        seen.add(answer["ETag"])
    assert len(seen) == len(changes) + 1


def test_polling_by_date_waits_until_nothing_can_arrive_late(api, people, model):
    builders.promoted(model, by=people.alice, approver=people.carol)
    fresh = api.dave.get(PRODUCTION)
    since = {"If-Modified-Since": fresh["Last-Modified"]}
    assert api.dave.get(PRODUCTION, headers=since).status_code == 200
    assert api.dave.get(PRODUCTION, headers={"If-Modified-Since": http_date()}).status_code == 200
    an_hour_ago = timezone.now() - timedelta(hours=1)
    ModelVersion.objects.update(updated_at=an_hour_ago)
    RegisteredModel.objects.update(updated_at=an_hour_ago)
    with lifted():
        AuditEvent.objects.update(at=an_hour_ago)
    settled = api.dave.get(PRODUCTION)
    assert settled["Last-Modified"] == http_date(an_hour_ago.timestamp())
    since = {"If-Modified-Since": settled["Last-Modified"]}
    assert api.dave.get(PRODUCTION, headers=since).status_code == 304
    promotions.move(ModelVersion.objects.get(), to="archived", by=people.carol)
    assert api.dave.get(PRODUCTION, headers=since).status_code == 200


def test_comparing_two_versions(api, people, model):
    builders.complete_version(model, by=people.alice, metrics={"f1": 0.8})
    builders.complete_version(model, by=people.alice, metrics={"f1": 0.9})
    found = api.dave.get(f"{V1}/compare?model=risk/fraud&versions=1,2").json()
    assert [row["version"] for row in found["versions"]] == [1, 2]
    assert found["metrics"]["lines"][0]["cells"][1]["verdict"] == "better"
    assert found["files"]["lines"][0]["detail"] == "changed"
    assert api.dave.get(f"{V1}/compare?versions=risk/fraud@1&versions=risk/fraud@latest").json() == found
    refused(api.dave.get(f"{V1}/compare?model=risk/fraud&versions=1"), 400, fields={"versions"})
    refused(api.dave.get(f"{V1}/compare?model=risk/fraud&versions=1,1"), 400, fields={"versions"})
    refused(api.dave.get(f"{V1}/compare?versions=1,2"), 400, fields={"model"})
    refused(api.dave.get(f"{V1}/compare?model=risk/fraud&versions=1,9"), 404)
