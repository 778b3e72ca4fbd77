"""The pull agent: keeps a machine in step with what the registry declares for an environment.

It claims a deployment, fetches and verifies the version, runs a command with the facts in its environment, checks the
health, and reports. What it has in hand stands on the disk before it acts, so that after a kill it goes on from there.
What is live there already, but was not put in place on this machine, it brings up in the same way.
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .agent_hand import Alone, Hand
from .agent_sight import Sight
from .agent_state import AgentState
from .cache import Cache
from .command import Command, end_left_over, environment_with
from .pull import Pull, is_digest
from .transfer import FAILED, NETWORK, OK, REFUSED, Failure, Progress, Server

# How often a command may be cut off by the death of its agent before the version counts as failed.
ATTEMPTS = 5
HEALTHY_IN_A_ROW = 2
CHECK_PATIENCE = 5.0
CALL_PATIENCE = 20.0
LONGEST_PAUSE_BETWEEN_CHECKS = 3.0
ASK_AGAIN_WITHIN = 5.0
# Whatever the registry says, it is not asked for work more often than that.
ASK_EVERY = 1.0
# How often what is declared is compared with what was put in place here, and when what could not be brought up is tried
# again: after twice as long each time.
COMPARE_EVERY = 30.0
FIRST_RETRY, LAST_RETRY = 30.0, 600.0
# Facts that the command gets under other names: MODELRY_URL is the registry's own address.
RENAMED = {"url": "page", "text": "reason"}


class _Wrong(Exception):
    """What makes a deployment fail, in a sentence."""


class _GoneOn(Exception):
    """Nothing more to do here: it is lost, or somebody is in a hurry to stop."""


@dataclass(frozen=True)
class Told:
    """What the command line says."""

    environment: str
    command: Sequence[str]
    observe: Sequence[str] = ()
    observe_every: float = 60.0
    lease: int = 60
    wait: int = 10
    keep: int = 3
    parallel: int = 4
    once: bool = False
    catches_up: bool = True
    reruns: str = ""


class Agent:
    """`run` until `stop` is set: then what is in hand is finished first, unless `hurry` is set, too."""

    def __init__(
        self, server: Server, state: AgentState, cache: Cache, told: Told, say: Callable[..., None]
    ) -> None:
        self._server, self._state, self._cache, self._told, self._say = server, state, cache, told, say
        self._calls = server.impatient(CALL_PATIENCE)
        self._checks = server.impatient(CHECK_PATIENCE)
        self._polls = server.impatient(told.wait + CALL_PATIENCE)
        self._home = f"environments/{quote(told.environment)}"
        self._sight = Sight(self._calls, self._home, told.observe, told.observe_every, state, say)
        # Until the first look nobody knows; then as long as something is found to bring up.
        self._is_behind = told.catches_up
        self._compare_at = 0.0
        self._retries: dict[tuple[str, int, str], tuple[float, float]] = {}
        self.stop, self.hurry = threading.Event(), threading.Event()

    def run(self) -> int:
        """The exit code. Raises Failure when the registry refuses, or --once and it cannot be reached."""
        self._end_left_over()
        self._state.forget_what_ended(self._told.reruns)
        self._say("started", environment=self._told.environment, agent=self._state.name)
        pause = 0.2
        while not self.stop.is_set():
            wait = 0 if self._told.once or self._is_behind else self._told.wait
            try:
                if not self._is_behind:
                    self._sight.look_if_due()
                asked = time.monotonic()
                handout = self._claim(wait)
                outcome = self._take(handout)
                if handout is None and not self.stop.is_set():
                    outcome = self._keep_in_step()
                pause = 0.2
            except Failure as failure:
                if failure.code != NETWORK or self._told.once:
                    raise
                self._say("unreachable", why=str(failure))
                self.stop.wait(pause)
                pause = min(2 * pause, ASK_AGAIN_WITHIN)
                continue
            if self._told.once and outcome != "lost" and (handout or not self._is_behind):
                self._sight.look_if_due()
                return FAILED if outcome == "failed" or self._retries else OK
            if wait and handout is None:
                self.stop.wait(max(self._polls.pause, ASK_EVERY - (time.monotonic() - asked)))
        self._say("stopped")
        return OK

    def _take(self, handout: dict[str, Any] | None) -> str:
        """What became of what was claimed. Who is told to stop while nothing was in hand begins nothing."""
        work = self._state.work
        if handout is None:
            if work is not None:
                self._say("over", deployment=work["deployment"])
                self._state.end()
            return "nothing"
        if self.stop.is_set() and (work is None or work["deployment"] != handout["deployment"]):
            hand = Hand(self._calls, self._state.name, handout["deployment"], lease=10, hurry=self.hurry)
            hand.give_back()
            self._say("handed_back", deployment=handout["deployment"])
            return "lost"
        return self._work(handout)

    def _claim(self, wait: int) -> dict[str, Any] | None:
        """What is to be done; what this agent has in hand comes first."""
        body = {"agent": self._state.name, "lease": self._told.lease, "wait": wait}
        handout: dict[str, Any] | None = self._polls.ask("POST", f"{self._home}/claim", body)
        if handout and handout.get("digest") and not is_digest(handout["digest"]):
            raise Failure("The registry names a digest that is none.", REFUSED)
        return handout

    def _end_left_over(self) -> None:
        """A command of a former life must not act any more: it is begun anew, here or elsewhere."""
        work = self._state.work
        if work and work.get("pid"):
            if end_left_over(work["pid"], work["pid_began"]):
                self._say("ended_left_over", deployment=work["deployment"], pid=work["pid"])
            self._state.note(pid=None)

    # --- in step ----------------------------------------------------------------------------------------------

    def _keep_in_step(self) -> str:
        """Bring up one of what is live but not in place here, if it is time to look; what became of it."""
        self._is_behind = self._told.catches_up and (self._is_behind or time.monotonic() >= self._compare_at)
        if not self._is_behind:
            return "nothing"
        now = time.monotonic()
        declared = self._sight.declared()
        lacking = [one for one in declared if not self._state.is_in_place(one)]
        keys = {_key(one) for one in lacking}
        self._retries = {key: retry for key, retry in self._retries.items() if key in keys}
        due = [one for one in lacking if self._retries.get(_key(one), (0.0,))[0] <= now]
        if due:
            return self._catch_up(due[0])
        self._is_behind = False
        self._compare_at = min([now + COMPARE_EVERY, *(at for at, _ in self._retries.values())])
        return "nothing"

    def _catch_up(self, handout: dict[str, Any]) -> str:
        """Put in place here what is live already. That it fails here is no failure of the deployment: it is told as
        what runs here, and tried again.
        """
        named = {name: handout[name] for name in ("deployment", "model", "version")}
        self._say("behind", **named)
        self._state.begin(handout)
        before = dict(self._state.running.get(handout["model"], {}))
        hand, why = Alone(), ""
        try:
            self._deploy(hand, handout)
            self._be_healthy(hand, handout)
        except _GoneOn:
            return "lost"
        except _Wrong as wrong:
            why = str(wrong)
        self._state.end()
        key = _key(handout)
        detail = f"{self._state.name}: {why or 'brought up'}"
        if why:
            self._state.forget(handout["model"], handout["version"])
            _, pause = self._retries.get(key, (0.0, FIRST_RETRY / 2))
            pause = min(2 * pause, LAST_RETRY)
            self._retries[key] = (time.monotonic() + pause, pause)
            self._say("not_in_step", **named, why=why)
            is_gone = before.get("ended") or before.get("version") == handout["version"]
            self._sight.tell(handout["model"], None if is_gone else before.get("version"), "", detail)
            return "failed"
        self._retries.pop(key, None)
        self._say("in_step", **named)
        self._state.tidy(handout["model"], keep=self._told.keep, cache=self._cache)
        self._sight.look_soon()
        self._sight.tell(handout["model"], handout["version"], handout["digest"], detail)
        return "live"

    # --- one deployment ---------------------------------------------------------------------------------------

    def _work(self, handout: dict[str, Any]) -> str:
        """live, failed, or lost: what became of it."""
        number = handout["deployment"]
        named = {name: handout[name] for name in ("deployment", "kind", "model", "version")}
        again = self._state.work is not None and self._state.work["deployment"] == number
        self._say("resumed" if again else "claimed", **named)
        self._state.begin(handout)
        began = time.monotonic()
        with Hand(self._calls, self._state.name, number, lease=self._told.lease, hurry=self.hurry) as hand:
            outcome, why = self._outcome(hand, handout)
            if outcome == "lost" and self.hurry.is_set() and not hand.lost.is_set():
                hand.give_back()
                self._say("handed_back", **named)
                return "lost"
        if hand.refusal is not None:
            raise hand.refusal
        self._say(
            outcome, **named, seconds=round(time.monotonic() - began, 1), **({"why": why} if why else {})
        )
        self._state.end()
        self._state.tidy(handout["model"], keep=self._told.keep, cache=self._cache)
        self._sight.look_soon()
        return outcome

    def _outcome(self, hand: Hand, handout: dict[str, Any]) -> tuple[str, str]:
        try:
            try:
                self._deploy(hand, handout)
                self._be_healthy(hand, handout)
                more = {"version": handout["version"], "digest": handout["digest"], **self._endpoint()}
                return ("live" if hand.report("live", **more) else "lost"), ""
            except _Wrong as wrong:
                return ("failed" if hand.report("failed", reason=str(wrong)[:1_000]) else "lost"), str(wrong)
        except _GoneOn:
            return "lost", ""

    def _endpoint(self) -> dict[str, str]:
        assert self._state.work is not None
        endpoint = self._state.work.get("endpoint")
        return {"endpoint": endpoint} if endpoint else {}

    def _deploy(self, hand: Hand | Alone, handout: dict[str, Any]) -> None:
        """Fetch the version and run the command, unless that was done before a crash."""
        work = self._state.work
        assert work is not None
        if work["ran"]:
            return
        if work["attempt"] >= ATTEMPTS:
            raise _Wrong(f"The agent was ended {ATTEMPTS} times while its command ran.")
        path = self._fetch(hand, handout)
        if hand.lost.is_set() or self.hurry.is_set():
            raise _GoneOn
        result = self._state.folder / "result"
        result.unlink(missing_ok=True)
        self._state.note(attempt=work["attempt"] + 1)
        command = Command(self._told.command, self._facts(handout, path, result))
        number = handout["deployment"]

        def say(line: str) -> None:
            hand.line(line)
            self._say("output", deployment=number, line=line)

        command.begin(on_record=lambda pid, began: self._state.note(pid=pid, pid_began=began), say=say)
        ended = threading.Event()
        watch = threading.Thread(target=self._either, args=(hand, ended), daemon=True)
        watch.start()
        status = command.finish(deadline=work["began"] + handout["timeout"], lost=ended)
        self._state.note(pid=None)
        if status is None:
            if ended.is_set():
                raise _GoneOn
            raise _Wrong(f"The command took longer than {handout['timeout']} seconds.")
        if status:
            how = f"exit status {status}" if status > 0 else f"signal {-status}"
            raise _Wrong(f"The command ended with {how}. {command.last_line}".strip())
        self._state.ran(handout, path, _endpoint_in(result))

    def _either(self, hand: Hand | Alone, ended: threading.Event) -> None:
        while not (hand.lost.is_set() or self.hurry.is_set()):
            if hand.lost.wait(0.2):
                break
        ended.set()

    def _fetch(self, hand: Hand | Alone, handout: dict[str, Any]) -> Path:
        """The folder of the version, verified."""
        if not handout["digest"]:
            raise _Wrong("The version has no files.")
        path = self._state.path_of(handout["model"], handout["version"], handout["digest"])
        pull = Pull(self._server, self._cache, Progress(quiet=True), parallel=self._told.parallel)
        while not hand.lost.is_set() and not self.hurry.is_set():
            try:
                pull.run_exactly(handout["model"], handout["version"], handout["digest"], path)
                self._say("fetched", deployment=handout["deployment"], bytes=pull.fetched, path=str(path))
                return path
            except Failure as failure:
                if failure.code != NETWORK:
                    raise _Wrong(f"Not fetched: {failure}") from failure
            except OSError as error:
                raise _Wrong(f"Not fetched: {error}") from error
        raise _GoneOn

    def _facts(self, handout: Mapping[str, Any], path: Path, result: Path) -> dict[str, str]:
        """The environment of the command: ours without the token, and every fact as MODELRY_<NAME>."""
        work, running = self._state.work, self._state.running.get(handout["model"], {})
        assert work is not None
        facts = {RENAMED.get(name, name): value for name, value in handout.items() if name != "state"}
        facts |= {
            "url": self._server.url,
            "path": str(path),
            "previous_path": running.get("path"),
            "previous_version": running.get("version"),
            "attempt": work["attempt"],
            "agent": self._state.name,
            "result": str(result),
        }
        return environment_with(
            {
                f"MODELRY_{name.upper()}": "" if value is None else str(value).replace("\0", "")
                for name, value in facts.items()
            }
        )

    # --- health -----------------------------------------------------------------------------------------------

    def _be_healthy(self, hand: Hand | Alone, handout: dict[str, Any]) -> None:
        """Wait until the address of the health check answers, within its window."""
        if not hand.report("verifying", **self._endpoint()):
            raise _GoneOn
        if not handout["health_check"]:
            return
        work = self._state.work
        assert work is not None
        address = handout["health_check"]
        moved = work.get("endpoint") and work["endpoint"] != handout["serving_address"]
        if moved and isinstance(hand, Hand):
            # Where the check asks may follow from where it serves, which the registry knows only now.
            with suppress(Failure):
                fresh = self._claim(0) or {}
                if fresh.get("deployment") == handout["deployment"]:
                    address = fresh["health_check"]
        deadline = time.time() + handout["health_window"]
        good, pause, said = 0, 0.1, ""
        while good < HEALTHY_IN_A_ROW:
            if time.time() >= deadline:
                raise _Wrong(f"Not healthy within {handout['health_window']} seconds. {said}")
            healthy, said = self._ask_health(address)
            good, pause = (good + 1, 0.1) if healthy else (0, min(1.5 * pause, LONGEST_PAUSE_BETWEEN_CHECKS))
            if good < HEALTHY_IN_A_ROW and (hand.lost.wait(pause) or self.hurry.is_set()):
                raise _GoneOn
        self._say("healthy", deployment=handout["deployment"], address=address)

    def _ask_health(self, address: str) -> tuple[bool, str]:
        try:
            status = self._checks.status(address)
        except (OSError, ValueError, http.client.HTTPException, Failure) as error:
            return False, f"It did not answer: {error or type(error).__name__}."
        return 200 <= status < 300, f"It answered {status}."


def _key(handout: Mapping[str, Any]) -> tuple[str, int, str]:
    return handout["model"], handout["version"], handout["digest"]


def _endpoint_in(result: Path) -> str:
    """What the command left in its file: JSON with an endpoint, if it serves elsewhere than it was told."""
    try:
        text = result.read_text().strip()
        found = json.loads(text) if text else {}
        endpoint = found.get("endpoint", "")
    except FileNotFoundError:
        return ""
    except (OSError, ValueError, AttributeError) as error:
        raise _Wrong(
            f'The command left no JSON like {{"endpoint": "https://…"}} in its result: {error}'
        ) from error
    return str(endpoint)
