"""The sweep: what nobody refers to goes after its time, and nothing else ever does."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from dataclasses import asdict
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from models_app.models import AuditEvent, Blob, Manifest, Run, UploadFile, UploadSession
from models_app.registry import catalog, runs
from models_app.registry.artifacts import blobs, storage, sweep, trees
from models_app.registry.artifacts.freed import freed_by
from tests import builders
from tests.live import ROOT

NOW = timedelta(0)
DAY = timedelta(days=1)


def later(monkeypatch, by: timedelta) -> None:
    """The clock of the database's rows goes on."""
    real = timezone.now
    monkeypatch.setattr(timezone, "now", lambda: real() + by)


def digests_in_storage() -> set[str]:
    return {kept.key[-64:] for kept in storage.stored()}


@pytest.mark.django_db
def test_what_nobody_refers_to_is_marked_and_goes_later(people, monkeypatch):
    model = builders.model(by=people.bob)
    shared = builders.stored("a.bin", b"shared")
    for files in ([shared, builders.stored("b.bin", b"only first")], [shared]):
        catalog.register_version(model, files=files, metadata={}, by=people.bob)
    gone = builders.sha256(b"only first")
    catalog.delete_version(model.versions.get(number=1), by=people.root)
    run = runs.create_run(by=people.bob)
    logged = builders.stored("log.txt", b"of a run")
    trees.put(run, [logged], by=people.bob)
    nobody = builders.stored("x", b"never sealed")
    assert not sweep.sweep().changed(), "young bytes stay"

    steps = []
    for days in (2, 4, 6, 8):
        with monkeypatch.context() as patch:
            later(patch, timedelta(days=days))
            steps.append((sweep.plan().facts(), sweep.sweep().facts()))
    planned, done = zip(*steps, strict=True)
    assert [one["manifests_marked"] for one in done] == [1, 0, 0, 0]
    assert [one["manifests"] for one in done] == [0, 1, 0, 0]
    # The orphan waits marked from the first sweep on, the file of the manifest from when that is gone.
    assert [one["removed"]["count"] for one in done] == [0, 1, 1, 0]
    assert done[0]["orphans"] == planned[0]["orphans"] == {"count": 1, "bytes": len(b"never sealed")}
    assert planned[2]["removed"] == done[2]["removed"] == {"count": 1, "bytes": len(b"only first")}
    assert (
        digests_in_storage()
        == {shared.sha256, logged.sha256}
        == set(Blob.objects.values_list("pk", flat=True))
    )
    assert gone not in digests_in_storage()
    assert nobody.sha256 not in digests_in_storage()
    assert AuditEvent.objects.filter(verb="storage.swept").count() == 2
    with monkeypatch.context() as patch:
        later(patch, timedelta(days=40))
        runs.delete_run(run, by=people.bob)
        assert sweep.sweep().files == 0, "deleted a moment ago"
    with monkeypatch.context() as patch:
        later(patch, timedelta(days=80))
        assert sweep.sweep().files == 1
        assert Run.objects.get(pk=run.pk).tree is None


@pytest.mark.django_db
def test_a_plan_tells_what_does_not_go_yet(people, monkeypatch):
    version = builders.version(builders.model(by=people.bob), by=people.bob, files={"a": b"12345"})
    much, none = {"count": 1, "bytes": 5}, {"count": 0, "bytes": 0}
    session = UploadSession.objects.create(
        uid="u", created_by=people.bob.user, expires_at=timezone.now() + DAY, sealed_at=timezone.now()
    )
    UploadFile.objects.create(session=session, path="a", size=5, blob=Blob.objects.get())
    assert asdict(freed_by([version.pk])) == much, "in a day, too"
    catalog.delete_version(version, by=people.root)
    with monkeypatch.context() as patch:
        later(patch, 2 * DAY)
        told = StringIO()
        call_command("artifacts_sweep", "--dry-run", stdout=told)
        assert "Blobs would be marked: 0 (0 B)" in told.getvalue()
        assert "In uploads that became versions less than a day ago: 1 (5 B)" in told.getvalue()
    UploadFile.objects.all().delete()
    found = sweep.plan().facts()
    assert (found["in_listings"], found["in_uploads"], found["young"]) == (much, none, none)
    Manifest.objects.all().delete()
    found = sweep.plan().facts()
    assert (found["in_listings"], found["in_uploads"], found["young"]) == (none, none, much)


@pytest.mark.django_db
def test_what_is_wanted_again_stays(people, monkeypatch):
    model = builders.model(by=people.bob)
    builders.version(model, by=people.bob, files={"a": b"one", "b": b"two"})
    catalog.delete_version(model.versions.get(), by=people.root)
    with monkeypatch.context() as patch:
        later(patch, 2 * DAY)
        sweep.sweep()
        assert Manifest.objects.get().condemned_at
        # The same listing: the same manifest.
        builders.version(model, by=people.bob, files={"a": b"one", "b": b"two"})
        assert Manifest.objects.get().condemned_at is None
    catalog.delete_version(model.versions.get(), by=people.root)
    for days in (4, 6):
        with monkeypatch.context() as patch:
            later(patch, timedelta(days=days))
            sweep.sweep()
    assert Blob.objects.filter(condemned_at__isnull=False).count() == 2
    assert not Manifest.objects.exists()
    with monkeypatch.context() as patch:
        later(patch, timedelta(days=7, hours=12))
        one = builders.stored("a", b"one")
        assert Blob.objects.get(pk=one.sha256).condemned_at, "marked till something refers to it"
        sweep.sweep(grace=NOW)
        assert {one.sha256} == digests_in_storage(), "spared because it came again"
        catalog.register_version(model, files=[one], metadata={}, by=people.bob)
        assert Blob.objects.get(pk=one.sha256).condemned_at is None


