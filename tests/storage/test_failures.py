"""Stores that refuse, do not answer, or come back: said clearly, within bounds, and nothing half-made."""

from __future__ import annotations

import os
import re
import secrets
import time
from contextlib import suppress
from datetime import timedelta

import botocore.auth
import httpx
import pytest
from azure.storage.blob import LinearRetry, generate_container_sas
from botocore.retries.standard import ExponentialBackoff
from django.db.models import F
from django.utils import timezone

from models_app.models import UploadFile
from models_app.registry.artifacts import arrivals, integrity, storage, verifying
from models_app.registry.artifacts.stores import google
from models_app.registry.errors import Unavailable
from models_app.tasks.storage import verify_all
from tests import builders
from tests.api.asking import refused
from tests.api.test_uploads import begin, call, targets
from tests.live import free_port
from tests.storage.servers import (
    ADMIN,
    AZURE_ACCOUNT,
    AZURE_KEY,
    BUCKET,
    STRANGER,
    Refusing,
    azure_at,
    google_at,
    s3_at,
)
from tests.storage.test_contract import CONTENT, DIGEST, put, sha256, waiting

KINDS = {"s3": s3_at, "azure": azure_at, "gs": google_at}


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(google, "AGAIN_SECONDS", 0.5)
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.01)


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
    # Of objects only: an account with no more rights than docs/storage.md gives it may not ask about the bucket.
    assert not any(path.endswith(f"/b/{BUCKET}") for path in server.asked)
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
    for asking in [*every_call(), lambda: arrivals.begin(size=len(CONTENT), sha256=DIGEST)]:
        with pytest.raises(Unavailable, match=r"refuses .*(403|AccessDenied)"):
            asking()
    missing = servers["s3"].storage("tests/denied", ADMIN)
    missing["OPTIONS"]["bucket_name"] = "nowhere"
    use(missing)
    with pytest.raises(Unavailable, match="NoSuchBucket"):
        storage.read_range(DIGEST, start=0, length=1)


@pytest.fixture
def clock(monkeypatch):
    """`clock(hours)`: ours is so far ahead, also where requests and addresses are signed."""
    here, there = timezone.now, botocore.auth.get_current_datetime

    def clock(hours):
        ahead = timedelta(hours=hours)
        monkeypatch.setattr(timezone, "now", lambda: here() + ahead)
        monkeypatch.setattr(
            botocore.auth, "get_current_datetime", lambda *args, **asked: there(*args, **asked) + ahead
        )

    return clock


def test_a_clock_that_is_wrong_is_named(servers, use, clock):
    use(servers["s3"].storage("tests/late"))
    for hours, asking in ((-1, lambda: storage.exists(DIGEST)), (2, put)):
        clock(hours)
        with pytest.raises(Unavailable, match="refuses") as told:
            asking()
        assert re.search(r"clock .* (59|60|119|120) minutes apart", told.value.next_step)


@pytest.mark.parametrize("kind", ["s3", "azure"])
def test_addresses_that_are_too_old_or_were_changed(kind, servers, use, clock):
    use(servers[kind].storage(f"tests/old-{secrets.token_hex(4)}"))
    put()
    mine, other = (arrivals.begin(size=6 << 20, sha256="a" * 64) for _ in range(2))

    def addresses():
        name = storage.blob_name(DIGEST)
        read = storage.store().address(name, disposition="", media_type="", valid=timedelta(hours=1))
        return read, arrivals.target(mine, 1, valid=timedelta(hours=1)).url

    clock(-2)
    old = addresses()
    clock(0)
    read, write = addresses()
    assert httpx.get(read).content == CONTENT
    elsewhere = write.replace(mine.uid, other.uid)
    assert elsewhere != write
    unsigned = [address.partition("?")[0] for address in (read, write)]
    longer = [
        re.sub("Expires=3600|se=20", lambda found: f"{found[0]}9", address) for address in (read, write)
    ]
    for wrong in (old[0], unsigned[0], longer[0]):
        assert httpx.get(wrong).status_code in (400, 403, 404), wrong
    for wrong in (old[1], unsigned[1], longer[1], elsewhere, read):
        assert httpx.put(wrong, content=CONTENT).status_code in (400, 403, 404), wrong
    assert arrivals.arrived(mine) == arrivals.arrived(other) == {}
    assert storage.read(DIGEST, limit=len(CONTENT) + 1) == CONTENT


