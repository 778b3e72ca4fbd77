"""One version: what is known of it, its files and previews, its downloads."""

import io
import json
import tarfile
import zipfile

import pytest

from models_app.registry import catalog, lifecycle, promotions, runs, sources
from tests import builders
from tests.web.hostile import MARKUP
from tests.web.reading import page

HERE = "/models/risk/fraud-detector@{}/"
V4 = HERE.format(4)
ONE_LINE = " ".join(MARKUP.split())
HARMLESS = ["text/plain", "application/json", "application/octet-stream"]
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 16


def body(response):
    return b"".join(response.streaming_content)


@pytest.mark.parametrize("revision", ["2", "production", "champion", "02"])
def test_any_revision_leads_to_the_version(pages, people, model, revision):
    lifecycle.set_alias(model, name="champion", version=model.newest_production, by=people.bob)
    text = page(pages.dave.get(HERE.format(revision))).text()
    assert text.startswith("risk/fraud-detector v2")
    for told in ("2026-05", "Apache-2.0", "In production", "champion", "model.bin", "sealed"):
        assert told in text


def test_a_version_that_only_points_elsewhere_is_flagged(pages, people, model):
    made = sources.register_version(model, source="s3://bucket/far", by=people.bob)
    text = page(pages.bob.get(HERE.format(made.number))).text()
    assert text.count("Not held here") == 2
    assert "s3://bucket/far" in text
    assert "sealed" not in text


@pytest.mark.parametrize(
    "revision", ["4", "0", "-1", "1.0", "v1", "nothing", "PRODUCTION", "9" * 30, "%F0%9F%98%80", "٢", "%20"]
)
def test_unknown_revisions_are_not_there(pages, model, revision):
    text = page(pages.dave.get(HERE.format(revision)), 404).text()
    assert "A revision is a number, a stage, an alias or “latest”." in text


@pytest.mark.sqlite_is_enough
def test_what_production_still_demands_is_told(pages, people, model):
    builders.version(model, by=people.bob)
    mine, theirs = page(pages.bob.get(V4)), page(pages.dave.get(V4))
    assert "Ready for production?" in theirs.text()
    assert "alice can fill it in." in theirs.text()
    for field in ("dataset_version", "metrics", "license"):
        assert f"{V4}edit/#id_{field}" in mine.links()
        assert f"{V4}edit/#id_{field}" not in theirs.links()


@pytest.mark.sqlite_is_enough
def test_acts_are_offered_to_whom_they_are_for(pages, model):
    offered = {}
    for who in ("dave", "bob", "alice", "carol", "erin", "charlie"):
        shown = page(getattr(pages, who).get(HERE.format(3)))
        forms = [attrs.get("action", "") for tag, attrs, _ in shown.elements if tag == "form"]
        there = {one for one in ("move", "alias", "delete") if HERE.format(3) + one + "/" in forms}
        offered[who] = there | ({"promote"} if "Promote to production" in shown.text() else set())
    assert offered == {
        "dave": set(),
        "bob": {"move", "alias"},
        "alice": {"move", "alias", "delete"},
        "carol": {"move", "promote"},
        "erin": {"move", "alias", "delete", "promote"},
        "charlie": set(),
    }


@pytest.mark.sqlite_is_enough
def test_nothing_that_is_known_of_a_version_runs(pages, people, model):
    run = runs.create_run(by=people.bob, name=ONE_LINE, params={"<script>": MARKUP}, tags={"a": MARKUP})
    builders.complete_version(
        model,
        by=people.bob,
        run=run.uid,
        description=MARKUP,
        framework="<svg onload=alert(1)>",
        dataset_name=ONE_LINE[:200],
        dataset_path="javascript:alert(1)",
        code_repository="javascript:alert(1)",
        base_model="javascript:alert(1)",
        signature={"</script><script>alert(1)": MARKUP},
        bias_fairness_notes=MARKUP,
        tags={ONE_LINE: MARKUP},
        metrics=[{"name": "<b onclick=alert(1)>", "value": 1, "dataset": '"><script>', "split": "<i>"}],
        reports=[{"url": "https://example.com/", "title": ONE_LINE[:200]}],
    )
    promotions.move(model.versions.get(number=4), to="staging", by=people.bob, reason=MARKUP)
    for path in (
        V4,
        V4 + "edit/",
        "/models/risk/fraud-detector/lineage/?v=4",
        "/models/risk/fraud-detector/activity/",
    ):
        assert page(pages.bob.get(path)).executable() == [], path
    for path in (
        "/models/risk/fraud-detector/compare/3...4/?all",
        "/models/risk/fraud-detector/versions/",
        "/",
    ):
        assert page(pages.bob.get(path)).executable() == [], path


