"""Runs over MLflow's wire: made, read, changed, put away; tags, params, inputs and outputs."""

import json

import pytest

from models_app.models import AuditEvent, Dataset, OutboxEvent, Run, RunInput, RunModel
from models_app.registry import datasets, experiments, logged_models

from .registry_asking import ask, good, refused, tags
from .tracking import NOW, get_run, log, make_experiment, make_run, metrics_of, tags_of

pytestmark = pytest.mark.django_db


def params_of(client, run):
    return tags_of({"tags": get_run(client, run)["data"].get("params", [])})


def run_tags(client, run):
    return tags_of(get_run(client, run)["data"])


def test_a_run_as_clients_make_it(api, people):
    made = good(
        api.bob,
        "runs/create",
        experiment_id="0",
        user_id="b",
        start_time=NOW,
        run_name="first",
        tags=tags(("mlflow.source.type", "LOCAL"), ("mlflow.user", "bob@laptop")),
    )["run"]
    uid = made["info"]["run_id"]
    assert made == get_run(api.dave, uid)
    assert made["info"] == {
        "run_id": uid,
        "run_uuid": uid,
        "run_name": "first",
        "experiment_id": "0",
        "user_id": "bob@laptop",
        "status": "RUNNING",
        "start_time": NOW,
        "artifact_uri": f"mlflow-artifacts:/0/{uid}/artifacts",
        "lifecycle_stage": "active",
    }
    assert tags_of(made["data"])["mlflow.runName"] == "first"
    ended = good(api.bob, "runs/update", run_id=uid, run_uuid=uid, status="FINISHED", end_time=NOW + 5)[
        "run_info"
    ]
    assert (ended["status"], ended["end_time"]) == ("FINISHED", NOW + 5)
    assert Run.objects.get(uid=uid).created_by == people.bob.user
    assert list(AuditEvent.objects.filter(subject=uid).order_by("id").values_list("verb", flat=True)) == [
        "run.created",
        "run.finished",
    ]
    assert OutboxEvent.objects.get(name="run.finished").payload == {"run": uid, "status": "finished"}


def test_a_name_is_invented_and_kept_in_the_tag_both_ways(api):
    run = make_run(api.bob)
    name = get_run(api.bob, run)["info"]["run_name"]
    assert len(name.split("-")) == 3
    assert run_tags(api.bob, run)["mlflow.runName"] == name
    good(api.bob, "runs/update", run_id=run, run_name="by update")
    assert run_tags(api.bob, run)["mlflow.runName"] == "by update"
    good(api.bob, "runs/set-tag", run_id=run, key="mlflow.runName", value="by tag")
    assert get_run(api.bob, run)["info"]["run_name"] == "by tag"
    good(api.bob, "runs/update", run_id=run, run_name="")
    assert get_run(api.bob, run)["info"]["run_name"] == "by tag"
    both = tags(("mlflow.runName", "by create"))
    made = good(api.bob, "runs/create", experiment_id="0", tags=both)["run"]
    assert made["info"]["run_name"] == "by create"
    refused(ask(api.bob, "runs/create", experiment_id="0", run_name="other", tags=both))
    refused(ask(api.bob, "runs/create", experiment_id="0", run_name="x" * 251))


def test_what_clients_say_by_themselves_fills_the_run(api):
    run = make_run(
        api.bob,
        tags=tags(
            ("mlflow.source.git.commit", "a" * 40),
            ("mlflow.source.git.repoURL", "https://me:secret@git.example.com/fraud.git"),
            ("mlflow.source.name", "train.py"),
        ),
        user_id="bob",
    )
    row = Run.objects.get(uid=run)
    assert (row.code_commit, row.code_repository, row.user_name) == (
        "a" * 40,
        "https://git.example.com/fraud.git",
        "bob",
    )
    good(api.bob, "runs/set-tag", run_id=run, key="mlflow.source.git.commit", value="b" * 300)
    row.refresh_from_db()
    assert row.code_commit == "b" * 64
    assert run_tags(api.bob, run)["mlflow.source.git.commit"] == "b" * 300


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"experiment_id": "x"},
        {"experiment_id": "0", "start_time": "soon"},
        {"experiment_id": "0", "start_time": 1.5},
        {"experiment_id": "0", "start_time": 2**63},
        {"experiment_id": "0", "start_time": 2**62},
        {"experiment_id": "0", "run_name": 5},
        {"experiment_id": "0", "run_name": "a\x00"},
        {"experiment_id": "0", "tags": "x"},
        {"experiment_id": "0", "tags": [{"value": "x"}]},
        {"experiment_id": "0", "tags": [{"key": "k" * 251}]},
        {"experiment_id": "0", "tags": [{"key": "k", "value": "\x00"}]},
        {"experiment_id": "0", "tags": [{"key": "k", "value": 5}]},
    ],
)
def test_bad_runs_are_refused_and_leave_nothing(api, message):
    refused(ask(api.bob, "runs/create", **message))
    assert not Run.objects.exists()


