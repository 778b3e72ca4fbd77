"""Governance over REST."""

import pytest

from models_app.models import PromotionRequest
from models_app.registry import policies
from tests import builders

from .asking import V1, items, refused

MODEL = f"{V1}/models/risk/fraud"


@pytest.fixture
def model(people):
    return builders.model("risk/fraud", by=people.alice, owner="alice")


def test_a_refused_move_names_the_request_it_opened(api, people, model):
    builders.complete_version(model, by=people.bob)
    problem = refused(api.bob.post(f"{MODEL}/versions/1/stage", {"to": "production"}), 403)
    opened = problem["promotion_request"]
    assert api.bob.get(opened).json()["state"] == "open"
    policies.set_policy(
        stage="production", team=people.risk, rules={"approvals": {"count": 2}}, by=people.erin
    )
    problem = refused(api.carol.post(f"{MODEL}/versions/1/stage", {"to": "production"}), 409)
    assert problem["type"] == "urn:modelry:problem:approval-needed"
    assert problem["promotion_request"] == opened


def test_ask_review_and_promote(api, people, model):
    builders.complete_version(model, by=people.bob)
    asked = api.alice.post(f"{MODEL}/versions/1/requests", {"reason": "Better.", "reviewers": ["carol"]})
    assert asked.status_code == 201
    assert asked.json()["state"] == "open"
    assert [item["number"] for item in items(api.carol.get(f"{V1}/requests/waiting"))] == [
        asked.json()["number"]
    ]
    request = asked.json()["url"]
    seen = api.carol.get(request).json()
    assert [row["key"] for row in seen["requirements"] if not row["met"]] == ["approvals:site"]
    refused(api.alice.post(f"{request}/review", {"verdict": "approved"}), 403)
    refused(api.dave.post(f"{request}/review", {"verdict": "approved"}), 403)
    refused(api.carol.post(f"{request}/review", {"verdict": "rejected"}), 400, fields={"body"})
    refused(api.carol.post(f"{request}/review", {"verdict": "approved", "evidence": "x"}), 409)
    assert api.dave.post(f"{request}/comments", {"body": "Nice."}).status_code == 200
    done = api.carol.post(f"{request}/review", {"verdict": "approved", "evidence": seen["evidence"]}).json()
    assert done["state"] == "promoted"
    assert [entry["kind"] for entry in done["entries"]] == [
        "requested",
        "asked",
        "comment",
        "reviewed",
        "promoted",
    ]
    assert api.dave.get(f"{MODEL}/versions/production").json()["version"] == 1
    refused(api.carol.post(f"{request}/review", {"verdict": "approved"}), 409)


def test_strangers_see_no_requests_of_private_models(api, people):
    hidden = builders.model("risk/secret", by=people.alice, owner="alice", visibility="team")
    builders.complete_version(hidden, by=people.bob)
    number = api.bob.post(f"{V1}/models/risk/secret/versions/1/requests", {}).json()["number"]
    assert items(api.charlie.get(f"{V1}/requests")) == []
    refused(api.charlie.get(f"{V1}/requests/{number}"), 404)
    refused(api.charlie.post(f"{V1}/requests/{number}/comments", {"body": "x"}), 404)


def unmet(answer) -> set[str]:
    assert answer.status_code == 200
    return {row["key"] for row in answer.json() if not row["met"]}


def test_policies_are_written_read_and_tried(api, people, model):
    builders.complete_version(model, by=people.bob)
    rules = {"fields": ["pii_notes"], "approvals": {"count": 1, "roles": ["approver"]}}
    refused(api.alice.put(f"{V1}/policies", {"stage": "production", "team": "risk", "rules": rules}), 403)
    wrong = {"stage": "production", "team": "risk", "rules": {"fields": ["shoe_size"]}}
    refused(api.erin.put(f"{V1}/policies", wrong), 400)
    made = api.erin.put(
        f"{V1}/policies", {"stage": "production", "team": "risk", "rules": rules, "reason": "GDPR"}
    )
    assert made.json()["versions"][0]["reason"] == "GDPR"
    assert [row["team"] for row in items(api.dave.get(f"{V1}/policies?stage=production"))] == ["risk"]
    assert api.dave.get(made.json()["url"]).json()["rules"] == rules
    explained = api.dave.get(f"{MODEL}/versions/1/explain").json()
    assert {row["key"]: row["policy"] for row in explained} == {
        "pii_notes": "team risk",
        "approvals:team risk": "team risk",
    }
    tried = {"model": "risk/fraud", "version": "1", "rules": {"report": True}}
    assert unmet(api.dave.post(f"{V1}/policies/dry-run", tried)) == {
        "pii_notes",
        "report",
        "approvals:team risk",
    }
    # In the place of the team's policy it is the only demand beside the site's.
    assert unmet(api.dave.post(f"{V1}/policies/dry-run", {**tried, "scope": "team"})) == {"report"}
    refused(api.dave.post(f"{V1}/policies/dry-run", {**tried, "rules": {"x": 1}}), 400)


