"""Server, worker and store are killed again and again while the command line pushes: it goes on, and what it was told
holds.
"""

import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.live import ROOT, LiveServer, Worker, serve
from tests.storage.servers import SeaweedFS

# What another database could answer differently is killed around in test_killed_promotions.py.
pytestmark = [pytest.mark.sqlite_is_enough, pytest.mark.long]

KILLS = int(os.environ.get("KILLS", "10"))
MODEL = "risk/pushed"


# What a killed worker had in hand is free when its lease ends; here it has.
FREE = """
from models_app.models import UploadFile
UploadFile.objects.update(lease_until=None)
"""


def push(live, folder: Path) -> subprocess.Popen:
    environment = {
        **os.environ,
        "MODELRY_URL": live.url,
        "MODELRY_TOKEN": live.tokens["bob"],
        "MODELRY_CACHE": str(folder.parent / "cache"),
    }
    command = [
        "-m",
        "models_app.client",
        "push",
        str(folder),
        "--model",
        MODEL,
        "--create",
        "--json",
        "--quiet",
    ]
    return subprocess.Popen(
        [sys.executable, *command],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def other_bytes(folder: Path) -> None:
    """Other bytes each time: a large file in parts, one that comes whole, small ones together."""
    for name, size in (("large.bin", None), ("whole.bin", 5 << 20), *((f"{n}.txt", 50) for n in range(30))):
        with (folder / name).open("r+b" if size is None else "wb") as file:
            file.write(os.urandom(size or 1 << 20))


def pushed(live, pushing: subprocess.Popen, folder: Path) -> dict:
    """What the push answered, whose version has exactly these files."""
    out, err = pushing.communicate(timeout=120)
    while pushing.returncode == 5:  # It waited in vain for one that was killed too often.
        pushing = push(live, folder)
        out, err = pushing.communicate(timeout=120)
    assert pushing.returncode == 0, err
    answer = json.loads(out)
    with live.client("bob") as client:
        files = f"/api/v1/models/{MODEL}/versions/{answer['version']}/files?limit=100"
        listed = client.get(files).json()["items"]
    here = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert {row["path"]: row["sha256"] for row in listed} == here
    return answer


def test_a_push_survives_kills_at_random_moments(live, tmp_path):
    seed = random.randrange(1 << 30)
    chance, kills, versions = random.Random(seed), 0, 0
    large = tmp_path / "model" / "large.bin"
    large.parent.mkdir()
    large.write_bytes(os.urandom(70 << 20))
    while kills < KILLS:
        other_bytes(large.parent)
        pushing = push(live, large.parent)
        while pushing.poll() is None and kills < KILLS:
            time.sleep(chance.uniform(0.1, 1.0))
            live.kill()
            kills += 1
            live.start()
            with live.client("bob") as client:
                answer = client.get(f"/api/v1/models/{MODEL}/versions?limit=100")
                assert answer.status_code in (200, 404), answer.text
                seen = [row["version"] for row in answer.json().get("items", [])]
            assert set(range(1, versions + 1)) <= set(seen) <= set(range(1, versions + 2)), seed
        versions += 1
        assert pushed(live, pushing, large.parent)["version"] == versions, seed
    told = live.manage("artifacts_verify")
    assert "All of them are what they were." in told, told


@pytest.fixture
def store(tmp_path) -> Iterator[SeaweedFS]:
    running = SeaweedFS(tmp_path / "store")
    running.start()
    yield running
    running.stop()


@pytest.fixture
def live_at_store(live_template, tmp_path, store) -> Iterator[LiveServer]:
    with serve(live_template, tmp_path / "home", **store.settings("killed")) as server:
        yield server


def is_being_read(live: LiveServer) -> bool:
    """Whether a worker has an upload in hand."""
    with closing(sqlite3.connect(live.database_url.removeprefix("sqlite:///"))) as database:
        asked = "SELECT count(*) FROM models_app_uploadfile WHERE lease_until IS NOT NULL AND verifying_at IS NOT NULL"
        return bool(database.execute(asked).fetchone()[0])


def test_a_push_to_a_store_survives_kills_of_worker_server_and_store(live_at_store, store, tmp_path):
    seed, live = random.randrange(1 << 30), live_at_store
    chance, worker, read = random.Random(seed), Worker(live_at_store, first=FREE), 0
    large = tmp_path / "model" / "large.bin"
    large.parent.mkdir()
    large.write_bytes(os.urandom(70 << 20))
    worker.start()
    try:
        for turn in range(KILLS * 2 // 5):
            other_bytes(large.parent)
            pushing = push(live, large.parent)
            if turn % 2:
                victim = (live, store)[turn // 2 % 2]
                time.sleep(chance.uniform(0.3, 2.0))
            else:
                victim = worker
                while pushing.poll() is None and not is_being_read(live):
                    time.sleep(0.01)
                time.sleep(chance.uniform(0, 0.3))
                read += is_being_read(live)
            (victim.stop if victim is store else victim.kill)()
            time.sleep(chance.uniform(0, 1))
            victim.start()
            assert pushed(live, pushing, large.parent)["version"] == turn + 1, seed
    finally:
        worker.kill()
    assert read, "The worker was never killed while it read."
    told = live.manage("artifacts_verify")
    assert "All of them are what they were." in told, told
