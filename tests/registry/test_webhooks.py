"""Who may make webhooks, what of them is kept, and which events reach which."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from django.db import transaction

from models_app.models import AuditEvent, Delivery, Membership, OutboxEvent, Role, Visibility, Webhook
from models_app.registry import (
    catalog,
    deliveries,
    hook_events,
    lifecycle,
    promotions,
    secrets,
    tags,
    webhooks,
)
from models_app.registry.errors import Damaged, Forbidden, Invalid, NotFound, Unauthenticated
from models_app.tasks.dispatcher import dispatch
from tests import builders

pytestmark = pytest.mark.django_db
URL = "https://127.0.0.1/services/T0/verysecret"


@pytest.fixture(autouse=True)
def _allowed(settings):
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]


def hook(by, *, events=("registered_model.created",), name="hook", **fields):
    return webhooks.create_webhook(name, url=URL, events=events, by=by, **fields)


def told():
    """What waits for which hook: (hook, event, data), oldest first; the outbox is handed on first."""
    dispatch()
    rows = Delivery.objects.order_by("id").select_related("webhook")
    return [(row.webhook.name, row.name, json.loads(row.body)["data"]) for row in rows]


# --- who may --------------------------------------------------------------------------------------------------


def test_site_admins_make_hooks_of_the_site_and_team_admins_of_their_team(people):
    assert hook(people.root).team is None
    assert hook(people.erin).team == people.risk


@pytest.mark.parametrize("name", ["alice", "bob", "carol", "dave", "charlie"])
def test_nobody_else_makes_or_sees_any(people, name):
    made = hook(people.root)
    stranger = getattr(people, name)
    for call in (
        lambda: hook(stranger),
        lambda: webhooks.get_webhook(made.uid, by=stranger),
        lambda: webhooks.webhooks_for(stranger),
        lambda: webhooks.update_webhook(made, by=stranger, name="x"),
        lambda: webhooks.delete_webhook(made, by=stranger),
        lambda: webhooks.send_example(made, by=stranger),
    ):
        with pytest.raises(Forbidden):
            call()
    with pytest.raises(Unauthenticated):
        hook(people.anonymous)


def test_a_team_admin_sees_hooks_of_that_team_only(people):
    site, theirs = hook(people.root), hook(people.erin)
    assert list(webhooks.webhooks_for(people.erin)) == [theirs]
    assert set(webhooks.webhooks_for(people.root)) == {site, theirs}
    with pytest.raises(NotFound):
        webhooks.get_webhook(site.uid, by=people.erin)
    with pytest.raises(Forbidden):
        webhooks.update_webhook(site, by=people.erin, name="mine")


def test_an_admin_of_two_teams_has_to_choose(people):
    Membership.objects.create(user=people.erin.user, team=people.vision, role=Role.ADMIN)
    erin = type(people.erin).of(people.erin.user, door="shell")
    with pytest.raises(Invalid, match="several teams"):
        hook(erin)
    erin.user.default_team = people.vision
    assert hook(erin).team == people.vision


# --- fields ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "A-1.b_c", "x" * 63])
def test_names(people, name):
    assert hook(people.root, name=name).name == name


@pytest.mark.parametrize("name", ["", "-a", "a-", ".a", "a b", "ä", "x" * 64, "a\n", None, 5])
def test_no_names(people, name):
    with pytest.raises(Invalid, match="name: "):
        hook(people.root, name=name)


def test_every_wrong_field_is_named_at_once(people):
    with pytest.raises(Invalid) as refused:
        webhooks.create_webhook(
            "-", url="http://10.0.0.1/", events=[], secret="x" * 1001, status="on", by=people.root
        )
    assert [problem.field for problem in refused.value.problems] == [
        "name",
        "url",
        "events",
        "secret",
        "status",
    ]


def test_events_must_be_known_and_count_once(people):
    made = hook(people.root, events=["prompt.created", "budget_policy.exceeded", "prompt.created"])
    assert made.events == ["prompt.created", "budget_policy.exceeded"]
    for unknown in ("model_version.updated", "nonsense", ""):
        with pytest.raises(Invalid, match="no event"):
            hook(people.root, events=[unknown])


def test_an_address_that_may_not_be_called_is_refused_at_creation_and_at_change(people, settings):
    made = hook(people.root)
    settings.OUTBOUND_ALLOW = []
    with pytest.raises(Invalid, match="not a public address"):
        hook(people.root)
    with pytest.raises(Invalid, match="not a public address"):
        webhooks.update_webhook(made, url="https://[::ffff:127.0.0.1]/", by=people.root)


def test_secrets_are_kept_encrypted_and_no_record_has_them(people):
    made = hook(people.root, secret="s3cret")
    assert "s3cret" not in made.secret
    assert secrets.decrypt(made.secret) == "s3cret"
    webhooks.update_webhook(made, by=people.root, secret="an0ther", description="d")
    webhooks.update_webhook(made, by=people.root, secret="")
    assert Webhook.objects.get().secret == ""
    webhooks.delete_webhook(made, by=people.root)
    rows = AuditEvent.objects.filter(verb__startswith="webhook.").order_by("id")
    assert [row.verb for row in rows] == [
        "webhook.created",
        "webhook.updated",
        "webhook.updated",
        "webhook.deleted",
    ]
    written = json.dumps([[row.before, row.after] for row in rows])
    for word in ("s3cret", "an0ther", "verysecret", made.secret):
        assert word not in written
    assert rows[0].after["url"] == "https://127.0.0.1/…"
    assert rows[2].after["secret"] == "none"


def test_the_key_changes_and_secrets_are_read_and_renewed(people, settings):
    made = hook(people.root, secret="s3cret")
    former, settings.SECRET_KEY = settings.SECRET_KEY, "another-key-" * 6
    with pytest.raises(Damaged, match="another secret key"):
        secrets.decrypt(made.secret)
    assert webhooks.renew_secrets() == 0
    settings.SECRET_KEY_FALLBACKS = [former]
    assert secrets.decrypt(made.secret) == "s3cret"
    assert webhooks.renew_secrets() == 1
    assert webhooks.renew_secrets() == 0
    settings.SECRET_KEY_FALLBACKS = []
    assert secrets.decrypt(Webhook.objects.get().secret) == "s3cret"


def test_nothing_is_sent_unsigned_because_the_secret_cannot_be_read(people, settings):
    made = hook(people.root, secret="s3cret")
    settings.SECRET_KEY = "another-key-" * 6
    attempt = webhooks.send_example(made, by=people.root)
    assert (attempt.ok, attempt.reply) == (False, None)
    assert "MODELRY_SECRET_KEY_FALLBACKS" in attempt.error


# --- which events reach whom ------------------------------------------------------------------------------------


def test_every_event_of_a_model_in_mlflows_words(people):
    hook(people.root, events=list(hook_events.EXAMPLES))
    model = builders.model(by=people.bob, card="Finds fraud.", tags={"area": "cards"})
    version = builders.version(
        model,
        by=people.bob,
        tags={"k": "v"},
        description="first",
        training_run_id="abc",
        source="runs:/abc/model",
    )
    lifecycle.set_alias(model, name="champion", version=version, by=people.bob)
    lifecycle.delete_alias(model, name="champion", by=people.bob)
    promotions.move(version, to="staging", by=people.bob)
    tags.set_version_tag(version, key="k", value="w", by=people.bob)
    tags.delete_version_tag(version, key="k", by=people.bob)
    # Of these MLflow tells nobody.
    tags.set_model_tag(model, key="k", value="w", by=people.alice)
    catalog.update_model(model, by=people.alice, card="Else.")
    name = "risk--fraud-detector"
    assert [row[1:] for row in told()] == [
        (
            "registered_model.created",
            {"name": name, "tags": {"area": "cards"}, "description": "Finds fraud."},
        ),
        (
            "model_version.created",
            {
                "name": name,
                "version": "1",
                "source": "runs:/abc/model",
                "run_id": "abc",
                "tags": {"k": "v"},
                "description": "first",
            },
        ),
        ("model_version_alias.created", {"name": name, "alias": "champion", "version": "1"}),
        ("model_version_alias.deleted", {"name": name, "alias": "champion"}),
        (
            "model_version_stage.transitioned",
            {"name": name, "version": "1", "from_stage": "None", "to_stage": "Staging"},
        ),
        ("model_version_tag.set", {"name": name, "version": "1", "key": "k", "value": "w"}),
        ("model_version_tag.deleted", {"name": name, "version": "1", "key": "k"}),
    ]


def test_every_event_of_a_prompt(people):
    hook(people.root, events=list(hook_events.EXAMPLES))
    marks = {"mlflow.prompt.is_prompt": "true", "_mlflow_prompt_type": "text"}
    prompt = builders.model("greeting", by=people.bob, tags={**marks, "area": "mail"}, team="risk")
    version = builders.version(
        prompt, by=people.bob, tags={**marks, "mlflow.prompt.text": "Hello {{name}}!", "k": "v"}
    )
    lifecycle.set_alias(prompt, name="live", version=version, by=people.bob)
    lifecycle.delete_alias(prompt, name="live", by=people.bob)
    tags.set_version_tag(version, key="k", value="w", by=people.bob)
    tags.delete_version_tag(version, key="k", by=people.bob)
    tags.set_model_tag(prompt, key="k", value="w", by=people.bob)
    tags.delete_model_tag(prompt, key="k", by=people.bob)
    tag = {"name": "greeting", "key": "k"}
    assert [row[1:] for row in told()] == [
        ("prompt.created", {"name": "greeting", "tags": {"area": "mail"}, "description": None}),
        (
            "prompt_version.created",
            {
                "name": "greeting",
                "version": "1",
                "template": "Hello {{name}}!",
                "tags": {"k": "v"},
                "description": None,
            },
        ),
        ("prompt_alias.created", {"name": "greeting", "alias": "live", "version": "1"}),
        ("prompt_alias.deleted", {"name": "greeting", "alias": "live"}),
        ("prompt_version_tag.set", {**tag, "version": "1", "value": "w"}),
        ("prompt_version_tag.deleted", {**tag, "version": "1"}),
        ("prompt_tag.set", {**tag, "value": "w"}),
        ("prompt_tag.deleted", tag),
    ]


def test_what_came_without_a_source_is_its_own(people):
    hook(people.root, events=["model_version.created"])
    builders.version(builders.model(by=people.bob), by=people.bob)
    ((_, _, data),) = told()
    assert (data["source"], data["run_id"]) == ("models:/risk--fraud-detector/1", None)


def test_hooks_of_a_team_hear_of_its_models_only_private_ones_included(people):
    hook(people.root, name="site")
    hook(people.erin, name="risk")
    builders.model("risk/private", by=people.bob, visibility=Visibility.TEAM)
    builders.model("vision/private", by=people.charlie, visibility=Visibility.TEAM)
    builders.model("vision/open", by=people.charlie)
    assert [(name, data["name"]) for name, _, data in told()] == [
        ("site", "risk--private"),
        ("risk", "risk--private"),
        ("site", "vision--private"),
        ("site", "vision--open"),
    ]


def test_only_active_hooks_that_asked_for_it_hear(people):
    hook(people.root, name="other", events=["model_version.created"])
    hook(people.root, name="off", status="disabled")
    builders.model(by=people.bob)
    assert told() == []


def test_a_model_that_is_gone_is_still_told_of_where_its_team_does_not_matter(people):
    hook(people.root, name="site")
    hook(people.erin, name="risk")
    model = builders.model(by=people.bob)
    catalog.delete_model(model, by=people.alice)
    assert told() == [
        (
            "site",
            "registered_model.created",
            {"name": "risk--fraud-detector", "tags": {}, "description": None},
        )
    ]


def test_an_event_that_is_handed_on_twice_is_told_once(people):
    hook(people.root)
    builders.model(by=people.bob)
    event = OutboxEvent.objects.get(name="model.registered")
    deliveries.enqueue(event)
    first = Delivery.objects.get()
    deliveries.enqueue(event)
    dispatch()
    assert Delivery.objects.get().uid == first.uid


def test_nothing_is_told_of_what_was_rolled_back(people):
    hook(people.root)
    with suppress(RuntimeError), transaction.atomic():
        builders.model(by=people.bob)
        raise RuntimeError
    assert told() == []


def test_without_hooks_an_event_costs_one_query(people, django_assert_num_queries):
    model = builders.model(by=people.bob)
    event = OutboxEvent.objects.get(model_ref=model.pk)
    with django_assert_num_queries(1):
        deliveries.enqueue(event)
    event.name = "model.renamed"
    with django_assert_num_queries(0):
        deliveries.enqueue(event)
