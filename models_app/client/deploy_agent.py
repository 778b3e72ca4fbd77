"""`modelry deploy-agent`: options, signals and the log of the agent."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from .agent import Agent, Told
from .agent_state import AgentState, state_folder
from .cache import Cache
from .transfer import USAGE, Failure, Server


def agent_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--environment", required=True, metavar="NAME")
    command.add_argument(
        "--exec", required=True, metavar="COMMAND", help="puts a version in place; exit status 0 is success"
    )
    command.add_argument(
        "--observe", default="", metavar="COMMAND", help="prints the number of the version that really runs"
    )
    command.add_argument(
        "--observe-every", type=float, default=60.0, metavar="SECONDS", help="how often it is asked (60)"
    )
    command.add_argument("--name", default="", help="of this agent, unlike all others of the environment")
    command.add_argument(
        "--state-dir", type=Path, help="what it knows and fetched (~/.local/state/modelry/agent-NAME)"
    )
    command.add_argument(
        "--lease", type=int, default=60, metavar="SECONDS", help="until others take over from a dead one (60)"
    )
    command.add_argument(
        "--wait", type=int, default=10, metavar="SECONDS", help="how long one question waits for news (10)"
    )
    command.add_argument(
        "--keep", type=int, default=3, metavar="N", help="versions of a model that stay on the disk (3)"
    )
    command.add_argument(
        "--no-catch-up",
        action="store_true",
        help="put in place only what it takes itself, not what is live already: for a place that several agents share",
    )
    command.add_argument(
        "--rerun",
        choices=("boot", "start"),
        default="",
        help="also run the command again for what is live: after a reboot, or whenever the agent starts",
    )
    command.add_argument("--once", action="store_true", help="do what waits, one at most, and end")


def run_agent(server: Server, chosen: argparse.Namespace) -> int:
    """Until SIGTERM or Ctrl-C, which let it finish; a second one hands back what is in hand. Raises Failure."""
    told = _told(chosen)
    folder = chosen.state_dir or state_folder(os.environ, chosen.environment)
    state = AgentState(folder, name=chosen.name)
    cache = Cache(state.folder / "cache")
    say = AgentLog(as_told=chosen.json, quiet=chosen.quiet)
    agent = Agent(server, state, cache, told, say)

    def stop(*_: object) -> None:
        (agent.hurry if agent.stop.is_set() else agent.stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    try:
        return agent.run()
    except Failure as failure:
        say("ended", why=str(failure), exit_code=failure.code)
        raise
    finally:
        cache.close()
        state.close()


def _told(chosen: argparse.Namespace) -> Told:
    for option, value, least, most in (
        ("lease", chosen.lease, 10, 3_600),
        ("wait", chosen.wait, 1, 25),
        ("keep", chosen.keep, 1, 1_000),
    ):
        if not least <= value <= most:
            raise Failure(f"--{option} is {least} to {most}.", USAGE)
    return Told(
        environment=chosen.environment,
        command=_split(chosen.exec, "--exec"),
        observe=_split(chosen.observe, "--observe") if chosen.observe else (),
        observe_every=max(chosen.observe_every, 1.0),
        lease=chosen.lease,
        wait=chosen.wait,
        keep=chosen.keep,
        parallel=chosen.parallel,
        once=chosen.once,
        catches_up=not chosen.no_catch_up,
        reruns=chosen.rerun,
    )


def _split(text: str, option: str) -> list[str]:
    """A command as the shell would split it; where it is now, so that another folder changes nothing."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Failure(f"{option}: {error}.", USAGE) from error
    found = shutil.which(words[0]) if words else None
    if found is None:
        raise Failure(f"{option}: “{text}” is no command that can be run.", USAGE)
    return [str(Path(found).absolute()), *words[1:]]


class AgentLog:
    """What the agent does: a line for people on standard error, or one of JSON on standard output for machines."""

    def __init__(self, *, as_told: bool, quiet: bool) -> None:
        self._as_told, self._quiet = as_told, quiet

    def __call__(self, event: str, **facts: Any) -> None:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self._as_told:
            print(json.dumps({"at": now, "event": event, **facts}, ensure_ascii=False), flush=True)
        elif not self._quiet:
            told = " ".join(f"{name}={value}" for name, value in facts.items())
            print(f"{now} {event.replace('_', ' ')} {told}".rstrip(), file=sys.stderr, flush=True)
