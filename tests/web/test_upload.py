"""Upload a version in the browser, with and without script."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from models_app.models import Blob, ModelVersion
from models_app.registry import catalog
from tests.web.reading import beside, page

HERE = "/models/risk/fraud-detector/upload/"
SCRIPT = {"Accept": "application/json"}


def file(name="model.bin", content=b"new weights"):
    return SimpleUploadedFile(name, content)


def newest():
    return ModelVersion.objects.order_by("number").last()


def test_files_and_metadata_become_a_version(pages, model):
    answer = pages.bob.post(
        HERE,
        {
            "file": [file(), file("config.json", b"{}")],
            "dataset_version": "2026-06",
            "metrics": "f1 = 0.93",
            "license": "mit",
        },
        follow=True,
    )
    shown = page(answer)
    assert "v4 is registered and sealed." in shown.text("messages")
    assert "config.json" in shown.text()
    made = newest()
    assert (made.number, made.license, made.dataset_version) == (4, "MIT", "2026-06")
    assert made.created_by.username == "bob"


def test_script_has_the_form_checked_and_seals_an_upload_with_it(pages, people, model):
    names = {"license": "mit", "paths": json.dumps(["a/b.bin", "c.bin"])}
    assert pages.bob.post(HERE, names, headers=SCRIPT).json() == {"checked": True}
    for told, paths in ((2, ["a?b", "fine", "x:y"]), (1, ["a", "A"]), (1, ["a", 7])):
        refused = pages.bob.post(HERE, {**names, "paths": json.dumps(paths)}, headers=SCRIPT)
        assert refused.status_code == 422
        assert [error["field"] for error in refused.json()["errors"]] == ["file"] * told
    assert newest().number == 3
    here = dict(model.newest.manifest.entries.values_list("path", "blob_id")[:1])
    ((path, sha256),) = here.items()
    size = Blob.objects.get(pk=sha256).size
    begun = pages.bob.post(
        "/api/v1/uploads",
        {"model": model.name, "files": [{"path": path, "sha256": sha256, "size": size}]},
        content_type="application/json",
    ).json()
    sent = {"license": "mit", "upload": begun["id"]}
    assert pages.alice.post(HERE, sent, headers=SCRIPT).status_code == 404
    for _ in range(2):
        answer = pages.bob.post(HERE, sent, headers=SCRIPT)
        assert answer.status_code == 201
        assert answer.json() == {"version": 4, "page_url": "/models/risk/fraud-detector@4/"}
    assert newest().license == "MIT"


@pytest.mark.sqlite_is_enough
def test_the_form_begins_with_what_the_last_version_had(pages, model):
    shown = page(pages.bob.get(HERE))
    assert shown.value("id_dataset_name") == "transactions"
    assert shown.value("id_dataset_version") == ""
    assert shown.value("id_owner") == "alice"


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "field,typed,told",
    [
        ("license", "Nope-1", "Nope-1"),
        ("owner", "nobody", "no active person"),
        ("metrics", "f1: 0.9", "is not like: f1 = 0.91"),
        ("signature", "{", "Must be JSON."),
        ("description", "a\x07b", "May not contain control characters."),
        ("tags", "x" * 300, "At most 250"),
    ],
)
def test_what_is_wrong_is_told_beside_its_field_and_kept(pages, model, field, typed, told):
    answer = pages.bob.post(HERE, {"file": file(), field: typed, "pii_notes": "None."})
    assert told in beside(answer, field)
    shown = page(answer, 422)
    assert (shown.value(f"id_{field}"), shown.value("id_pii_notes")) == (typed, "None.")
    assert newest().number == 3
    problem = pages.bob.post(HERE, {field: typed}, headers=SCRIPT)
    assert problem.status_code == 422
    assert told in problem.json()["detail"]
    assert problem.json()["errors"][0]["field"] == field


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize("sent", [{}, {"description": "No files."}, {"file": ""}])
def test_no_version_without_files(pages, model, sent):
    assert "file" in page(pages.bob.post(HERE, sent), 422).text().lower()
    assert newest().number == 3


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a//b", "a\\b", "con\x07trol", "x" * 2000])
def test_paths_that_lead_elsewhere_are_refused(pages, model, name):
    # The test client would keep only the last part of the name.
    body = (
        f'--b\r\nContent-Disposition: form-data; name="description"\r\n\r\nKept.\r\n'
        f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\nx\r\n--b--\r\n"
    ).encode()
    answer = pages.bob.post(HERE, body, content_type="multipart/form-data; boundary=b")
    assert "Nothing was registered" in page(answer, 422).text()
    assert newest().number == 3
    assert Blob.objects.count() == 3


@pytest.mark.sqlite_is_enough
def test_too_much_is_told_with_what_to_do(pages, model, settings):
    settings.MAX_FILES_PER_VERSION = 1
    answer = pages.bob.post(HERE, {"file": [file("a"), file("b")]})
    assert "Pack small files into an archive." in page(answer, 422).text()


@pytest.mark.sqlite_is_enough
def test_the_token_of_the_form_is_asked_for_before_the_first_file(pages, model, artifacts):
    bob = pages.strict("bob")
    assert bob.post(HERE, {"file": file("x", b"unseen bytes")}).status_code == 403
    assert newest().number == 3
    bob.get(HERE)
    token = bob.cookies["csrftoken"].value
    assert bob.post(HERE, {"csrfmiddlewaretoken": token, "file": file()}).status_code == 302
    assert bob.post(HERE, {"file": file("y", b"more")}, headers={"X-CSRFToken": token}).status_code == 302
    assert newest().number == 5


@pytest.mark.sqlite_is_enough
def test_names_of_files_run_nowhere(pages, people, model):
    name = "<img src=x onerror=alert(1)>.txt"
    body = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\nx\r\n--b--\r\n'.encode()
    answer = pages.bob.post(HERE, body, content_type="multipart/form-data; boundary=b")
    assert page(answer, 422).executable() == []
    assert name in page(answer, 422).text()


@pytest.mark.sqlite_is_enough
def test_a_former_name_hides_as_much_as_the_name(pages, people, private):
    catalog.rename_model(private, to="risk/other", by=people.alice)
    assert pages.bob.post("/models/risk/secret/upload/", {"file": file()}).status_code == 302
    assert pages.charlie.post("/models/risk/secret/upload/", {"file": file()}).status_code == 404
