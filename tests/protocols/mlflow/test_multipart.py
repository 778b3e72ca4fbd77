"""Large files: parts to signed addresses, and downloads by signed address."""

from __future__ import annotations

import hashlib
import random
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.test import Client

from models_app.http import signing
from models_app.models import ArtifactUpload, TreeEntry
from models_app.protocols.mlflow import transfers
from models_app.registry import runs

pytestmark = pytest.mark.django_db

PROXIED = "/api/2.0/mlflow-artifacts"
PARTS = [b"a" * 1000, b"b" * 1000, b"the end"]


@pytest.fixture
def root(people):
    run = runs.create_run(by=people.bob)
    return f"{run.experiment_id}/{run.uid}/artifacts"


@pytest.fixture
def nobody():
    """Signed addresses are used without credentials."""
    return Client()


@pytest.fixture
def begin(api, root):
    def begin(count=3, path="/home/me/model.bin", folder="", who=api.bob):
        answer = who.post(f"{PROXIED}/mpu/create/{root}{folder}", {"path": path, "num_parts": count})
        assert answer.status_code == 200, answer.content
        return answer.json()

    return begin


def send(nobody, credential, content):
    url = urlsplit(credential["url"])
    assert url.netloc == "testserver"
    answer = nobody.put(
        url.path, content, content_type="application/octet-stream", headers=credential["headers"]
    )
    assert answer.status_code == 200, answer.content
    return {"part_number": credential["part_number"], "etag": answer["ETag"], "url": credential["url"]}


def complete(client, root, upload, parts, path="model.bin", folder=""):
    return client.post(
        f"{PROXIED}/mpu/complete/{root}{folder}",
        {"path": path, "upload_id": upload["upload_id"], "parts": parts},
    )


def body_of(response):
    return b"".join(response.streaming_content)


def test_parts_in_any_order_and_twice(api, root, nobody, begin, artifacts):
    upload = begin(folder="/big")
    assert [credential["part_number"] for credential in upload["credentials"]] == [1, 2, 3]
    jobs = list(zip(upload["credentials"], PARTS, strict=True))
    send(nobody, jobs[0][0], b"x" * 1000)
    random.shuffle(jobs)
    parts = [send(nobody, credential, content) for credential, content in jobs]
    assert not TreeEntry.objects.exists()
    assert complete(api.bob, root, upload, parts, path="C:\\x\\model.bin", folder="/big").json() == {}
    got = api.dave.get(f"{PROXIED}/artifacts/{root}/big/model.bin")
    assert body_of(got) == b"".join(PARTS)
    assert got["ETag"] == f'"{hashlib.sha256(b"".join(PARTS)).hexdigest()}"'
    assert {path.name for path in (artifacts / "incoming").glob("*/*")} == {"done", "lock"}


def test_what_a_completion_needs(api, root, nobody, begin):
    upload = begin()
    parts = [send(nobody, *job) for job in zip(upload["credentials"], PARTS, strict=True)]
    wrong = {**parts[0], "etag": parts[1]["etag"]}
    evil = {**parts[0], "etag": "../../etc/passwd"}
    for given in (
        [],
        parts[:2],
        [*parts, parts[0]],
        [*parts[:2], wrong | {"part_number": 4}],
        [wrong, *parts[1:]],
        [evil, *parts[1:]],
        [{"part_number": "x", "etag": "y"}],
    ):
        answer = complete(api.bob, root, upload, given)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert complete(api.bob, root, {"upload_id": "0" * 32}, parts).status_code == 404
    assert complete(api.bob, root, upload, parts, path="other.bin").status_code == 404
    assert complete(api.dave, root, upload, parts).status_code == 403
    for _ in range(2):  # Clients ask again when an answer is lost.
        assert complete(api.bob, root, upload, parts).status_code == 200


