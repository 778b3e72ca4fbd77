"""A backup taken while people write, restored elsewhere: everything it names is there, as it was."""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import urlsplit

from tests.live import ROOT
from tests.migrated import tool

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


def run(*command, **environment):
    done = subprocess.run(command, env=environment or None, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def backup(live_template, database, elsewhere):
    """The address of a database as it is when this begins."""
    if not live_template.server:
        copy = elsewhere / "modelry.sqlite3"
        with (
            closing(sqlite3.connect(urlsplit(database).path)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
        yield f"sqlite:///{copy}"
        return
    dump, name = str(elsewhere / "modelry.dump"), f"restored_{secrets.token_hex(4)}"
    run(tool("pg_dump"), "--format=custom", f"--file={dump}", database)
    live_template.migrated.sql(f'CREATE DATABASE "{name}"')
    run(tool("pg_restore"), "--exit-on-error", "--no-owner", f"--dbname={live_template.url(name)}", dump)
    yield live_template.url(name)
    live_template.migrated.sql(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_database_first_then_blobs(live_template, tmp_path):
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with live_template.copy() as database:
        environment = live_template.environment(home, database) | {"MODELRY_FSYNC": "false"}
        writer = subprocess.Popen([sys.executable, "-c", WRITING], env=environment, cwd=ROOT)
        with ExitStack() as open_till_the_end:
            try:
                end = time.monotonic() + 60
                while len(list((home / "artifacts").glob("blobs/*/*/*/*"))) < 8 and time.monotonic() < end:
                    time.sleep(0.05)
                restored = open_till_the_end.enter_context(backup(live_template, database, elsewhere))
                shutil.copytree(home / "artifacts/blobs", elsewhere / "artifacts/blobs")
            finally:
                writer.kill()
                writer.wait()
            out = run(sys.executable, "-c", VERIFYING, **live_template.environment(elsewhere, restored))
            versions, blobs, told = json.loads(out)
            assert versions >= 3
            assert blobs == 2 * versions + 1
            assert told == {"blobs": blobs, "bytes": 10_000 * versions + 4, "damaged": 0, "healed": 0}
