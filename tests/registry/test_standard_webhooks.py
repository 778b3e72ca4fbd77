"""Hooks made with Modelry's own API: what governance tells them, in Modelry's words."""

import json

import pytest
from django.utils import timezone

from models_app.api.schema import document
from models_app.models import Delivery, PromotionRequest, Visibility, Webhook
from models_app.registry import (
    catalog,
    environments,
    hook_events,
    hook_filters,
    lifecycle,
    promotions,
    reviews,
    standard_events,
    webhooks,
)
from models_app.registry.errors import Invalid, NotFound
from models_app.tasks.dispatcher import dispatch
from tests import builders
from tests.emitted import check_message

URL = "https://127.0.0.1/hook"
WHAT = {"model": "risk/fraud", "version": 1, "to_stage": "production"}


@pytest.fixture(autouse=True)
def _allowed(settings):
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    settings.PUBLIC_URL = "https://models.example.com"


def hook(by, *, name="hook", events=tuple(standard_events.EXAMPLES), scheme="standard", **fields) -> Webhook:
    return webhooks.create_webhook(name, url=URL, events=events, by=by, scheme=scheme, **fields)


def told() -> list[tuple[str, dict]]:
    """(event, data) of what was not told before. Each is as its schema says, and says no more."""
    dispatch()
    found = [(row.name, json.loads(row.body)) for row in Delivery.objects.order_by("id")]
    Delivery.objects.all().delete()
    for name, body in found:
        check_message(name, body)
    return [(name, body["data"]) for name, body in found]


