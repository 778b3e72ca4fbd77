"""A backup taken while people write, restored elsewhere: everything it names is there, as it was."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest

from tests.live import ROOT

WRITING = """
import django; django.setup()
import os
from models_app.registry import catalog
from models_app.registry.access import Actor
from tests import builders
by = Actor.system()
model = catalog.register_model("written-all-along", by=by, team="risk")
while True:
    builders.version(model, by=by, files={"a": os.urandom(5000), "b": os.urandom(5000), "same": b"same"})
"""
VERIFYING = """
import django; django.setup()
import json
from models_app.models import Blob, ModelVersion
from models_app.registry.artifacts import integrity
print(json.dumps([ModelVersion.objects.count(), Blob.objects.count(), integrity.verify_all().facts()]))
"""


@pytest.mark.sqlite_is_enough
def test_database_first_then_blobs(live_template, tmp_path):
    if live_template.server:
        pytest.skip("PostgreSQL has pg_dump for its half; the order is the same.")
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with live_template.copy() as database:
        environment = live_template.environment(home, database) | {"MODELRY_FSYNC": "false"}
        writer = subprocess.Popen([sys.executable, "-c", WRITING], env=environment, cwd=ROOT)
        try:
            end = time.monotonic() + 20
            while len(list((home / "artifacts").glob("blobs/*/*/*/*"))) < 8 and time.monotonic() < end:
                time.sleep(0.05)
            with (
                sqlite3.connect(urlsplit(database).path) as source,
                sqlite3.connect(elsewhere / "modelry.sqlite3") as target,
            ):
                source.backup(target)
            shutil.copytree(home / "artifacts/blobs", elsewhere / "artifacts/blobs")
        finally:
            writer.kill()
            writer.wait()
        restored = live_template.environment(elsewhere, f"sqlite:///{elsewhere / 'modelry.sqlite3'}")

        done = subprocess.run(
            [sys.executable, "-c", VERIFYING], env=restored, cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        versions, blobs, told = json.loads(done.stdout)
        assert versions >= 3
        assert blobs == 2 * versions + 1
        assert told == {"blobs": blobs, "bytes": 10_000 * versions + 4, "damaged": 0, "healed": 0}
