"""Environments and deployments over REST: set up, ordered, taken by agents, reported on, rolled back."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from models_app.http import waiting
from models_app.registry import people as people_verbs
from models_app.registry import service_accounts
from tests import builders
from tests.api.asking import V1, items, refused
from tests.conftest import ApiClient

EU = f"{V1}/environments/eu"


@pytest.fixture
def model(people):
    return builders.model("risk/fraud", by=people.alice)


def test_from_a_promotion_to_what_runs(api, people, model):
    made = api.erin.post(
        f"{V1}/environments",
        {
            "name": "eu",
            "team": "risk",
            "site": "Frankfurt",
            "kind": "agent",
            "serving_address": "https://{name}-v{version}.example.com",
            "name_pattern": "risk/*",
        },
    )
    assert made.status_code == 201
    assert made.json()["for_team"] == "risk"
    account = service_accounts.create_account("robot", roles={people.risk: "contributor"}, by=people.erin)
    _, secret = people_verbs.create_token(
        user=account, name="deploys", scopes=["read", "write"], by=people.erin
    )
    robot = ApiClient(secret=secret)
    assert robot.post(f"{EU}/claim", {"agent": "one"}).status_code == 204
    version = builders.promoted(model, by=people.alice, approver=people.carol)
    got = robot.post(f"{EU}/claim", {"agent": "one", "lease": 30}).json()
    assert (got["model"], got["version"], got["digest"]) == ("risk/fraud", 1, version.manifest.digest)
    assert got["serving_address"] == "https://fraud-v1.example.com"
    path = got["report_url"].removeprefix("http://testserver")
    refused(robot.post(path, {"state": "live", "agent": "two"}), 409)
    refused(robot.post(path, {"state": "live", "agent": "one", "digest": "0" * 64}), 422)
    told = robot.post(
        path,
        {"state": "live", "agent": "one", "digest": version.manifest.digest, "lines": [{"text": "up"}]},
    )
    assert told.json()["state"] == "live"
    (row,) = items(api.dave.get(f"{V1}/deployments?environment=eu&state=live"))
    assert (row["model"], row["version"], row["waits_for"]) == ("risk/fraud", 1, "")
    assert [
        line["text"] for line in items(api.dave.get(f"{row['url'].removeprefix('http://testserver')}/lines"))
    ] == ["up"]
    assert (
        api.dave.get(f"{V1}/models/risk/fraud/versions/1").json()["serving_endpoint"]
        == got["serving_address"]
    )
    (running,) = items(api.dave.get(f"{EU}/running"))
    assert (running["version"], running["digest"]) == (1, version.manifest.digest)
    # Other machines learn what they are to run, at a constant price, but nothing that is about to change.
    with CaptureQueriesContext(connection) as for_one:
        (declared,) = items(robot.get(f"{EU}/declared"))
    assert {**declared, "state": "deploying"} == got
    other = builders.model("risk/other", by=people.alice)
    builders.promoted(other, by=people.alice, approver=people.carol)
    second = robot.post(f"{EU}/claim", {"agent": "one"}).json()
    assert items(robot.get(f"{EU}/declared")) == [declared]
    robot.post(second["report_url"].removeprefix("http://testserver"), {"state": "live", "agent": "one"})
    with CaptureQueriesContext(connection) as for_two:
        assert [row["model"] for row in items(robot.get(f"{EU}/declared"))] == ["risk/fraud", "risk/other"]
    assert len(for_two) == len(for_one)
    refused(api.dave.get(f"{EU}/declared"), 403)


def test_a_move_answers_where_it_is_deployed_and_what_waits_there(api, people, model):
    for name in ("eu", "us"):
        api.root.post(f"{V1}/environments", {"name": name})
    version = builders.complete_version(model, by=people.alice)
    moved = f"{V1}/models/risk/fraud/versions/{version.number}/stage"
    first = api.carol.post(moved, {"to": "production"}).json()["deployments"]
    assert [(one["environment"], one["state"]) for one in first] == [("eu", "deploying"), ("us", "deploying")]
    for one, state in zip(first, ("live", "failed"), strict=True):
        api.root.post(f"{V1}/deployments/{one['id']}/report", {"state": state})
    again = api.carol.post(moved, {"to": "production", "reason": "again"}).json()["deployments"]
    waits = f"somebody to start it: v1 failed here before (deployment {first[1]['id']})"
    assert [(one["environment"], one["state"], one["waits_for"]) for one in again] == [
        ("us", "queued", waits)
    ]
    assert [row["environment"] for row in items(api.dave.get(f"{V1}/deployments?in_trouble=true"))] == ["us"]
    api.carol.post(moved, {"to": "staging"})
    (row,) = items(api.dave.get(f"{V1}/deployments?in_trouble=true&state=live"))
    assert (row["environment"], row["astray"]) == ("eu", "runs v1, nothing is in production")
    assert len(items(api.dave.get(f"{V1}/deployments?in_trouble=false"))) == 1


def test_a_waiting_agent_hears_of_the_promotion(api, people, model, monkeypatch):
    api.root.post(f"{V1}/environments", {"name": "eu", "kind": "agent"})
    slept = []

    def promote_meanwhile(seconds):
        slept.append(seconds)
        if len(slept) == 2:
            builders.promoted(model, by=people.alice, approver=people.carol)

    monkeypatch.setattr(waiting.time, "sleep", promote_meanwhile)
    assert api.root.post(f"{EU}/claim", {"agent": "one", "wait": 20}).json()["version"] == 1
    assert len(slept) == 2
    assert max(slept) <= 0.3
    monkeypatch.setattr(waiting, "_slots", waiting.threading.BoundedSemaphore(1))
    with waiting._slots:
        # Every place to wait is taken: the agent comes again.
        answer = api.root.post(f"{EU}/claim", {"agent": "two", "wait": 20})
    assert (answer.status_code, answer["Retry-After"]) == (204, "1")
    assert len(slept) == 2
    # Who waited may come again at once.
    monkeypatch.setattr(waiting, "LONGEST", 0.001)
    answer = api.root.post(f"{EU}/claim", {"agent": "two", "wait": 20})
    assert (answer.status_code, answer["Retry-After"]) == (204, "0")


def test_freezes_are_read_and_orders_say_what_to_do(api, people, model):
    now = timezone.now()
    freeze = {"from": now.isoformat(), "until": (now + timedelta(days=1)).isoformat(), "reason": "Audit."}
    api.root.post(f"{V1}/environments", {"name": "eu"})
    builders.promoted(model, by=people.alice, approver=people.carol)
    refused(
        api.root.patch(EU, {"freezes": [{**freeze, "until": "tomorrow"}]}), 400, fields={"freezes[0].until"}
    )
    assert (
        api.root.patch(EU, {"freezes": [freeze], "reason": "Yearly."}).json()["freezes"][0]["reason"]
        == "Audit."
    )
    order = {"model": "risk/fraud", "version": "1", "environment": "eu"}
    problem = refused(api.alice.post(f"{V1}/deployments", order), 409)
    assert "Audit." in problem["detail"]
    assert "past the freeze" in problem["next_step"]
    ordered = api.root.post(f"{V1}/deployments", {**order, "past_freeze": True, "reason": "It burns."})
    assert ordered.status_code == 201
    refused(api.root.delete(EU), 409)


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"serving_address": "https://{host}.example.com"}, "serving_address"),
        ({"serving_address": "ftp://x"}, "serving_address"),
        ({"serving_address": "https://{version.__class__}"}, "serving_address"),
        ({"health_check": "https://{"}, "health_check"),
        ({"followed": "nowhere"}, "followed"),
        ({"follows": "alias", "followed": "production"}, "followed"),
        ({"timeout": 1}, "timeout"),
        ({"deploy_role": "viewer"}, "deploy_role"),
        ({"team": "risk", "for_team": "vision"}, "for_team"),
        ({"name": "EU west"}, "name"),
        ({"name": "new"}, "name"),
        ({"name": "rollback"}, "name"),
    ],
)
def test_what_is_wrong_is_named(api, fields, wrong):
    refused(api.root.post(f"{V1}/environments", {"name": "eu", **fields}), 400, fields={wrong})
