"""SIGKILL of web and worker at random moments of promotions, with deployers that fail now and then: one deployment is
live per environment, and every event that was committed arrives, none else, in order.

Six promotions; `PROMOTIONS=200 script/test tests/faults/test_killed_promotions.py` takes more.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import httpx
import pytest

from tests.live import Worker
from tests.receiver import Receiver, receiver

PROMOTIONS = int(os.environ.get("PROMOTIONS", "6"))
PATIENCE = 120
# Every third version crashes where it is deployed by webhook.
CRASHES = 3
# A kill in so many promotions.
EVERY = 3
VERSIONS = "/api/v1/models/risk/killed/versions"
EVENTS = [
    f"deployment.{verb}" for verb in ("queued", "started", "live", "failed", "rolled_back", "superseded")
]

PREPARE = """
import sys
from models_app.models import User
from models_app.registry import environments, webhooks
from models_app.registry.access import Actor
from tests import builders
root, bob = (Actor.of(User.objects.get(username=name), door="shell") for name in ("root", "bob"))
environments.set_up("eu", by=root)
environments.set_up("us", kind="agent", by=root)
webhooks.create_webhook("all", url={url!r}, events={events!r}, scheme="standard", by=root)
model = builders.model("risk/killed", by=bob)
for _ in range({count}):
    builders.complete_version(model, by=bob)
"""
# Whoever starts a worker after a kill waits a minute till what the killed one had in hand is free; here it has passed.
FREE = """
from django.utils import timezone
from models_app.models import *
DeliveryLane.objects.exclude(claim="").update(claim="", not_before=timezone.now())
"""
FACTS = """
from models_app.tasks import deliveries, dispatcher
while dispatcher.dispatch() + deliveries.deliver():
    pass
