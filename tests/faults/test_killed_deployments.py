"""SIGKILL of agent, web and worker at random moments of promotions: agent and registry agree at the end.

PROMOTIONS=200 ./script/test tests/faults/test_killed_deployments.py
"""

from __future__ import annotations

import json
import os
import random
import time

import httpx
import pytest

from tests.agents import AgentProcess, Team, until
from tests.live import Worker

# Claims and leases under competition are tried on both databases in tests/registry/test_deployments.py.
pytestmark = pytest.mark.sqlite_is_enough

PROMOTIONS = int(os.environ.get("PROMOTIONS", "6"))
MODELS = 2

# One live per model and environment, nothing under way, every state of a deployment told once and in its order.
AGREED = """
import json, time
from collections import defaultdict
from models_app.models import Deployment, OutboxEvent, RegisteredModel
deadline = time.monotonic() + 60
while OutboxEvent.objects.filter(done_at=None).exists():
    assert time.monotonic() < deadline, "not all events were handed on"
    time.sleep(0.1)
told = defaultdict(list)
for event in OutboxEvent.objects.filter(name__startswith="deployment.").order_by("id"):
    told[event.payload["deployment"]].append(event.name.removeprefix("deployment."))
ORDER = ["queued", "started", "verifying", "live", "failed", "rolled_back", "superseded"]
for deployment in Deployment.objects.all():
    names = told.pop(deployment.pk)
    assert names == sorted(set(names), key=ORDER.index), (deployment.pk, names)
    assert ("live" in names) == (deployment.live_at is not None), (deployment.pk, names)
    assert ("failed" in names) == (deployment.state in ("failed", "rolled_back") and not deployment.live_at), names
assert not told, told
found = {}
for model in RegisteredModel.objects.all():
    rows = list(Deployment.objects.filter(model=model))
    live = [row for row in rows if row.state == "live"]
    assert len(live) == 1, (model.name, [(row.pk, row.version.number, row.state) for row in rows])
    assert not [row for row in rows if row.state in ("queued", "deploying", "verifying")]
    promoted = [version.number for version in model.versions.filter(stage="production")]
    assert promoted == [live[0].version.number], (model.name, promoted, live[0].version)
    found[model.name] = live[0].version.number
    assert model.running.get().version_number == found[model.name]
print(json.dumps(found))
"""


class Steady:
    """A client that asks again while the server is down; what it asks for may be done twice."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def __call__(self, method: str, path: str, **body) -> httpx.Response:
        def once():
            try:
                return self.client.request(method, path, **body)
            except httpx.TransportError:
                return None

        return until(once, f"{method} {path}")


def test_agent_and_registry_agree_after_kills(live, tmp_path):
    chance = random.Random(int(os.environ.get("SEED", "0")) or None)
    teams = [Team(live, f"killed-{number}") for number in range(MODELS)]
    teams[0].set_up(name_pattern="risk/killed-*")
    fates = [chance.choice(["works", "works", "fails"]) for _ in range(PROMOTIONS)]
    fates[:MODELS] = ["works"] * MODELS
    versions = [
        (team, team.register(fate)) for number, fate in enumerate(fates) for team in [teams[number % MODELS]]
    ]
    agent = AgentProcess(live, tmp_path / "agent", "--lease", "10")
    worker = Worker(live)
    ask = Steady(teams[0].carol)
    agent.start()
    worker.start()
    try:
        for number, (team, version) in enumerate(versions):
            for stage in ("staging", "production"):
                # What a kill cut off may be done already.
                answer = ask(
                    "POST",
                    f"{team.path}/versions/{version}/stage",
                    json={"to": stage, "reason": "as planned"},
                )
                assert answer.status_code < 500, answer.text
            time.sleep(chance.uniform(0, 0.6))
            victim = (agent, live, agent, worker)[number % 4]
            victim.kill()
            victim.start()
            if number + 1 == MODELS:  # One to go back to, should all that follow be replaced or fail.
                until(lambda: settled(ask), "the first ones run")
        until(lambda: settled(ask), "everything is over")
        found = json.loads(live.python(source=AGREED))
    finally:
        agent.close()
        worker.kill()
    running = json.loads((tmp_path / "agent/state/state.json").read_text())
    assert running["work"] is None
    assert {model: at["version"] for model, at in running["running"].items()} == found
    placed = {team.model: int((tmp_path / f"agent/place-{team.model[5:]}").read_text()) for team in teams}
    assert placed == found
    # What is live is what is in production, also for who asks: the last one, unless that was one to fail.
    shown = {team.model: team.carol.get(f"{team.path}/versions/production").json() for team in teams}
    assert {model: version["version"] for model, version in shown.items()} == found
    last = {team.model: (version, fate) for (team, version), fate in zip(versions, fates, strict=True)}
    works = {model: version for model, (version, fate) in last.items() if fate == "works"}
    assert {model: found[model] for model in works} == works


def settled(ask: Steady) -> bool:
    rows = ask("GET", "/api/v1/deployments", params={"limit": 200, "ordering": "-id"}).json()["items"]
    return not any(row["state"] in ("queued", "deploying", "verifying") for row in rows)