def test_who_may_log(api, people):
    run = make_run(api.bob, make_experiment(api.bob))
    for client, status, code in (
        (api.dave, 403, "PERMISSION_DENIED"),
        (api.charlie, 403, "PERMISSION_DENIED"),
        (api.client(people.bob, "read"), 403, "PERMISSION_DENIED"),
        (api.anonymous, 401, "UNAUTHENTICATED"),
    ):
        refused(ask(client, "runs/set-tag", run_id=run, key="k", value="v"), status, code)
        refused(ask(client, "runs/log-batch", run_id=run), status, code)
        refused(ask(client, "runs/delete", run_id=run), status, code)
    # The default experiment is everybody's who may log somewhere.
    make_run(api.charlie)


def test_private_runs_are_not_there(api, people):
    hidden = experiments.create_experiment("secret", by=people.bob, team=people.risk, visibility="team")
    run = make_run(api.bob, str(hidden.pk))
    good(api.dave, "runs/get", "GET", run_id=run)
    for call, method, more in (
        ("runs/get", "GET", {}),
        ("metrics/get-history", "GET", {"metric_key": "x"}),
        ("runs/set-tag", "POST", {"key": "k"}),
        ("runs/delete", "POST", {}),
    ):
        refused(ask(api.charlie, call, method, run_id=run, **more), 404, "RESOURCE_DOES_NOT_EXIST")
    bulk = ask(api.charlie, "metrics/get-history-bulk-interval", "GET", run_ids=[run], metric_key="x")
    refused(bulk, 404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize("uid", ["nope", "../x", "x" * 300, "ü"])
def test_runs_that_are_none(api, uid):
    refused(ask(api.bob, "runs/get", "GET", run_id=uid), 404, "RESOURCE_DOES_NOT_EXIST")
    refused(ask(api.bob, "runs/set-tag", run_id=uid, key="k"), 404, "RESOURCE_DOES_NOT_EXIST")
    refused(ask(api.bob, "runs/log-batch", run_id=uid), 404, "RESOURCE_DOES_NOT_EXIST")


def test_run_id_is_needed_by_either_name(api):
    run = make_run(api.bob)
    assert good(api.bob, "runs/get", "GET", run_uuid=run)["run"]["info"]["run_id"] == run
    assert "run_id" in refused(ask(api.bob, "runs/get", "GET"))
    assert "run_id" in refused(ask(api.bob, "runs/update", status="FINISHED"))


def test_status(api):
    run = make_run(api.bob)
    for sent, shown in (
        ("KILLED", "KILLED"),
        (4, "FAILED"),
        ("SCHEDULED", "SCHEDULED"),
        ("RUNNING", "RUNNING"),
    ):
        answer = good(api.bob, "runs/update", run_id=run, status=sent)["run_info"]
        assert answer["status"] == shown
        assert ("end_time" in answer) == (shown in ("KILLED", "FAILED"))
    for bad in ("DONE", "finished", 9, ["FINISHED"]):
        refused(ask(api.bob, "runs/update", run_id=run, status=bad))
    refused(ask(api.bob, "runs/update", run_id=run, end_time="x"))


def test_a_deleted_run_takes_nothing(api):
    run = make_run(api.bob)
    good(api.bob, "runs/delete", run_id=run)
    assert get_run(api.bob, run)["info"]["lifecycle_stage"] == "deleted"
    point = {"key": "m", "value": 1, "timestamp": NOW}
    for call, message in {
        "runs/update": {"status": "FINISHED"},
        "runs/log-metric": point,
        "runs/log-parameter": {"key": "p", "value": "1"},
        "runs/set-tag": {"key": "t", "value": "1"},
        "runs/delete-tag": {"key": "mlflow.runName"},
        "runs/log-batch": {"metrics": [point]},
        "runs/log-inputs": {},
        "runs/outputs": {"models": [{"model_id": "m-1"}]},
        "runs/log-model": {"model_json": MODEL},
    }.items():
        assert "must be in the 'active' state" in refused(ask(api.bob, call, run_id=run, **message)), call
    good(api.bob, "runs/delete", run_id=run)
    good(api.bob, "runs/restore", run_id=run)
    good(api.bob, "runs/restore", run_id=run)
    good(api.bob, "runs/set-tag", run_id=run, key="t", value="1")


def test_params_are_said_once(api):
    run = make_run(api.bob)
    for _ in range(2):
        good(api.bob, "runs/log-parameter", run_id=run, key="depth", value=" 3\n")
    message = refused(ask(api.bob, "runs/log-parameter", run_id=run, key="depth", value="4"))
    assert message.startswith("Changing param values is not allowed.")
    good(api.bob, "runs/log-parameter", run_id=run, key="empty")
    good(api.bob, "runs/log-parameter", run_id=run, key="long", value="x" * 7000)
    # What is cut is the same when it comes again.
    good(api.bob, "runs/log-parameter", run_id=run, key="long", value="x" * 7000)
    assert params_of(api.bob, run) == {"depth": " 3\n", "empty": "", "long": "x" * 6000}


def test_tags(api):
    run = make_run(api.bob)
    good(api.bob, "runs/set-tag", run_id=run, key="k", value="1")
    good(api.bob, "runs/set-tag", run_id=run, key="k", value="x" * 9000)
    assert run_tags(api.bob, run)["k"] == "x" * 8000
    good(api.bob, "runs/delete-tag", run_id=run, key="k")
    missing = ask(api.bob, "runs/delete-tag", run_id=run, key="k")
    assert "No tag with name: k" in refused(missing, 404, "RESOURCE_DOES_NOT_EXIST")
    refused(ask(api.bob, "runs/delete-tag", run_id=run, key="\x00"))


@pytest.mark.parametrize("key", ["", "a$b", "../x", "/x", "a//b", ".", "k" * 251, "a\x00", None, 5])
def test_keys_that_are_none(api, key):
    run = make_run(api.bob)
    refused(ask(api.bob, "runs/set-tag", run_id=run, key=key, value="1"))
    refused(ask(api.bob, "runs/log-parameter", run_id=run, key=key, value="1"))
    refused(ask(api.bob, "runs/log-metric", run_id=run, key=key, value=1, timestamp=NOW))


@pytest.mark.parametrize("key", ["a:b/c d-e.f_g", "ünï", "k" * 250])
def test_keys_that_are_some(api, key):
    run = make_run(api.bob)
    good(api.bob, "runs/set-tag", run_id=run, key=key, value="1")
    good(api.bob, "runs/log-parameter", run_id=run, key=key, value="1")
    good(api.bob, "runs/log-metric", run_id=run, key=key, value=1, timestamp=NOW)


# --- inputs and outputs ---------------------------------------------------------------------------------------

DATASET = {
    "name": "tx",
    "digest": "abc123",
    "source_type": "s3",
    "source": '{"uri": "s3://bucket/tx.csv"}',
    "schema": '{"mlflow_colspec": []}',
    "profile": '{"num_rows": 3}',
}
TRAINING = ("mlflow.data.context", "training")


def test_datasets_become_inputs_and_rows(api, people):
    run = make_run(api.bob)
    read = {"dataset": DATASET, "tags": tags(TRAINING, ("owner", "zoë"))}
    for _ in range(2):
        good(api.bob, "runs/log-inputs", run_id=run, datasets=[read, read])
    assert get_run(api.dave, run)["inputs"] == {"dataset_inputs": [read]}
    row = Dataset.objects.get()
    assert (row.version, row.path, row.schema) == ("abc123", "s3://bucket/tx.csv", DATASET["schema"])
    assert RunInput.objects.get().context == "training"
    good(api.bob, "runs/log-inputs", run_id=run, datasets=[{"dataset": DATASET}])
    assert RunInput.objects.count() == 2
    assert AuditEvent.objects.filter(verb="dataset.registered").count() == 1


def test_a_dataset_that_is_known_by_its_digest_is_that_dataset(api, people):
    known = datasets.register_dataset("tx", version="2026-05", digest="abc123", by=people.bob)
    good(api.bob, "runs/log-inputs", run_id=make_run(api.bob), datasets=[{"dataset": DATASET}])
    assert RunInput.objects.get().dataset == known


@pytest.mark.parametrize(
    "source,version,path",
    [
        ('{"path": "mnist", "revision": "v2"}', "v2", "mnist"),
        ('{"path": "/t", "delta_table_version": 7}', "7", "/t"),
        ('{"url": "https://x/y"}', "abc123", "https://x/y"),
        ('{"tags": {"a": "b"}}', "abc123", ""),
        ("[1]", "abc123", ""),
        ("not json", "abc123", ""),
        ("[" * 20_000, "abc123", ""),
    ],
)
def test_what_sources_say(api, source, version, path):
    good(
        api.bob,
        "runs/log-inputs",
        run_id=make_run(api.bob),
        datasets=[{"dataset": DATASET | {"source": source}}],
    )
    row = Dataset.objects.get()
    assert (row.version, row.path) == (version, path)


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"name": ""},
        {"digest": ""},
        {"name": "x" * 251},
        {"digest": "x" * 129},
        {"source": "x" * 65_536},
        {"source": "\x00"},
        {"schema": "x" * 1_048_576},
        {"profile": 5},
    ],
)
def test_bad_datasets_are_refused(api, change):
    bad = {key: value for key, value in (DATASET | change).items() if value is not None}
    refused(ask(api.bob, "runs/log-inputs", run_id=make_run(api.bob), datasets=[{"dataset": bad}]))
    assert not Dataset.objects.exists()


