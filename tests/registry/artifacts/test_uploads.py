"""Files in parts: joined whole or not at all, and swept when nobody comes back."""

from __future__ import annotations

import hashlib
import os
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from models_app.models import ArtifactUpload, LoggedModelStatus
from models_app.registry import logged_models, runs
from models_app.registry.artifacts import parts, storage, trees, uploads
from models_app.registry.errors import Conflict, Invalid, NotFound, TooLarge
from models_app.tasks.periodic import tidy

pytestmark = pytest.mark.django_db

PIECES = [*(bytes([number]) * 1000 for number in range(4)), b"the end"]
WHOLE = b"".join(PIECES)


@pytest.fixture
def run(people):
    return runs.create_run(by=people.bob)


@pytest.fixture
def upload(run, people):
    made = uploads.create_upload(run, "big.bin", part_count=len(PIECES), by=people.bob)
    run.refresh_from_db()
    return made


def send(upload, number, content, length=None):
    return uploads.receive_part(
        upload.uid,
        number,
        [content],
        of=upload.part_count,
        length=len(content) if length is None else length,
    )


@pytest.fixture
def tags(upload):
    return {number: send(upload, number, piece) for number, piece in enumerate(PIECES, 1)}


def folder(artifacts, upload):
    return artifacts / "incoming" / f"{upload.uid}.parts"


def test_the_parts_become_one_blob(run, upload, tags, people, artifacts):
    file = uploads.complete_upload(run, upload, tags, by=people.bob)
    assert (file.sha256, file.size) == (hashlib.sha256(WHOLE).hexdigest(), len(WHOLE))
    assert storage.read(file.sha256, limit=10**6) == WHOLE
    assert trees.find(run.tree, "big.bin") == (file.sha256, file.size)
    assert {path.name for path in folder(artifacts, upload).iterdir()} == {"done", "lock"}
    # The answer was lost, and it is asked again.
    assert uploads.complete_upload(run, upload, tags, by=people.bob) == file
    with pytest.raises(NotFound):
        send(upload, 1, b"late" * 250)
    assert storage.read(file.sha256, limit=10**6) == WHOLE


def test_one_part_and_empty_parts(run, people):
    for name, pieces in (("one", [b"x"]), ("empty", [b""]), ("short", [b"a", b""]), ("long", [b"a", b"bcd"])):
        upload = uploads.create_upload(run, name, part_count=len(pieces), by=people.bob)
        tags = {n: send(upload, n, piece) for n, piece in enumerate(pieces, 1)}
        file = uploads.complete_upload(run, upload, tags, by=people.bob)
        assert file.sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_parts_of_different_sizes_are_refused(run, people):
    upload = uploads.create_upload(run, "x", part_count=3, by=people.bob)
    tags = {n: send(upload, n, piece) for n, piece in enumerate([b"aa", b"b", b"c"], 1)}
    with pytest.raises(Invalid, match="one size"):
        uploads.complete_upload(run, upload, tags, by=people.bob)


def test_the_last_part_may_come_twice(run, people):
    upload = uploads.create_upload(run, "x", part_count=2, by=people.bob)
    send(upload, 2, b"abcdef")
    tags = {2: send(upload, 2, b"end"), 1: send(upload, 1, b"begin ")}
    file = uploads.complete_upload(run, upload, tags, by=people.bob)
    assert storage.read(file.sha256, limit=100) == b"begin end"


def test_a_process_that_died_while_joining(run, upload, tags, people, monkeypatch):
    """Before the blob was in place, and after it."""

    class Killed(BaseException):
        pass

    def die(*_, **__):
        raise Killed

    for where, what in ((storage, "adopt"), (trees, "put")):
        with monkeypatch.context() as patch:
            patch.setattr(where, what, die)
            with pytest.raises(Killed):
                uploads.complete_upload(run, upload, tags, by=people.bob)
    file = uploads.complete_upload(run, upload, tags, by=people.bob)
    assert storage.read(file.sha256, limit=10**6) == WHOLE


def test_a_part_that_broke_does_not_count(upload, artifacts):
    def broken():
        yield b"abc"
        raise Invalid("body", "The body ended early.")

    with pytest.raises(Invalid):
        uploads.receive_part(upload.uid, 1, broken(), of=5, length=1000)
    for content in (b"short", b"x" * 1001):
        with pytest.raises(Invalid):
            send(upload, 1, content, length=1000)
    assert {path.name for path in folder(artifacts, upload).iterdir()} == {"data", "lock"}
    assert (folder(artifacts, upload) / "data").stat().st_size == 1000


def test_nobody_writes_while_the_parts_are_joined(run, upload, tags, people, monkeypatch):
    monkeypatch.setattr(parts, "PATIENCE", 0.1)

    def slow():
        with pytest.raises(Conflict):
            uploads.complete_upload(run, upload, tags, by=people.bob)
        yield b"y" * 1000

    uploads.receive_part(upload.uid, 1, slow(), of=5, length=1000)
    file = uploads.complete_upload(run, upload, tags, by=people.bob)
    assert storage.read(file.sha256, limit=1) == b"y"


def test_a_file_that_is_too_large(run, upload, tags, people, settings):
    settings.MAX_FILE_BYTES = 10
    with pytest.raises(TooLarge):
        uploads.complete_upload(run, upload, tags, by=people.bob)
    with pytest.raises(TooLarge):
        send(upload, 4, b"abc")


def test_a_part_for_nothing(artifacts):
    with pytest.raises(NotFound):
        uploads.receive_part("0" * 32, 1, [b"x"], of=2, length=1)
    assert not artifacts.exists() or not list(artifacts.rglob("*.parts"))


def test_no_upload_where_no_file_may_be(run, people, upload, tags):
    uploads.complete_upload(run, upload, tags, by=people.bob)
    for path in ("big.bin/x", "BIG.bin", "../x"):
        with pytest.raises(Invalid):
            uploads.create_upload(run, path, part_count=1, by=people.bob)
    assert ArtifactUpload.objects.get() == upload


def test_abandoned_uploads_are_swept(run, upload, tags, people, artifacts):
    lost = artifacts / "incoming" / f"{'1' * 32}.parts"
    lost.mkdir()
    assert uploads.sweep_abandoned() == 0
    ArtifactUpload.objects.update(created_at=timezone.now() - timedelta(days=2))
    assert uploads.sweep_abandoned() == 0  # Parts still arrive.
    yesterday = time.time() - 90_000
    for path in (lost, folder(artifacts, upload), *folder(artifacts, upload).iterdir()):
        os.utime(path, (yesterday, yesterday))
    assert tidy()["uploads in parts"] == 2
    assert not ArtifactUpload.objects.exists()
    assert not list((artifacts / "incoming").iterdir())
    assert parts.last_arrival(upload.uid) == 0


def test_abandoned_logged_models_fail(run, people):
    model = logged_models.create_logged_model(run.experiment, by=people.bob)
    assert logged_models.fail_abandoned() == 0
    type(model).objects.update(updated_at=timezone.now() - timedelta(days=2))
    assert tidy()["logged models"] == 1
    model.refresh_from_db()
    assert (model.status, bool(model.status_message)) == (LoggedModelStatus.FAILED, True)
    # Its writer was only slow.
    logged_models.finalize(model, status="ready", by=people.bob)
    model.refresh_from_db()
    assert (model.status, model.status_message) == (LoggedModelStatus.READY, "")
