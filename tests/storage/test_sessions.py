"""Upload sessions whose bytes go to a store: what others know, break, delay or lose gives nobody anything."""

from __future__ import annotations

import os
import time
from datetime import timedelta
from unittest import mock

import httpx
import pytest
from django.utils import timezone

from models_app.models import ModelVersion, UploadFile
from models_app.registry.artifacts import arrivals, storage, verifying
from models_app.registry.errors import Unavailable
from models_app.tasks.storage import verify_all
from tests import builders
from tests.api.test_uploads import begin, call, completed, refused, targets
from tests.storage.test_contract import CONTENT, DIGEST, MIB, blobs, sha256, waiting

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_is_enough]


@pytest.fixture
def s3(servers, use, request):
    return use(servers["s3"].storage(f"tests/{request.node.name}"))


def send(told, content=CONTENT):
    """To the addresses of one file, as a client does."""
    for part in told["parts"]:
        piece = content[part["start"] :][: part["size"]]
        yield httpx.put(part["url"], headers=part["headers"], content=piece).status_code


def test_who_knows_a_digest_cannot_complete_what_its_owner_sent(s3, api, people):
    builders.model("risk/secret", by=people.alice)
    owner = begin(api.alice, {"a.bin": CONTENT}, model="risk/secret", create=False)
    thief = begin(api.charlie, {"a.bin": CONTENT}, model="vision/x")
    (mine,), (hers,) = targets(api.charlie, thief, CONTENT), targets(api.alice, owner, CONTENT)
    assert DIGEST not in hers["parts"][0]["url"]
    assert mine["parts"][0]["url"].partition("?")[0] != hers["parts"][0]["url"].partition("?")[0]

    assert list(send(hers)) == [200]
    refused(call(api.charlie, thief, "complete", sha256=[DIGEST]), 400, fields={"files"})
    assert blobs() == []
    # Neither may anybody but her session say where the bytes are, nor before it is completed, nor after.
    assert call(api.alice, owner, "complete", sha256=[DIGEST]).json()["arrived"] == 1
    refused(call(api.charlie, thief, "complete", sha256=[DIGEST]), 400, fields={"files"})
    refused(call(api.charlie, thief, "seal"), 409)
    assert list(send(mine, CONTENT[::-1])) == [400]
    (mine,) = targets(api.charlie, thief, CONTENT)
    assert (mine["missing"], blobs()) == (1, [DIGEST])
    # Who has the bytes may send them, and they are kept once.
    assert list(send(mine)) == [200]
    assert call(api.charlie, thief, "complete", sha256=[DIGEST]).json()["arrived"] == 1
    assert call(api.charlie, thief, "seal").status_code == 201
    assert blobs() == [DIGEST]


@pytest.fixture(params=["s3", "azure", "gs"])
def direct(request, servers, use, monkeypatch):
    """Stores that large files go to in parts."""
    use(servers[request.param].storage(f"tests/sessions-{os.urandom(4).hex()}"))
    return request.param


def test_what_the_worker_verifies(direct, api, monkeypatch):
    content = os.urandom(6 * MIB)
    digest = sha256(content)
    upload = begin(api.bob, {"big.bin": content, "again.bin": content})
    (told,) = targets(api.bob, upload, content)
    assert told["part_count"] == 2
    # A part that arrives corrupt is found, and the file sent again.
    damaged = b"!" + content[1:]
    assert set(send(told, damaged)) <= {200, 201}
    assert call(api.bob, upload, "complete", sha256=[digest]).json() == completed(0, 1)
    assert verify_all()
    for _ in range(2):
        problem = refused(call(api.bob, upload, "complete", sha256=[digest]), 422, fields={"sha256"})
        assert sha256(damaged) in problem["detail"]
    assert blobs() == []
    (told,) = targets(api.bob, upload, content)
    assert set(send(told, content)) <= {200, 201}
    for _ in range(2):
        assert call(api.bob, upload, "complete", sha256=[digest]).json() == completed(0, 1)
    # Nothing is to be sent, nothing to be seen, and no version made of it yet.
    assert (targets(api.bob, upload, content), blobs()) == ([], [])
    assert "verified" in refused(call(api.bob, upload, "seal"), 409)["detail"]

    # A store that does not let it read is told of to who waits.
    with monkeypatch.context() as full:
        full.setattr(arrivals, "finish", mock.Mock(side_effect=Unavailable("The store is full.")))
        assert not verify_all()
    told = call(api.bob, upload, "complete", sha256=[digest]).json()
    assert told == completed(0, 1, "The store is full.")
    UploadFile.objects.exclude(verifying_at=None).update(lease_until=None)

    # Who is told to stop leaves it to others; one that is silent has died.
    assert verifying.verify_next(stop=lambda: True)
    assert verifying.any_waiting()
    UploadFile.objects.exclude(verifying_at=None).update(lease_until=timezone.now() + timedelta(seconds=5))
    assert not verify_all()
    UploadFile.objects.exclude(verifying_at=None).update(lease_until=timezone.now())
    assert verify_all()
    assert call(api.bob, upload, "complete", sha256=[digest]).json() == completed(1, 0)
    assert call(api.bob, upload, "seal").status_code == 201
    assert ModelVersion.objects.get().manifest.file_count == 2
    assert storage.read(digest, limit=len(content)) == content
    arrivals.sweep(timedelta(hours=-1))
    assert (blobs(), waiting()) == ([digest], [])
    assert not begin(api.bob, {"big.bin": content}, create=False)["files"][0]["verifying"]


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_takes_long_keeps_what_it_has_in_hand(direct, api, monkeypatch):
    """However long the store copies without a word; and what another took over is left to it."""
    content = os.urandom(6 * MIB)
    digest = sha256(content)
    upload = begin(api.bob, {"big.bin": content})
    (told,) = targets(api.bob, upload, content)
    assert set(send(told, content)) <= {200, 201}
    assert call(api.bob, upload, "complete", sha256=[digest]).json() == completed(0, 1)
    file, finish = UploadFile.objects.get(), arrivals.finish
    monkeypatch.setattr(verifying, "LEASE", timedelta(seconds=0.6))
    monkeypatch.setattr(verifying, "EXTENDED_EVERY", 0.1)

    def robbed(arrival, **options):
        UploadFile.objects.update(lease_until=timezone.now() + timedelta(minutes=1))
        time.sleep(0.5)
        return finish(arrival, **options)

    monkeypatch.setattr(arrivals, "finish", robbed)
    assert verifying.verify_next()
    file.refresh_from_db()
    assert file.verifying_at
    assert file.lease_until > timezone.now() + timedelta(seconds=30)

    def slow(arrival, **options):
        for _ in range(3):
            time.sleep(0.5)
            assert not verifying.any_waiting()
        return finish(arrival, **options)

    UploadFile.objects.update(lease_until=None)
    monkeypatch.setattr(arrivals, "finish", slow)
    assert verifying.verify_next()
    assert call(api.bob, upload, "complete", sha256=[digest]).json() == completed(1, 0)