@pytest.mark.django_db
def test_command_says_what_and_how_much(people, monkeypatch):
    builders.stored("x", b"12345")
    later(monkeypatch, 2 * DAY)
    told = StringIO()
    call_command("artifacts_sweep", "--dry-run", stdout=told)
    assert "Bytes without a row found: 1 (5 B)" in told.getvalue()
    assert not Blob.objects.exists()
    call_command("artifacts_sweep", "--json", stdout=(told := StringIO()))
    assert json.loads(told.getvalue())["orphans"] == {"count": 1, "bytes": 5}
    call_command("artifacts_sweep", "--grace-hours", "0", "--json", stdout=(told := StringIO()))
    assert json.loads(told.getvalue())["removed"] == {"count": 1, "bytes": 5}
    assert not digests_in_storage()


@pytest.mark.django_db(transaction=True)
def test_a_reference_made_while_the_sweep_removes(people, monkeypatch):
    """Every one of these blobs is due when its bytes come again, or a version names them."""
    monkeypatch.setattr(sweep, "REMOVED_AT_ONCE", 3)
    model = builders.model(by=people.bob)
    contents = [f"content {number}".encode() for number in range(90)]
    files = [builders.stored(f"{number}", content) for number, content in enumerate(contents)]
    blobs.keep(files)
    for file in files:
        os.utime(storage.local_path(file.sha256), (0, 0))
    old = timezone.now() - 3 * DAY
    Blob.objects.update(touched_at=old, condemned_at=old + timedelta(hours=1))
    problems, begun, stopped, swept = [], threading.Event(), threading.Event(), []
    takes_bytes = sweep._takes_bytes

    def taking(*blob):
        taken = takes_bytes(*blob)
        begun.set()
        return taken

    monkeypatch.setattr(sweep, "_takes_bytes", taking)

    def sweeping():
        try:
            while not stopped.is_set():
                swept.append(sweep.sweep(grace=DAY, orphans=False).removed.count)
        except Exception as error:
            problems.append(error)
        finally:
            connection.close()

    def sending(numbers):
        try:
            assert begun.wait(60), "the sweep took a blob"
            for number in numbers:
                file = builders.stored(f"{number}", contents[number])
                catalog.register_version(model, files=[file], metadata={}, by=people.bob)
        except Exception as error:
            problems.append(error)
        finally:
            connection.close()

    order = list(range(90))
    random.shuffle(order)
    senders = [threading.Thread(target=sending, args=(order[start::2],)) for start in (0, 1)]
    sweeper = threading.Thread(target=sweeping)
    for thread in (*senders, sweeper):
        thread.start()
    for thread in senders:
        thread.join()
    stopped.set()
    sweeper.join()
    assert not problems
    assert sum(swept), "the sweep was at work"
    assert (
        digests_in_storage()
        == set(Blob.objects.values_list("pk", flat=True))
        == {file.sha256 for file in files}
    )
    assert not Blob.objects.filter(condemned_at__isnull=False).exists()


MAKE = """
import os
from datetime import timedelta
from django.utils import timezone
from models_app.models import Blob
from models_app.registry.artifacts import blobs, storage
files = [blobs.receive("x", [os.urandom(100)]) for _ in range(60)]
blobs.keep(files)
lost = [blobs.receive("x", [os.urandom(100)]) for _ in range(10)]
for file in files:
    os.utime(storage.local_path(file.sha256), (0, 0))
Blob.objects.update(touched_at=timezone.now() - timedelta(days=2), condemned_at=timezone.now() - timedelta(days=1))
"""
CLEAN = """
from datetime import timedelta
from models_app.models import Blob
from models_app.registry.artifacts import storage, sweep
there = {kept.key[-64:] for kept in storage.stored()}
unmarked = set(Blob.objects.filter(condemned_at=None).values_list("pk", flat=True))
assert unmarked <= there, "a row without bytes"
for _ in range(30):
    sweep.sweep(grace=timedelta(0))
    if not Blob.objects.exists():
        break
    # The database takes a moment to see that the killed one is gone.
    time.sleep(0.1)
assert not Blob.objects.exists() and not list(storage.stored())
"""


KILL_TEN = f"""
import os, random, signal, time
from django.db import connection
MAKE, CLEAN = {MAKE!r}, {CLEAN!r}
partly = 0
for _ in range(10):
    exec(MAKE)
    connection.close()
    getattr(connection, "close_pool", lambda: None)()
    child = os.fork()
    if not child:
        from models_app.registry.artifacts import sweep as sweeping
        sweeping.REMOVED_AT_ONCE = 2
        from datetime import timedelta
        while True:
            sweeping.sweep(grace=timedelta(0))
    left, end = random.randint(10, 69), time.monotonic() + 10
    while sum(1 for _ in storage.stored()) > left and time.monotonic() < end:
        pass
    time.sleep(random.uniform(0, 0.003))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    partly += 0 < Blob.objects.count() < 60
    exec(CLEAN)
    connection.close()
assert partly, "killed in the middle at least once"
"""


def test_killed_while_sweeping(live_template, tmp_path):
    """SIGKILL at ten moments: no row without bytes but marked ones, and the next sweep ends what was begun."""
    with live_template.copy() as database:
        environment = {**live_template.environment(tmp_path, database), "MODELRY_FSYNC": "false"}
        source = f"import django; django.setup()\n{KILL_TEN}"
        subprocess.run([sys.executable, "-c", source], env=environment, cwd=ROOT, check=True)
