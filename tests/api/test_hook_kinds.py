"""What webhooks hear of, and how each kind of receiver is told."""

import pytest

from models_app.models import Delivery, Webhook
from models_app.registry import promotions
from models_app.tasks.deliveries import deliver
from models_app.tasks.dispatcher import dispatch
from tests import builders
from tests.api.asking import refused
from tests.api.test_webhooks import HOOKS, body

pytestmark = pytest.mark.usefixtures("loopback")


MOVED = {"events": ["version.moved"]}


def move(people, name="risk/fraud", to="staging"):
    version = builders.version(builders.model(name, by=people.bob), by=people.bob)
    promotions.move(version, to=to, by=people.bob)
    dispatch()


@pytest.mark.parametrize(
    ("fields", "heard"),
    [
        ({"models": ["risk/fraud*"]}, ["risk/fraud"]),
        ({"models": ["*/other", "x"]}, ["risk/other"]),
        ({"stages": ["archived"]}, ["risk/other"]),
        ({"stages": ["dev"]}, ["risk/fraud", "risk/other"]),
        ({"team": "vision"}, []),
    ],
)
def test_it_hears_of_what_it_asks_for(api, people, told, fields, heard):
    made = api.root.post(HOOKS, body(told.url, **MOVED, **fields))
    assert made.status_code == 201, made.content
    move(people)
    move(people, "risk/other", to="archived")
    deliver()
    assert [got.json["data"]["model"] for got in told.received] == heard


KINDS = [
    ("github", "/repos/acme/infra/dispatches", {"secret": "ghp_s3cret"}),
    ("gitlab", "/api/v4/projects/7/trigger/pipeline", {"secret": "glptt-s3cret", "ref": "main"}),
    ("slack", "/services/T0/B0/x", {}),
]


@pytest.mark.parametrize(("kind", "path", "fields"), KINDS)
def test_receivers_of_each_kind_are_told_their_way(api, people, told, kind, path, fields):
    url = told.url.removesuffix("/hook") + path
    made = api.root.post(HOOKS, body(url, kind=kind, **MOVED, **fields)).json()
    assert (made["kind"], made["secret"]) == (kind, "")
    move(people)
    deliver()
    (got,) = told.received
    uid = Delivery.objects.get().uid
    said = got.body.decode()
    assert got.path == path
    if kind == "github":
        assert got.headers["Authorization"] == "Bearer ghp_s3cret"
        assert got.json["event_type"] == "version.moved"
        assert got.json["client_payload"]["id"] == uid
        assert got.json["client_payload"]["data"]["to_stage"] == "staging"
    elif kind == "gitlab":
        assert said.startswith("token=glptt-s3cret&ref=main&")
        assert "variables%5BMODELRY_MODEL%5D=risk%2Ffraud" in said
        assert f"variables%5BMODELRY_ID%5D={uid}" in said
    else:
        assert got.json["text"].endswith(
            "/models/risk/fraud@1/|risk/fraud v1> is moved from dev to staging by bob."
        )
    shown = api.root.get(f"{HOOKS}/{made['id']}/deliveries/{uid}")
    assert "s3cret" not in shown.content.decode()
    assert shown.json()["log"][0]["body"]
    refused(api.root.post(f"{HOOKS}/{made['id']}/rotate", {}), 400, fields={"secret"})


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"kind": "github", "url": "http://127.0.0.1/elsewhere", "secret": "x"}, "url"),
        ({"kind": "github", "url": "http://127.0.0.1/repos/a/b/dispatches"}, "secret"),
        ({"kind": "gitlab", "url": "http://127.0.0.1/projects/1/trigger/pipeline", "secret": "x"}, "ref"),
        ({"kind": "slack", "secret": "x"}, "secret"),
        ({"kind": "carrier-pigeon"}, "kind"),
        ({"models": ["x" * 300]}, "models.0"),
        ({"models": [""] * 21}, "models"),
        ({"stages": ["moon"]}, "stages.0"),
    ],
)
def test_what_a_kind_cannot_have_is_refused(api, fields, field):
    refused(api.root.post(HOOKS, body(**fields)), 400, fields={field})
    assert not Webhook.objects.exists()
