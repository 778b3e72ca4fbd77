"""examples/serve with real MLflow models: trained, registered, approved, promoted; what is promoted answers, and what
dies on its start never does.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests import originals
from tests.agents import AgentProcess, Team, until
from tests.live import ROOT, free_port

pytestmark = [pytest.mark.client, pytest.mark.sqlite_is_enough]

SERVE = ROOT / "examples/serve/serve.py"


class Asking(threading.Thread):
    """Asks without a pause, each time on a new connection, and notes every answer that differs from the one before."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port, self.count, self.answers = port, 0, []
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.is_set():
            answer = ask(self.port)
            self.count += 1
            if self.answers[-1:] != [answer]:
                self.answers.append(answer)

    def end(self) -> list:
        self.enough.set()
        self.join()
        return self.answers


def ask(port: int) -> object:
    """What 40 becomes, or what went wrong."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        body = json.dumps({"dataframe_split": {"columns": ["x"], "data": [[40]]}})
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())["predictions"][0]
    except (OSError, http.client.HTTPException, LookupError, ValueError) as error:
        return repr(error)
    finally:
        connection.close()


@contextmanager
def serving(home, port: int) -> Iterator[subprocess.Popen]:
    """The server, which imports MLflow meanwhile."""
    python = str(originals.environment("mlflow3") / "bin/python")
    with (home / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [python, str(SERVE), "run", str(port)],
            env={**originals.clean(), "SERVE_HOME": str(home)},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def test_promoted_models_answer_and_dying_ones_never_do(mlflow_client, shared_live, tmp_path):
    port, team = free_port(), Team(shared_live, "adder")
    with serving(tmp_path, port):
        mlflow_client("mlflow3").run("three_models.py", str(tmp_path / "models"), url=shared_live.url)
        team.set_up(health_check=f"http://127.0.0.1:{port}/health/{{version}}", health_window=30)
        one, two, dies = (push(team, tmp_path / "models" / name) for name in ("one", "two", "dies"))
        until((tmp_path / "serve.sock").exists, "it serves")
        agent = AgentProcess(shared_live, tmp_path / "agent", "--exec", f"{sys.executable} {SERVE} deploy")
        try:
            agent.start(SERVE_HOME=str(tmp_path))
            team.promote(one)
            agent.hear("live", version=one)
            asking = Asking(port)
            asking.start()
            team.promote(two)
            agent.hear("live", version=two)
            team.promote(dies)
            agent.hear("failed", version=dies)
            agent.hear("live", version=two, kind="rollback")
            count = asking.count
            until(lambda: asking.count > count + 5, "it still answers")
            assert asking.end() == [41, 42]
        finally:
            agent.close()
        assert team.deployments() == [
            (one, "followed", "superseded"),
            (two, "followed", "superseded"),
            (dies, "followed", "rolled_back"),
            (two, "rollback", "live"),
        ]
        shown = team.root.get(f"{team.path}/versions/production").json()
        assert shown["version"] == two
    log = (tmp_path / "serve.log").read_text()
    assert "Traceback" not in log, log


def push(team: Team, folder) -> int:
    """Register it from the command line, as its author."""
    told = ["--metric", "f1=0.9", "--dataset-name", "tx", "--dataset-version", "7", "--license", "MIT"]
    token = {
        "MODELRY_URL": team.live.url,
        "MODELRY_TOKEN": team.live.tokens["bob"],
        "HOME": str(folder.parent),
    }
    told += ["--model", team.model, "--owner", "bob", "--create", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "models_app.client", "push", folder, *told],
        env={"PATH": os.environ["PATH"], "NO_PROXY": "*", **token},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["version"]
