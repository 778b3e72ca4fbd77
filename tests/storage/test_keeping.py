"""The life of stored bytes at every kind of store: found damaged, put aside, restored, let go, wanted again, swept."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO

import httpx
import pytest
from django.core.management import call_command
from django.utils import timezone

from models_app.registry import catalog
from models_app.registry.artifacts import integrity, storage, sweep
from tests import builders
from tests.storage.test_contract import CONTENT, DIGEST, blobs, put, sha256

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_is_enough]

FILE = "/api/v1/models/risk/fraud-detector/versions/1/files/a"


@pytest.fixture
def versions(place, people):
    model = builders.model(by=people.bob)
    contents = {"a": CONTENT, "b": b"both have it"}
    return [builders.version(model, by=people.bob, files=contents | {"c": str(n).encode()}) for n in (1, 2)]


def spoil(place, sha256, content):
    key, store = storage.blob_name(sha256), storage.store()
    if place == "disk":
        (store.folder / key).chmod(0o600)
        (store.folder / key).write_bytes(content)
    else:
        store.write(key, content)


def verify():
    told, code = StringIO(), 0
    try:
        call_command("artifacts_verify", as_json=True, restart=True, stdout=told)
    except SystemExit as ended:
        code = ended.code
    return code, json.loads(told.getvalue())


def aside():
    return [kept.key.rpartition("/")[2] for kept in storage.store().walk("quarantine/")]


def test_damage_is_put_aside_and_restored(place, versions, api, tmp_path):
    there = blobs()
    assert verify()[0] == 0
    spoil(place, DIGEST, CONTENT[::-1])
    code, told = verify()
    assert (code, [hit["named_by"] for hit in told["damaged"]]) == (
        1,
        [["risk/fraud-detector@1: a", "risk/fraud-detector@2: a"]],
    )
    assert (aside(), blobs()) == ([DIGEST], [one for one in there if one != DIGEST])
    assert api.bob.get(FILE).json()["type"] == "urn:modelry:problem:damaged"
    lost = tmp_path / "from-backup"
    lost.write_bytes(CONTENT)
    call_command("artifacts_restore", str(lost), stdout=StringIO())
    assert (verify()[0], aside(), blobs()) == (0, [], there)
    answer = api.bob.get(FILE)
    got = httpx.get(answer["Location"]).content if answer.status_code == 302 else answer.getvalue()
    assert got == CONTENT


def test_what_nobody_needs_is_swept(place, versions, people, monkeypatch):
    put(b"never sealed")
    for version in versions:
        catalog.delete_version(version, by=people.root)
    real, steps = timezone.now, []
    for hours in range(0, 216, 36):
        with monkeypatch.context() as patch:
            patch.setattr(timezone, "now", lambda by=timedelta(hours=hours): real() + by)
            if len(steps) == 3:
                # Marked, and due: one is sent again, another named by a version.
                put(b"both have it")
                builders.version(versions[0].model, by=people.bob, files={"c": b"2"})
            sweep.sweep()
        steps.append(len(blobs()))
    # The orphan; what was in listings; what was sent again and then not referred to.
    assert steps == [5, 5, 4, 2, 2, 1]
    assert blobs() == [sha256(b"2")]
    assert integrity.verify_all().damaged == []
