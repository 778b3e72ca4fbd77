"""Versions over REST: registered in one call, read, filled in, deleted."""

import hashlib
import json

import pytest
from django.test import Client

from models_app.models import Blob, ModelVersion, RegisteredModel
from models_app.registry import lifecycle, promotions
from tests import builders
from tests.api.asking import BOUNDARY, V1, form, items, refused

URL = f"{V1}/models/risk/fraud/versions"
META = {
    "license": "mit",
    "metrics": {"f1": 0.9},
    "dataset_name": "tx",
    "dataset_version": "1",
    "owner": "alice",
}


@pytest.fixture
def model(people):
    return builders.model("risk/fraud", by=people.alice)


def test_one_call_makes_model_version_and_files(api, people):
    answer = api.bob.post(
        URL,
        **form(
            ("model.bin", b"weights"),
            ("tokenizer/vocab.txt", b"a b c"),
            metadata={
                **META,
                "create_model": True,
                "model": {"purpose": "Finds fraud.", "tags": {"domain": "payments"}},
                "aliases": ["champion"],
                "tags": {"run": "nightly"},
                "risk_flags": ["pii"],
                "reports": [{"title": "Report", "url": "https://reports.example.com/1"}],
                "signature": {"inputs": [{"name": "x", "type": "double"}]},
            },
            digests={"model.bin": {"sha256": builders.sha256(b"weights"), "size": 7}},
        ),
    )
    assert answer.status_code == 201, answer.content
    version = answer.json()
    assert answer["Location"] == version["url"]
    assert version["model"] == "risk/fraud"
    assert version["version"] == 1
    assert version["stage"] == "dev"
    assert version["license"] == "MIT"
    assert version["aliases"] == ["champion"]
    assert version["tags"] == {"run": "nightly"}
    assert version["risk_flags"] == ["pii"]
    assert version["metrics"][0] == {
        "name": "f1",
        "value": 0.9,
        "dataset": "",
        "split": "",
        "higher_is_better": True,
    }
    assert version["file_count"] == 2
    assert version["total_size"] == 12
    assert RegisteredModel.objects.get().purpose == "Finds fraud."
    assert api.dave.get(f"{URL}/champion").json() == api.dave.get(f"{URL}/1").json() == version
    listing = items(api.dave.get(version["files_url"]))
    assert [(row["path"], row["size"]) for row in listing] == [("model.bin", 7), ("tokenizer/vocab.txt", 5)]


def test_metadata_may_come_after_the_files(api, model):
    answer = api.bob.post(URL, **form(("model.bin", b"x"), metadata=META, after=True))
    assert answer.status_code == 201


@pytest.mark.parametrize(
    "who,status", [("dave", 403), ("carol", 403), ("charlie", 403), ("anonymous", 401), ("bob", 201)]
)
def test_registering_a_version_takes_the_role(api, model, who, status):
    answer = getattr(api, who).post(URL, **form(("model.bin", b"x"), metadata=META))
    assert answer.status_code == status
    assert ModelVersion.objects.count() == (status == 201)


def test_the_right_is_asked_before_bytes_are_taken(api, model, artifacts):
    refused(api.dave.post(URL, **form(("model.bin", b"x" * 5000), metadata=META)), 403)
    assert not list(artifacts.rglob("*.*"))


def test_a_missing_model_is_made_only_when_asked(api):
    refused(api.bob.post(URL, **form(("model.bin", b"x"), metadata=META)), 404)
    refused(api.charlie.post(URL, **form(("model.bin", b"x"), metadata={**META, "create_model": True})), 403)
    assert not RegisteredModel.objects.exists()


@pytest.mark.parametrize(
    "path",
    [
        "../evil",
        "/etc/passwd",
        "a/../../b",
        "a\\b",
        "a//b",
        "./a",
        "con",
        "a\u202eb",
        "x" * 1001,
        "a/" + "x" * 256,
        "e\u0301",
        " a",
        "a.",
        "a:b",
    ],
)
def test_hostile_paths_are_refused_and_leave_nothing(api, model, path):
    refused(api.bob.post(URL, **form((path, b"x"), metadata=META)), 400)
    assert not ModelVersion.objects.exists()
    assert not Blob.objects.exists()


@pytest.mark.parametrize(
    "files",
    [
        [("a", b"1"), ("a", b"2")],
        [("Model.bin", b"1"), ("model.bin", b"2")],
        [("a", b"1"), ("a/b", b"2")],
        [],
    ],
)
def test_paths_that_cannot_stand_together_are_refused(api, model, files):
    refused(api.bob.post(URL, **form(*files, metadata=META)), 400, fields={"files"})
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize(
    "digests",
    [
        {"model.bin": {"sha256": "0" * 64}},
        {"model.bin": {"size": 2}},
        {"other.bin": {"size": 1}},
    ],
)
def test_bytes_other_than_declared_are_refused(api, model, digests):
    answer = api.bob.post(URL, **form(("model.bin", b"x"), metadata=META, digests=digests))
    refused(answer, 422, fields={"digests"})
    assert not ModelVersion.objects.exists()