def test_a_long_context_is_kept(api):
    run, context = make_run(api.bob), "x" * 300
    good(
        api.bob,
        "runs/log-inputs",
        run_id=run,
        datasets=[{"dataset": DATASET, "tags": tags(("mlflow.data.context", context))}],
    )
    shown = get_run(api.bob, run)["inputs"]["dataset_inputs"][0]
    assert shown["tags"] == tags(("mlflow.data.context", context))


def test_models_in_and_out(api, people):
    run = Run.objects.get(uid=make_run(api.bob))
    one = logged_models.create_logged_model(run.experiment, by=people.bob, name="one")
    two = logged_models.create_logged_model(run.experiment, by=people.bob, name="two")
    for _ in range(2):
        good(api.bob, "runs/log-inputs", run_id=run.uid, models=[{"model_id": one.uid}])
        good(api.bob, "runs/outputs", run_id=run.uid, models=[{"model_id": two.uid, "step": 7}])
    shown = get_run(api.dave, run.uid)
    assert shown["inputs"] == {"model_inputs": [{"model_id": one.uid}]}
    assert shown["outputs"] == {"model_outputs": [{"model_id": two.uid, "step": 7}]}
    models = [{"model_id": "m-nope", "step": 0}]
    for call in ("runs/outputs", "runs/log-inputs"):
        refused(ask(api.bob, call, run_id=run.uid, models=models), 404, "RESOURCE_DOES_NOT_EXIST")
    refused(ask(api.bob, "runs/outputs", run_id=run.uid, models=[{"model_id": two.uid, "step": 2**63}]))
    assert RunModel.objects.count() == 2


