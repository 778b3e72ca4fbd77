"""Bytes go in once, under their digest, and nothing half-done is ever found there."""

import hashlib
import os
import time
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile

from models_app.registry.artifacts import storage
from models_app.registry.errors import Damaged, Invalid, TooLarge

CONTENT = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def put(content=CONTENT, **declared):
    with storage.BlobWriter() as writer:
        for start in range(0, len(content), 70_000):
            writer.write(content[start : start + 70_000])
        return writer.finish(**declared)


@pytest.fixture(params=["disk", "elsewhere"])
def anywhere(request, settings, monkeypatch):
    """Each test on a disk, and on a storage that is none."""
    if request.param == "elsewhere":
        memory = {"BACKEND": "models_app.registry.artifacts.stores.memory.MemoryStore"}
        settings.STORAGES = {**settings.STORAGES, "artifacts": memory}
    return request.param


@pytest.fixture
def incoming(artifacts):
    return lambda: sorted((artifacts / "incoming").glob("*"))


def test_bytes_come_back(anywhere):
    stored = put()
    assert (stored.sha256, stored.size) == (DIGEST, len(CONTENT))
    assert storage.exists(DIGEST)
    assert storage.read(DIGEST, limit=10) == CONTENT[:10]
    assert b"".join(storage.BlobStream(DIGEST, start=0, length=len(CONTENT))) == CONTENT
    assert storage.read_range(DIGEST, start=1000, length=5) == CONTENT[1000:1005]
    assert storage.read_range(DIGEST, start=1000, length=0) == b""
    assert (storage.local_path(DIGEST) is not None) == (anywhere == "disk")


def test_an_opened_blob_can_be_searched(anywhere):
    put()
    with storage.open_blob(DIGEST) as blob:
        assert blob.seekable()
        blob.seek(-6, os.SEEK_END)
        assert blob.read() == CONTENT[-6:]
        blob.seek(300)
        assert blob.read(4) == CONTENT[300:304]
        blob.seek(2, os.SEEK_CUR)
        assert blob.read(4) == CONTENT[306:310]
        blob.seek(10**9)
        assert blob.read(1) == b""


def test_the_same_bytes_are_stored_once(anywhere, artifacts):
    assert put() == put()
    if anywhere == "disk":
        assert [path.name for path in (artifacts / "blobs").rglob("*") if path.is_file()] == [DIGEST]
        assert (
            artifacts / "blobs/sha256" / DIGEST[:2] / DIGEST[2:4] / DIGEST
        ).stat().st_mode & 0o777 == 0o440


def test_nothing_is_in_place_before_it_is_whole(incoming):
    with storage.BlobWriter() as writer:
        writer.write(CONTENT)
        assert not storage.exists(DIGEST)
        assert len(incoming()) == 1
    assert not incoming()
    assert not storage.exists(DIGEST)


@pytest.mark.parametrize("declared", [{"size": 1}, {"sha256": "0" * 64}])
def test_other_bytes_than_declared(anywhere, incoming, declared):
    with pytest.raises(Invalid):
        put(**declared)
    assert not storage.exists(DIGEST)
    assert not incoming()


def test_bytes_as_declared(anywhere):
    assert put(size=len(CONTENT), sha256=DIGEST).sha256 == DIGEST


def test_the_limit_holds(anywhere, incoming):
    with pytest.raises(TooLarge), storage.BlobWriter(limit=10) as writer:
        writer.write(b"x" * 11)
    assert not incoming()


def test_a_finished_writer_takes_nothing_more():
    with storage.BlobWriter() as writer:
        writer.finish()
        with pytest.raises(ValueError):
            writer.write(b"x")
        with pytest.raises(ValueError):
            writer.finish()


def test_a_second_hash_in_the_same_pass():
    sha1 = hashlib.sha1(b"blob 3\0", usedforsecurity=False)
    with storage.BlobWriter(also=[sha1]) as writer:
        writer.write(b"abc")
        writer.finish()
    assert sha1.hexdigest() == "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"


def test_a_damaged_blob_is_replaced(anywhere):
    put()
    storage.delete(DIGEST)
    storage.store().save(storage.blob_name(DIGEST), ContentFile(b"cut"))
    with pytest.raises(Damaged, match="fewer"):
        storage.read_range(DIGEST, start=0, length=10)
    put()
    assert storage.read(DIGEST, limit=len(CONTENT)) == CONTENT


def test_missing_bytes_are_damage(anywhere):
    put(b"something else")
    for read in (
        lambda: storage.open_blob(DIGEST),
        lambda: storage.BlobStream(DIGEST, start=0, length=1),
        lambda: storage.read(DIGEST, limit=1),
    ):
        with pytest.raises(Damaged, match=DIGEST[:12]):
            read()


def test_delete_twice(anywhere):
    put()
    storage.delete(DIGEST)
    assert not storage.exists(DIGEST)
    storage.delete(DIGEST)


def test_the_sweep_takes_only_what_is_old(incoming, artifacts):
    assert storage.sweep_incoming(timedelta(0)) == 0
    put()
    old, young = (artifacts / "incoming" / name for name in ("old.part", "young.part"))
    for path in (old, young):
        path.write_bytes(b"half")
    yesterday = time.time() - 86_400
    os.utime(old, (yesterday, yesterday))
    assert storage.sweep_incoming(timedelta(hours=1)) == 1
    assert incoming() == [young]
    assert storage.exists(DIGEST)


def test_synced_when_asked(settings, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    put()
    assert not synced
    settings.FSYNC = True
    put(b"other")
    assert len(synced) == 4  # the file, and the folders that lead to it


def test_many_at_once(settings, anywhere, incoming):
    settings.FSYNC = True
    writers = [storage.BlobWriter() for _ in range(30)]
    for number, writer in enumerate(writers):
        writer.write(b"%d" % (number % 20))
        writer.end()
    assert not any(storage.exists(writer.ended.sha256) for writer in writers)
    storage.place(writers)
    assert [storage.read(writer.ended.sha256, limit=9) for writer in writers[:20]] == [
        b"%d" % n for n in range(20)
    ]
    assert not incoming()


def test_a_stream_closes_its_file():
    put()
    stream = storage.BlobStream(DIGEST, start=0, length=len(CONTENT))
    next(stream)
    stream.close()
    with pytest.raises(ValueError):
        next(stream)
