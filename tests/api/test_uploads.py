"""Upload sessions over REST: what is here is not sent, what is sent is verified, sealing makes one version."""

import hashlib
import resource
from datetime import timedelta
from unittest import mock
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from models_app.models import Blob, ModelVersion, UploadFile, UploadSession, Visibility
from models_app.registry.artifacts import arrivals, storage, upload_sealing
from tests import builders
from tests.api.asking import V1, form, items, refused
from tests.house.query_counts import counted


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def declared(files: dict[str, bytes]) -> list[dict]:
    return [{"path": path, "sha256": sha(data), "size": len(data)} for path, data in files.items()]


def begin(client, files: dict[str, bytes], *, model="risk/fraud", create=True, **metadata):
    body = {"model": model, "metadata": {"create_model": create, **metadata}, "files": declared(files)}
    response = client.post(f"{V1}/uploads", body)
    assert response.status_code == 201, response.content
    return response.json()


def part(target: dict, content: bytes):
    """Send a part as somebody who has nothing but its address."""
    url = urlsplit(target["url"]).path
    return Client().put(
        url, content[target["start"] :][: target["size"]], content_type="application/octet-stream"
    )


def targets(client, upload: dict, *contents: bytes) -> list[dict]:
    response = client.post(f"{V1}/uploads/{upload['id']}/targets", {"sha256": [sha(one) for one in contents]})
    assert response.status_code == 200, response.content
    return response.json()["files"]


def call(client, upload: dict, verb: str, **body):
    return client.post(f"{V1}/uploads/{upload['id']}/{verb}", body)


def completed(arrived: int, verifying: int, trouble: str = "") -> dict:
    """What completing answers."""
    return {"arrived": arrived, "verifying": verifying, "trouble": trouble}


@pytest.fixture
def in_parts(monkeypatch):
    monkeypatch.setattr(arrivals, "WHOLE_MOST", 8)
    monkeypatch.setattr(arrivals, "PART_SIZE", 10)


def test_small_files_come_together_and_large_ones_in_parts_that_resume(api, in_parts):
    large, small, empty = b"0123456789" * 3 + b"end", b"small", b""
    files = {"model/large.bin": large, "small.txt": small, "empty": empty, "again/small.txt": small}
    upload = begin(api.bob, files, metrics={"f1": 0.9})
    assert [file["present"] for file in upload["files"]] == [False] * 4
    assert (upload["sealed"], upload["version_url"]) == (False, None)

    sent = form((sha(small), small), (sha(empty), empty))
    answer = api.bob.post(f"{V1}/uploads/{upload['id']}/bundle", **sent)
    assert (answer.status_code, answer.json()) == (200, {"arrived": 2})

    (told,) = targets(api.bob, upload, large, small)
    assert (told["part_count"], told["missing"], told["arrived"]) == (4, 4, [])
    for one in (told["parts"][3], told["parts"][1]):
        assert part(one, large).status_code == 204
    refused(call(api.bob, upload, "complete", sha256=[sha(large)]), 400, fields={"files"})
    problem = refused(call(api.bob, upload, "seal"), 409)
    assert "model/large.bin" in problem["detail"]
    (told,) = targets(api.bob, upload, large)
    assert (told["arrived"], [one["number"] for one in told["parts"]]) == ([2, 4], [1, 3])
    for one in told["parts"]:
        part(one, large)
    assert call(api.bob, upload, "complete", sha256=[sha(large)]).json() == completed(1, 0)
    assert call(api.bob, upload, "complete", sha256=[sha(large)]).json() == completed(1, 0)
    assert targets(api.bob, upload, large) == []

    version = call(api.bob, upload, "seal")
    assert version.status_code == 201, version.content
    assert (version.json()["version"], version.json()["file_count"]) == (1, 4)
    assert version.json()["metrics"][0]["name"] == "f1"
    assert call(api.bob, upload, "seal").json()["url"] == version.json()["url"]
    assert ModelVersion.objects.count() == 1
    told = api.bob.get(f"{V1}/uploads/{upload['id']}").json()
    assert (told["sealed"], told["version_url"]) == (True, version.json()["url"])
    refused(targets_refused(api.bob, upload, large), 409)
    listed = {file["path"]: file["sha256"] for file in items(api.bob.get(version.json()["files_url"]))}
    assert listed == {path: sha(data) for path, data in files.items()}


