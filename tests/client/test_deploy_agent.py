"""The pull agent against a real server: in step with what is promoted, through failures, kills and competition."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from itertools import pairwise
from unittest import mock

import pytest

from models_app.client import agent as agent_module
from models_app.client import agent_state
from models_app.client.agent import Agent, Told
from models_app.client.agent_state import AgentState
from models_app.client.cache import Cache
from models_app.client.command import Command
from models_app.client.transfer import Failure
from tests.agents import WITHIN, AgentProcess, Team, until

# What another database could answer differently is in tests/registry/test_deployments.py.
pytestmark = pytest.mark.sqlite_is_enough


@pytest.fixture
def agents(shared_live, tmp_path):
    made = []

    def start(name="a", *options, environment="prod", **more):
        made.append(AgentProcess(shared_live, tmp_path / name, *options, environment=environment))
        made[-1].start(**more)
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_in_step_through_failure_and_kill(shared_live, agents):
    team = Team(shared_live)
    team.set_up(serving_address="https://{name}.example.com")
    agent = agents("a", "--observe", "/bin/cat place")
    agent.hear("started")
    good, bad, next_one = (team.register(what) for what in ("works", "fails", "waits"))
    team.promote(good)
    committed = time.time()
    claimed = agent.hear("claimed", version=good)
    # A second by the promise; a loaded machine gets more, and the long poll is longer than that.
    assert time.time() - committed < 5
    agent.hear("live", version=good)
    assert agent.place.read_text() == f"{good}\n"
    lines = team.lines(claimed["deployment"])
    assert lines == ["deploying risk/served 1, works; before: ; token:"]

    team.promote(bad)
    failed = agent.hear("failed", version=bad)
    assert failed["why"] == "The command ended with exit status 3. no such luck"
    agent.hear("live", version=good, kind="rollback")
    assert team.deployments() == [
        (good, "followed", "superseded"),
        (bad, "followed", "rolled_back"),
        (good, "rollback", "live"),
    ]

    # Killed while the command runs: the next life ends it and begins it anew, with what was fetched before.
    team.promote(next_one)
    until((agent.home / "place.waiting").exists, "the command runs")
    agent.kill()
    (agent.home / "place.waiting").unlink()
    pid = json.loads((agent.home / "state/state.json").read_text())["work"]["pid"]
    agent.start()
    agent.hear("ended_left_over", pid=pid)
    agent.hear("resumed", version=next_one)
    assert agent.hear("fetched")["bytes"] == 0
    until((agent.home / "place.waiting").exists, "the command runs again")
    # Told to stop, it finishes what it has in hand.
    agent.process.send_signal(signal.SIGTERM)
    (agent.home / "place.go").touch()
    agent.hear("live", version=next_one)
    assert agent.process.wait(WITHIN) == 0
    assert agent.place.read_text() == f"{next_one}\n"
    # What really runs is told as --observe sees it.
    agent.place.write_text("1\n")
    agent.start()
    agent.hear("started")
    seen = lambda: team.root.get("/api/v1/environments/prod/running").json()  # noqa: E731
    until(lambda: '"version":1' in json.dumps(seen(), separators=(",", ":")), "drift is seen")
    assert agent.stop() == 0

    # Another machine has nothing yet. First it only looks, then it is brought in step, and says so.
    fresh = agents("fresh", "--observe", "/bin/true", "--no-catch-up")
    until(lambda: '"version":null' in json.dumps(seen(), separators=(",", ":")), "nothing runs there")
    assert fresh.stop() == 0
    assert not fresh.place.exists()
    (fresh.home / "place.go").touch()
    again = agents("fresh")
    again.hear("in_step", version=next_one)
    assert again.place.read_text() == f"{next_one}\n"
    told = f'"version":{next_one}'
    until(lambda: told in json.dumps(seen(), separators=(",", ":")), "it runs there, too")
    assert again.stop() == 0


def test_work_that_was_handed_back_is_gone_on_with_by_another(shared_live, agents):
    team = Team(shared_live, "shared", "shared")
    team.set_up(health_check="http://127.0.0.1:9/", health_window=30)
    first = agents("first", "--name", "first", environment="shared")
    first.hear("started")
    team.promote(team.register("works"))
    first.hear("output")
    # In a hurry: nobody answers the health check, so it waits for it, and gives back at the second signal.
    until(lambda: team.deployments()[0][2] == "verifying", "it is verified")
    first.process.send_signal(signal.SIGTERM)
    first.process.send_signal(signal.SIGINT)
    first.hear("handed_back")
    assert first.process.wait(WITHIN) == 0
    taken_from = '{what}; Deployment.objects.filter(environment__name="shared").update({change})'
    what = "from models_app.models import Deployment; from django.utils.timezone import now"
    # So that the test need not wait for the shortest lease there is.
    shared_live.python(source=taken_from.format(what=what, change="lease_until=None"))
    second = agents("second", "--name", "second", "--once", "--lease", "10", environment="shared")
    second.hear("claimed")
    late = taken_from.format(what=what, change="due_at=now()")
    shared_live.python(source=f"{late}\nfrom models_app.tasks.deployments import keep_up; keep_up()")
    # What the registry gave up is ended here, too.
    second.hear("lost")
    assert second.process.wait(WITHIN) == 0
    shown = team.lines(first.events[-1]["deployment"])
    assert any("went on where first was lost" in line for line in shown), shown


def test_wrong_use_and_refusals_end_it(shared_live, agents):
    team = Team(shared_live, "once", "once")
    team.set_up()
    assert agents("nothing", "--once", environment="once").process.wait(WITHIN) == 0
    assert (
        agents("viewer", MODELRY_TOKEN=shared_live.tokens["dave"], environment="once").process.wait(WITHIN)
        == 3
    )
    missing = agents("missing", "--exec", "./not-there.sh")
    assert missing.process.wait(WITHIN) == 2
    team.promote(team.register("fails"))
    once = agents("once", "--once", environment="once")
    assert once.process.wait(WITHIN) == 8


HANDOUT = {
    **dict.fromkeys(("deployment", "version", "total_size"), 1),
    "model": "risk/m",
    "digest": "ab" * 32,
    "kind": "followed",
    "timeout": 60,
    "health_window": 60,
    **dict.fromkeys(("health_check", "serving_address", "url", "text"), ""),
}


class Idle:
    """A registry that has nothing to do, and says how long to wait; what it declares is live already."""

    url = "http://registry"

    def __init__(self, *pauses: float) -> None:
        self.pauses, self.asked = list(pauses) or [0.0] * 9, 0
        self.declared: list[dict] = []
        self.told: list[dict] = []

    def impatient(self, patience: float) -> Idle:
        return self

    @property
    def pause(self) -> float:
        return self.pauses[self.asked - 1]

    def ask(self, method: str, path: str, body: dict | None = None) -> None:
        self.asked += path.endswith("/claim")
        if path.endswith("/running"):
            self.told.append(body)

    def pages(self, path: str) -> list[dict]:
        return self.declared


class Rests(threading.Event):
    """Never waits, notes for how long it would, and is set at last."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times, self.rests = times, []

    def wait(self, timeout: float | None = None) -> bool:
        self.rests.append(timeout)
        if len(self.rests) >= self.times:
            self.set()
        return self.is_set()


