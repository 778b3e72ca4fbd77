"""Webhooks on pages: made, tried, filled with messages, sent again, rotated, paused, changed and deleted."""

from __future__ import annotations

import pytest

from models_app.models import Delivery, DeliveryAttempt, Webhook
from models_app.registry import environments, promotions, webhooks
from models_app.tasks.deliveries import deliver
from models_app.tasks.dispatcher import dispatch
from tests import builders
from tests.receiver import receiver
from tests.web.reading import page

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_is_enough, pytest.mark.usefixtures("loopback")]
NEW = {
    "kind": "generic",
    "name": "chat",
    "team": "risk",
    "events": ["version.moved"],
    "models": "risk/*\r\n\r\n*/fraud-*",
    "stages": ["staging"],
}


def test_from_making_one_to_deleting_it(pages, people):
    erin = pages.erin
    assert "No webhooks yet" in page(erin.get("/webhooks/")).text()
    with receiver() as told:
        wrong = page(erin.post("/webhooks/new/", {**NEW, "url": "http://10.0.0.1/"}), 422)
        assert "not a public address" in wrong.text("id_url_error")
        made = page(erin.post("/webhooks/new/", {**NEW, "url": told.url}))
        hook = Webhook.objects.get()
        assert (hook.model_patterns, hook.stages, hook.team) == (
            ["risk/*", "*/fraud-*"],
            ["staging"],
            people.risk,
        )
        assert "whsec_" in made.text()
        here = f"/webhooks/{hook.uid}/"
        assert "whsec_" not in page(erin.get(here)).text()
        assert "answered with 200" in page(
            erin.post(here, {"action": "test", "event": ""}, follow=True)
        ).text("messages")

        told.answers = [(404, {}, b"<b>gone</b>"), (200, {}, b"thanks")]
        version = builders.version(builders.model("risk/fraud-detector", by=people.bob), by=people.bob)
        promotions.move(version, to="staging", by=people.bob)
        dispatch()
        deliver()
        shown = page(erin.get(f"{here}?state=failed")).text()
        assert "risk/fraud-detector v1 Given up" in shown
        message = f"{here}deliveries/{Delivery.objects.get().uid}/"
        log = page(erin.get(message)).text()
        assert "answered 404" in log
        assert "<b>gone</b>" in log
        assert "will be sent again" in page(erin.post(message, {}, follow=True)).text("messages")
        deliver()
        assert "answered 200" in page(erin.get(message)).text()
        assert "0 messages will be" in page(erin.post(here, {"action": "redeliver"}, follow=True)).text(
            "messages"
        )

    rotated = page(erin.post(here, {"action": "rotate", "hours": "24"}))
    assert "the former one signs too" in rotated.text()
    assert "Paused." in page(erin.post(here, {"action": "pause"}, follow=True)).text()
    assert "is active" in page(erin.post(here, {"action": "resume"}, follow=True)).text("messages")
    for bad in ({"action": "explode"}, {"action": "rotate", "hours": "x"}):
        assert erin.post(here, bad).status_code == 400
    page(erin.post(f"{here}edit/", {"name": "-", "url": told.url, "events": []}), 422)
    changed = {"name": "talk", "url": told.url, "events": ["version.promoted"], "models": "", "stages": []}
    assert "talk" in page(erin.post(f"{here}edit/", changed, follow=True)).text()
    hook.refresh_from_db()
    assert (hook.events, hook.model_patterns, hook.stages) == (["version.promoted"], [], [])
    erin.post(f"{here}edit/", {"action": "delete"})
    assert not Webhook.objects.exists()


def test_a_failing_receiver_shows_what_is_tried_and_what_waits_behind_it(pages, people, told):
    told.answer(503)
    hook = webhooks.create_webhook(
        "chat", url=told.url, events=["version.moved"], scheme="standard", by=people.root
    )
    version = builders.version(builders.model("risk/fraud", by=people.bob), by=people.bob)
    for stage in ("staging", "archived"):
        promotions.move(version, to=stage, by=people.bob)
    dispatch()
    deliver()
    here = f"/webhooks/{hook.uid}/"
    shown = page(pages.root.get(here))
    assert "version.moved is tried again" in shown.text()
    behind, tried = (row for row in shown.text().split("v1 Waiting")[1:])
    assert ("after the one before" in behind, "due" in tried) == (True, True)
    (log,) = DeliveryAttempt.objects.all()
    again = [DeliveryAttempt(delivery=log.delivery, at=log.at, url=log.url, error="Busy.") for _ in range(4)]
    DeliveryAttempt.objects.bulk_create(again)
    message = page(pages.root.get(f"{here}deliveries/{log.delivery.uid}/")).text()
    assert "Attempt 5: no answer" in message
    assert "2 earlier attempts" in message
    pages.root.post(here, {"action": "pause"})
    assert page(pages.root.get(here)).text().count("till resumed") == 2


def test_an_environment_says_whether_anybody_is_told(pages, people):
    environments.set_up("eu", team=people.risk, kind="ci", by=people.erin)
    here = "/environments/eu/"
    shown = page(pages.erin.get(here))
    assert "Nobody is told to deploy here." in shown.text()
    make = "/webhooks/new/?environment=eu&team=risk&kind=gitlab"
    assert make in shown.links()
    form = page(pages.erin.get(make))
    ticked = [attrs["value"] for _, attrs, _ in form.elements if "checked" in attrs]
    assert ticked == ["deployment.started", "eu"]
    assert "a deployer has to act" in form.text()
    named = [
        {attrs.get("id") for _, attrs, _ in shown.elements}
        for shown in (form, page(pages.erin.get("/webhooks/new/?kind=slack")))
    ]
    assert [{"id_ref", "id_secret"} <= ids for ids in named] == [True, False]
    assert not named[1] & {"id_ref", "id_secret"}
    webhooks.create_webhook(
        "pipeline",
        url="http://127.0.0.1/projects/7/trigger/pipeline",
        kind="gitlab",
        secret="t",
        ref="main",
        team=people.risk,
        events=["deployment.started"],
        environments=["eu"],
        scheme="standard",
        by=people.erin,
    )
    assert "Is toldpipeline" in page(pages.erin.get(here)).text()
    assert "Is told1 webhook" in page(pages.alice.get(here)).text()
    assert "Nobody" not in page(pages.alice.get(here)).text()
