"""Webhooks over REST: made by admins, signed as Standard Webhooks say, tested, changed, deleted."""

import base64
import hashlib
import hmac
import time

import pytest

from models_app.models import Webhook
from models_app.registry import hook_fields, promotions
from models_app.tasks.deliveries import deliver
from models_app.tasks.dispatcher import dispatch
from tests import builders
from tests.api.asking import V1, items, refused

HOOKS = f"{V1}/webhooks"


pytestmark = pytest.mark.usefixtures("loopback")


def body(url="http://127.0.0.1/hook", **changes):
    return {"name": "chat", "url": url, "events": ["promotion.requested"], **changes}


def verify(received, secret: str) -> bool:
    """As the specification tells receivers to."""
    headers = {name.lower(): value for name, value in received.headers.items()}
    assert abs(time.time() - int(headers["webhook-timestamp"])) < 300
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + received.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return headers["webhook-signature"] == f"v1,{expected}"


def test_a_request_reaches_a_receiver_that_checks_signatures(api, people, told):
    made = api.erin.post(HOOKS, body(told.url))
    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    hook = made.json()
    assert (hook["team"], hook["scheme"], hook["created_by"]) == ("risk", "standard", "erin")
    secret = hook.pop("secret")
    model = builders.model("risk/fraud", by=people.alice)
    promotions.ask(builders.complete_version(model, by=people.bob), to="production", by=people.bob)
    dispatch()
    assert deliver() == 1
    (got,) = told.received
    assert verify(got, secret)
    assert not verify(got, hook_fields.new_secret())
    assert (got.json["type"], got.json["data"]["model"]) == ("promotion.requested", "risk/fraud")
    assert not any(name.lower().startswith("x-mlflow") for name in got.headers)
    assert api.erin.get(f"{HOOKS}/{hook['id']}").json() == hook
    assert items(api.erin.get(HOOKS)) == [hook]
    assert secret not in api.root.get(HOOKS).content.decode()


def test_it_is_tested_changed_and_deleted(api, people, told):
    at = f"{HOOKS}/{api.root.post(HOOKS, body(told.url)).json()['id']}"
    tried = api.root.post(f"{at}/test", {})
    assert {**tried.json(), "duration_ms": 0} == {
        "ok": True, "status": 200, "body": "thanks", "error": "", "duration_ms": 0
    }  # fmt: skip
    assert told.received[0].json["data"]["model"] == "vision/defects"
    secret = hook_fields.new_secret()
    changed = api.root.patch(at, {"events": ["version.rolled_back"], "secret": secret, "status": "disabled"})
    assert (changed.json()["events"], changed.json()["status"]) == (["version.rolled_back"], "disabled")
    told.answer(500)
    tried = api.root.post(f"{at}/test", {"event": "version.promoted"}).json()
    assert (tried["ok"], tried["status"], tried["error"]) == (False, 500, "Answered with status 500.")
    assert verify(told.received[-1], secret)
    refused(api.root.patch(at, {"events": ["registered_model.created"]}), 400, fields={"events"})
    refused(api.root.post(f"{at}/test", {"event": "nothing"}), 400, fields={"events"})
    assert api.root.delete(at).status_code == 204
    refused(api.root.get(at), 404)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "-"}, "name"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "ftp://127.0.0.1/"}, "url"),
        ({"events": []}, "events"),
        ({"events": ["promotion.nothing"]}, "events"),
        ({"secret": "short"}, "secret"),
        ({"scheme": "mlflow"}, "scheme"),
    ],
)
def test_bad_ones_are_refused(api, wrong, field):
    refused(api.root.post(HOOKS, body(**wrong)), 400, fields={field})
    assert not Webhook.objects.exists()


def test_only_admins_have_them_and_only_their_own(api, people):
    site = api.root.post(HOOKS, body()).json()["id"]
    team = api.root.post(HOOKS, body(team="risk")).json()["id"]
    for name in ("alice", "bob", "carol", "dave", "charlie"):
        client = getattr(api, name)
        refused(client.get(HOOKS), 403)
        refused(client.post(HOOKS, body()), 403)
        refused(client.post(HOOKS, body(team="risk")), 403)
        refused(client.delete(f"{HOOKS}/{team}"), 403)
    refused(api.anonymous.get(HOOKS), 401)
    refused(api.erin.get(f"{HOOKS}/{site}"), 404)
    refused(api.erin.post(HOOKS, body(team="vision")), 403)
    refused(api.client(people.erin, "read").delete(f"{HOOKS}/{team}"), 403)
    assert [row["id"] for row in items(api.erin.get(HOOKS))] == [team]
    assert Webhook.objects.count() == 2


