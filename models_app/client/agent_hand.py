"""A deployment in an agent's hand: its lease is kept, its lines are sent, its states are reported."""

from __future__ import annotations

import threading
import time
from typing import Any

from .transfer import NETWORK, Failure, Server

LINES_AT_ONCE = 200
LINES_KEPT = 1_000
SEND_EVERY = 0.5
LONGEST_WAIT = 5.0


class Hand:
    """While it is open, a thread of its own renews the lease and sends lines.

    `lost` is set as soon as the registry says that the deployment is over or another has it, and when it refuses us:
    then `refusal` says why. `hurry` set from outside ends every wait.
    """

    def __init__(
        self, server: Server, agent: str, number: int, *, lease: int, hurry: threading.Event
    ) -> None:
        self._server, self._path, self._hurry = server, f"deployments/{number}", hurry
        self._agent, self._lease = agent, lease
        self.lost, self._done = threading.Event(), threading.Event()
        self.refusal: Failure | None = None
        self._lines: list[str] = []
        self._told = 0
        self._lines_lock, self._sending = threading.Lock(), threading.Lock()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> Hand:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def line(self, text: str) -> None:
        """To be sent soon. What comes after as many as the registry keeps is left out."""
        with self._lines_lock:
            self._told += 1
            if self._told <= LINES_KEPT:
                self._lines.append(text)

    def report(self, state: str, **more: Any) -> bool:
        """Say it until the registry knows it; whether it does. Not when the deployment is lost."""
        pause = 0.2
        while not self.lost.is_set():
            if self._send({"state": state, **more}):
                return True
            if self._hurry.wait(pause):
                return False
            pause = min(2 * pause, LONGEST_WAIT)
        return False

    def give_back(self) -> None:
        """Others may have it soon: the lease is made as short as the registry allows."""
        self._call("renew", {"agent": self._agent, "lease": 10})

    def _keep(self) -> None:
        renew_at = time.monotonic() + self._lease / 3
        while not self._done.wait(SEND_EVERY) and not self.lost.is_set():
            if time.monotonic() >= renew_at:
                with self._sending:
                    if not self._done.is_set() and self._renew():
                        renew_at = time.monotonic() + self._lease / 3
            elif self._lines:
                self._send({})

    def _renew(self) -> bool:
        return self._call("renew", {"agent": self._agent, "lease": self._lease})

    def _send(self, body: dict[str, Any]) -> bool:
        """One report, with the lines that wait; they go out in the order in which they came."""
        with self._sending:
            while True:
                with self._lines_lock:
                    lines = self._lines[:LINES_AT_ONCE]
                last = len(lines) == len(self._lines)
                told = {"agent": self._agent, "lines": [{"text": line} for line in lines]}
                if not self._call("report", {**told, **(body if last else {})}):
                    return False
                with self._lines_lock:
                    del self._lines[: len(lines)]
                if last:
                    if body.get("state") in ("live", "failed"):
                        self._done.set()
                    return True

    def _call(self, what: str, body: dict[str, Any]) -> bool:
        """Whether it was said. A refusal loses the deployment, a lost connection is tried again by who calls."""
        try:
            self._server.ask("POST", f"{self._path}/{what}", body)
        except Failure as failure:
            if failure.code == NETWORK:
                return False
            if failure.problem.get("status") != 409:
                self.refusal = failure
            self.lost.set()
            return False
        return True


class Alone:
    """The same where there is nothing to report and nobody to lose it to: what is brought up is live already."""

    def __init__(self) -> None:
        self.lost = threading.Event()

    def line(self, text: str) -> None:
        """It is in the agent's own log."""

    def report(self, state: str, **more: Any) -> bool:
        return True
