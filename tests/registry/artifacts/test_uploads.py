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
from models_app.registry.errors import Invalid, NotFound, TooLarge
from models_app.tasks.periodic import tidy

pytestmark = pytest.mark.django_db

PIECES = [bytes([number]) * (1000 + number) for number in range(5)]
WHOLE = b"".join(PIECES)


@pytest.fixture
def run(people):
    return runs.create_run(by=people.bob)


@pytest.fixture
def upload(run, people):
    made = uploads.create_upload(run, "big.bin", part_count=len(PIECES), by=people.bob)
    run.refresh_from_db()
    return made


@pytest.fixture
def tags(upload):
    return {
        number + 1: uploads.receive_part(upload.uid, number + 1, [piece])
        for number, piece in enumerate(PIECES)
    }


def folder(artifacts, upload):
    return artifacts / "incoming" / f"{upload.uid}.parts"


def test_the_parts_become_one_blob(run, upload, tags, people, artifacts):
    file = uploads.complete_upload(run, upload, tags, by=people.bob)
    assert (file.sha256, file.size) == (hashlib.sha256(WHOLE).hexdigest(), len(WHOLE))
    assert storage.read(file.sha256, limit=10**6) == WHOLE
    assert trees.find(run.tree, "big.bin") == (file.sha256, file.size)
    assert not list((artifacts / "incoming").iterdir())


def test_one_part_and_empty_parts(run, people):
    for name, pieces in (("one", [b"x"]), ("empty", [b""]), ("holes", [b"", b"a", b"", b"b"])):
        upload = uploads.create_upload(run, name, part_count=len(pieces), by=people.bob)
        tags = {n: uploads.receive_part(upload.uid, n, [piece]) for n, piece in enumerate(pieces, 1)}
        file = uploads.complete_upload(run, upload, tags, by=people.bob)
        assert file.sha256 == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_a_join_that_died_can_be_done_again(run, upload, tags, people, artifacts):
    first = folder(artifacts, upload) / f"1.{tags[1]}"
    with first.open("ab") as file:
        file.write(b"what a process that was killed had appended")
    assert uploads.complete_upload(run, upload, tags, by=people.bob).size == len(WHOLE)


def test_without_copying_in_the_kernel(run, upload, tags, people, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "copy_file_range", refuse)
    file = uploads.complete_upload(run, upload, tags, by=people.bob)
    assert storage.read(file.sha256, limit=10**6) == WHOLE


def test_a_part_that_broke_leaves_nothing(upload, artifacts):
    def broken():
        yield b"abc"
        raise Invalid("body", "The body ended early.")

    with pytest.raises(Invalid):
        uploads.receive_part(upload.uid, 1, broken())
    assert not list(folder(artifacts, upload).iterdir())


def test_a_file_that_is_too_large(run, upload, tags, people, settings):
    settings.MAX_FILE_BYTES = 10
    with pytest.raises(TooLarge):
        uploads.complete_upload(run, upload, tags, by=people.bob)


def test_a_part_for_nothing(artifacts):
    with pytest.raises(NotFound):
        uploads.receive_part("0" * 32, 1, [b"x"])
    assert not list(artifacts.rglob("*.arriving"))


def test_no_upload_where_no_file_may_be(run, people, upload, tags):
    uploads.complete_upload(run, upload, tags, by=people.bob)
    for path in ("big.bin/x", "BIG.bin", "../x"):
        with pytest.raises(Invalid):
            uploads.create_upload(run, path, part_count=1, by=people.bob)
    assert not ArtifactUpload.objects.exists()


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
