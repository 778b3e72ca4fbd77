"""Real MLflow clients, each in its own environment."""

from __future__ import annotations

import json
import select
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import originals

HERE = Path(__file__).parent
# A failure is to show itself at once.
HASTY = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "PYTHONWARNINGS": "ignore",
}


@dataclass
class Running:
    """A script of ours that a client's process runs."""

    process: subprocess.Popen[str]
    said: Path
    complaints: Path
    returncode: int | None = None

    def poll(self, seconds: float = 0) -> int | None:
        """Its exit status once it has ended, and waits that long for it."""
        if self.returncode is None and select.select([self.process.stdout], [], [], seconds)[0]:
            line = self.process.stdout.readline()
            assert line, f"The client ended:\n{self.complaints.read_text()[-4000:]}"
            self.returncode = int(line)
        return self.returncode

    def wait(self, seconds: float) -> tuple[str, str]:
        """What it printed, and what it complained of. Raises TimeoutError."""
        if self.poll(seconds) is None:
            raise TimeoutError(self.complaints.read_text()[-4000:])
        return self.said.read_text(), self.complaints.read_text()


class Client:
    """The process of one environment that runs script after script: see staying.py."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder, self.count = folder, 0
        self.environment = {**originals.clean(), **HASTY}
        with (folder / "complaints").open("wb") as complaints:
            self.process = subprocess.Popen(
                [str(originals.environment(name) / "bin/python"), str(HERE / "staying.py")],
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
            )

    def start(self, script: str, *arguments: str, url: str, token: str = "") -> Running:
        """Begin to run a script against the server at `url`. One at a time."""
        self.count += 1
        said, complaints = (self.folder / f"{what}-{self.count}" for what in ("said", "complaints"))
        reached = {"MLFLOW_TRACKING_URI": url, **({"MLFLOW_TRACKING_TOKEN": token} if token else {})}
        asked = {
            "script": str(HERE / script),
            "arguments": arguments,
            "environment": {**self.environment, **reached},
            "said": str(said),
            "complaints": str(complaints),
        }
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return Running(self.process, said, complaints)

    def run(self, script: str, *arguments: str, url: str, token: str = "") -> dict:
        """What the script printed last."""
        running = self.start(script, *arguments, url=url, token=token)
        said, complaints = running.wait(240)
        assert running.returncode == 0, complaints[-4000:]
        return json.loads(said.strip().splitlines()[-1])

    def close(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="session")
def mlflow_client(tmp_path_factory):
    """`mlflow_client("mlflow3")`: the client of that environment, started when it is first asked for."""
    started: dict[str, Client] = {}

    def client(name: str) -> Client:
        if name not in started:
            started[name] = Client(name, tmp_path_factory.mktemp(name))
        return started[name]

    yield client
    for one in started.values():
        one.close()