def test_abort(api, root, nobody, begin, artifacts):
    upload = begin()
    send(nobody, upload["credentials"][0], b"x")
    body = {"path": "model.bin", "upload_id": upload["upload_id"]}
    assert api.dave.post(f"{PROXIED}/mpu/abort/{root}", body).status_code == 403
    assert api.bob.post(f"{PROXIED}/mpu/abort/{root}", body).json() == {}
    assert not list((artifacts / "incoming").iterdir())
    late = nobody.put(urlsplit(upload["credentials"][1]["url"]).path, b"x")
    assert (late.status_code, late.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_addresses_are_signed_for_one_purpose_and_expire(api, root, nobody, begin, monkeypatch):
    upload = begin()
    url = urlsplit(upload["credentials"][0]["url"]).path
    api.bob.put(f"{PROXIED}/artifacts/{root}/a", b"abc")
    file = urlsplit(api.bob.get(f"{PROXIED}/presigned/{root}/a").json()["url"]).path
    swapped = f"{PROXIED}/signed/{url.rpartition('/')[2]}"
    for address in (
        url[:-1],
        url + "x",
        f"{PROXIED}/mpu/part/x",
        f"{PROXIED}/mpu/part/{file.rpartition('/')[2]}",
    ):
        assert nobody.put(address, b"x").status_code == 403
    assert nobody.get(swapped).status_code == 403
    assert nobody.get(url).status_code == nobody.put(file, b"x").status_code == 405
    monkeypatch.setattr(transfers, "PART_VALID", timedelta(seconds=-1))
    monkeypatch.setattr(transfers, "FILE_VALID", timedelta(seconds=-1))
    for answer in (nobody.put(url, b"x"), nobody.get(file)):
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")
        assert "expired" in answer.json()["message"]
    assert len(signing.sign("part", "0" * 32, 10_000)) < 200


def test_presigned_downloads(api, root, nobody, django_assert_num_queries):
    api.bob.put(f"{PROXIED}/artifacts/{root}/big model.bin", b"0123456789")
    answer = api.dave.get(f"{PROXIED}/presigned/{root}/big model.bin").json()
    assert (answer["file_size"], answer["headers"]) == (10, {})
    url = urlsplit(answer["url"]).path
    with django_assert_num_queries(0):
        part = nobody.get(url, headers={"Range": "bytes=5-9"})
        assert (part.status_code, body_of(part)) == (206, b"56789")
    assert 'filename="big model.bin"' in part["Content-Disposition"]
    run_id = root.split("/")[1]
    by_run = api.dave.post(
        "/api/2.0/mlflow/artifacts/presigned-download-url", {"run_id": run_id, "path": "big model.bin"}
    ).json()
    assert body_of(nobody.get(urlsplit(by_run["presigned_url"]).path)) == b"0123456789"
    assert by_run["file_size"] == 10
    for missing in (root, f"{root}/x", "x"):
        assert api.dave.get(f"{PROXIED}/presigned/{missing}").status_code == 404
    upload = api.bob.post("/api/2.0/mlflow/artifacts/presigned-upload-url", {"run_id": run_id, "path": "x"})
    assert upload.status_code == 400


def test_where_parts_cannot_wait(api, root, settings):
    memory = {"BACKEND": "models_app.registry.artifacts.stores.memory.MemoryStore"}
    settings.STORAGES = {**settings.STORAGES, "artifacts": memory}
    body = {"path": "model.bin", "num_parts": 3}
    answer = api.bob.post(f"{PROXIED}/mpu/create/{root}", body)
    assert (answer.status_code, answer.json()["error_code"]) == (501, "NOT_IMPLEMENTED")
    assert answer.json()["message"].startswith(
        "Multipart upload is not supported for the current artifact repository"
    )
    info = api.anonymous.get("/api/3.0/mlflow/server-info").json()
    assert (info["multipart_uploads_enabled"], info["multipart_downloads_enabled"]) == (False, True)


def test_too_many_parts_come_whole(api, root):
    answer = api.bob.post(f"{PROXIED}/mpu/create/{root}", {"path": "x", "num_parts": 100_000})
    assert answer.status_code == 501


def test_the_largest_list_of_parts_is_taken(api, root, begin):
    upload = begin(count=5000)
    parts = [
        {
            "part_number": credential["part_number"],
            "etag": f'"{"f" * 30}"',
            "url": credential["url"] + "x" * 40,
        }
        for credential in upload["credentials"]
    ]
    assert "did not arrive" in complete(api.bob, root, upload, parts).json()["message"]


@pytest.mark.parametrize("count", [0, -1, "x", 2**70])
def test_odd_numbers_of_parts(api, root, count):
    answer = api.bob.post(f"{PROXIED}/mpu/create/{root}", {"path": "x", "num_parts": count})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "folder, path", [("/..", "x"), ("", ".."), ("/%252e%252e", "x"), ("", ""), ("/a/b", "x/")]
)
def test_hostile_paths(api, root, folder, path):
    answer = api.bob.post(f"{PROXIED}/mpu/create/{root}{folder}", {"path": path, "num_parts": 1})
    assert answer.status_code == 400
    assert not ArtifactUpload.objects.exists()


def test_who_may_begin(api, root):
    body = {"path": "x", "num_parts": 1}
    assert api.dave.post(f"{PROXIED}/mpu/create/{root}", body).status_code == 403
    assert api.anonymous.post(f"{PROXIED}/mpu/create/{root}", body).status_code == 401
    assert api.bob.post(f"{PROXIED}/mpu/create/versions/1", body).status_code == 403
