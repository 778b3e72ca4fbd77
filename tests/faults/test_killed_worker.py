"""SIGKILL of a worker that sends webhooks: what was committed arrives, in order per model; nothing else does."""

import signal
import subprocess
import sys
import threading

from tests.live import ROOT, LiveServer
from tests.receiver import receiver

HAPPEN = """
from django.db import transaction
from models_app.models import User
from models_app.registry import webhooks
from models_app.registry.access import Actor
from tests import builders
root, bob = (Actor.of(User.objects.get(username=name), door="shell") for name in ("root", "bob"))
webhooks.create_webhook("hook", url="{url}", events=["model_version.created"], by=root)
models = [builders.model(f"risk/m{{n}}", by=bob) for n in range(2)]
for n in range(16):
    builders.version(models[n % 2], by=bob)
    try:
        with transaction.atomic():
            builders.version(models[n % 2], by=bob, description="never")
            raise ZeroDivisionError
    except ZeroDivisionError:
        pass
"""
GO_ON = """
from django.core.management import call_command
from django.utils import timezone
from models_app.models import Delivery, DeliveryLane
# As if the lease of the killed one had ended.
DeliveryLane.objects.update(not_before=timezone.now())
call_command("run_worker", once=True)
assert not Delivery.objects.exclude(state="delivered").exists()
assert not DeliveryLane.objects.exists()
"""


def test_nothing_is_lost_or_made_up(live_template, tmp_path):
    reached, gone = threading.Event(), threading.Event()
    with live_template.copy() as database, receiver() as told:
        host = LiveServer(live_template, tmp_path, database)
        host.environment |= {"MODELRY_OUTBOUND_ALLOW": "127.0.0.1", "MODELRY_WEBHOOK_SCHEMES": "http"}
        host.python(source=HAPPEN.format(url=told.url))

        def before():
            if len(told.received) >= 5:
                reached.set()
                gone.wait(60)

        told.before = before
        worker = subprocess.Popen(
            [sys.executable, "manage.py", "run_worker"],
            env=host.environment,
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        try:
            assert reached.wait(60)
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            gone.set()
        host.python(source=GO_ON)
    bodies = {got.headers["X-MLflow-Delivery-Id"]: got.body for got in told.received}
    assert len(bodies) == 16
    assert all(got.body == bodies[got.headers["X-MLflow-Delivery-Id"]] for got in told.received)
    assert not any(b"never" in body for body in bodies.values())
    first = list({got.headers["X-MLflow-Delivery-Id"]: got.json["data"] for got in told.received}.values())
    for name in ("risk--m0", "risk--m1"):
        assert [one["version"] for one in first if one["name"] == name] == [str(n) for n in range(1, 9)]
