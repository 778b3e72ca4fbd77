"""Runs, datasets and lineage over REST."""

import pytest

from models_app.models import Dataset, Run
from tests import builders
from tests.api.asking import V1, items, refused

RUNS = f"{V1}/runs"
FULL = {
    "experiment": "fraud",
    "name": "nightly",
    "params": {"lr": 0.1, "layers": "3"},
    "metrics": [{"key": "loss", "value": 0.5, "step": 1}, {"key": "loss", "value": 0.2, "step": 2}],
    "tags": {"gpu": "no"},
    "datasets": [{"name": "tx", "version": "2026-05", "context": "training"}],
    "code_commit": "abc",
}


def test_a_run_is_recorded_logged_to_and_ended(api):
    answer = api.bob.post(RUNS, FULL)
    assert answer.status_code == 201, answer.content
    run = answer.json()
    assert answer["Location"] == run["url"]
    assert run["status"] == "running"
    assert run["params"] == {"lr": "0.1", "layers": "3"}
    assert run["metrics"] == {"loss": 0.2}
    assert run["datasets"][0]["name"] == "tx"
    logged = api.bob.post(f"{run['url']}/log", {"metrics": {"f1": 0.9}, "tags": {"gpu": "yes"}}).json()
    assert logged["metrics"] == {"f1": 0.9, "loss": 0.2}
    assert logged["tags"] == {"gpu": "yes"}
    assert [point["step"] for point in items(api.dave.get(f"{run['url']}/metrics?key=loss"))] == [1, 2]
    ended = api.bob.patch(run["url"], {"status": "finished"}).json()
    assert ended["status"] == "finished"
    assert ended["ended_at"]


@pytest.mark.parametrize(
    "body,fields",
    [
        ({"metrics": [{"key": "loss", "value": "low"}]}, {"metrics"}),
        ({"metrics": [{"key": "loss", "value": 1, "at": "yesterday"}]}, {"metrics"}),
        ({"metrics": [{"key": "loss", "value": 1, "at": "0001-01-01T00:00:00+23:00"}]}, {"metrics"}),
        ({"started_at": "0001-01-01T00:00:00+23:00"}, {"started_at"}),
        ({"metrics": 5}, {"metrics"}),
        ({"params": []}, {"params"}),
        ({"status": "lost"}, {"status"}),
        ({"started_at": "soon"}, {"started_at"}),
        ({"started_at": "2026-05-02T00:00:00Z", "ended_at": "2026-05-01T00:00:00Z"}, {"ended_at"}),
        ({"datasets": [{"version": "1"}]}, {"datasets.0.name"}),
        ({"uid": "mine"}, {"uid"}),
    ],
)
def test_bad_runs_are_refused_and_leave_nothing(api, body, fields):
    refused(api.bob.post(RUNS, body), 400, fields=fields)
    assert not Run.objects.exists()
    assert not Dataset.objects.exists()


def test_moments_may_have_any_offset(api):
    at = "2026-05-03T12:00:00+17:16"
    point = {"key": "loss", "value": 1, "at": at}
    assert api.bob.post(RUNS, {"metrics": [point], "started_at": at}).status_code == 201


def test_params_do_not_change(api):
    run = api.bob.post(RUNS, FULL).json()
    refused(api.bob.post(f"{run['url']}/log", {"params": {"lr": "0.2"}}), 409)
    refused(api.bob.post(f"{run['url']}/log", {}), 400)


@pytest.mark.parametrize("who,status", [("dave", 403), ("anonymous", 401), ("charlie", 201)])
def test_recording_takes_the_role_somewhere(api, who, status):
    assert getattr(api, who).post(RUNS, {"name": "x"}).status_code == status


