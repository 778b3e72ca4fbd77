"""Messages on their way: sent, tried again, given up, shared by workers. Against a real receiver."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from models_app.models import AuditEvent, Delivery, DeliveryState, Webhook
from models_app.registry import deliveries, webhooks
from models_app.registry.errors import Forbidden
from models_app.tasks import periodic
from models_app.tasks.deliveries import Turns, deliver
from models_app.tasks.dispatcher import dispatch
from tests import builders
from tests.receiver import raw, receiver

pytestmark = pytest.mark.django_db
SECRET = "s3cret ü"


@pytest.fixture(autouse=True)
def _loopback(settings):
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    settings.WEBHOOK_SCHEMES = ["http"]


@pytest.fixture
def told():
    with receiver() as running:
        yield running


@pytest.fixture
def hook(people, told):
    return make_hook(people, told.url)


def make_hook(people, url, name="hook", **fields):
    fields = {"secret": SECRET, "events": ["registered_model.created"], **fields}
    return webhooks.create_webhook(name, url=url, by=people.root, **fields)


def happen(people, name="risk/fraud-detector"):
    builders.model(name, by=people.bob)
    dispatch()


def wait_over(**changes):
    """As if the time till the next attempt had passed."""
    Delivery.objects.filter(state=DeliveryState.WAITING).update(next_attempt_at=timezone.now(), **changes)


def verify(received, secret):
    """As MLflow's documentation tells receivers to."""
    headers = received.headers
    stamp, delivery = headers["X-MLflow-Timestamp"], headers["X-MLflow-Delivery-Id"]
    assert abs(time.time() - int(stamp)) < 300
    version, _, signature = headers["X-MLflow-Signature"].partition(",")
    signed = f"{delivery}.{stamp}.{received.body.decode()}"
    expected = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    return version == "v1" and hmac.compare_digest(signature, base64.b64encode(expected).decode())


def test_a_message_arrives_signed_and_is_noted(people, hook, told):
    happen(people)
    assert deliver() == 1
    (got,) = told.received
    row = Delivery.objects.get()
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["X-MLflow-Delivery-Id"] == row.uid
    assert verify(got, SECRET)
    assert not verify(got, "another")
    assert got.json == {
        "entity": "registered_model",
        "action": "created",
        "timestamp": row.event.created_at.isoformat(),
        "data": {"name": "risk--fraud-detector", "tags": {}, "description": None},
    }
    assert (row.state, row.attempts, row.next_attempt_at) == (DeliveryState.DELIVERED, 1, None)
    assert (row.response_status, row.response_body, row.error) == (200, "thanks", "")
    assert row.duration_ms is not None
    assert row.last_attempt_at is not None
    assert deliver() == 0


def test_without_a_secret_nothing_is_signed(people, hook, told):
    webhooks.update_webhook(hook, by=people.root, secret="")
    happen(people)
    deliver()
    assert "X-MLflow-Signature" not in told.received[0].headers


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_it_is_tried_again_with_the_same_id_and_body(people, hook, told, status):
    told.answers = [(status, {}, b"x" * 5000), (200, {}, b"")]
    happen(people)
    deliver()
    row = Delivery.objects.get()
    assert (row.state, row.attempts, row.response_status) == (DeliveryState.WAITING, 1, status)
    assert (len(row.response_body), row.error) == (1000, f"Answered with status {status}.")
    assert timedelta(seconds=6) < row.next_attempt_at - timezone.now() < timedelta(seconds=13)
    assert deliver() == 0
    wait_over()
    deliver()
    assert Delivery.objects.get().state == DeliveryState.DELIVERED
    first, second = told.received
    assert first.body == second.body
    assert first.headers["X-MLflow-Delivery-Id"] == second.headers["X-MLflow-Delivery-Id"]


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410])
def test_other_answers_are_final(people, hook, told, status):
    told.answer(status, Location="http://127.0.0.1:1/")
    happen(people)
    deliver()
    row = Delivery.objects.get()
    assert (row.state, row.next_attempt_at, row.response_status) == (DeliveryState.FAILED, None, status)


def test_a_receiver_that_is_away_is_tried_again(people):
    with raw(lambda connection: None) as port:
        make_hook(people, f"http://127.0.0.1:{port}/")
    happen(people)
    deliver()
    row = Delivery.objects.get()
    assert (row.state, row.response_status) == (DeliveryState.WAITING, None)
    assert "Cannot connect" in row.error


def test_the_receiver_says_when_to_come_back(people, hook, told):
    told.answer(503, Retry_After="3600")
    happen(people)
    deliver()
    left = Delivery.objects.get().next_attempt_at - timezone.now()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)


def test_after_a_day_it_is_given_up(people, hook, told):
    told.answer(500)
    happen(people)
    wait_over(created_at=timezone.now() - timedelta(hours=24))
    deliver()
    assert Delivery.objects.get().state == DeliveryState.FAILED


def test_waits_double_up_to_hours_and_fill_a_day():
    waits = [deliveries.wait_after(n) for n in range(1, 40)]
    assert all(
        timedelta(seconds=7.5) * 2**n <= wait <= timedelta(seconds=12.5) * 2**n
        for n, wait in enumerate(waits[:10])
    )
    assert max(waits) <= timedelta(hours=5)
    total, attempts = timedelta(), 0
    while total < deliveries.GIVE_UP:
        total += deliveries.wait_after(attempts := attempts + 1)
    assert 10 < attempts < 25
    assert len({deliveries.wait_after(3) for _ in range(10)}) > 1


