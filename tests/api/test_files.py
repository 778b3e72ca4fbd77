"""Files over REST: listing, one file with ranges and conditions, everything as an archive."""

import io
import tarfile
import zipfile

import pytest

from tests import builders
from tests.api.asking import V1, content, items, refused

URL = f"{V1}/models/risk/fraud/versions/1"
CONTENT = bytes(range(256)) * 40
FILES = {"model.bin": CONTENT, "docs/Lies mich.html": b"<script>alert(1)</script>", "empty": b""}


@pytest.fixture
def version(people):
    return builders.version(builders.model("risk/fraud", by=people.alice), by=people.alice, files=FILES)


def test_the_listing_leads_to_every_file(api, version):
    listing = items(api.dave.get(f"{URL}/files"))
    assert {row["path"]: row["size"] for row in listing} == {path: len(data) for path, data in FILES.items()}
    for row in listing:
        assert content(api.dave.get(row["url"])) == FILES[row["path"]]
        assert row["sha256"] == builders.sha256(FILES[row["path"]])
    assert [row["path"] for row in items(api.dave.get(f"{URL}/files?prefix=docs/"))] == [
        "docs/Lies mich.html"
    ]
    assert [row["path"] for row in items(api.dave.get(f"{URL}/files?ordering=-size&limit=1"))] == [
        "model.bin"
    ]


def test_a_part_of_a_file(api, version):
    whole = api.dave.get(f"{URL}/files/model.bin")
    assert content(whole) == CONTENT
    assert whole["Accept-Ranges"] == "bytes"
    assert whole["ETag"] == f'"{builders.sha256(CONTENT)}"'
    part = api.dave.get(f"{URL}/files/model.bin", headers={"Range": "bytes=100-199"})
    assert part.status_code == 206
    assert part["Content-Range"] == f"bytes 100-199/{len(CONTENT)}"
    assert content(part) == CONTENT[100:200]
    stale = {"Range": "bytes=100-199", "If-Range": '"other"'}
    assert content(api.dave.get(f"{URL}/files/model.bin", headers=stale)) == CONTENT
    outside = api.dave.get(f"{URL}/files/model.bin", headers={"Range": "bytes=999999-"})
    refused(outside, 416)
    assert outside["Content-Range"] == f"bytes */{len(CONTENT)}"


def test_a_file_that_the_client_has_is_not_sent(api, version):
    etag = f'"{builders.sha256(CONTENT)}"'
    answer = api.dave.get(f"{URL}/files/model.bin", headers={"If-None-Match": etag})
    assert answer.status_code == 304
    refused(api.dave.get(f"{URL}/files/model.bin", headers={"If-Match": '"other"'}), 412)


def test_head_tells_without_sending(api, version):
    answer = api.dave.head(f"{URL}/files/model.bin")
    assert answer.status_code == 200
    assert answer["Content-Length"] == str(len(CONTENT))
    assert not answer.content


def test_whatever_accept_says_bytes_are_sent(api, version):
    answer = api.dave.get(f"{URL}/files/model.bin", headers={"Accept": "application/octet-stream"})
    assert content(answer) == CONTENT


def test_what_people_upload_is_never_run(api, version):
    answer = api.dave.get(f"{URL}/files/docs/Lies%20mich.html")
    assert content(answer) == FILES["docs/Lies mich.html"]
    assert answer["Content-Type"].startswith("text/plain")
    assert answer["Content-Disposition"] == 'attachment; filename="Lies mich.html"'
    assert "sandbox" in answer["Content-Security-Policy"]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_everything_as_one_archive(api, version, kind):
    answer = api.dave.get(f"{URL}/archive.{kind}")
    data = content(answer)
    assert answer["Content-Length"] == str(len(data))
    assert f"risk-fraud-1.{kind}" in answer["Content-Disposition"]
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            found = {name: archive.read(name) for name in archive.namelist()}
    else:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            found = {member.name: archive.extractfile(member).read() for member in archive}
    assert found == FILES
    again = api.dave.get(f"{URL}/archive.{kind}", headers={"If-None-Match": answer["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "files/nothing",
        "files/../model.bin",
        "files/%2e%2e/model.bin",
        "files/model.bin%00",
        "files//etc/passwd",
    ],
)
def test_files_that_are_not_there(api, version, path):
    refused(api.dave.get(f"{URL}/{path}"), 404)


def test_files_of_private_models_are_nobody_elses(api, people, version):
    secret = builders.model("risk/secret", by=people.alice, visibility="team")
    builders.version(secret, by=people.alice)
    base = f"{V1}/models/risk/secret/versions/1"
    for path in ("files", "files/model.bin", "archive.zip"):
        refused(api.charlie.get(f"{base}/{path}"), 404)
        refused(api.anonymous.get(f"{base}/{path}"), 401)
    assert content(api.dave.get(f"{base}/files/model.bin"))


def test_missing_bytes_are_a_fault_of_ours_and_leak_no_path(api, version, artifacts):
    for path in artifacts.rglob("*"):
        if path.is_file():
            path.unlink()
    problem = refused(api.dave.get(f"{URL}/files/model.bin"), 500)
    assert str(artifacts) not in str(problem)
