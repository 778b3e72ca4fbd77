"""Blobs move to another store while Modelry serves: all of them, verified, and none is removed before that."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import timedelta
from io import StringIO
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone

from models_app.models import Blob, Manifest
from models_app.registry import catalog
from models_app.registry.artifacts import integrity, storage, sweep
from registry_site.artifacts import artifact_storage
from tests import builders
from tests.live import ROOT
from tests.storage.servers import BUCKET, OWNER
from tests.storage.test_contract import put

pytestmark = pytest.mark.sqlite_is_enough

FILES = "/api/v1/models/risk/moving/versions/{}/files/{}"


@pytest.fixture
def s3(servers, monkeypatch):
    """The address of an empty place at S3."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", OWNER[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", OWNER[1])
    asked = {"endpoint_url": servers["s3"].url, "region": "us-east-1", "addressing_style": "path"}
    return f"s3://{BUCKET}/tests/{os.urandom(4).hex()}?{urlencode(asked)}"


def kept(address):
    """What is at a place, by digest."""
    found = storage.stored(storage.made(artifact_storage(address), may_be_new=True))
    return {one.key.rpartition("/")[2]: one.size for one in found}


def migrate(**options):
    """What it tells, and its exit status."""
    out, status = StringIO(), 0
    try:
        call_command("migrate_storage", **options, as_json=True, stdout=out)
    except SystemExit as ended:
        status = ended.code
    return json.loads(out.getvalue()), status


def using(address, before=None):
    """Modelry, started with these settings."""
    places = {"artifacts": artifact_storage(address)}
    if before:
        places["artifacts_fallback"] = artifact_storage(before)
    return override_settings(
        STORAGES={**settings.STORAGES, **places},
        ARTIFACTS=address,
        ARTIFACTS_FALLBACK=before or "",
        DIRECT_MIN_BYTES=1000,
    )


def read(client, number, path):
    answer = client.get(FILES.format(number, path))
    if answer.status_code == 302:
        return httpx.get(answer["Location"]).content
    assert answer.status_code == 200, answer.content
    return b"".join(answer.streaming_content)


@pytest.mark.django_db
@pytest.mark.parametrize("back", [False, True])
def test_all_of_it_while_it_serves(back, s3, people, api, tmp_path):
    disk = f"file://{tmp_path / 'disk'}"
    old, new = (s3, disk) if back else (disk, s3)
    model = builders.model("risk/moving", by=people.bob)
    contents = [os.urandom(size) for size in (10, 5000, 9 << 20)]
    with using(old):
        builders.version(model, by=people.bob, files=dict(zip("abc", contents, strict=True)))
        total = sum(map(len, contents))
        planned, _ = migrate(to=new, dry_run=True)
        assert (planned["blobs"], planned["bytes"], kept(new)) == (3, total, {})
        moved, status = migrate(to=new, parallel=2)
        assert (status, moved["blobs"], moved["bytes"], moved["missing"]) == (0, 3, total, 0)
        assert kept(new) == kept(old)
        with pytest.raises(CommandError, match="in use"):
            migrate(to=new, remove_source=True)
        # Meanwhile it went on writing here.
        builders.version(model, by=people.bob, files={"a": b"meanwhile" * 1000})
    with using(new, old):
        assert read(api.bob, 2, "a") == b"meanwhile" * 1000
        assert read(api.bob, 1, "c") == contents[2]
        builders.version(model, by=people.bob, files={"a": b"after" * 1000})
        assert (len(kept(old)), len(kept(new))) == (4, 4)
        moved, status = migrate(to=new, remove_source=True)
        assert (status, moved["blobs"], moved["removed"]) == (0, 1, 4)
        assert (len(kept(old)), len(kept(new))) == (0, 5)
    with using(new):
        assert [read(api.bob, *file)[:5] for file in ((2, "a"), (3, "a"), (1, "b"))] == [
            b"meanw",
            b"after",
            contents[1][:5],
        ]
        assert integrity.verify_all(restart=True).facts() | {"bytes": 0} == {
            "blobs": 5,
            "bytes": 0,
            "damaged": 0,
            "healed": 0,
        }


@pytest.mark.django_db
def test_what_is_not_whole_is_not_moved_and_nothing_removed(people, tmp_path):
    old, new = f"file://{tmp_path / 'a'}", f"file://{tmp_path / 'b'}"
    with using(old):
        version = builders.version(
            builders.model("risk/moving", by=people.bob),
            by=people.bob,
            files={"good": b"good", "bad": b"bad", "gone": b"gone", "short": b"short"},
        )
        digests = dict(version.manifest.entries.values_list("path", "blob"))
        for name, found in (("bad", b"BAD"), ("short", b"s"), ("gone", b"")):
            path = tmp_path / "a" / storage.blob_name(digests[name])
            path.unlink()
            if found:
                path.write_bytes(found)
        told, status = migrate(to=new)
        assert (status, told["lost"]) == (1, [digests["gone"]])
        assert sorted(told["damaged"]) == sorted((digests["bad"], digests["short"]))
        assert kept(new) == {digests["good"]: 4}
        (tmp_path / "c").symlink_to(tmp_path / "a")
        with pytest.raises(CommandError, match="same place"):
            migrate(to=f"file://{tmp_path / 'c'}")
    with using(new, old), pytest.raises(CommandError, match="nothing was removed"):
        migrate(to=new, remove_source=True)
    assert len(kept(old)) == 3


@pytest.fixture
def two(people, tmp_path):
    """A file of a version at the old of two places and at the new, which is in use; its path there, and there."""
    old, new = (f"file://{tmp_path / name}" for name in ("old", "new"))
    with using(old):
        model = builders.model("risk/moving", by=people.bob)
        version = builders.version(model, by=people.bob, files={"a": b"whole"})
        migrate(to=new)
    with using(new, old):
        paths = [tmp_path / name / storage.blob_name(builders.sha256(b"whole")) for name in ("old", "new")]
        yield version, *paths


@pytest.mark.django_db
def test_the_sweep_removes_from_both_places_and_nothing_that_came_since(two, people):
    version, old, new = two
    catalog.delete_version(version, by=people.root)
    Manifest.objects.all().delete()
    marked = Blob.objects.filter(pk=old.name)

    def sweep_marked():
        condemned = timezone.now() - timedelta(hours=1)
        marked.update(condemned_at=condemned, touched_at=condemned - timedelta(hours=1))
        sweep.sweep(grace=timedelta(minutes=40), orphans=False)
        return marked.exists(), old.exists(), new.exists()

    def written(path, hours):
        os.utime(path, (time.time() - hours * 3600,) * 2)

    # The last came since, too, at a place whose clock is late.
    for came_again, stays, hours in ((new, old, 0), (old, new, 0), (new, old, 1.1)):
        written(came_again, hours)
        written(stays, 2)
        assert sweep_marked() == (True, True, True)
    written(new, 2)
    assert sweep_marked() == (False, False, False)


@pytest.mark.django_db
def test_what_is_damaged_here_and_whole_where_it_was(two):
    _, old, new = two
    new.chmod(0o600)
    new.write_bytes(b"WHOLE")
    done = integrity.verify_all()
    assert done.damaged == done.healed == [old.name]
    assert storage.read(old.name, limit=9) == b"whole"
    assert not Blob.objects.exclude(damaged_at=None).exists()


@pytest.mark.django_db
def test_nothing_is_asked_twice_of_one_place(servers, use):
    store = use(servers["s3"].storage("tests/asked"))
    stored = put()
    asked = []
    store.client.meta.events.register("before-send.s3", lambda request, **_: asked.append(request.method))
    storage.read_range(stored.sha256, start=1, length=2)
    storage.size_of(stored.sha256)
    storage.download_address(
        stored.sha256, size=stored.size, disposition="", media_type="", valid=timedelta(hours=1)
    )
    assert asked == ["GET", "HEAD", "HEAD"]


WRITING = """
import django; django.setup()
import os, sys
from django.core.management import call_command
from models_app.registry import catalog
from models_app.registry.access import Actor
from tests import builders
by = Actor.system()
model = catalog.register_model("moving", by=by, team="risk")
builders.version(model, by=by, files={str(number): os.urandom(400_000) for number in range(12)})
call_command("migrate_storage", *sys.argv[1:])
"""
ENDING = """
import django; django.setup()
import sys
from django.core.management import call_command
call_command("migrate_storage", *sys.argv[1:])
call_command("artifacts_verify")
"""


def test_killed_in_the_middle(s3, live_template, tmp_path):
    with live_template.copy() as database:
        environment = live_template.environment(tmp_path, database)

        def start(source, *arguments):
            return subprocess.Popen(
                [sys.executable, "-c", source, *arguments],
                env=environment,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )

        def told(process):
            out, _ = process.communicate(timeout=120)
            assert process.returncode == 0, out
            *_, moved, _, verified = out.splitlines()
            return moved, verified

        process = start(WRITING, "--to", s3, "--rate", "1M", "--parallel", "2")
        try:
            end = time.monotonic() + 60
            while len(kept(s3)) < 2 and process.poll() is None and time.monotonic() < end:
                time.sleep(0.02)
        finally:
            process.kill()
            process.communicate()
        there = len(kept(s3))
        assert 2 <= there < 12
        assert set(kept(s3).values()) == {400_000}
        environment["MODELRY_ARTIFACTS"] = s3
        disk = f"file://{tmp_path / 'artifacts'}"
        moved, verified = told(start(ENDING, "--to", s3, "--from", disk, "--remove-source", "--json"))
        assert json.loads(moved) | {"bytes": 0} == {
            "blobs": 12 - there,
            "bytes": 0,
            "lost": [],
            "damaged": [],
            "missing": 0,
            "removed": 12,
        }
        assert verified == "All of them are what they were."
        assert not [path for path in Path(tmp_path, "artifacts/blobs").rglob("*") if path.is_file()]


@pytest.mark.django_db
def test_what_was_known_to_be_damaged_is_named_again_and_keeps_the_source(people, tmp_path):
    old, new = f"file://{tmp_path / 'a'}", f"file://{tmp_path / 'b'}"
    with using(old):
        model = builders.model("risk/moving", by=people.bob)
        version = builders.version(
            model, by=people.bob, files={"good": b"good", "bad": b"bad", "gone": b"gone"}
        )
        digests = dict(version.manifest.entries.values_list("path", "blob"))
        (tmp_path / "a" / storage.blob_name(digests["gone"])).unlink()
        bad = tmp_path / "a" / storage.blob_name(digests["bad"])
        bad.chmod(0o600)
        bad.write_bytes(b"BAD")
        assert len(integrity.verify_all().damaged) == 2
        for options in ({"dry_run": True}, {}, {}):
            told, status = migrate(to=new, **options)
            assert (status, told["lost"], told["damaged"]) == (1, [digests["gone"]], [digests["bad"]])
    with using(new, old), pytest.raises(CommandError, match="nothing was removed"):
        migrate(to=new, remove_source=True)
    with using(old):
        put(b"bad")
        put(b"gone")
        assert len(integrity.verify_all().healed) == 2
        assert migrate(to=new)[1] == 0


@pytest.mark.django_db
def test_what_others_left_among_the_blobs_is_passed_over(people, tmp_path):
    old, new = f"file://{tmp_path / 'a'}", f"file://{tmp_path / 'b'}"
    with using(old):
        model = builders.model("risk/moving", by=people.bob)
        builders.version(model, by=people.bob, files={name: name.encode() for name in "abc"})
        assert migrate(to=new)[1] == 0
        for place in ("", "zz/", "zz/zz/"):
            (tmp_path / "b/blobs/sha256" / place).mkdir(exist_ok=True)
            (tmp_path / "b/blobs/sha256" / place / "Thumbs.db").write_bytes(b"!")
        assert migrate(to=new)[0]["blobs"] == 0
    with using(new, old):
        assert migrate(to=new, remove_source=True)[0]["removed"] == 3
