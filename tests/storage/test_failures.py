"""Stores that refuse, do not answer, or come back: said clearly, within bounds, and nothing half-made."""

from __future__ import annotations

import os
import time
from contextlib import suppress

import pytest
from azure.storage.blob import LinearRetry

from models_app.registry.artifacts import arrivals, storage
from models_app.registry.artifacts.stores import google
from models_app.registry.errors import Unavailable
from tests import builders
from tests.live import free_port
from tests.storage.servers import STRANGER, Refusing, azure_at, google_at, s3_at
from tests.storage.test_contract import CONTENT, DIGEST, put, sha256, waiting

KINDS = {"s3": s3_at, "azure": azure_at, "gs": google_at}


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(google, "AGAIN_SECONDS", 0.5)


def entry(kind, url):
    found = KINDS[kind](url)
    if kind == "azure":
        found["OPTIONS"]["client_options"] = {
            "retry_policy": LinearRetry(backoff=0, retry_total=1, random_jitter_range=0)
        }
    return found


def every_call():
    store = storage.store()
    return [
        put,
        lambda: storage.exists(DIGEST),
        lambda: storage.read(DIGEST, limit=1),
        lambda: storage.read_range(DIGEST, start=0, length=1),
        lambda: storage.delete(DIGEST),
        lambda: list(storage.stored()),
        lambda: store.write("incoming/x", b""),
        lambda: arrivals.arrived(arrivals.Arrival("x", arrivals.Way.DIRECT_PARTS, 2, at_store="x")),
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status, words", [(403, "refuses"), (503, "does not answer")])
def test_a_store_that_refuses_or_is_in_trouble(kind, status, words, use, tmp_path, settings):
    settings.HOME = tmp_path
    with Refusing(status) as server:
        use(entry(kind, server.url))
        calls = every_call()
        for call in calls if status == 403 else calls[1:2]:
            with pytest.raises(Unavailable, match=words) as told:
                call()
            assert "operator" in told.value.next_step
    assert list(tmp_path.rglob("*.part")) == []


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_there(kind, use):
    use(entry(kind, f"http://127.0.0.1:{free_port()}"))
    began = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        storage.exists(DIGEST)
    assert time.monotonic() - began < 10


def test_a_bucket_of_others(servers, use):
    use(servers["s3"].storage("tests/denied", STRANGER))
    for call in [*every_call(), lambda: arrivals.begin(size=len(CONTENT), sha256=DIGEST)]:
        with pytest.raises(Unavailable, match=r"refuses .*(403|AccessDenied)"):
            call()
    missing = servers["s3"].storage("tests/denied")
    missing["OPTIONS"]["bucket_name"] = "nowhere"
    use(missing)
    with pytest.raises(Unavailable, match="NoSuchBucket"):
        storage.read_range(DIGEST, start=0, length=1)


def patiently(call):
    """Its answer as soon as the server has found all of its volumes again."""
    for _ in range(20):
        with suppress(Unavailable):
            return call()
        time.sleep(0.2)
    return call()


def test_a_store_that_stops_and_comes_back(servers, use):
    server = servers["s3"]
    use(server.storage("tests/stopped"))
    content = os.urandom(12 << 20)
    stored = put(content)
    stream = storage.BlobStream(stored.sha256, start=0, length=stored.size)
    begun = next(stream)
    server.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        begun += b"".join(stream)
    assert content.startswith(begun)
    with pytest.raises(Unavailable):
        put(b"meanwhile")
    server.start()
    assert patiently(lambda: storage.read(stored.sha256, limit=stored.size)) == content
    assert storage.size_of(sha256(b"meanwhile")) is None
    assert put(b"meanwhile").size == 9
    assert waiting() == []


@pytest.mark.django_db
@pytest.mark.sqlite_is_enough
def test_doors_say_it_in_their_own_shape(people, api, client, use):
    model = builders.model(by=people.bob)
    builders.version(model, by=people.bob, files={"model.bin": CONTENT})
    client.force_login(people.bob.user)
    with Refusing(403) as server:
        use(s3_at(server.url))
        rest = api.bob.get("/api/v1/models/risk/fraud-detector/versions/1/files/model.bin")
        assert (rest.status_code, rest.json()["type"]) == (503, "urn:modelry:problem:unavailable")
        assert "refuses" in rest.json()["detail"]
        assert "docs/storage.md" in rest.json()["next_step"]
        page = client.get("/models/risk/fraud-detector@1/files/model.bin?download")
        assert page.status_code == 503
        assert "cannot get at" in page.content.decode()
        assert client.get("/models/risk/fraud-detector@1/").status_code == 200
        wire = api.bob.get("/model-versions/get-artifact?name=risk--fraud-detector&version=1&path=model.bin")
        assert (wire.status_code, wire.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