@pytest.mark.sqlite_is_enough
def test_every_declared_event_is_in_the_document_and_its_example_fits():
    """That events really emitted fit is looked at in every test: tests/emitted.py."""
    assert set(document()["webhooks"]) == set(standard_events.EVENTS)
    for name, event in standard_events.EVENTS.items():
        sent = document()["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert sent == {"$ref": f"#/components/schemas/{event.schema_name}"}
        assert document()["components"]["schemas"][event.schema_name] == event.schema()
        check_message(name, json.loads(hook_events.example("standard", name, at=timezone.now())))


def test_a_request_from_asking_to_promotion(people):
    hook(people.root)
    model = builders.model("risk/fraud", by=people.alice)
    version = builders.complete_version(model, by=people.bob)
    asked = promotions.ask(
        version, to="production", by=people.bob, reason="Better.", reviewers=[people.carol.user]
    )
    about = {**WHAT, "request": asked.pk, "url": f"https://models.example.com/approvals/{asked.pk}/"}
    open_ = {**about, "state": "open", "by": "bob"}
    assert told() == [
        ("promotion.requested", {**open_, "text": "Better."}),
        ("promotion.review_requested", {**open_, "text": "carol", "reviewers": ["carol"]}),
    ]
    reviews.review(asked, verdict="approved", by=people.carol)
    moved = {
        "model": "risk/fraud",
        "version": 1,
        "url": "https://models.example.com/models/risk/fraud@1/",
        "is_prompt": False,
        "by": "carol",
        "text": "Better.",
    }
    assert told() == [
        ("promotion.reviewed", {**open_, "by": "carol", "text": "approved", "verdict": "approved"}),
        ("version.moved", {**moved, "from_stage": "dev", "to_stage": "production", "kind": "move"}),
        ("version.promoted", {**moved, "former": None}),
        ("promotion.promoted", {**about, "state": "promoted", "by": "carol", "text": ""}),
    ]


def test_what_else_becomes_of_requests(people):
    hook(people.root)
    model = builders.model("risk/fraud", by=people.alice)
    version = builders.complete_version(model, by=people.bob)
    asked = promotions.ask(version, to="production", by=people.bob)
    promotions.withdraw(asked, by=people.bob, reason="Later.")
    promotions.ask(version, to="production", by=people.bob)
    PromotionRequest.objects.update(expires_at=asked.created_at)
    promotions.expire_due()
    promotions.break_glass(version, to="production", by=people.erin, reason="It burns.")
    names = [name for name, _ in told() if not name.startswith("version.")]
    assert names == [
        "promotion.requested",
        "promotion.withdrawn",
        "promotion.requested",
        "promotion.expired",
        "promotion.emergency",
    ]


@pytest.mark.parametrize("keep", [False, True])
def test_a_rollback_is_told_once(people, keep):
    model = builders.model("risk/fraud", by=people.alice)
    builders.promoted(model, by=people.bob, approver=people.carol)
    second = builders.complete_version(model, by=people.bob)
    promotions.move(second, to="production", by=people.carol, keep_former=keep)
    hook(people.root, events=["version.promoted", "version.rolled_back"])
    dispatch()
    Delivery.objects.all().delete()
    lifecycle.rollback(model, by=people.alice, reason="Misses.")
    ((name, data),) = told()
    assert (name, data["version"], data["taken_out"], data["text"]) == (
        "version.rolled_back",
        1,
        2,
        "Misses.",
    )


def test_only_hooks_of_the_team_and_of_the_site_hear(people):
    hook(people.root, name="site", events=["promotion.requested"])
    hook(people.erin, name="risk", events=["promotion.requested"])
    hook(people.root, name="vision", events=["promotion.requested"], team=people.vision)
    private = builders.model("risk/secret", by=people.alice, visibility=Visibility.TEAM)
    promotions.ask(builders.complete_version(private, by=people.bob), to="production", by=people.bob)
    dispatch()
    assert set(Delivery.objects.values_list("webhook__name", flat=True)) == {"site", "risk"}


def test_events_and_secrets_are_those_of_the_scheme(people):
    with pytest.raises(Invalid, match="no event"):
        hook(people.root, events=["registered_model.created"])
    with pytest.raises(Invalid, match="no event"):
        hook(people.root, events=["promotion.requested"], scheme="mlflow")
    for secret in ("s3cret", "whsec_!!", "whsec_c2hvcnQ="):
        with pytest.raises(Invalid, match="whsec_"):
            hook(people.root, secret=secret)
    made = hook(people.root)
    assert webhooks.secret_of(made).startswith("whsec_")
    with pytest.raises(NotFound):
        webhooks.get_webhook(made.uid, by=people.root, scheme="mlflow")


def test_replacing_all_tags_tells_each_that_changed(people):
    hook(people.root, scheme="mlflow", events=list(hook_events.EXAMPLES))
    model = builders.model("risk/fraud", by=people.alice)
    version = builders.version(model, by=people.bob, tags={"stays": "1", "other": "1", "goes": "1"})
    prompt = builders.model("risk/hello", by=people.alice, tags={"mlflow.prompt.is_prompt": "true"})
    first = builders.version(prompt, by=people.bob)
    dispatch()
    Delivery.objects.all().delete()
    wanted = {"stays": "1", "other": "2", "new": "3"}
    catalog.update_version(version, by=people.bob, metadata={"tags": wanted})
    catalog.set_model_tags(prompt, tags={"mlflow.prompt.is_prompt": "true", "area": "mail"}, by=people.alice)
    promotions.move(first, to="staging", by=people.bob)
    dispatch()
    about = {"name": "risk--fraud", "version": "1"}
    hello = {"name": "risk--hello"}
    assert [(row.name, json.loads(row.body)["data"]) for row in Delivery.objects.order_by("id")] == [
        ("model_version_tag.deleted", {**about, "key": "goes"}),
        ("model_version_tag.set", {**about, "key": "other", "value": "2"}),
        ("model_version_tag.set", {**about, "key": "new", "value": "3"}),
        ("prompt_tag.set", {**hello, "key": "area", "value": "mail"}),
        (
            "prompt_version_stage.transitioned",
            {**hello, "version": "1", "from_stage": "None", "to_stage": "Staging"},
        ),
    ]


def test_stages_and_environments_narrow_what_is_heard_of_deployments(people):
    for name, fields in {
        "eu": {},
        "test": {"followed": "staging"},
        "champions": {"follows": "alias", "followed": "champion"},
    }.items():
        environments.set_up(name, by=people.root, **fields)
    events = ["deployment.started", "version.promoted"]
    hook(people.root, name="staging", events=events, stages=["staging"])
    hook(people.root, name="eu", events=events, environments=["eu"])
    model = builders.model("risk/fraud", by=people.alice)
    version = builders.complete_version(model, by=people.bob)
    promotions.move(version, to="staging", by=people.alice)
    promotions.move(version, to="production", by=people.carol)
    lifecycle.set_alias(model, name="champion", version=version, by=people.alice)
    dispatch()
    heard = [
        (row.webhook.name, row.name, json.loads(row.body)["data"].get("environment"))
        for row in Delivery.objects.select_related("webhook").order_by("webhook__pk", "id")
    ]
    # What is about no stage or no environment comes all the same, and a move also to who hears of where it was from.
    assert heard == [
        ("staging", "deployment.started", "test"),
        ("staging", "version.promoted", None),
        ("staging", "deployment.started", "champions"),
        ("eu", "version.promoted", None),
        ("eu", "deployment.started", "eu"),
    ]
    with pytest.raises(Invalid, match="no environment “gone”"):
        hook(people.root, environments=["eu", "gone"])


def test_who_is_told_to_deploy_in_an_environment(people):
    eu = environments.set_up("eu", team=people.risk, by=people.erin)
    started = {"events": ["deployment.started"]}
    hook(people.root, name="all", **started)
    hook(people.root, name="risk", team=people.risk, environments=["eu"], **started)
    hook(people.root, name="paused", status="paused", stages=["production"], **started)
    environments.set_up("us", by=people.root)
    for name, fields in {
        "vision": {"team": people.vision},
        "elsewhere": {"environments": ["us"]},
        "other": {"stages": ["staging"]},
        "off": {"status": "disabled"},
    }.items():
        hook(people.root, name=name, **started, **fields)
    hook(people.root, name="words", events=["deployment.live"])
    assert [one.name for one in hook_filters.deploying(eu)] == ["all", "paused", "risk"]
