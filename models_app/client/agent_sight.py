"""What an agent sees: what is declared for its environment, and what really runs here, which it tells."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from .agent_state import AgentState
from .command import environment_with, plain
from .pull import is_digest
from .transfer import NETWORK, REFUSED, Failure, Server

OBSERVING = 20.0


class Sight:
    """`declared` asks the registry; `look_if_due` asks the machine, by the command that somebody gave for it."""

    def __init__(
        self,
        calls: Server,
        home: str,
        observe: Sequence[str],
        every: float,
        state: AgentState,
        say: Callable[..., None],
    ) -> None:
        self._calls, self._home, self._observe, self._every = calls, home, observe, every
        self._state, self._say = state, say
        self._look_at = 0.0
        self._is_asked = True
        self._untold: dict[str, dict[str, Any]] = {}

    # --- declared ---------------------------------------------------------------------------------------------

    def declared(self) -> list[dict[str, Any]]:
        """What is live in the environment, as it was handed out; without what is on its way to change. A registry of
        before, which does not tell, declares nothing. Raises Failure.
        """
        if not self._is_asked:
            return []
        try:
            found = list(self._calls.pages(f"{self._home}/declared"))
        except Failure as failure:
            if failure.problem.get("status") != 404:
                raise
            self._is_asked = False
            self._say("not_in_step", why="This registry does not say what is declared.")
            return []
        if any(one["digest"] and not is_digest(one["digest"]) for one in found):
            raise Failure("The registry names a digest that is none.", REFUSED)
        return found

    # --- what runs --------------------------------------------------------------------------------------------

    def look_soon(self) -> None:
        """Something has changed."""
        self._look_at = 0.0

    def look_if_due(self) -> None:
        """See what runs of every model that was ever put in place here or is declared, and tell the registry; also what
        could not be told before.
        """
        for model in list(self._untold):
            self._send(model)
        if not self._observe or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + self._every
        known = {model: (at["version"], at["digest"]) for model, at in self._state.running.items()}
        expected = {model: version for model, (version, _) in known.items()}
        expected.update({one["model"]: one["version"] for one in self.declared()})
        for model, declared in expected.items():
            version, detail = self._observed(model, declared)
            if version == 0:
                self._say("not_observed", model=model, why=detail)
                continue
            # Its bytes are known only of what this agent put in place.
            here, digest = known.get(model, (0, ""))
            self.tell(model, version, digest if version == here else "", detail)

    def tell(self, model: str, version: int | None, digest: str, detail: str) -> None:
        """Say what runs here of a model. Raises Failure when that can be said later."""
        body: dict[str, Any] = {"model": model, "version": version, "detail": detail[:500]}
        self._untold[model] = {**body, "digest": digest} if digest else body
        self._send(model)

    def _send(self, model: str) -> None:
        try:
            self._calls.ask("PUT", f"{self._home}/running", self._untold[model])
        except Failure as failure:
            if failure.code == NETWORK:
                raise
            self._say("not_observed", model=model, why=str(failure))
        del self._untold[model]

    def _observed(self, model: str, declared: int) -> tuple[int | None, str]:
        """The number that the command prints, None when it prints nothing, 0 when it fails; and a line of detail."""
        facts = {
            "MODELRY_ENVIRONMENT": self._home.partition("/")[2],
            "MODELRY_MODEL": model,
            "MODELRY_DECLARED_VERSION": str(declared),
        }
        try:
            done = subprocess.run(
                [*self._observe],
                env=environment_with(facts),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=OBSERVING,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return 0, str(error)
        if done.returncode:
            return 0, plain(done.stderr.strip().rpartition("\n")[2]) or f"exit status {done.returncode}"
        first, _, rest = done.stdout.partition("\n")
        first = first.strip()
        if not first:
            return None, plain(rest.partition("\n")[0].strip())
        if not first.isascii() or not first.isdigit() or not 0 < int(first) < 2**31:
            return 0, f"It printed “{plain(first)[:100]}”, no number of a version."
        return int(first), plain(rest.partition("\n")[0].strip())