def test_runs_are_filtered_and_paged(api):
    for number in range(3):
        api.bob.post(RUNS, {**FULL, "name": f"run {number}", "tags": {"n": str(number)}})
    assert [row["name"] for row in items(api.dave.get(f"{RUNS}?tag=n%3D1"))] == ["run 1"]
    assert len(items(api.dave.get(f"{RUNS}?experiment=fraud&status=running"))) == 3
    assert items(api.dave.get(f"{RUNS}?started_before=2001-01-01T00:00:00Z")) == []
    page = api.dave.get(f"{RUNS}?limit=2").json()
    assert len(page["items"] + items(api.dave.get(page["next"]))) == 3
    refused(api.dave.get(f"{RUNS}?status=lost"), 400, fields={"status"})
    refused(api.dave.get(f"{RUNS}/{'0' * 32}"), 404)
    refused(api.dave.get(f"{RUNS}/none"), 404)


def test_a_dataset_is_registered_once(api):
    body = {"name": "tx", "version": "1", "path": "s3://bucket/tx", "license": "cc-by-4.0", "team": "risk"}
    first = api.bob.post(f"{V1}/datasets", body)
    assert first.status_code == 201
    assert first.json()["license"] == "CC-BY-4.0"
    assert api.bob.post(f"{V1}/datasets", body).json()["id"] == first.json()["id"]
    assert api.dave.get(first["Location"]).json() == first.json()
    assert [row["name"] for row in items(api.dave.get(f"{V1}/datasets?name=tx"))] == ["tx"]
    assert items(api.dave.get(f"{V1}/datasets?name=other&ordering=name")) == []
    refused(api.dave.post(f"{V1}/datasets", body), 403)
    refused(api.bob.post(f"{V1}/datasets", {"name": "y", "license": "Freeish"}), 400, fields={"license"})
    refused(api.bob.post(f"{V1}/datasets", {"name": "y", "team": "vision"}), 403)
    refused(api.bob.post(f"{V1}/datasets", {"name": "y", "team": "nobody"}), 404)
    refused(api.dave.get(f"{V1}/datasets/999999999999999999"), 404)
    refused(api.dave.get(f"{V1}/datasets/{'9' * 30}"), 404)


def test_lineage_leads_from_data_to_versions(api, people):
    run = api.bob.post(RUNS, FULL).json()
    model = builders.model("risk/fraud", by=people.alice)
    builders.version(model, by=people.alice, run=run["uid"])
    builders.version(model, by=people.alice, base_model="risk/fraud@1")
    base = f"{V1}/models/risk/fraud/versions"
    graph = api.dave.get(f"{base}/2/lineage").json()
    kinds = {node["kind"] for node in graph["nodes"]}
    assert {"version", "dataset", "run", "code"} <= kinds
    assert [node["label"] for node in graph["nodes"] if node["current"]] == ["risk/fraud@2"]
    assert api.dave.get(run["url"]).json()["versions"] == ["risk/fraud@1"]
    refused(api.dave.get(f"{base}/2/lineage?depth=99"), 400, fields={"depth"})
    linked = api.bob.post(f"{base}/1/lineage", {"relation": "quantized", "upstream": "bert-base"})
    assert "bert-base" in {node["label"] for node in linked.json()["nodes"]}
    refused(api.bob.post(f"{base}/1/lineage", {"relation": "merged", "base_version": "risk/fraud@2"}), 409)
    refused(api.bob.post(f"{base}/1/lineage", {"relation": "merged"}), 400, fields={"relation"})
    refused(
        api.bob.post(f"{base}/1/lineage", {"relation": "trained_on", "dataset": 999}), 400, fields={"dataset"}
    )
    refused(api.dave.post(f"{base}/1/lineage", {"relation": "merged", "upstream": "x"}), 403)


def test_private_relatives_are_shown_without_a_name(api, people):
    secret = builders.model("risk/secret", by=people.alice, visibility="team")
    builders.version(secret, by=people.alice)
    public = builders.model("risk/open", by=people.alice)
    builders.version(public, by=people.alice, base_model="risk/secret@1")
    answer = api.charlie.get(f"{V1}/models/risk/open/versions/1/lineage")
    labels = {node["label"] for node in answer.json()["nodes"]}
    assert "a private model" in labels
    assert "risk/secret@1" not in {node["ref"] for node in answer.json()["nodes"]}
