"""Files of runs, logged models and versions as MLflow's clients move them."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

import pytest

from models_app.models import Blob, TreeEntry
from models_app.registry import experiments, logged_models, runs
from tests import builders

pytestmark = pytest.mark.django_db

FILES = "/api/2.0/mlflow-artifacts/artifacts"
API = "/api/2.0/mlflow"


@pytest.fixture
def run(people):
    return runs.create_run(by=people.bob)


@pytest.fixture
def root(run):
    return f"{run.experiment_id}/{run.uid}/artifacts"


@pytest.fixture
def secret(people):
    experiment = experiments.create_experiment("secret", team=people.risk, visibility="team", by=people.bob)
    run = runs.create_run(by=people.bob, experiment=experiment)
    return run


def put(client, path, body=b"content", **extra):
    return client.put(f"{FILES}/{quote(path)}", body, content_type="application/octet-stream", **extra)


def body_of(response):
    return b"".join(response.streaming_content) if response.streaming else response.content


def listed(client, path):
    answer = client.get(FILES, {"path": path})
    assert answer.status_code == 200
    return answer.json().get("files", [])


@pytest.mark.parametrize(
    "name", ["a.txt", "model/data/MLmodel", "ünï cöde/100% 1+2 \u65e5\u672c.bin", "empty"]
)
def test_what_is_put_comes_back(api, root, name):
    content = b"" if name == "empty" else name.encode() * 1000
    answer = put(api.bob, f"{root}/{name}", content)
    assert (answer.status_code, answer.json()) == (200, {})
    got = api.dave.get(f"{FILES}/{quote(root)}/{quote(name)}")
    assert (got.status_code, body_of(got)) == (200, content)
    assert got["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert got["Accept-Ranges"] == "bytes"
    assert got["Last-Modified"]
    assert got["Content-Length"] == str(len(content))
    assert got["X-Content-Type-Options"] == "nosniff"
    assert got["Content-Disposition"].startswith("attachment; filename")
    assert Blob.objects.get().size == len(content)


def test_parts_and_conditions(api, root):
    put(api.bob, f"{root}/a", b"0123456789")
    url = f"{FILES}/{root}/a"
    part = api.bob.get(url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, body_of(part), part["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert api.bob.get(url, headers={"Range": "bytes=10-"}).status_code == 416
    head = api.bob.head(url)
    assert (head.status_code, head["Content-Length"], head.content) == (200, "10", b"")
    assert api.bob.get(url, headers={"If-None-Match": head["ETag"]}).status_code == 304


@pytest.mark.parametrize(
    "name, kind",
    [
        ("MLmodel", "text/plain"),
        ("MLproject", "text/plain"),
        ("conda.yaml", "text/plain"),
        ("input.json", "text/plain"),
        ("train.py", "text/plain"),
        ("page.html", "text/plain"),
        ("drawing.svg", "text/plain"),
        ("plot.png", "image/png"),
        ("plot.JPG", "image/jpeg"),
        ("model.pkl", "application/octet-stream"),
        ("nothing", "application/octet-stream"),
        ("x.swf", "application/octet-stream"),
    ],
)
def test_content_types(api, root, name, kind):
    put(api.bob, f"{root}/{name}")
    assert api.bob.head(f"{FILES}/{root}/{name}")["Content-Type"] == kind


def test_missing_files_and_folders_are_no_files(api, root, run):
    put(api.bob, f"{root}/model/MLmodel")
    for path in (
        f"{root}/model",
        f"{root}/x",
        root,
        f"{root}/model/mlmodel",
        f"7/{run.uid}/artifacts/model/MLmodel",
        "elsewhere/x",
        f"versions/{10**17}/x",
    ):
        answer = api.bob.get(f"{FILES}/{path}")
        assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST"), path


def test_listing(api, root):
    for name in ("model/MLmodel", "model/data/x", "plot.png"):
        put(api.bob, f"{root}/{name}", b"xyz")
    assert listed(api.bob, root) == [
        {"path": "model", "is_dir": True},
        {"path": "plot.png", "is_dir": False, "file_size": 3},
    ]
    assert [file["path"] for file in listed(api.bob, f"{root}/model/")] == ["MLmodel", "data"]
    for nothing in ("", f"{root}/nothing", f"{root}/plot.png", "0", "1/traces/x"):
        assert api.bob.get(FILES, {"path": nothing}).json() == {}
    assert api.bob.get(FILES).json() == {}


def test_removing(api, root):
    for name in ("model/MLmodel", "model/data/x", "plot.png"):
        put(api.bob, f"{root}/{name}")
    assert api.bob.delete(f"{FILES}/{root}/model").json() == {}
    assert [file["path"] for file in listed(api.bob, root)] == ["plot.png"]
    assert api.bob.delete(f"{FILES}/{root}/model").status_code == 404
    assert api.bob.delete(f"{FILES}/{root}/plot.png").status_code == 200
    assert listed(api.bob, root) == []


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "..%2fx",
        "%2e%2e/x",
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "%252e%252e%252fx",
        "%25252e%25252e/x",
        "a/../../x",
        "a/%5c..%5cb",
        "a%5cb",
        "/etc/passwd",
        "%2fetc/passwd",
        "C:%5cx",
        "C:/x",
        "file:/etc/passwd",
        "a%00b",
        "a//b",
        "a%23b",
        "img%2523.png",
        "a/./b",
        "a/",
        "",
        "x" * 300,
        "/".join(["abcdefgh"] * 120),
        "model/MLMODEL",
        "Model/x",
        "model",
        "model/MLmodel/x",
    ],
)
def test_hostile_paths(api, root, artifacts, path):
    assert put(api.bob, f"{root}/model/MLmodel").status_code == 200
    answer = api.bob.generic("PUT", f"{FILES}/{root}/{path}", b"evil")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert answer.json()["message"].startswith("Invalid path")
    assert TreeEntry.objects.count() == 1
    assert api.bob.get(f"{FILES}/{root}/{path}").status_code in (400, 404)
    assert not list((artifacts / "incoming").glob("*"))


def test_a_root_that_leads_elsewhere(api, root, run):
    for path in (
        f"../{root}/x",
        f"{run.experiment_id}/../{root}/x",
        "x",
        "versions/x",
        f"0/models/{run.uid}/x",
    ):
        answer = api.bob.generic("PUT", f"{FILES}/{path}", b"evil")
        assert answer.status_code == 400, path
        assert answer.json()["message"].startswith("Invalid path")
    assert not TreeEntry.objects.exists()


def test_who_may(api, root, secret):
    hidden = f"{secret.experiment_id}/{secret.uid}/artifacts"
    assert put(api.bob, f"{hidden}/a").status_code == 200
    for call in (
        api.charlie.get(f"{FILES}/{hidden}/a"),
        api.charlie.get(FILES, {"path": hidden}),
        put(api.charlie, f"{hidden}/b"),
        api.charlie.delete(f"{FILES}/{hidden}/a"),
        api.charlie.get("/api/2.0/mlflow-artifacts/presigned/" + hidden + "/a"),
        api.charlie.get("/get-artifact", {"run_id": secret.uid, "path": "a"}),
        api.charlie.get(f"{API}/artifacts/list", {"run_id": secret.uid}),
    ):
        assert (call.status_code, call.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    assert body_of(api.dave.get(f"{FILES}/{hidden}/a")) == b"content"
    for who in (api.dave, api.carol):
        assert put(who, f"{root}/a").status_code == 403
    assert put(api.client(api._people.bob, "read"), f"{root}/a").status_code == 403
    assert put(api.anonymous, f"{root}/a").status_code == 401
    assert api.anonymous.get(FILES, {"path": root}).status_code == 401
    assert api.anonymous.get(FILES, {"path": ""}).status_code == 401
    assert TreeEntry.objects.count() == 1


def test_deleted_runs_are_read_only(api, root, run):
    put(api.bob, f"{root}/a")
    type(run).objects.update(deleted_at=run.started_at)
    for answer in (put(api.bob, f"{root}/b"), api.bob.delete(f"{FILES}/{root}/a")):
        assert answer.status_code == 400
        assert "must be in the 'active' state" in answer.json()["message"]
    assert body_of(api.bob.get(f"{FILES}/{root}/a")) == b"content"


def test_a_version_is_read_only(api, people):
    version = builders.version(
        builders.model(by=people.bob), by=people.bob, files={"MLmodel": b"m", "data/x": b"xyz"}
    )
    place = f"versions/{version.pk}"
    assert listed(api.dave, place) == [
        {"path": "MLmodel", "is_dir": False, "file_size": 1},
        {"path": "data", "is_dir": True},
    ]
    assert listed(api.dave, f"{place}/data") == [{"path": "x", "is_dir": False, "file_size": 3}]
    assert body_of(api.dave.get(f"{FILES}/{place}/data/x")) == b"xyz"
    assert put(api.bob, f"{place}/MLmodel").status_code == 403
    assert api.bob.delete(f"{FILES}/{place}/MLmodel").status_code == 403
    got = api.dave.get(
        "/model-versions/get-artifact", {"name": "risk--fraud-detector", "version": 1, "path": "MLmodel"}
    )
    assert (body_of(got), got["Content-Type"]) == (b"m", "text/plain")


def test_a_version_of_a_private_model_is_hidden(api, people):
    version = builders.version(builders.model(by=people.bob, visibility="team"), by=people.bob)
    assert api.charlie.get(f"{FILES}/versions/{version.pk}/model.bin").status_code == 404
    assert api.charlie.get(FILES, {"path": f"versions/{version.pk}"}).status_code == 404


def test_as_other_clients_ask(api, root, run):
    put(api.bob, f"{root}/model/MLmodel", b"m")
    answer = api.bob.get(f"{API}/artifacts/list", {"run_id": run.uid, "path": "model"}).json()
    assert answer == {
        "root_uri": f"mlflow-artifacts:/{root}",
        "files": [{"path": "model/MLmodel", "is_dir": False, "file_size": 1}],
    }
    assert api.bob.get(f"{API}/artifacts/list", {"run_uuid": run.uid}).json()["files"][0]["path"] == "model"
    for field in ("run_id", "run_uuid"):
        got = api.bob.get("/get-artifact", {field: run.uid, "path": "model/MLmodel"})
        assert body_of(got) == b"m"
    for query, status in (
        ({}, 400),
        ({"run_id": run.uid}, 400),
        ({"run_id": run.uid, "path": "model"}, 404),
        ({"run_id": run.uid, "path": "../x"}, 400),
        ({"run_id": "nothing", "path": "x"}, 404),
    ):
        assert api.bob.get("/get-artifact", query).status_code == status, query
    assert api.bob.get(f"{API}/artifacts/list", {"run_id": run.uid, "path": "a/../.."}).status_code == 400


def test_files_of_a_logged_model(api, people, run):
    model = logged_models.create_logged_model(run.experiment, by=people.bob, name="model")
    place = f"{run.experiment_id}/models/{model.uid}/artifacts"
    assert put(api.bob, f"{place}/MLmodel", b"m").status_code == 200
    assert put(api.bob, f"{place}/data/x", b"xyz").status_code == 200
    assert [file["path"] for file in listed(api.dave, place)] == ["MLmodel", "data"]
    answer = api.dave.get(
        f"{API}/logged-models/{model.uid}/artifacts/directories", {"artifact_directory_path": "data"}
    )
    assert answer.json() == {
        "root_uri": f"mlflow-artifacts:/{place}",
        "files": [{"path": "data/x", "is_dir": False, "file_size": 3}],
    }
    logged_models.finalize(model, status="ready", by=people.bob)
    assert put(api.bob, f"{place}/MLmodel", b"m").status_code == 200
    assert put(api.bob, f"{place}/MLmodel", b"other").status_code == 400
    assert api.bob.delete(f"{FILES}/{place}/MLmodel").status_code == 400
    assert api.bob.delete(f"{FILES}/{place}/").status_code == 400
    assert body_of(api.dave.get(f"{FILES}/{place}/MLmodel")) == b"m"
    logged_models.delete_logged_model(model, by=people.bob)
    assert api.dave.get(f"{FILES}/{place}/MLmodel").status_code == 404


def test_queries(api, root, django_assert_max_num_queries):
    put(api.bob, f"{root}/model/first")
    with django_assert_max_num_queries(
        9
    ):  # Two of them are the savepoint that a transaction is within a test.
        put(api.bob, f"{root}/model/second")
    with django_assert_max_num_queries(4):
        body_of(api.bob.get(f"{FILES}/{root}/model/second"))
    with django_assert_max_num_queries(4):
        api.bob.get(FILES, {"path": root})