def test_checks(api, people, model):
    builders.complete_version(model, by=people.bob)
    checks = f"{MODEL}/versions/1/checks"
    refused(api.dave.post(checks, {"name": "ci", "state": "success"}), 403)
    refused(api.bob.post(checks, {"name": "ci", "state": "great"}), 400)
    refused(api.bob.post(checks, {"name": "ci", "state": "success", "url": "javascript:x"}), 400)
    api.bob.post(checks, {"name": "ci", "state": "pending"})
    api.bob.post(
        checks, {"name": "ci", "state": "success", "summary": "42 tests", "url": "https://ci.example.com/1"}
    )
    (check,) = api.dave.get(checks).json()
    assert (check["state"], check["summary"], check["reported_by"]) == ("success", "42 tests", "bob")


def test_an_emergency(api, people, model):
    builders.version(model, by=people.bob)
    address = f"{MODEL}/versions/1/emergency"
    refused(api.carol.post(address, {"reason": "Outage"}), 403)
    refused(api.erin.post(address, {}), 400)
    made = api.erin.post(address, {"reason": "Outage"}).json()
    assert made["is_emergency"]
    assert api.dave.get(f"{MODEL}/versions/production").json()["version"] == 1
    refused(api.erin.post(f"{made['url']}/review-after", {"body": "Fine"}), 403)
    assert api.carol.post(f"{made['url']}/review-after", {"body": "Fine"}).status_code == 200


def test_a_forged_review_is_refused_and_on_the_record_of_the_model(api, people, model):
    builders.complete_version(model, by=people.bob)
    number = api.alice.post(f"{MODEL}/versions/1/requests", {}).json()["number"]
    for forger in ("alice", "bob", "charlie"):  # asked for it, made it, of another team
        refused(getattr(api, forger).post(f"{V1}/requests/{number}/review", {"verdict": "approved"}), 403)
    assert api.carol.get(f"{V1}/requests/{number}").json()["reviews"] == []
    told = items(api.root.get(f"{V1}/audit?model=risk/fraud&refused=true"))
    assert [row["actor_name"] for row in told] == ["charlie", "bob", "alice"]


@pytest.mark.parametrize("who", ["alice", "bob"])  # who may promote, and who may only ask
def test_what_was_asked_instead_is_there_although_the_call_may_be_repeated(api, people, model, who):
    builders.complete_version(model, by=people.bob)
    key = {"HTTP_IDEMPOTENCY_KEY": f"move-{who}"}
    for _ in range(2):
        told = getattr(api, who).post(f"{MODEL}/versions/1/stage", {"to": "production", "reason": "r"}, **key)
        number = refused(told, told.status_code)["promotion_request"].rpartition("/")[2]
        assert told.status_code in (403, 409, 422)
        assert api.carol.get(f"{V1}/requests/{number}").json()["state"] == "open"
    assert PromotionRequest.objects.count() == 1


def test_a_repeated_review_counts_once(api, people, model):
    builders.complete_version(model, by=people.bob)
    key = {"HTTP_IDEMPOTENCY_KEY": "ask-1"}
    asked = api.alice.post(f"{MODEL}/versions/1/requests", {}, **key).json()
    assert api.alice.post(f"{MODEL}/versions/1/requests", {}, **key).json() == asked
    yes, key = {"verdict": "approved"}, {"HTTP_IDEMPOTENCY_KEY": "yes-1"}
    first = api.carol.post(f"{asked['url']}/review", yes, **key)
    again = api.carol.post(f"{asked['url']}/review", yes, **key)
    assert (first.status_code, again.json(), again["Idempotency-Replayed"]) == (200, first.json(), "true")
    assert len(first.json()["reviews"]) == 1
