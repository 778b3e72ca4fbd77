"""Environments of real MLflow clients, and MLflow's own server in one: made by script/lib/clients.py when missing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pytest

from script.lib import clients
from tests.live import free_port

HERE = Path(__file__).parent
# Nothing that phones home or waits for anybody.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def environment(name: str) -> Path:
    """The folder of a client's environment. Where it cannot be made CI fails, and elsewhere the test is skipped."""
    try:
        return clients.ensure(name)
    except clients.NotMade as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"No environment for {name}: {str(error).splitlines()[-1]}")


def clean() -> dict[str, str]:
    """The environment of a child without what is ours."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MODELRY_", "MLFLOW_", "DJANGO_", "GRANIAN_")) and name != "DATABASE_URL"
    }
    return {**kept, **QUIET}


@dataclass(frozen=True)
class Original:
    """MLflow's own server, running."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def started(
    home: Path,
    *,
    store: str = "",
    workers: int = 1,
    options: tuple[str, ...] = (),
    more: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Original]:
    """MLflow's own server with its data in `home` (or the database `store`), and `more` in its environment. Gone
    afterwards.
    """
    port = free_port()
    home.mkdir(parents=True, exist_ok=True)
    folder = environment("mlflow3") / "bin"
    # What one worker needs no other process for is then imported once.
    command = [str(folder / "python"), str(HERE / "original_server.py")]
    if workers > 1:
        command = [str(folder / "mlflow")]
    command += ["server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", store or f"sqlite:///{home / 'mlflow.db'}", "--workers", str(workers)]
    command += ["--artifacts-destination", str(home / "artifacts"), *options]
    with (home / "server.log").open("ab") as log:
        process = subprocess.Popen(
            command, env=clean() | more, cwd=home, stdout=log, stderr=log, start_new_session=True
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, home / "server.log")
        yield Original(port, process.pid)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path | None = None) -> None:
    """Until it answers. Raises RuntimeError when the process ends first, or it takes two minutes."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(url, timeout=2):
            return
        time.sleep(0.1)
    raise RuntimeError(f"The server did not start:\n{log.read_text()[-4000:] if log else url}")