@pytest.mark.parametrize(
    "metadata,fields",
    [
        ({"license": "Freeish"}, {"license"}),
        ({"colour": 1, "stage": "production", "number": 5}, {"colour", "stage", "number"}),
        ({"metrics": {"f1": "good"}}, {"metrics"}),
        ({"metrics": [{"name": "f1"}]}, {"metrics"}),
        ({"tags": "x"}, {"tags"}),
        ({"aliases": ["production"]}, {"aliases"}),
        ({"owner": "nobody"}, {"owner"}),
        ({"run": "0" * 32}, {"run"}),
        ({"serving_endpoint": "javascript:alert(1)"}, {"serving_endpoint"}),
        ({"create_model": "yes"}, {"create_model"}),
        ({"model": {"by": "root"}}, {"by"}),
        ("{", {"metadata"}),
        ("[]", {"metadata"}),
        ('{"a": 1, "a": 2}', {"metadata"}),
        ('{"metrics": {"f1": NaN}}', {"metadata"}),
        ('{"metrics": {"f1": 1e999}}', {"metadata"}),
        ('{"description": "\\u0000"}', {"metadata"}),
        ('{"description": "\\ud800"}', {"metadata"}),
        ("[" * 100_000, {"metadata"}),
        ('{"signature":' * 40 + "1" + "}" * 40, {"metadata"}),
    ],
)
def test_bad_metadata_is_named_and_nothing_is_registered(api, model, metadata, fields):
    refused(api.bob.post(URL, **form(("model.bin", b"x"), metadata=metadata)), 400, fields=fields)
    assert not ModelVersion.objects.exists()


def test_an_upload_that_breaks_off_leaves_no_version(api, model):
    whole = form(("model.bin", b"x" * 10_000), metadata=META)
    answer = api.bob.post(URL, whole["data"][:-5000], whole["content_type"])
    refused(answer, 400, fields={"body"})
    assert not ModelVersion.objects.exists()


def test_sizes_over_the_limit_are_refused(api, model, settings):
    settings.MAX_FILE_BYTES = 100
    problem = refused(api.bob.post(URL, **form(("model.bin", b"x" * 101), metadata=META)), 413)
    assert problem["limit"] == 100
    settings.MAX_FILES_PER_VERSION = 1
    refused(api.bob.post(URL, **form(("a", b"1"), ("b", b"2"), metadata=META)), 413)
    settings.MAX_JSON_BYTES = 50
    refused(api.bob.post(f"{V1}/models", {"name": "risk/" + "x" * 100}), 413)
    assert not ModelVersion.objects.exists()


def test_unknown_parts_and_other_content_types_are_refused(api, model):
    body = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="notes"\r\n\r\nx\r\n--{BOUNDARY}--\r\n'
    refused(api.bob.post(URL, body, f"multipart/form-data; boundary={BOUNDARY}"), 400, fields={"notes"})
    refused(api.bob.post(URL, "<a/>", "application/xml"), 415)
    refused(api.bob.post(URL, "[]"), 400, fields={"body"})


def test_known_bytes_need_no_sending(api, people, model):
    first = builders.version(model, by=people.alice, files={"model.bin": b"weights"})
    entry = {"path": "copy.bin", "sha256": builders.sha256(b"weights"), "size": 7}
    answer = api.bob.post(URL, {**META, "files": [entry]})
    assert answer.status_code == 201, answer.content
    assert answer.json()["version"] == first.number + 1
    refused(api.bob.post(URL, {**META, "files": [{**entry, "size": 8}]}), 422, fields={"files"})
    refused(api.bob.post(URL, {**META, "files": [{**entry, "sha256": "x" * 64}]}), 400, fields={"files"})


def test_bytes_of_others_cannot_be_named(api, people, model):
    secret = builders.model("vision/secret", by=people.charlie, visibility="team")
    builders.version(secret, by=people.charlie, files={"model.bin": b"secret weights"})
    known = {"path": "model.bin", "sha256": builders.sha256(b"secret weights")}
    nowhere = {"path": "model.bin", "sha256": builders.sha256(b"nowhere")}
    answers = [
        refused(api.bob.post(URL, {"files": [entry]}), 400, fields={"files"})["detail"].replace(
            entry["sha256"], "…"
        )
        for entry in (known, nowhere)
    ]
    assert answers[0] == answers[1]
    assert not model.versions.exists()


def test_versions_are_filled_in_and_what_came_with_training_stays(api, people, model):
    version = builders.version(model, by=people.alice, code_commit="abc")
    url = f"{URL}/{version.number}"
    answer = api.bob.patch(
        url, {"license": "Apache-2.0", "owner": "bob", "metrics": {"f1": 0.9}, "tags": {"a": "1"}}
    )
    assert answer.json()["license"] == "Apache-2.0"
    assert answer.json()["owner"] == "bob"
    refused(api.bob.patch(url, {"code_commit": "def"}), 400, fields={"code_commit"})
    refused(api.bob.patch(url, {"metrics": {"f1": 0.1}}), 409)
    refused(api.bob.patch(url, {"stage": "production"}), 400, fields={"stage"})
    refused(api.dave.patch(url, {"license": "MIT"}), 403)
    refused(api.charlie.patch(url, {"license": "MIT"}), 403)
    added = api.bob.post(f"{url}/metrics", {"metrics": [{"name": "auc", "value": 1, "split": "test"}]})
    assert [metric["name"] for metric in added.json()["metrics"]] == ["auc", "f1"]
    refused(api.bob.post(f"{url}/metrics", {"metrics": {"auc": None}}), 400, fields={"metrics"})
    refused(api.bob.post(f"{url}/metrics", {"values": {}}), 400)


