"""Webhooks in the admin: site admins look, switch off, send again."""

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.urls import reverse
from django.utils import timezone

from models_app.models import Delivery, DeliveryState, User
from models_app.registry import deliveries, webhooks
from models_app.registry import people as verbs
from models_app.registry.hook_sending import Attempt
from models_app.tasks.dispatcher import dispatch
from tests import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def hook(people, settings):
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    return webhooks.create_webhook(
        "hook",
        url="https://127.0.0.1/x",
        events=["registered_model.created"],
        secret="s3cret",
        by=people.root,
    )


@pytest.fixture
def root(client, people):
    client.force_login(people.root.user)
    return client


def act(client, table, action, row):
    data = {"action": action, ACTION_CHECKBOX_NAME: [row.pk]}
    return client.post(reverse(f"admin:models_app_{table}_changelist"), data, follow=True)


def change(row):
    return reverse(f"admin:models_app_{row._meta.model_name}_change", args=[row.pk])


def test_the_secret_is_not_shown_and_nothing_is_edited(root, hook):
    page = root.get(change(hook)).content.decode()
    assert hook.secret not in page
    assert 'name="url"' not in page
    assert root.post(change(hook), {"name": "other"}).status_code == 403


def test_a_hook_is_disabled(root, hook):
    assert "1 disabled" in act(root, "webhook", "disable", hook).content.decode()
    hook.refresh_from_db()
    assert hook.status == "disabled"


def test_a_message_is_sent_again(root, hook, people):
    builders.model(by=people.bob)
    dispatch()
    (batch,) = deliveries.take(limit=1)
    refused = Attempt(timezone.now(), None, None, "no", 1, may_retry=False)
    sent = [deliveries.Sent(batch, batch.messages[0], refused)]
    deliveries.note(sent)
    deliveries.give_back(batch, sent)
    row = Delivery.objects.get()
    assert row.state == DeliveryState.FAILED
    page = root.get(change(row)).content.decode()
    assert "registered_model" in page
    assert "1 will be sent again" in act(root, "delivery", "redeliver", row).content.decode()
    assert Delivery.objects.get().state == DeliveryState.WAITING


def test_others_with_access_to_the_admin_see_none(client, hook, people):
    verbs.set_account(people.erin.user, by=people.root, is_active=True, is_staff=True, is_site_admin=False)
    client.force_login(User.objects.get(username="erin"))
    assert client.get(reverse("admin:models_app_webhook_changelist")).status_code == 403