FILES = {
    "page.html": MARKUP.encode(),
    "image.svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>',
    "fake.png": b"<script>alert(1)</script>",
    "data.csv": b'a,b\n<script>alert(1)</script>,"=cmd()"\n',
    "data.json": json.dumps({"</script><script>": MARKUP}).encode(),
    "README.md": b"[x](javascript:alert(1)) <script>alert(1)</script>",
    "notes.txt": MARKUP.encode(),
    "real.png": PNG,
    "model.pkl": b"\x80\x04cos\nsystem\n",
    "broken.safetensors": b"\xff" * 64,
    "deep/er/model.bin": b"\0\1\2",
}


@pytest.fixture
def files(people, model):
    builders.version(model, by=people.bob, files=FILES)


@pytest.mark.sqlite_is_enough
def test_previews_show_text_and_run_nothing(pages, files):
    for path, content in FILES.items():
        answer = pages.dave.get(f"{V4}files/{path}")
        shown = page(answer)
        assert shown.executable() == [], path
        if path in ("page.html", "notes.txt", "image.svg", "README.md"):
            assert " ".join(content.decode().split()) in shown.text(), path
    assert "=cmd()" in page(pages.dave.get(f"{V4}files/data.csv")).text()
    assert "not text" in page(pages.dave.get(f"{V4}files/model.pkl")).text()


@pytest.mark.sqlite_is_enough
def test_files_are_sent_for_saving_and_sandboxed(pages, files):
    for path, content in FILES.items():
        answer = pages.dave.get(f"{V4}files/{path}?download")
        assert body(answer) == content
        assert answer["Content-Disposition"].startswith("attachment"), path
        assert "sandbox" in answer["Content-Security-Policy"], path
        assert answer["X-Content-Type-Options"] == "nosniff"


@pytest.mark.sqlite_is_enough
def test_only_pictures_are_sent_as_what_they_are(pages, files):
    for path in FILES:
        answer = pages.dave.get(f"{V4}files/{path}?raw")
        body(answer)
        assert "sandbox" in answer["Content-Security-Policy"], path
        kind = answer["Content-Type"].partition(";")[0]
        assert kind in (["image/png"] if path.endswith(".png") else HARMLESS), path


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "path", ["absent.bin", "../../settings.py", "%2e%2e/x", "MODEL.BIN", "x" * 3000, "files/model.bin"]
)
def test_files_that_are_not_there(pages, model, path):
    assert pages.dave.get(HERE.format(1) + "files/" + path).status_code == 404


@pytest.mark.sqlite_is_enough
def test_the_whole_version_comes_as_zip_or_tar(pages, files):
    answer = pages.dave.get(V4 + "download.zip")
    assert 'filename="risk-fraud-detector-v4.zip"' in answer["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(body(answer))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == FILES
    with tarfile.open(fileobj=io.BytesIO(body(pages.dave.get(V4 + "download.tar")))) as archive:
        assert sorted(archive.getnames()) == sorted(FILES)


@pytest.mark.sqlite_is_enough
def test_a_part_of_a_file_and_what_is_known_already(pages, files):
    here = f"{V4}files/deep/er/model.bin?download"
    part = pages.dave.get(here, headers={"Range": "bytes=1-"})
    assert (part.status_code, body(part)) == (206, b"\1\2")
    assert pages.dave.get(here, headers={"If-None-Match": part["ETag"]}).status_code == 304


@pytest.mark.sqlite_is_enough
def test_deleted_versions_are_gone(pages, people, model):
    catalog.delete_version(model.newest, by=people.alice)
    for path in ("", "files/model.bin", "download.zip"):
        assert pages.dave.get(HERE.format(3) + path).status_code == 404