def test_mlflows_api_does_not_know_them(api, people):
    own = api.root.post(HOOKS, body()).json()["id"]
    there = "/api/2.0/mlflow/webhooks"
    assert api.root.get(there).json() == {}
    assert api.root.get(f"{there}/{own}").status_code == 404
    event = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
    made = api.root.post(there, {"name": "theirs", "url": "http://127.0.0.1/", "events": [event]})
    assert made.status_code == 200
    kinds = {row["name"]: row["scheme"] for row in items(api.root.get(f"{HOOKS}?status=active"))}
    assert kinds == {"chat": "standard", "theirs": "mlflow"}
    governance = {"entity": "PROMOTION", "action": "REQUESTED"}
    refusal = api.root.post(there, {"name": "x", "url": "http://127.0.0.1/", "events": [governance]})
    assert refusal.status_code == 400


def test_a_secret_is_replaced_while_both_are_valid(api, people, told):
    made = api.erin.post(HOOKS, body(told.url)).json()
    at = f"{HOOKS}/{made['id']}"
    rotated = api.erin.post(f"{at}/rotate", {"hours": 2})
    assert rotated["Cache-Control"] == "no-store"
    new = rotated.json()
    assert new["former_secret_until"] > new["updated_at"]
    assert api.erin.post(f"{at}/test", {}).json()["ok"] is True
    signatures = told.received[0].headers["webhook-signature"].split(" ")
    for secret, signature in zip((new["secret"], made["secret"]), signatures, strict=True):
        told.received[0].headers["webhook-signature"] = signature
        assert verify(told.received[0], secret)
    assert "secret" not in api.erin.get(at).json()
    refused(api.erin.post(f"{at}/rotate", {"hours": 10_000}), 400, fields={"hours"})
    refused(api.erin.post(f"{at}/rotate", {}, headers={"Idempotency-Key": "x"}), 400)


def test_what_was_given_up_is_looked_at_and_sent_again(api, people, told):
    hook = api.erin.post(HOOKS, body(told.url, models=["risk/f*"], stages=["production"])).json()
    at = f"{HOOKS}/{hook['id']}"
    assert (hook["models"], hook["stages"], hook["kind"]) == (["risk/f*"], ["production"], "generic")
    told.answer(404)
    for name in ("risk/fraud", "risk/other"):
        model = builders.model(name, by=people.alice)
        promotions.ask(builders.complete_version(model, by=people.bob), to="production", by=people.bob)
    dispatch()
    deliver()
    (dead,) = items(api.erin.get(f"{at}/deliveries?state=failed"))
    assert (dead["status"], dead["attempts"], dead["due_at"]) == (404, 1, None)
    assert items(api.erin.get(f"{at}/deliveries?state=waiting")) == []
    (attempt,) = api.erin.get(f"{at}/deliveries/{dead['id']}").json()["log"]
    assert (attempt["status"], attempt["url"], attempt["error"]) == (
        404, told.url, "Answered with status 404."
    )  # fmt: skip
    assert hook["secret"] not in str(attempt)
    told.answer(200)
    assert api.erin.post(f"{at}/deliveries/{dead['id']}/redeliver").json() == {"queued": 1}
    deliver()
    assert told.received[0].body == told.received[1].body
    assert items(api.erin.get(f"{at}/deliveries"))[0]["state"] == "delivered"
    assert api.erin.post(f"{at}/redeliver").json() == {"queued": 0}
    refused(api.dave.get(f"{at}/deliveries"), 403)
    refused(api.erin.get(f"{at}/deliveries/nothing"), 404)


def test_pipelines_and_chats_are_told_in_their_own_way(api, people, told):
    ours = {"name": "ci", "events": ["version.promoted"]}
    gitlab = {
        **ours,
        "kind": "gitlab",
        "url": f"{told.url}/api/v4/projects/7/trigger/pipeline",
        "ref": "main",
        "secret": "glptt-1",
    }
    made = api.erin.post(HOOKS, gitlab)
    assert (made.status_code, made.json()["secret"]) == (201, "")
    assert api.erin.post(f"{HOOKS}/{made.json()['id']}/test", {}).json()["ok"] is True
    assert told.received[0].headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert b"token=glptt-1" in told.received[0].body
    refused(api.erin.post(HOOKS, {**gitlab, "ref": ""}), 400, fields={"ref"})
    refused(api.erin.post(HOOKS, {**gitlab, "kind": "github"}), 400, fields={"url", "ref"})
    assert api.erin.post(HOOKS, {**ours, "kind": "slack", "url": told.url}).status_code == 201
