"""Clients at the doors, with their bytes at an object store."""

from __future__ import annotations

import os
from datetime import timedelta

import httpx
import pytest

from models_app.models import ArtifactUpload
from models_app.registry import runs
from models_app.registry.artifacts import storage, uploads
from tests import builders
from tests.storage.test_contract import CONTENT, DIGEST, blobs, waiting

pytestmark = [pytest.mark.django_db, pytest.mark.sqlite_is_enough]

FILE = "/api/v1/models/risk/fraud-detector/versions/1/files/model.bin"
PROXIED = "/api/2.0/mlflow-artifacts"


@pytest.fixture
def s3(servers, use, request):
    return use(servers["s3"].storage(f"tests/{request.node.name}"))


@pytest.fixture
def version(s3, people):
    return builders.version(
        builders.model(by=people.bob), by=people.bob, files={"model.bin": CONTENT, "s.txt": b"1"}
    )


def whole(answer):
    return b"".join(answer.streaming_content)


def test_a_download_is_redirected(version, api, settings):
    answer = api.bob.get(FILE, headers={"Range": "bytes=2-4"})
    assert answer.status_code == 302
    assert (answer["ETag"], answer["Cache-Control"]) == (f'"{DIGEST}"', "no-store")
    got = httpx.get(answer["Location"], headers={"Range": "bytes=2-4"})
    assert (got.status_code, got.content) == (206, CONTENT[2:5])
    assert got.headers["Content-Disposition"] == 'attachment; filename="model.bin"'
    assert api.bob.head(FILE)["Content-Length"] == str(len(CONTENT))
    assert api.bob.get(FILE, headers={"If-None-Match": f'"{DIGEST}"'}).status_code == 304
    assert api.bob.get(FILE, headers={"Range": "bytes=999999999-"}).status_code == 416
    # What the store would judge by its own ETags and dates stays here.
    resumed = api.bob.get(FILE, headers={"Range": "bytes=2-4", "If-Range": f'"{DIGEST}"'})
    assert (resumed.status_code, whole(resumed)) == (206, CONTENT[2:5])
    settings.DIRECT_TRANSFER = False
    assert whole(api.bob.get(FILE)) == CONTENT


def test_a_blob_that_is_gone_is_told_before_the_redirect(version, api):
    storage.delete(DIGEST)
    answer = api.bob.get(FILE)
    assert (answer.status_code, answer.json()["type"]) == (500, "urn:modelry:problem:damaged")


def test_pages_redirect_downloads_and_show_the_rest(version, people, client):
    client.force_login(people.bob.user)
    page = "/models/risk/fraud-detector@1/files/"
    assert client.get(f"{page}model.bin?download").status_code == 302
    assert whole(client.get(f"{page}s.txt?raw")) == b"1"


def test_mlflow_sends_its_parts_to_the_store(s3, people, api):
    run = runs.create_run(by=people.bob)
    root, content = f"{run.experiment_id}/{run.uid}/artifacts", os.urandom(6 << 20)
    begun = api.bob.post(f"{PROXIED}/mpu/create/{root}", {"path": "big.bin", "num_parts": 2}).json()
    parts = []
    for credential, piece in zip(begun["credentials"], (content[: 5 << 20], content[5 << 20 :]), strict=True):
        assert "X-Amz-Signature" in credential["url"]
        sent = httpx.put(credential["url"], headers=credential["headers"], content=piece)
        parts.append({"part_number": credential["part_number"], "etag": sent.headers["ETag"], "url": "x"})
    done = {"path": "big.bin", "upload_id": begun["upload_id"], "parts": parts}
    for _ in range(2):
        assert api.bob.post(f"{PROXIED}/mpu/complete/{root}", done).json() == {}
    found = api.dave.get(f"{PROXIED}/presigned/{root}/big.bin").json()
    assert httpx.get(found["url"], headers={"Range": "bytes=1-3"}).content == content[1:4]
    assert httpx.get(api.dave.get(f"{PROXIED}/artifacts/{root}/big.bin")["Location"]).content == content
    assert api.anonymous.get("/api/3.0/mlflow/server-info").json()["multipart_uploads_enabled"]
    assert len(blobs()) == 1


def test_parts_that_the_store_does_not_join_are_the_clients_mistake(s3, people, api):
    run = runs.create_run(by=people.bob)
    root = f"{run.experiment_id}/{run.uid}/artifacts"
    begun = api.bob.post(f"{PROXIED}/mpu/create/{root}", {"path": "small.bin", "num_parts": 2}).json()
    parts = [
        {"part_number": one["part_number"], "etag": httpx.put(one["url"], content=b"x").headers["ETag"]}
        for one in begun["credentials"]
    ]
    done = {"path": "small.bin", "upload_id": begun["upload_id"], "parts": parts}
    answer = api.bob.post(f"{PROXIED}/mpu/complete/{root}", done)
    assert answer.status_code == 400
    assert "5 MiB" in answer.json()["message"]
    assert uploads.sweep_abandoned(timedelta(hours=-1)) == 1
    assert (ArtifactUpload.objects.count(), waiting(), blobs()) == (0, [], [])