def test_it_asks_no_sooner_than_it_is_told(tmp_path):
    server, state = Idle(0.0, 7.0, 0.0), AgentState(tmp_path)
    agent = Agent(server, state, None, Told("prod", ["/bin/true"]), lambda *_, **__: None)
    agent.stop = Rests(2)
    assert agent.run() == 0
    state.close()
    first, second = agent.stop.rests
    assert first == 7
    # An answer that came at once, and says nothing.
    assert 0 < second <= 1


class Machine:
    """The agent's folder; `begin` is one life of it, with --once, and returns its exit code."""

    def __init__(self, folder, server: Idle) -> None:
        self.folder, self.server = folder, server
        self.count = 0

    def begin(self, script: str, **told) -> int:
        state, cache = AgentState(self.folder), Cache(self.folder / "cache")
        command = ["/bin/sh", "-c", script]
        agent = Agent(self.server, state, cache, Told("prod", command, once=True, **told), self.note)
        agent._fetch = lambda hand, handout: self.folder
        try:
            return agent.run()
        finally:
            state.close()
            cache.close()

    def note(self, event: str, **facts) -> None:
        self.count += event in ("in_step", "not_in_step")


def test_a_machine_is_kept_in_step(tmp_path, monkeypatch):
    server = Idle()
    machine = Machine(tmp_path, server)
    assert (machine.begin("exit 3"), machine.count) == (0, 0)
    server.declared = [HANDOUT]
    assert (machine.begin("exit 3"), machine.count) == (8, 1)
    assert (server.told[-1]["version"], "exit status 3" in server.told[-1]["detail"]) == (None, True)
    assert (machine.begin("exit 3", catches_up=False), machine.count) == (0, 1)
    assert (machine.begin("true"), machine.count) == (0, 2)
    assert (server.told[-1]["version"], server.told[-1]["digest"]) == (1, HANDOUT["digest"])
    # It is in place; whether it still runs is asked for only where somebody said so.
    for reruns, count in (("", 2), ("boot", 2), ("start", 3)):
        assert (machine.begin("true", reruns=reruns), machine.count) == (0, count)
    monkeypatch.setattr(agent_state, "boot_of_this_machine", lambda: "another")
    assert (machine.begin("true", reruns="boot"), machine.count) == (0, 4)
    server.declared = [{**HANDOUT, "version": 2}]
    assert (machine.begin("false"), machine.count) == (8, 5)
    # What ran before does so still, as far as anybody knows.
    assert server.told[-1]["version"] == 1


def test_what_does_not_come_up_waits_longer_each_time(tmp_path, monkeypatch):
    now = time.monotonic()
    monkeypatch.setattr(agent_module.time, "monotonic", lambda: now)
    server, state, cache = Idle(), AgentState(tmp_path), Cache(tmp_path / "cache")
    server.declared = [HANDOUT]
    agent = Agent(server, state, cache, Told("prod", ["/bin/false"]), lambda *_, **__: None)
    agent._deploy = mock.Mock(side_effect=agent_module._Wrong("It does not start."))
    tries = []
    for second in range(200):
        now += 1
        if agent._keep_in_step() == "failed":
            tries.append(second)
    state.close()
    cache.close()
    assert [later - earlier for earlier, later in pairwise(tries)] == [30, 60]


def test_a_state_is_one_agents(tmp_path):
    state = AgentState(tmp_path)
    with pytest.raises(Failure, match="state-dir"):
        AgentState(tmp_path)
    state.close()
    again = AgentState(tmp_path)
    assert again.name == state.name
    again.close()


def test_a_command_is_ended_with_all_it_started(tmp_path):
    said, pids = [], []
    script = 'sleep 1000 & echo "$! \033[31mred\033[0m"; wait'
    command = Command(["/bin/sh", "-c", script], {"PATH": os.environ["PATH"]})
    command.begin(on_record=lambda pid, began: pids.append(pid), say=said.append)
    until(lambda: said, "it speaks")
    assert command.finish(deadline=time.time(), lost=threading.Event()) is None
    child, _, colour = said[0].partition(" ")
    assert colour == "red"
    until(lambda: not alive(int(child)), "the child is gone")


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