import json
rows = Deployment.objects.order_by("pk").values_list("environment__name", "version__number", "state")
told = OutboxEvent.objects.filter(name__in={events!r}).order_by("pk")
written = AuditEvent.objects.filter(verb__in={events!r}).order_by("pk")
print(json.dumps({{
    "deployments": list(rows),
    "production": list(ModelVersion.objects.filter(stage="production").values_list("number", flat=True)),
    "waiting": OutboxEvent.objects.filter(done_at=None).count() + DeliveryLane.objects.count(),
    "emitted": [[one.name, one.payload["deployment"]] for one in told],
    "audited": [[one.verb, one.after["deployment"]] for one in written],
}}))
"""


class Until:
    """Threads that go on till told to stop; what one of them raises is raised at the end."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._raised: list[BaseException] = []

    def run(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:
                self._raised.append(error)

        self._threads.append(threading.Thread(target=guarded))
        self._threads[-1].start()

    def end(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()
        if self._raised:
            raise self._raised[0]


def insist(stop: threading.Event, call: Callable[[], httpx.Response]) -> httpx.Response | None:
    """The answer, however often the server is killed meanwhile; None when it is all over."""
    while not stop.is_set():
        with suppress(httpx.HTTPError):
            answer = call()
            if answer.status_code < 500:
                return answer
        stop.wait(0.05)
    return None


def report(client: httpx.Client, stop: threading.Event, facts: dict, *, crashes: bool, **more: str) -> None:
    said = {"state": "failed", "reason": "Crashes."} if crashes else {"state": "live"}
    path = f"/api/v1/deployments/{facts['deployment']}/report"
    answer = insist(stop, lambda: client.post(path, json={**said, **more}))
    # 409: said before, and things went on since.
    assert answer is None or answer.status_code in (200, 409), answer.text


def deploy_what_is_told(live, told: Receiver, stop: threading.Event) -> None:
    """A deployer behind a webhook, which hears some things twice."""
    client, heard = live.client("root"), 0
    while not stop.is_set():
        if heard == len(told.received):
            stop.wait(0.02)
            continue
        message = told.received[heard].json
        heard += 1
        facts = message["data"]
        if message["type"] == "deployment.started" and facts["environment"] == "eu":
            crashes = facts["version"] % CRASHES == 0 and facts["kind"] != "rollback"
            report(client, stop, facts, crashes=crashes)


def deploy_what_is_claimed(live, stop: threading.Event) -> None:
    """An agent, which gets again what it had in hand."""
    client, body = live.client("root"), {"agent": "one", "lease": 600, "wait": 1}
    while not stop.is_set():
        answer = insist(stop, lambda: client.post("/api/v1/environments/us/claim", json=body))
        if answer is not None and answer.status_code == 200:
            report(client, stop, answer.json(), crashes=False, agent="one")


def promote(live, stop: threading.Event, done: list[int]) -> None:
    client = live.client("carol")
    for number in range(1, PROMOTIONS + 1):
        answer = insist(
            stop,
            lambda number=number: client.post(
                f"{VERSIONS}/{number}/stage",
                json={"to": "production", "reason": "next"},
                headers={"Idempotency-Key": f"promotion-{number}"},
            ),
        )
        assert answer is None or answer.status_code in (200, 201, 409), answer.text
        while number % CRASHES == 0 and not stop.is_set() and not rolled_back(client, stop, number):
            stop.wait(0.2)
        done.append(number)


def rolled_back(client: httpx.Client, stop: threading.Event, number: int) -> bool:
    """Whether a version was tried, failed, and what was before it serves again."""
    wanted = {"environment": "eu", "version": number, "state": "rolled_back"}
    answer = insist(stop, lambda: client.get("/api/v1/deployments", params=wanted))
    return answer is not None and bool(answer.json()["items"])


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def settled(live, last: int) -> bool:
    """Whether the last version serves everywhere, and nothing is on its way."""
    wanted = {"state": ["queued", "deploying", "verifying", "live"]}
    rows = live.client("root").get("/api/v1/deployments", params=wanted).json()["items"]
    there = sorted((row["environment"], row["version"], row["state"]) for row in rows)
    return there == [("eu", last, "live"), ("us", last, "live")]


# On SQLite test_killed_deployments.py does much the same with an agent.
@pytest.mark.postgres_is_enough
def test_one_is_live_and_everything_is_told(live):
    chance = random.Random(PROMOTIONS)
    last = PROMOTIONS + 1 if (PROMOTIONS + 1) % CRASHES else PROMOTIONS + 2
    live.environment |= {"MODELRY_OUTBOUND_ALLOW": "127.0.0.1", "MODELRY_WEBHOOK_SCHEMES": "http"}
    worker, threads, done = Worker(live, first=FREE), Until(), []
    with receiver() as told:
        live.python(source=PREPARE.format(url=told.url, events=EVENTS, count=last))
        worker.start()
        threads.run(lambda: deploy_what_is_told(live, told, threads.stop))
        threads.run(lambda: deploy_what_is_claimed(live, threads.stop))
        threads.run(lambda: promote(live, threads.stop, done))
        try:
            for turn in range(PROMOTIONS // EVERY):
                promoted = EVERY * turn + chance.randrange(EVERY)
                wait_for(lambda promoted=promoted: len(done) >= promoted)
                time.sleep(chance.uniform(0, 0.4))
                victims = [(live,), (worker,), (live, worker)][turn % 3]
                for victim in victims:
                    victim.kill()
                for victim in victims:
                    victim.start()
            wait_for(lambda: len(done) == PROMOTIONS)
            body = {"to": "production", "reason": "The last."}
            assert live.client("carol").post(f"{VERSIONS}/{last}/stage", json=body).status_code == 200
            wait_for(lambda: settled(live, last))
        finally:
            worker.kill()
            threads.end()
        facts = json.loads(live.python(source=FREE + FACTS.format(events=EVENTS)).splitlines()[-1])

    assert facts["production"] == [last]
    assert facts["waiting"] == 0
    standing = [row for row in facts["deployments"] if row[2] in ("live", "queued", "deploying", "verifying")]
    assert sorted(standing) == [["eu", last, "live"], ["us", last, "live"]]
    assert [row for row in facts["deployments"] if row[2] == "failed"] == []
    crashed = [row[1] for row in facts["deployments"] if row[2] == "rolled_back" and row[0] == "eu"]
    assert crashed == list(range(CRASHES, PROMOTIONS + 1, CRASHES))
    # What was done, is on record and was told are the same, and in the same order.
    assert facts["audited"] == facts["emitted"]
    first_heard = {one.headers["webhook-id"]: one.json for one in told.received}
    heard = [[one["type"], one["data"]["deployment"]] for one in first_heard.values()]
    assert heard == facts["emitted"]
    assert len(facts["emitted"]) > 2 * PROMOTIONS