MODEL = json.dumps(
    {
        "artifact_path": "model",
        "run_id": "x",
        "utc_time_created": "2026-05-01 00:00:00",
        "flavors": {"sklearn": {"config": {"secret": 1}, "code": None}},
        "signature": {"inputs": "[]"},
    }
)


def test_models_among_the_files_of_a_run_are_listed_in_a_tag(api):
    run = make_run(api.bob)
    for _ in range(2):
        good(api.bob, "runs/log-model", run_id=run, model_json=MODEL)
    listed = json.loads(run_tags(api.bob, run)["mlflow.log-model.history"])
    assert [model["artifact_path"] for model in listed] == ["model", "model"]
    assert listed[0]["flavors"] == {"sklearn": {"code": None}}
    good(api.bob, "runs/set-tag", run_id=run, key="mlflow.log-model.history", value="no list")
    good(api.bob, "runs/log-model", run_id=run, model_json=MODEL)
    for bad in ("", "x", "[]", "{}", "[" * 20_000, json.dumps({**json.loads(MODEL), "flavors": []})):
        refused(ask(api.bob, "runs/log-model", run_id=run, model_json=bad))


def test_what_rest_shows_of_such_a_run(api):
    run = make_run(api.bob)
    log(api.bob, run, {"key": "f1", "value": "NaN"}, {"key": "acc", "value": 0.5}, params={"p": "1"})
    shown = api.dave.get(f"/api/v1/runs/{run}").json()
    assert shown["metrics"] == {"acc": 0.5, "f1": None}
    assert [row["value"] for row in api.dave.get(f"/api/v1/runs/{run}/metrics").json()["items"]] == [
        0.5,
        None,
    ]
    assert metrics_of(api.bob, run) == {"acc": 0.5, "f1": "NaN"}
    good(api.bob, "runs/delete", run_id=run)
    assert api.dave.get("/api/v1/runs").json()["items"] == []
