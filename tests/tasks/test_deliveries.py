"""Messages on their way: sent, tried again, given up, shared by workers. Against a real receiver."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
import time
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from models_app.models import (
    AuditEvent,
    Delivery,
    DeliveryAttempt,
    DeliveryLane,
    DeliveryState,
    Notice,
    Webhook,
)
from models_app.registry import backoff, deliveries, delivery_log, hook_health, hook_sending, webhooks
from models_app.registry.errors import Forbidden
from models_app.tasks import deliveries as sending
from models_app.tasks import periodic
from models_app.tasks.deliveries import Sender, deliver
from models_app.tasks.dispatcher import Dispatcher, dispatch
from tests import builders
from tests.receiver import raw

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("loopback")]
SECRET = "s3cret ü"


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
    """As if the time till the next attempt, or of a lease, had passed."""
    DeliveryLane.objects.update(not_before=timezone.now())
    Webhook.objects.update(hold_until=None)
    if changes:
        Delivery.objects.filter(state=DeliveryState.WAITING).update(**changes)


def next_attempt():
    return DeliveryLane.objects.get().not_before - timezone.now()


def log():
    return list(DeliveryAttempt.objects.order_by("id"))


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
    assert (row.state, row.attempts, row.response_status, row.error) == (DeliveryState.DELIVERED, 1, 200, "")
    assert row.duration_ms is not None
    (attempt,) = log()
    assert (attempt.at, attempt.status, attempt.answer) == (row.last_attempt_at, 200, "thanks")
    assert attempt.headers.items() <= got.headers.items()
    assert not DeliveryLane.objects.exists()
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
    assert row.error == f"Answered with status {status}."
    assert timedelta(seconds=6) < next_attempt() < timedelta(seconds=13)
    assert deliver() == 0
    wait_over()
    deliver()
    assert Delivery.objects.get().state == DeliveryState.DELIVERED
    assert [(one.status, len(one.answer)) for one in log()] == [(status, 2000), (200, 0)]
    first, second = told.received
    assert first.body == second.body
    assert first.headers["X-MLflow-Delivery-Id"] == second.headers["X-MLflow-Delivery-Id"]


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410])
def test_other_answers_are_final(people, hook, told, status):
    told.answer(status, Location="http://127.0.0.1:1/")
    happen(people)
    deliver()
    row = Delivery.objects.get()
    assert (row.state, row.response_status) == (DeliveryState.FAILED, status)
    assert not DeliveryLane.objects.exists()


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
    assert timedelta(minutes=59) < next_attempt() <= timedelta(hours=1)


def test_after_a_day_it_is_given_up(people, hook, told):
    told.answer(500)
    happen(people)
    wait_over(queued_at=timezone.now() - timedelta(hours=24))
    deliver()
    assert Delivery.objects.get().state == DeliveryState.FAILED
    assert not DeliveryLane.objects.exists()


def test_waits_double_up_to_hours_and_the_last_attempt_is_when_the_day_is_over(people, hook, told):
    waits = [backoff.wait_after(n) for n in range(1, 40)]
    assert all(
        timedelta(seconds=7.5) * 2**n <= wait <= timedelta(seconds=12.5) * 2**n
        for n, wait in enumerate(waits[:10])
    )
    assert max(waits) <= timedelta(hours=5)
    assert len({backoff.wait_after(3) for _ in range(10)}) > 1
    told.answer(500)
    happen(people)
    age, attempts = timedelta(), 0
    while Delivery.objects.get().state == DeliveryState.WAITING:
        wait_over(queued_at=timezone.now() - age)
        deliver()
        attempts += 1
        age += next_attempt() if DeliveryLane.objects.exists() else timedelta()
    assert timedelta(hours=23, minutes=59) < age < timedelta(hours=24, minutes=1)
    assert 14 < attempts < 20


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
    assert len(deliveries.take(limit=1)) == 1
    # It is killed here. Until its lease ends nobody else takes the message.
    assert deliver() == 0
    assert timedelta(seconds=40) < next_attempt() < timedelta(minutes=3)
    wait_over()
    assert deliver() == 1
    assert Delivery.objects.get().state == DeliveryState.DELIVERED


def test_who_was_too_slow_does_not_overrule_who_took_over(people, hook, told):
    happen(people)
    (slow,) = deliveries.take(limit=1)
    wait_over()
    (quick,) = deliveries.take(limit=1)
    away = hook_sending.Attempt(timezone.now(), None, None, "away", 1, may_retry=False)
    late = deliveries.Sent(slow, slow.messages[0], away)
    deliveries.note([late])
    deliveries.give_back(slow, [late])
    assert (Delivery.objects.get().state, deliver()) == (DeliveryState.WAITING, 0)
    message = quick.messages[0]
    done = deliveries.Sent(
        quick, message, hook_sending.send(hook, delivery_id=message.uid, body=message.body)
    )
    deliveries.note([done])
    deliveries.note([late])
    deliveries.give_back(quick, [done])
    assert Delivery.objects.get().state == DeliveryState.DELIVERED
    assert not DeliveryLane.objects.exists()


def test_what_is_written_while_a_lane_is_in_hand_is_sent_too(people, hook, told):
    model = builders.model("risk/a", by=people.bob)
    dispatch()
    (batch,) = deliveries.take(limit=1)
    webhooks.update_webhook(
        hook, by=people.root, events=["registered_model.created", "model_version.created"]
    )
    builders.version(model, by=people.bob)
    dispatch()
    message = batch.messages[0]
    sent = [
        deliveries.Sent(batch, message, hook_sending.send(hook, delivery_id=message.uid, body=message.body))
    ]
    deliveries.note(sent)
    deliveries.give_back(batch, sent)
    assert deliver() == 1
    assert [got.json["entity"] for got in told.received] == ["registered_model", "model_version"]


def test_a_model_that_has_trouble_keeps_its_order_and_holds_up_no_other(people, hook, told):
    webhooks.update_webhook(hook, by=people.root, events=["model_version.created"])
    first, other = (builders.model(name, by=people.bob) for name in ("risk/a", "risk/b"))
    for model in (first, first, other, first):
        builders.version(model, by=people.bob)
    dispatch()
    told.answers = [(500, {}, b""), (200, {}, b"")]
    assert deliver() == 2
    wait_over()
    assert deliver() == 3
    seen = [(got.json["data"]["name"], got.json["data"]["version"]) for got in told.received]
    assert seen == [("risk--a", "1"), ("risk--b", "1"), ("risk--a", "1"), ("risk--a", "2"), ("risk--a", "3")]


def test_a_message_given_up_makes_way(people, hook, told):
    webhooks.update_webhook(hook, by=people.root, events=["model_version.created"])
    model = builders.model("risk/a", by=people.bob)
    for _ in range(25):
        builders.version(model, by=people.bob)
    dispatch()
    told.answers = [(404, {}, b""), (200, {}, b"")]
    while deliver():
        pass
    assert [got.json["data"]["version"] for got in told.received] == [str(n) for n in range(1, 26)]
    states = Delivery.objects.order_by("id").values_list("state", flat=True)
    assert list(states) == ["failed", *["delivered"] * 24]
    assert delivery_log.redeliver_dead(hook, by=people.root) == 1
    assert deliver() == 1
    assert not Delivery.objects.exclude(state="delivered").exists()


def test_site_admins_send_again(people, hook, told):
    told.answers = [(404, {}, b""), (200, {}, b"")]
    happen(people)
    deliver()
    row = Delivery.objects.get()
    with pytest.raises(Forbidden):
        delivery_log.redeliver(row, by=people.alice)
    delivery_log.redeliver(row, by=people.root)
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


def test_who_fails_for_a_day_is_paused_told_of_and_goes_on_by_hand(people, hook, told, settings):
    settings.MAIL_IS_ON = True
    told.answer(500)
    happen(people, "risk/a")
    deliver()
    assert Webhook.objects.get().hold_until > timezone.now()
    wait_over()
    Webhook.objects.update(failing_since=timezone.now() - timedelta(hours=25))
    deliver()
    assert Webhook.objects.get().status == "paused"
    assert "24 hours: Answered with status 500" in Webhook.objects.get().pause_reason
    happen(people, "risk/b")
    wait_over()
    assert deliver() == 0
    notice = Notice.objects.get()
    assert (notice.user, notice.subject) == (people.root.user, "Paused: the webhook hook")
    told.answer(200)
    webhooks.update_webhook(hook, by=people.root, status="active")
    assert deliver() == 2
    assert [got.json["data"]["name"] for got in told.received[2:]] == ["risk--a", "risk--b"]
    back = Webhook.objects.get()
    assert (back.failures, back.failing_since, back.pause_reason) == (0, None, "")


@pytest.mark.parametrize(("status", "times"), [(410, 1), (404, hook_health.REFUSALS)])
def test_who_is_gone_or_refuses_everything_is_paused(people, hook, told, status, times):
    told.answer(status)
    for n in range(times):
        assert Webhook.objects.get().status == "active"
        happen(people, f"risk/m{n}")
        deliver()
    assert Webhook.objects.get().status == "paused"
    assert AuditEvent.objects.filter(verb="webhook.paused").count() == 1


def test_a_receiver_that_is_back_gets_at_once_what_waited(people, hook, told):
    told.answer(500)
    happen(people, "risk/a")
    for _ in range(hook_health.BACK_AFTER):
        deliver()
        wait_over()
    deliver()
    Webhook.objects.update(hold_until=None)
    told.answer(200)
    happen(people, "risk/b")
    assert (deliver(), deliver()) == (1, 1)
    assert not Delivery.objects.exclude(state="delivered").exists()


def run(*senders, until):
    """Have them work till it is so."""
    for sender in senders:
        sender.begin()
    deadline = time.monotonic() + 30
    while not until() and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.django_db(transaction=True)
def test_a_slow_hook_delays_no_other(people, told):
    free = threading.Event()
    with raw(lambda connection: free.wait(20)) as port:
        for n in range(2 * sending.FOR_DOUBTFUL):
            make_hook(people, f"http://127.0.0.1:{port}/", f"slow{n}")
        make_hook(people, told.url, "quick")
        happen(people)
        sender = Sender()
        try:
            run(sender, until=told.seen.is_set)
            assert told.seen.is_set()
        finally:
            free.set()
            sender.end()
    quick = Delivery.objects.get(webhook__name="quick")
    assert quick.state == DeliveryState.DELIVERED


@pytest.mark.django_db(transaction=True)
def test_several_workers_share(people, told):
    """Each message arrives once, and those of a model in their order."""
    for n in range(4):
        make_hook(people, told.url, f"hook{n}", events=["model_version.created"])
    models = [builders.model(f"risk/m{n}", by=people.bob) for n in range(3)]
    for _ in range(4):
        for model in models:
            builders.version(model, by=people.bob)
    senders = [Sender() for _ in range(3)]
    dispatchers = [Dispatcher(poll=0.01, then=sender.wake) for sender in senders]
    for dispatcher in dispatchers:
        dispatcher.begin()
    run(*senders, until=lambda: Delivery.objects.filter(state=DeliveryState.DELIVERED).count() == 48)
    for one in [*dispatchers, *senders]:
        one.end()
    uids = [got.headers["X-MLflow-Delivery-Id"] for got in told.received]
    assert len(uids) == len(set(uids)) == 48
    assert not DeliveryLane.objects.exists()
    hooks = dict(Delivery.objects.values_list("uid", "webhook"))
    seen = {}
    for uid, got in zip(uids, told.received, strict=True):
        data = got.json["data"]
        seen.setdefault((hooks[uid], data["name"]), []).append(data["version"])
    assert len(seen) == 12
    assert all(numbers == ["1", "2", "3", "4"] for numbers in seen.values())
