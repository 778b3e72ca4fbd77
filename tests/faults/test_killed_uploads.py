"""The server is killed again and again while the command line pushes: it goes on, and what it was told holds."""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.live import ROOT

# What another database could answer differently is killed around in test_killed_promotions.py.
pytestmark = [pytest.mark.sqlite_is_enough, pytest.mark.long]

KILLS = int(os.environ.get("KILLS", "10"))
MODEL = "risk/pushed"


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


def test_a_push_survives_kills_at_random_moments(live, tmp_path):
    seed = random.randrange(1 << 30)
    chance, kills, versions = random.Random(seed), 0, 0
    large = tmp_path / "model" / "large.bin"
    large.parent.mkdir()
    large.write_bytes(os.urandom(70 << 20))
    while kills < KILLS:
        # Other bytes each time: a large file in parts, one that comes whole, small ones together.
        for name, size in (
            ("large.bin", None),
            ("whole.bin", 5 << 20),
            *((f"{n}.txt", 50) for n in range(30)),
        ):
            with (large.parent / name).open("r+b" if size is None else "wb") as file:
                file.write(os.urandom(size or 1 << 20))
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
        out, err = pushing.communicate(timeout=120)
        while pushing.returncode == 5:  # It waited in vain for a server that was killed too often.
            pushing = push(live, large.parent)
            out, err = pushing.communicate(timeout=120)
        assert pushing.returncode == 0, (seed, err)
        versions += 1
        assert json.loads(out)["version"] == versions, seed
        with live.client("bob") as client:
            at = f"/api/v1/models/{MODEL}/versions/{versions}"
            listed = client.get(f"{at}/files?limit=100").json()["items"]
        here = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in large.parent.iterdir()}
        assert {row["path"]: row["sha256"] for row in listed} == here
    told = live.manage("artifacts_verify")
    assert "All of them are what they were." in told, told