def unsaid(client, upload: dict, *paths: str) -> list[dict]:
    response = client.post(f"{V1}/uploads/{upload['id']}/targets", {"paths": paths})
    assert response.status_code == 200, response.content
    return response.json()["files"]


def say(client, upload: dict, **digests: str):
    files = [{"path": path, "sha256": digest} for path, digest in digests.items()]
    return client.patch(f"{V1}/uploads/{upload['id']}/files", {"files": files})


def test_a_digest_may_be_said_while_the_file_is_sent(
    api, people, in_parts, django_capture_on_commit_callbacks
):
    large, known, small = b"0123456789" * 2 + b"end", b"known already", b"small"
    builders.version(builders.model("risk/old", by=people.bob), by=people.bob, files={"k": known})
    files = [{"path": path, "size": len(data)} for path, data in (("large", large), ("known", known))]
    files.append({"path": "small", "size": len(small)})
    body = {"model": "risk/fraud", "metadata": {"create_model": True}, "files": files}
    upload = api.bob.post(f"{V1}/uploads", body).json()
    assert [(row["sha256"], row["present"]) for row in upload["files"]] == [("", False)] * 3
    assert upload["hash_first"] == []
    # What comes whole needs its digest first.
    told = {one["path"]: one for one in unsaid(api.bob, upload, "large", "known", "small")}
    assert {path: one["missing"] for path, one in told.items()} == {"large": 3, "known": 2}
    for one in told["large"]["parts"][:2]:
        assert part(one, large).status_code == 204
    refused(call(api.bob, upload, "complete", sha256=[sha(large)]), 400)
    refused(call(api.bob, upload, "seal"), 409)

    with django_capture_on_commit_callbacks(execute=True):
        assert [row["present"] for row in say(api.bob, upload, known=sha(known)).json()["files"]] == [True]
    refused(part(told["known"]["parts"][0], known), 404)
    assert unsaid(api.bob, upload, "known") == []
    for _ in range(2):
        assert say(api.bob, upload, large=sha(large)).json()["files"][0]["sha256"] == sha(large)
    refused(say(api.bob, upload, large=sha(small)), 409)
    refused(say(api.bob, upload, other=sha(small)), 400, fields={"files"})
    (rest,) = targets(api.bob, upload, large)
    assert [one["number"] for one in rest["parts"]] == [3]
    part(rest["parts"][0], large)
    say(api.bob, upload, small=sha(small))
    (alone,) = targets(api.bob, upload, small)
    assert part(alone["parts"][0], small).status_code == 204
    assert call(api.bob, upload, "complete", sha256=[sha(large)]).json() == completed(1, 0)
    version = call(api.bob, upload, "seal").json()
    listed = {file["path"]: file["sha256"] for file in items(api.bob.get(version["files_url"]))}
    assert listed == {"large": sha(large), "known": sha(known), "small": sha(small)}
    # What is as long as before is probably the same: better known before it is sent.
    assert api.bob.post(f"{V1}/uploads", body).json()["hash_first"] == ["known", "large", "small"]


def test_other_bytes_than_were_said_late_are_gone(api, in_parts):
    large = b"0123456789" * 2 + b"end"
    body = {"model": "risk/fraud", "metadata": {"create_model": True}, "files": [{"path": "a", "size": 23}]}
    upload = api.bob.post(f"{V1}/uploads", body).json()
    (told,) = unsaid(api.bob, upload, "a")
    for one in told["parts"]:
        part(one, large)
    say(api.bob, upload, a=sha(b"something else of the size"))
    refused(call(api.bob, upload, "complete", sha256=[sha(b"something else of the size")]), 422)
    assert not Blob.objects.exists()


