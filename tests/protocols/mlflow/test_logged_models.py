"""Logged models over the wire: made pending, finished, tagged, deleted."""

from __future__ import annotations

import re

import pytest

from models_app.models import LoggedModel, LoggedModelMetric
from models_app.registry import experiments, runs

pytestmark = pytest.mark.django_db

URL = "/api/2.0/mlflow/logged-models"


@pytest.fixture
def run(people):
    return runs.create_run(by=people.bob)


@pytest.fixture
def create(api, run):
    def create(who=api.bob, **fields):
        answer = who.post(URL, {"experiment_id": str(run.experiment_id), "name": "model", **fields})
        assert answer.status_code == 200, answer.content
        return answer.json()["model"]

    return create


def refused(answer, status=400, code="INVALID_PARAMETER_VALUE"):
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.content
    return answer.json()["message"]


def test_from_pending_to_ready(api, run, create):
    made = create(
        source_run_id=run.uid,
        model_type="agent",
        params=[{"key": "depth", "value": "3"}, {"key": "none"}],
        tags=[{"key": "a", "value": "1"}, {"key": "a", "value": "2"}],
    )
    info = made["info"]
    uid = info["model_id"]
    assert re.fullmatch("m-[0-9a-f]{32}", uid)
    assert info["artifact_uri"] == f"mlflow-artifacts:/{run.experiment_id}/models/{uid}/artifacts"
    assert isinstance(info["creation_timestamp_ms"], int)
    assert info["last_updated_timestamp_ms"] == info["creation_timestamp_ms"]
    assert {
        key: info[key] for key in ("experiment_id", "name", "status", "model_type", "source_run_id", "tags")
    } == {
        "experiment_id": str(run.experiment_id),
        "name": "model",
        "status": "LOGGED_MODEL_PENDING",
        "model_type": "agent",
        "source_run_id": run.uid,
        "tags": [{"key": "a", "value": "2"}],
    }
    assert made["data"] == {"params": [{"key": "depth", "value": "3"}, {"key": "none", "value": ""}]}
    assert api.dave.get(f"{URL}/{uid}").json() == {"model": made}
    done = api.bob.patch(f"{URL}/{uid}", {"model_id": uid, "status": "LOGGED_MODEL_READY"}).json()["model"]
    assert done["info"]["status"] == "LOGGED_MODEL_READY"
    again = api.bob.patch(f"{URL}/{uid}", {"model_id": uid, "status": 2})
    assert again.json()["model"] == done
    refused(api.bob.patch(f"{URL}/{uid}", {"status": "LOGGED_MODEL_UPLOAD_FAILED"}))


def test_a_name_of_its_own(create):
    assert create(name="")["info"]["name"].startswith("model-")


@pytest.mark.parametrize("name", ["a/b", "a:b", "a.b", "a%b", 'a"b', "a'b", "x" * 300, "a\x00b"])
def test_bad_names(api, run, name):
    refused(api.bob.post(URL, {"experiment_id": str(run.experiment_id), "name": name}))
    assert not LoggedModel.objects.exists()


@pytest.mark.parametrize(
    "fields, status",
    [
        ({"experiment_id": ""}, 400),
        ({"experiment_id": "abc"}, 400),
        ({"experiment_id": "9" * 30}, 400),
        ({"experiment_id": "12345678"}, 404),
        ({"source_run_id": "nothing"}, 404),
        ({"name": 3}, 400),
        ({"params": "x"}, 400),
        ({"params": [{"value": "x"}]}, 400),
        ({"params": [{"key": "x" * 251, "value": "x"}]}, 400),
        ({"params": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}, 400),
        ({"tags": [{"key": "a\x00", "value": "x"}]}, 400),
        ({"tags": [{"key": "a", "value": "\x00"}]}, 400),
        ({"model_type": "x" * 501}, 400),
    ],
)
def test_bad_fields(api, run, fields, status):
    answer = api.bob.post(URL, {"experiment_id": str(run.experiment_id), "name": "m", **fields})
    assert answer.status_code == status, answer.content
    assert not LoggedModel.objects.exists()


def test_failing_and_finishing_after_all(api, create):
    uid = create()["info"]["model_id"]
    for status in ("LOGGED_MODEL_UPLOAD_FAILED", "LOGGED_MODEL_READY"):
        answer = api.bob.patch(f"{URL}/{uid}", {"status": status}).json()
        assert answer["model"]["info"]["status"] == status
    for status in ("", None, "LOGGED_MODEL_PENDING", "ready", 0, 1, 4, "x"):
        refused(api.bob.patch(f"{URL}/{uid}", {"status": status}))


