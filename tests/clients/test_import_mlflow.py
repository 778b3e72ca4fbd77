"""Moving in from a real MLflow server: clients find on Modelry what they had there, whenever the move was killed."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import live as live_servers
from tests import originals

HERE = Path(__file__).parent

# The rows it writes are tried on both databases by tests/protocols/mlflow/test_importer.py.
pytestmark = [pytest.mark.client, pytest.mark.sqlite_is_enough]


def client(name, script, *arguments, url, token=""):
    """What a script of ours printed last, run by a client of that environment."""
    environment = {**originals.clean(), "MLFLOW_TRACKING_URI": url, "PYTHONWARNINGS": "ignore"}
    environment |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    if token:
        environment["MLFLOW_TRACKING_TOKEN"] = token
    command = [str(originals.environment(name) / "bin/python"), str(HERE / script), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module", params=["mlflow3"])
def old(request, tmp_path_factory):
    """A real server that clients of one release filled: its address, what they said, and the release."""
    with originals.started(tmp_path_factory.mktemp("original")) as server:
        yield server.url, client(request.param, "mlflow_source.py", url=server.url), request.param


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


def test_clients_find_on_modelry_what_they_had(old, live):
    url, said, release = old
    report = move(live, url, "--team", "risk", "--verify")
    assert [row["subject"] for row in report["problems"]] == ["search"], report["problems"]
    assert report["verified"] >= report["files"] > 0
    before = client(release, "mlflow_moved.py", said["run_id"], url=url)
    after = client(release, "mlflow_moved.py", said["run_id"], url=live.url, token=live.tokens["alice"])
    # Whose name is refused here.
    before["found"].remove("search")
    assert after == before
    again = move(live, url, "--team", "risk")
    assert again["files"] == 0
    assert {
        outcome for kind, counts in again["counts"].items() if kind != "aliases" for outcome in counts
    } == {"same"}


def test_a_move_that_is_killed_is_finished_by_the_next(old, live):
    url, said, release = old
    for seconds in (1.0, 2.0, 2.5, 3.0, 3.5):
        process = subprocess.Popen(
            command(live, url, "--team", "risk", "--with-deleted"),
            env=live.environment,
            cwd=live_servers.ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    report = move(live, url, "--team", "risk", "--with-deleted", "--verify")
    assert [row["subject"] for row in report["problems"]] == ["search"], report["problems"]
    before = client(release, "mlflow_moved.py", said["run_id"], url=url)
    after = client(release, "mlflow_moved.py", said["run_id"], url=live.url, token=live.tokens["alice"])
    before["found"].remove("search")
    assert after == before