def test_bytes_have_one_size(api, in_parts):
    """Whoever declares a digest with several sizes would seal a version whose files lie about themselves."""
    files = [{"path": path, "sha256": sha(b"five!"), "size": size} for path, size in (("a", 5), ("b", 50))]
    body = {"model": "risk/fraud", "metadata": {"create_model": True}, "files": files}
    refused(api.bob.post(f"{V1}/uploads", body), 422, fields={"files"})
    assert not UploadSession.objects.exists()
    body["files"] = [*files[:1], {"path": "late", "size": 50}]
    upload = api.bob.post(f"{V1}/uploads", body).json()
    refused(api.bob.post(f"{V1}/uploads/{upload['id']}/files", {"files": files[1:]}), 422)
    refused(say(api.bob, upload, late=sha(b"five!")), 422)
    # However it came to be: what is sealed has the size of the stored bytes.
    assert part(targets(api.bob, upload, b"five!")[0]["parts"][0], b"five!").status_code == 204
    UploadFile.objects.filter(path="a").update(size=6)
    UploadFile.objects.filter(path="late").delete()
    refused(call(api.bob, upload, "seal"), 422, fields={"files"})
    assert not ModelVersion.objects.exists()


def targets_refused(client, upload, content):
    return call(client, upload, "targets", sha256=[sha(content)])


def test_what_is_here_is_not_sent_but_only_to_who_had_it(api, people):
    secret = builders.model("risk/secret", by=people.alice, visibility=Visibility.TEAM)
    builders.version(secret, by=people.alice, files={"a.bin": b"secret bytes"})
    files = {"a.bin": b"secret bytes"}
    assert begin(api.bob, files)["files"][0]["present"]
    stranger = begin(api.charlie, files, model="vision/x")
    assert not stranger["files"][0]["present"]
    # Completing without sending gives nothing away: charlie knows the digest, not the bytes.
    refused(call(api.charlie, stranger, "complete", sha256=[sha(b"secret bytes")]), 400)
    refused(call(api.charlie, stranger, "seal"), 409)
    (told,) = targets(api.charlie, stranger, b"secret bytes")
    assert part(told["parts"][0], b"secret bytes").status_code == 204
    # What she sent once, in whichever session, is here for her, and what nobody declared is nowhere.
    assert begin(api.charlie, files, model="vision/y")["files"][0]["present"]
    assert call(api.charlie, stranger, "seal").status_code == 201
    refused(
        call(api.charlie, begin(api.charlie, files, model="vision/z"), "complete", sha256=["0" * 64]), 400
    )


def test_wrong_bytes_leave_nothing(api, in_parts):
    large, small = b"0123456789" * 2 + b"end", b"small"
    upload = begin(api.bob, {"large": large, "small": small, "tiny": b"tiny"})
    told = {file["sha256"]: file["parts"] for file in targets(api.bob, upload, large, small)}
    problem = refused(part(told[sha(small)][0], b"SMALL"), 422, fields={"sha256"})
    assert problem["next_step"]
    refused(part(told[sha(small)][0], b"longer than small"[:4]), 400, fields={"body"})
    bundle = form((sha(small), small), (sha(b"tiny"), b"TINY"))
    refused(api.bob.post(f"{V1}/uploads/{upload['id']}/bundle", **bundle), 422, fields={"sha256"})
    for one in told[sha(large)]:
        part(one, large.replace(b"5", b"!"))
    problem = refused(call(api.bob, upload, "complete", sha256=[sha(large)]), 422, fields={"sha256"})
    assert "large" in problem["detail"]
    assert not UploadFile.objects.exclude(blob=None).exists()
    assert not Blob.objects.exists()
    # It can be sent again, from the beginning.
    (again,) = targets(api.bob, upload, large)
    assert again["missing"] == 3
    for one in again["parts"]:
        part(one, large)
    assert call(api.bob, upload, "complete", sha256=[sha(large)]).status_code == 200


def test_a_full_disk_in_the_middle_is_told_and_gone_on_from(api, monkeypatch):
    monkeypatch.setattr(arrivals, "WHOLE_MOST", 8)
    monkeypatch.setattr(arrivals, "PART_SIZE", 8 << 20)
    large = bytes(16 << 20) + b"the last part"
    upload = begin(api.bob, {"large": large})
    (told,) = targets(api.bob, upload, large)
    first, second, last = told["parts"]
    for one in (first, last):
        assert part(one, large).status_code == 204
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12 << 20, hard))
    try:
        problem = refused(part(second, large), 507)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "make room" in problem["next_step"]
    refused(call(api.bob, upload, "complete", sha256=[sha(large)]), 400)
    (again,) = targets(api.bob, upload, large)
    assert [one["number"] for one in again["parts"]] == [2]
    assert part(again["parts"][0], large).status_code == 204
    assert call(api.bob, upload, "complete", sha256=[sha(large)]).json()["arrived"] == 1
    assert call(api.bob, upload, "seal").status_code == 201