def test_tags(api, create):
    uid = create(tags=[{"key": "a", "value": "1"}])["info"]["model_id"]
    tags = [
        {"key": "a", "value": "2"},
        {"key": "mlflow.modelVersions", "value": '[{"name": "x"}]'},
        {"key": "b/c"},
    ]
    assert api.bob.patch(f"{URL}/{uid}/tags", {"tags": tags}).json() == {}
    assert api.bob.delete(f"{URL}/{uid}/tags/a").json() == {}
    assert api.bob.delete(f"{URL}/{uid}/tags/b/c").json() == {}
    refused(api.bob.delete(f"{URL}/{uid}/tags/a"), 404, "RESOURCE_DOES_NOT_EXIST")
    assert [tag["key"] for tag in api.bob.get(f"{URL}/{uid}").json()["model"]["info"]["tags"]] == [
        "mlflow.modelVersions"
    ]
    refused(api.bob.patch(f"{URL}/{uid}/tags", {"tags": [{"key": ""}]}))


def test_params_stay(api, create):
    uid = create(params=[{"key": "a", "value": "1"}])["info"]["model_id"]
    add = {"params": [{"key": "a", "value": "1"}, {"key": "b", "value": "x" * 10_000}]}
    assert api.bob.post(f"{URL}/{uid}/params", add).json() == {}
    message = refused(api.bob.post(f"{URL}/{uid}/params", {"params": [{"key": "a", "value": "2"}]}))
    assert "already" in message
    assert len(api.bob.get(f"{URL}/{uid}").json()["model"]["data"]["params"]) == 2


def test_deleting(api, create, run):
    uid = create()["info"]["model_id"]
    assert api.bob.delete(f"{URL}/{uid}").json() == {}
    for answer in (
        api.bob.get(f"{URL}/{uid}"),
        api.bob.delete(f"{URL}/{uid}"),
        api.bob.patch(f"{URL}/{uid}", {"status": "LOGGED_MODEL_READY"}),
        api.bob.patch(f"{URL}/{uid}/tags", {"tags": []}),
    ):
        refused(answer, 404, "RESOURCE_DOES_NOT_EXIST")
    assert api.bob.post(f"{URL}/search", {"experiment_ids": [str(run.experiment_id)]}).json() == {}


def test_metrics_are_shown(api, create, run):
    uid = create()["info"]["model_id"]
    model = LoggedModel.objects.get(uid=uid)
    points = [(0.5, False, "train"), (0, True, "")]
    LoggedModelMetric.objects.bulk_create(
        LoggedModelMetric(
            logged_model=model,
            run=run,
            key="f1",
            value=value,
            is_nan=nan,
            at=run.started_at,
            dataset_name=dataset,
        )
        for value, nan, dataset in points
    )
    first, second = api.bob.get(f"{URL}/{uid}").json()["model"]["data"]["metrics"]
    assert (first["value"], first["dataset_name"], first["model_id"], first["run_id"], first["step"]) == (
        0.5,
        "train",
        uid,
        run.uid,
        0,
    )
    assert second["value"] == "NaN"
    assert "dataset_name" not in second


def test_who_may(api, people, create):
    experiment = experiments.create_experiment("secret", team=people.risk, visibility="team", by=people.bob)
    body = {"experiment_id": str(experiment.pk), "name": "m"}
    uid = api.bob.post(URL, body).json()["model"]["info"]["model_id"]
    assert api.dave.get(f"{URL}/{uid}").status_code == 200
    for answer in (
        api.charlie.post(URL, body),
        api.charlie.get(f"{URL}/{uid}"),
        api.charlie.patch(f"{URL}/{uid}", {"status": "LOGGED_MODEL_READY"}),
        api.charlie.delete(f"{URL}/{uid}"),
        api.charlie.get(f"{URL}/{uid}/artifacts/directories"),
    ):
        refused(answer, 404, "RESOURCE_DOES_NOT_EXIST")
    for answer in (
        api.dave.post(URL, body),
        api.dave.patch(f"{URL}/{uid}", {"status": "LOGGED_MODEL_READY"}),
        api.dave.patch(f"{URL}/{uid}/tags", {"tags": [{"key": "a", "value": "b"}]}),
        api.dave.post(f"{URL}/{uid}/params", {"params": [{"key": "a", "value": "b"}]}),
        api.dave.delete(f"{URL}/{uid}"),
    ):
        refused(answer, 403, "PERMISSION_DENIED")
    assert api.anonymous.get(f"{URL}/{uid}").status_code == 401
    assert api.charlie.post(f"{URL}/search", {"experiment_ids": [str(experiment.pk)]}).json() == {}


def test_a_deleted_experiment_takes_none(api, run):
    type(run.experiment).objects.filter(pk=run.experiment_id).update(deleted_at=run.started_at)
    assert "active" in refused(api.bob.post(URL, {"experiment_id": str(run.experiment_id), "name": "m"}))


def test_odd_ids(api):
    for uid in ("m-x", "x" * 500, "%00", "..", "m-1%27"):
        assert api.bob.get(f"{URL}/{uid}").status_code == 404, uid


def test_queries(api, create, django_assert_max_num_queries):
    uid = create()["info"]["model_id"]
    with django_assert_max_num_queries(6):
        api.bob.get(f"{URL}/{uid}")