def test_a_signature_instead_of_a_key(servers, use):
    """The least that docs/storage.md names for it lets all be done but signing."""
    until = timezone.now() + timedelta(hours=1)
    token = generate_container_sas(
        AZURE_ACCOUNT, BUCKET, account_key=AZURE_KEY, permission="rcwdl", expiry=until
    )
    at = f"BlobEndpoint={servers['azure'].url}/{AZURE_ACCOUNT};SharedAccessSignature={token};"
    found = azure_at("", "tests/signature")
    found["OPTIONS"] |= {"connection_string": at, "sas_token": token}
    store = use(found)
    assert storage.direct_store() is None
    assert put() == put()
    storage.move_aside(DIGEST)
    assert [kept.key for kept in store.walk("")] == [storage.aside_name(DIGEST)]
    storage.forget_aside(DIGEST)
    put()
    assert storage.read(DIGEST, limit=len(CONTENT)) == CONTENT
    storage.delete(DIGEST)
    assert list(store.walk("")) == []


def patiently(call):
    """Its answer as soon as the server has found all of its volumes again."""
    for _ in range(20):
        with suppress(Unavailable):
            return call()
        time.sleep(0.2)
    return call()


@pytest.mark.django_db
@pytest.mark.sqlite_is_enough
def test_a_store_that_stops_and_comes_back(servers, use, people, api):
    server = servers["s3"]
    use(server.storage("tests/stopped"))
    content = os.urandom(12 << 20)
    stored = put(content)
    stream = storage.BlobStream(stored.sha256, start=0, length=stored.size)
    begun = next(stream)
    large = os.urandom(6 << 20)
    upload = begin(api.bob, {"large.bin": large})
    (told,) = targets(api.bob, upload, large)
    first, second = told["parts"]
    assert send(first, large).status_code == 200
    server.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        begun += b"".join(stream)
    assert content.startswith(begun)
    with pytest.raises(Unavailable):
        put(b"meanwhile")
    with pytest.raises(httpx.ConnectError):
        send(second, large)
    problem = refused(call(api.bob, upload, "complete", sha256=[sha256(large)]), 503)
    assert (problem["type"], bool(problem["next_step"])) == ("urn:modelry:problem:unavailable", True)
    refused(call(api.bob, upload, "seal"), 409)
    server.start()
    assert patiently(lambda: storage.read(stored.sha256, limit=stored.size)) == content
    assert storage.size_of(sha256(b"meanwhile")) is None
    assert put(b"meanwhile").size == 9

    # What had arrived is not sent again.
    (told,) = targets(api.bob, upload, large)
    assert [part["number"] for part in told["parts"]] == [2]
    assert send(told["parts"][0], large).status_code == 200
    assert call(api.bob, upload, "complete", sha256=[sha256(large)]).json()["verifying"] == 1
    # It is lost to the worker, too, and found again by the next.
    use(s3_at(f"http://127.0.0.1:{free_port()}"))
    assert not verify_all()
    use(server.storage("tests/stopped"))
    assert not verify_all()
    UploadFile.objects.update(lease_until=F("lease_until") - verifying.AGAIN)
    assert verify_all()
    assert call(api.bob, upload, "complete", sha256=[sha256(large)]).json()["arrived"] == 1
    assert call(api.bob, upload, "seal").status_code == 201
    assert storage.read(sha256(large), limit=len(large)) == large
    assert integrity.verify_all(restart=True).facts()["damaged"] == 0
    arrivals.sweep(timedelta(hours=-1))
    assert waiting() == []


def send(part, content):
    """To one address, as a client does."""
    piece = content[part["start"] :][: part["size"]]
    return httpx.put(part["url"], headers=part["headers"], content=piece)


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
        upload = begin(api.bob, {"other.bin": CONTENT[1:]})
        asked = call(api.bob, upload, "targets", sha256=[sha256(CONTENT[1:])])
        assert "docs/storage.md" in refused(asked, 503)["next_step"]
        page = client.get("/models/risk/fraud-detector@1/files/model.bin?download")
        assert page.status_code == 503
        assert "cannot get at" in page.content.decode()
        assert client.get("/models/risk/fraud-detector@1/").status_code == 200
        wire = api.bob.get("/model-versions/get-artifact?name=risk--fraud-detector&version=1&path=model.bin")
        assert (wire.status_code, wire.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
