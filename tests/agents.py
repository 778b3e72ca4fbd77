"""A real `modelry deploy-agent` for tests: what it logs is read as it comes, its command is a shell script."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.live import ROOT

WITHIN = 120.0
# Does what the file “what” of the version says; the place is what serves.
SCRIPT = """#!/bin/sh
what=$(cat "$MODELRY_PATH/what")
echo "deploying $MODELRY_MODEL $MODELRY_VERSION, $what; before: $MODELRY_PREVIOUS_VERSION; token: $MODELRY_TOKEN"
case $what in
fails) echo "no such luck"; exit 3 ;;
hangs) sleep 1000 ;;
waits) touch "$PLACE.waiting"; while [ ! -e "$PLACE.go" ]; do sleep 0.02; done ;;
esac
echo "$MODELRY_VERSION" > "$PLACE.new" && mv "$PLACE.new" "$PLACE"
cp "$PLACE" "$PLACE-${MODELRY_MODEL##*/}"
"""

# What production asks for.
COMPLETE = {
    "dataset_name": "tx",
    "dataset_version": "1",
    "license": "MIT",
    "owner": "bob",
    "metrics": {"f1": 0.9},
}


def until(true, what: str, within: float = WITHIN) -> Any:
    """What is true at last."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if found := true():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {within} s: {what}")


class AgentProcess:
    """The agent on a machine of its own: a folder."""

    def __init__(self, live, home: Path, *options: str, environment: str = "prod") -> None:
        self.live, self.home = live, home
        home.mkdir(parents=True, exist_ok=True)
        self.place = home / "place"
        script = home / "deploy.sh"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        told = ["--environment", environment, "--exec", "./deploy.sh", "--state-dir", str(home / "state")]
        self.arguments = [*told, "--wait", "1", "--json", *options]
        self.events: list[dict] = []
        self._listening: list[threading.Thread] = []
        self._heard: queue.Queue[dict] = queue.Queue()
        self.process: subprocess.Popen[str] | None = None

    def start(self, **more: str) -> None:
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
        here = {"HOME": str(self.home), "PYTHONPATH": str(ROOT), "PLACE": str(self.place), "NO_PROXY": "*"}
        token = {"MODELRY_URL": self.live.url, "MODELRY_TOKEN": self.live.tokens["robot"]}
        with (self.home / "complaints").open("ab") as complaints:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "models_app.client", "deploy-agent", *self.arguments],
                env={**kept, **here, **token, **more},
                cwd=self.home,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            )
        self._listening.append(threading.Thread(target=self._listen, args=(self.process,), daemon=True))
        self._listening[-1].start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        with process.stdout as lines:
            for line in lines:
                self._heard.put(json.loads(line))

    def hear(self, event: str, **facts: Any) -> dict:
        """The next event of that kind and these facts; what came before it is kept in `events`."""
        deadline = time.monotonic() + WITHIN
        while (left := deadline - time.monotonic()) > 0:
            try:
                heard = self._heard.get(timeout=left)
            except queue.Empty:
                break
            self.events.append(heard)
            if heard["event"] == event and facts.items() <= heard.items():
                return heard
        raise AssertionError(f"no {event}: {self.events[-20:]}\n{(self.home / 'complaints').read_text()}")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WITHIN)

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for thread in self._listening:
            thread.join()


class Team:
    """Those who register one model and promote it, over REST, and the environment that follows it."""

    def __init__(self, live, name: str = "served", environment: str = "prod") -> None:
        self.live, self.environment = live, environment
        self.model, self.path = f"risk/{name}", f"/api/v1/models/risk/{name}"
        self.root, self.carol, self.bob = (live.client(name) for name in ("root", "carol", "bob"))

    def set_up(self, **fields: Any) -> None:
        """The environment, and the account that its agents use."""
        here = {"name": self.environment, "team": "risk", "name_pattern": self.model, "kind": "agent"}
        self._post("environments", **{**here, **fields})
        if "robot" in self.live.tokens:
            return
        self._post("teams/risk/service-accounts", username="robot", role="contributor")
        made = self._post("teams/risk/service-accounts/robot/tokens", name="agents", scopes=["read", "write"])
        self.live.tokens["robot"] = made["token"]

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.root.post(f"/api/v1/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def register(self, what: str, **more: bytes) -> int:
        metadata = {"create_model": True, **COMPLETE}
        files = {"what": what.encode(), "salt": os.urandom(8), **more}
        answer = self.bob.post(
            f"{self.path}/versions",
            data={"metadata": json.dumps(metadata)},
            files=[("file", (name, content, "application/octet-stream")) for name, content in files.items()],
        )
        assert answer.is_success, answer.text
        return answer.json()["version"]

    def fill_in(self, number: int) -> dict[str, Any]:
        """Say of a version what production asks for; returns it."""
        answer = self.bob.patch(f"{self.path}/versions/{number}", json=COMPLETE)
        assert answer.is_success, answer.text
        return answer.json()

    def promote(self, number: int) -> None:
        for stage in ("staging", "production"):
            body = {"to": stage, "reason": "as planned"}
            answer = self.carol.post(f"{self.path}/versions/{number}/stage", json=body)
            assert answer.is_success, answer.text

    def go_live(self) -> int:
        """What waits or is under way is reported live, one after the other: the number of the last deployment."""
        rows = self.root.get("/api/v1/deployments", params={"model": self.model, "ordering": "id"}).json()
        for row in rows["items"]:
            if row["state"] in ("queued", "deploying"):
                self._post(f"deployments/{row['id']}/report", state="live")
        number: int = rows["items"][-1]["id"]
        return number

    def drift(self) -> int:
        """What is promoted goes live, and observes more than it may: the number of the incident that opens."""
        deployment = self.go_live()
        self._post("thresholds", model=self.model, name_pattern="psi", value=0.2, in_a_row=1)
        seen = {"name": "psi", "feature": "amount", "value": 0.31}
        told = self._post(f"deployments/{deployment}/observations", observations=[seen])
        incident: int = told["incident"]
        return incident

    def deployments(self) -> list[tuple[int, str, str]]:
        """Version, kind and state of all, the oldest first."""
        rows = self.root.get(
            "/api/v1/deployments", params={"ordering": "id", "limit": 200, "environment": self.environment}
        ).json()["items"]
        return [(row["version"], row["kind"], row["state"]) for row in rows]

    def lines(self, number: int) -> list[str]:
        rows = self.root.get(f"/api/v1/deployments/{number}/lines").json()["items"]
        return [row["text"] for row in rows]