def test_an_address_that_turned_private_is_not_called(people, hook, told, settings):
    happen(people)
    settings.OUTBOUND_ALLOW = []
    deliver()
    row = Delivery.objects.get()
    assert told.received == []
    assert (row.state, row.attempts) == (DeliveryState.FAILED, 1)
    assert "not a public address" in row.error


def test_a_disabled_hook_waits_and_goes_on_later(people, hook, told):
    happen(people)
    webhooks.update_webhook(hook, by=people.root, status="disabled")
    assert deliver() == 0
    webhooks.update_webhook(hook, by=people.root, status="active")
    assert deliver() == 1
    assert len(told.received) == 1


def test_a_deleted_hook_is_told_nothing(people, hook, told):
    happen(people)
    webhooks.delete_webhook(hook, by=people.root)
    assert deliver() == 0


def test_a_killed_worker_loses_nothing(people, hook, told):
    happen(people)
    assert deliveries.claim(hook.pk) is not None
    # It is killed here. Until its lease ends nobody else takes the message.
    assert deliver() == 0
    assert (
        timedelta(seconds=60) < Delivery.objects.get().next_attempt_at - timezone.now() < timedelta(minutes=3)
    )
    wait_over()
    assert deliver() == 1
    row = Delivery.objects.get()
    assert (row.state, row.attempts) == (DeliveryState.DELIVERED, 2)


def test_who_was_too_slow_does_not_overrule_who_took_over(people, hook, told):
    happen(people)
    slow = deliveries.claim(hook.pk)
    wait_over()
    quick = deliveries.claim(hook.pk)
    failed = webhooks.Attempt(None, "away", 1, may_retry=False)
    deliveries.settle(slow, failed)
    assert Delivery.objects.get().state == DeliveryState.WAITING
    deliveries.settle(quick, webhooks.send(hook, delivery_id=quick.uid, body=quick.body))
    deliveries.settle(slow, failed)
    assert Delivery.objects.get().state == DeliveryState.DELIVERED


def test_messages_of_one_hook_keep_their_order_and_stop_at_the_first_that_fails(people, hook, told):
    for name in ("risk/a", "risk/b", "risk/c"):
        happen(people, name)
    told.answers = [(200, {}, b""), (500, {}, b"")]
    assert deliver() == 2
    assert [got.json["data"]["name"] for got in told.received] == ["risk--a", "risk--b"]


def test_site_admins_send_again(people, hook, told):
    told.answers = [(404, {}, b""), (200, {}, b"")]
    happen(people)
    deliver()
    row = Delivery.objects.get()
    with pytest.raises(Forbidden):
        deliveries.redeliver(row, by=people.alice)
    deliveries.redeliver(row, by=people.root)
    deliver()
    row.refresh_from_db()
    assert (row.state, row.attempts) == (DeliveryState.DELIVERED, 1)
    assert told.received[0].body == told.received[1].body
    assert AuditEvent.objects.filter(verb="webhook.redelivered").count() == 1


def test_old_messages_are_forgotten(people, hook):
    happen(people, "risk/a")
    Delivery.objects.update(created_at=timezone.now() - timedelta(days=31))
    happen(people, "risk/b")
    assert periodic.tidy()["deliveries"] == 1
    assert Delivery.objects.count() == 1


def test_the_worker_tells(people, hook, told):
    builders.model(by=people.bob)
    call_command("run_worker", once=True)
    assert len(told.received) == 1


@pytest.mark.django_db(transaction=True)
def test_a_slow_hook_delays_no_other(people, told):
    free = threading.Event()
    with raw(lambda connection: free.wait(5)) as port:
        make_hook(people, f"http://127.0.0.1:{port}/", "slow")
        make_hook(people, told.url, "quick")
        happen(people)
        turns = Turns()
        assert turns.begin() == 2
        try:
            assert told.seen.wait(5)
            assert turns.begin() == 0
        finally:
            free.set()
            turns.end()
    states = dict(Delivery.objects.values_list("webhook__name", "state"))
    assert states == {"slow": DeliveryState.WAITING, "quick": DeliveryState.DELIVERED}


@pytest.mark.django_db(transaction=True)
def test_several_workers_share(people, told):
    for n in range(4):
        make_hook(people, told.url, f"hook{n}")
    for n in range(5):
        happen(people, f"risk/m{n}")
    workers = [Turns() for _ in range(3)]
    until = time.monotonic() + 20
    while Delivery.objects.filter(state=DeliveryState.WAITING).exists() and time.monotonic() < until:
        for worker in workers:
            worker.begin()
        time.sleep(0.02)
    for worker in workers:
        worker.end()
    ids = [got.headers["X-MLflow-Delivery-Id"] for got in told.received]
    assert len(ids) == len(set(ids)) == 20
    assert Webhook.objects.count() == 4
    assert {json.loads(got.body)["data"]["name"] for got in told.received} == {
        f"risk--m{n}" for n in range(5)
    }