def test_deleting_a_version(api, people, model):
    version = builders.promoted(model, by=people.alice, approver=people.carol)
    refused(api.alice.delete(f"{URL}/{version.number}"), 409)
    other = builders.version(model, by=people.alice)
    refused(api.bob.delete(f"{URL}/{other.number}"), 403)
    assert api.alice.delete(f"{URL}/{other.number}").status_code == 204
    refused(api.alice.get(f"{URL}/{other.number}"), 404)


@pytest.mark.parametrize(
    "revision", ["2", "0", "99999999999999999999", "latest ", "champion", "a%00b", "%F0"]
)
def test_revisions_that_are_nothing(api, people, model, revision):
    builders.version(model, by=people.alice)
    refused(api.bob.get(f"{URL}/{revision}"), 404)


def test_revisions_by_stage_and_latest(api, people, model):
    builders.promoted(model, by=people.alice, approver=people.carol)
    builders.version(model, by=people.alice)
    assert api.bob.get(f"{URL}/production").json()["version"] == 1
    assert api.bob.get(f"{URL}/latest").json()["version"] == 2
    refused(api.bob.get(f"{URL}/staging"), 404)


def test_requirements_tell_what_production_demands(api, people, model):
    builders.version(model, by=people.alice, license="MIT")
    demands = {row["key"]: row["met"] for row in api.dave.get(f"{URL}/1/requirements").json()}
    assert demands == {"dataset_version": False, "metrics": False, "owner": False, "license": True}
    assert api.dave.get(f"{URL}/1/requirements?to=staging").json() == []
    refused(api.dave.get(f"{URL}/1/requirements?to=space"), 400, fields={"to"})


def test_versions_of_all_models_are_filtered(api, people, model):
    builders.complete_version(model, by=people.alice, tags={"kind": "x"}, code_commit="abc")
    second = builders.complete_version(model, by=people.alice, metrics={"f1": 0.5}, risk_flags=["pii"])
    promotions.move(second, to="staging", by=people.alice)
    secret = builders.model("vision/secret", by=people.charlie, visibility="team")
    builders.version(secret, by=people.charlie)

    def numbers(query):
        return [row["version"] for row in items(api.bob.get(f"{V1}/versions?{query}"))]

    assert numbers("") == [2, 1]
    assert numbers("ordering=created_at") == [1, 2]
    assert numbers("stage=staging") == [2]
    assert numbers("stage=staging&stage=dev&model=risk/fraud") == [2, 1]
    assert numbers("metric=f1+%3E+0.8") == [1]
    assert numbers("tag=kind%3Dx") == [1]
    assert numbers("risk_flag=pii&team=risk") == [2]
    assert numbers("code_commit=abc") == [1]
    assert numbers("dataset_name=transactions&dataset_version=2026-05") == [2, 1]
    refused(api.bob.get(f"{V1}/versions?metric=f1+is+good"), 400, fields={"metric"})
    refused(api.bob.get(f"{V1}/versions?stage=space"), 400, fields={"stage"})


def test_polling_a_version_costs_no_body(api, people, model):
    version = builders.version(model, by=people.alice)
    first = api.bob.get(f"{URL}/1")
    assert api.bob.get(f"{URL}/1", headers={"If-None-Match": first["ETag"]}).status_code == 304
    lifecycle.set_alias(model, name="champion", version=version, by=people.alice)
    again = api.bob.get(f"{URL}/1", headers={"If-None-Match": first["ETag"]})
    assert again.json()["aliases"] == ["champion"]


@pytest.mark.postgres_is_enough
def test_ten_thousand_files_are_a_version(api, people, model):
    builders.version(model, by=people.alice, files={"model.bin": b"x"})
    digest = hashlib.sha256(b"x").hexdigest()
    files = [{"path": f"part-{number:05}.bin", "sha256": digest} for number in range(10_000)]
    assert len(json.dumps(files)) < 2 << 20
    answer = api.bob.post(URL, {"files": files})
    assert answer.status_code == 201, answer.content[:500]
    assert answer.json()["file_count"] == 10_000
    refused(api.bob.post(URL, {"files": [*files, {"path": "one more", "sha256": digest}]}), 413)


def test_a_login_of_the_pages_uploads_with_its_csrf_token(people):
    client = Client(enforce_csrf_checks=True)
    client.force_login(people.alice.user)
    sent = form(("model.bin", b"x" * 100_000), metadata={"create_model": True})
    refused(client.post(URL, **sent), 403)
    client.cookies["csrftoken"] = "a" * 32
    assert client.post(URL, **sent, headers={"X-CSRFToken": "a" * 32}).status_code == 201