def test_addresses_are_good_for_one_thing_and_a_day(api, in_parts):
    upload = begin(api.bob, {"a": b"aaaa", "b": b"bbbb"})
    (told,) = targets(api.bob, upload, b"aaaa")
    target = told["parts"][0]
    tampered = {**target, "url": target["url"][:-4] + "AAAA"}
    refused(part(tampered, b"aaaa"), 403)
    refused(part(target, b"bbbb"), 422)
    with mock.patch("time.time", return_value=timezone.now().timestamp() + 25 * 3600):
        problem = refused(part(target, b"aaaa"), 403)
    assert "expired" in problem["detail"]
    assert part(target, b"aaaa").status_code == 204
    assert api.bob.delete(f"{V1}/uploads/{upload['id']}").status_code == 204
    refused(part(target, b"aaaa"), 404)


def test_early_refusals_make_no_session(api, people):
    file = declared({"a": b"a"})

    def create(client, **body):
        return client.post(f"{V1}/uploads", {"model": "risk/new", "files": file, **body})

    refused(create(api.bob), 404)
    refused(create(api.anonymous, metadata={"create_model": True}), 401)
    refused(create(api.dave, metadata={"create_model": True}), 403)
    refused(create(api.client(people.bob, "read"), metadata={"create_model": True}), 403)
    refused(create(api.bob, metadata={"create_model": True, "license": "no such"}), 400, fields={"license"})
    refused(create(api.bob, metadata={"create_model": True, "files": []}), 400, fields={"metadata"})
    for path in ("../a", "/a", "a\\b", "con"):
        files = [{**file[0], "path": path}]
        refused(create(api.bob, metadata={"create_model": True}, files=files), 400, fields={"files"})
    refused(create(api.bob, metadata={"create_model": True}, files=file * 2), 400, fields={"files"})
    assert not UploadSession.objects.exists()
    upload = begin(api.bob, {"a": b"a"})
    refused(api.alice.get(f"{V1}/uploads/{upload['id']}"), 404)
    refused(api.bob.post(f"{V1}/uploads/{upload['id']}/files", {"files": declared({"A": b"b"})}), 400)
    more = api.bob.post(f"{V1}/uploads/{upload['id']}/files", {"files": declared({"c": b"c"})})
    assert more.status_code == 201
    listing = f"{V1}/uploads/{upload['id']}/files?present=false"
    assert [one["path"] for one in items(api.bob.get(listing))] == ["a", "c"]


def test_forgotten_uploads_are_swept(api, in_parts):
    large = b"0123456789ab"
    upload = begin(api.bob, {"large": large})
    (told,) = targets(api.bob, upload, large)
    part(told["parts"][0], large)
    assert list(storage.incoming().glob("*.parts"))
    assert upload_sealing.sweep() == 0
    UploadSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    refused(part(told["parts"][1], large), 404)
    assert upload_sealing.sweep() == 1
    assert not list(storage.incoming().glob("*.parts"))
    refused(call(api.bob, upload, "seal"), 404)


def test_many_files_cost_no_more_queries_than_one(api, people):
    builders.model("risk/fraud", by=people.bob)

    def whole(count: int) -> None:
        files = {f"{count}/{number}": f"{count} {number}".encode() for number in range(count)}
        upload = begin(api.bob, files, create=False)
        sent = form(*((sha(data), data) for data in files.values()))
        assert api.bob.post(f"{V1}/uploads/{upload['id']}/bundle", **sent).status_code == 200
        digests = [sha(data) for data in files.values()]
        assert call(api.bob, upload, "complete", sha256=digests).status_code == 200
        assert call(api.bob, upload, "seal").status_code == 201

    whole(2)
    few, _ = counted(lambda: whole(3))
    many, texts = counted(lambda: whole(60))
    assert many == few, texts
