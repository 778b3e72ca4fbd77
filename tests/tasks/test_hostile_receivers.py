"""Receivers that hang, lead elsewhere, send without end or break TLS: handled, logged, and no harm to anybody."""

from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from models_app import outbound
from models_app.models import Delivery, DeliveryAttempt
from models_app.registry import webhooks
from models_app.tasks.deliveries import deliver
from models_app.tasks.dispatcher import dispatch
from tests import builders
from tests.receiver import raw, receiver

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_is_enough]


def told_by(people, settings, url):
    """How a message to this address went."""
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    settings.WEBHOOK_SCHEMES = ["http", "https"]
    webhooks.create_webhook("hook", url=url, events=["registered_model.created"], by=people.root)
    builders.model(by=people.bob)
    dispatch()
    assert deliver() == 1
    return Delivery.objects.get().state, DeliveryAttempt.objects.get()


def test_it_hangs(people, settings, monkeypatch):
    monkeypatch.setattr(outbound, "TIMEOUT", 0.3)
    over = threading.Event()
    with raw(lambda connection: over.wait(20)) as port:
        state, attempt = told_by(people, settings, f"http://127.0.0.1:{port}/")
        over.set()
    assert (state, attempt.status) == ("waiting", None)
    assert "did not answer within 0.3 seconds" in attempt.error
    assert attempt.duration_ms >= 300


def test_it_redirects_to_a_private_address(people, settings):
    with receiver() as inner, receiver() as told:
        told.answer(307, Location=inner.url)
        state, attempt = told_by(people, settings, told.url)
    assert (state, attempt.status, inner.received) == ("failed", 307, [])
    assert "Redirects are not followed" in attempt.error


def test_it_sends_a_gigabyte_back(people, settings):
    sent = []

    def talk(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
        with suppress(OSError):
            for _ in range(1 << 14):
                connection.sendall(b"x" * 65536)
                sent.append(1)

    with raw(talk) as port:
        state, attempt = told_by(people, settings, f"http://127.0.0.1:{port}/")
    assert (state, attempt.status, attempt.answer) == ("delivered", 200, "x" * 2000)
    # What is beyond lies in the buffers of the network.
    assert len(sent) < 1 << 10


def test_it_breaks_tls(people, settings):
    with raw(lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        state, attempt = told_by(people, settings, f"https://127.0.0.1:{port}/")
    assert (state, attempt.status) == ("waiting", None)
    assert "127.0.0.1" in attempt.error
