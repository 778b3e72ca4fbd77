"""Moving in from a real MLflow server: clients find on Modelry what they had there, whenever the move was killed."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

from tests import live as live_servers
from tests.clients.conftest import Client

# The rows it writes are tried on both databases by tests/protocols/mlflow/test_importer.py.
pytestmark = [pytest.mark.client, pytest.mark.sqlite_is_enough]


@dataclass(frozen=True)
class Old:
    """A real server that a client filled, and what clients find there: nobody's move changes it."""

    url: str
    client: Client
    run_id: str
    found: dict


@pytest.fixture(scope="module", params=["mlflow3"])
def old(request, mlflow_client, original_server):
    client = mlflow_client(request.param)
    run_id = client.run("mlflow_source.py", url=original_server.url)["run_id"]
    found = client.run("mlflow_moved.py", run_id, url=original_server.url)
    # Whose name is refused here.
    found["found"].remove("search")
    return Old(original_server.url, client, run_id, found)


def command(server, url, *options):
    return [sys.executable, str(live_servers.ROOT / "manage.py"), "import_mlflow", "--from", url, *options]


def move(server, url, *options):
    """The report of a whole move."""
    target = server.home / "report.json"
    done = subprocess.run(
        [*command(server, url, *options), "--report", str(target)],
        env=server.environment,
        cwd=live_servers.ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert target.exists(), done.stderr
    report = json.loads(target.read_text())
    assert done.returncode == (0 if report["ok"] else 1), done.stderr
    return report


def found(old, live):
    return old.client.run("mlflow_moved.py", old.run_id, url=live.url, token=live.tokens["alice"])


def test_clients_find_on_modelry_what_they_had(old, live):
    report = move(live, old.url, "--team", "risk", "--verify")
    assert [row["subject"] for row in report["problems"]] == ["search"], report["problems"]
    assert report["verified"] >= report["files"] > 0
    assert found(old, live) == old.found
    again = move(live, old.url, "--team", "risk")
    assert again["files"] == 0
    assert {
        outcome for kind, counts in again["counts"].items() if kind != "aliases" for outcome in counts
    } == {"same"}


def stored(live) -> int:
    """How many files have arrived."""
    return sum(path.is_file() for path in (live.home / "artifacts" / "blobs").rglob("*"))


def test_a_move_that_is_killed_is_finished_by_the_next(old, live):
    for more in (1, 2, 3):
        enough = stored(live) + more
        process = subprocess.Popen(
            command(live, old.url, "--team", "risk", "--with-deleted"),
            env=live.environment,
            cwd=live_servers.ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while stored(live) < enough and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    report = move(live, old.url, "--team", "risk", "--with-deleted", "--verify")
    assert [row["subject"] for row in report["problems"]] == ["search"], report["problems"]
    assert found(old, live) == old.found
