"""How a source becomes a sealed version, and which sources are refused."""

import json

import pytest

from models_app.models import Dataset, LineageEdge, LoggedModelMetric, ModelVersion, RegisteredModel, RunInput
from models_app.registry import catalog, experiments, logged_models, runs
from models_app.registry.artifacts import trees
from models_app.registry.run_metrics import Point
from tests import builders

from .registry_asking import ask, get_version, good, make_model, make_version, refused, tags

MLMODEL = b"""\
flavors:
  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.9}
  sklearn: {sklearn_version: 1.6.1, pickled_model: model.pkl}
signature:
  inputs: '[{"type": "double", "name": "amount"}]'
  outputs: '[{"type": "long"}]'
"""
FILES = {"MLmodel": MLMODEL, "model.pkl": b"weights", "data/x.json": b"{}"}


def put(holder, by, files, folder=""):
    trees.put(holder, [builders.stored(f"{folder}{path}", content) for path, content in files.items()], by=by)
    holder.refresh_from_db()


@pytest.fixture
def run(people):
    """A run that wrote a model into its folder."""
    made = runs.create_run(
        by=people.bob,
        code_commit="abc123",
        code_repository="https://git.example.com/fraud",
        datasets=[{"name": "tx", "digest": "d1", "path": "s3://data/tx", "context": "training"}],
    )
    put(made, people.bob, FILES, "model/")
    put(made, people.bob, {"notes.txt": b"x"})
    return made


@pytest.fixture
def logged(people, run):
    """A model that the run logged."""
    made = logged_models.create_logged_model(run.experiment, by=people.bob, name="forest", source_run=run)
    put(made, people.bob, FILES)
    return logged_models.finalize(made, status="ready", by=people.bob)


@pytest.fixture(autouse=True)
def fraud(api):
    make_model(api.alice)


def paths(number=1, name="fraud"):
    version = ModelVersion.objects.get(model__name=name, number=number)
    return sorted(version.manifest.entries.values_list("path", flat=True))


def test_a_folder_of_a_run(api, run):
    for source in (
        f"runs:/{run.uid}/model",
        f"mlflow-artifacts:/{run.experiment_id}/{run.uid}/artifacts/model",
    ):
        made = make_version(api.bob, source=source, run_id=run.uid)
        assert made["source"] == source
        assert made["run_id"] == run.uid
        assert paths(made["version"]) == ["MLmodel", "data/x.json", "model.pkl"]
    make_version(api.bob, source=f"mlflow-artifacts:/{run.experiment_id}/{run.uid}/artifacts")
    assert "model/MLmodel" in paths(3)
    assert "notes.txt" in paths(3)


def test_facts_fill_the_groups(api, people, run):
    make_version(api.bob, source=f"runs:/{run.uid}/model", tags=tags(("license", "apache-2.0")))
    version = ModelVersion.objects.get()
    assert (version.run, version.training_run_id) == (run, run.uid)
    assert (version.code_commit, version.code_repository) == ("abc123", "https://git.example.com/fraud")
    assert (version.dataset_name, version.dataset_version, version.dataset_digest) == ("tx", "d1", "d1")
    assert (version.framework, version.framework_version) == ("scikit-learn", "1.6.1")
    assert version.signature["inputs"] == [{"type": "double", "name": "amount"}]
    assert version.license == "Apache-2.0"
    assert version.owner.username == "bob"
    assert LineageEdge.objects.get(version=version).dataset == RunInput.objects.get().dataset
    assert Dataset.objects.count() == 1
    assert RegisteredModel.objects.get().library == "scikit-learn"
    facts = api.dave.get("/api/v1/models/fraud/versions/1").json()
    assert facts["framework"] == "scikit-learn"


def test_later_writes_to_the_run_change_nothing(api, people, run):
    made = make_version(api.bob, source=f"runs:/{run.uid}/model")
    digest = ModelVersion.objects.get().manifest.digest
    put(run, people.bob, {"model/model.pkl": b"other", "model/new.bin": b"new"})
    assert ModelVersion.objects.get().manifest.digest == digest
    assert paths() == ["MLmodel", "data/x.json", "model.pkl"]
    assert get_version(api.bob) == made
    make_version(api.bob, source=f"runs:/{run.uid}/model")
    assert ModelVersion.objects.get(number=2).manifest.digest != digest


def test_a_logged_model(api, people, run, logged):
    LoggedModelMetric.objects.create(
        logged_model=logged, run=run, key="f1", value=0.9, at=run.started_at, dataset_name="tx"
    )
    LoggedModelMetric.objects.create(
        logged_model=logged, run=run, key="auc", value=0, is_nan=True, at=run.started_at
    )
    place = f"mlflow-artifacts:/{run.experiment_id}/models/{logged.uid}/artifacts"
    for source, more in (
        (f"models:/{logged.uid}", {"model_id": logged.uid, "run_id": run.uid}),
        (f"models:/{logged.uid}", {}),
        (place, {"model_id": logged.uid}),
        (f"runs:/{run.uid}/forest", {"run_id": run.uid}),
    ):
        made = make_version(api.bob, source=source, **more)
        assert (made["source"], made["run_id"], made["model_id"]) == (source, run.uid, logged.uid)
        assert paths(made["version"]) == ["MLmodel", "data/x.json", "model.pkl"]
    version = ModelVersion.objects.get(number=1)
    assert list(version.metrics.values_list("name", "dataset", "value")) == [("f1", "tx", 0.9)]


def test_a_metric_is_the_last_of_the_run_and_not_the_first(api, people, run, logged):
    """Logging a model without a step, the client copies what the run measured at step 0 to the model."""
    losses = [Point("loss", value, run.started_at, step) for step, value in enumerate((1.0, 0.5, 0.1))]
    aucs = [Point("auc", value, run.started_at, step) for step, value in enumerate((0.6, 0.8, 0.7))]
    copied = [losses[0]._replace(model=logged.uid), aucs[1]._replace(model=logged.uid)]
    runs.log_batch(run, by=people.bob, points=[*losses, *aucs, *copied])
    make_version(api.bob, source=f"models:/{logged.uid}")
    metrics = dict(ModelVersion.objects.get().metrics.values_list("name", "value"))
    # At a step of its own the model has a value of its own.
    assert metrics == {"loss": 0.1, "auc": 0.8}


def test_a_logged_model_that_is_not_ready(api, people, run):
    pending = logged_models.create_logged_model(run.experiment, by=people.bob, name="p", source_run=run)
    put(pending, people.bob, FILES)
    assert "not ready" in refused(
        ask(api.bob, "model-versions/create", name="fraud", source=f"models:/{pending.uid}")
    )


def test_a_copy_of_another_version(api, people, run):
    make_version(api.bob, source=f"runs:/{run.uid}/model", description="original", run_id=run.uid)
    catalog.add_metrics(ModelVersion.objects.get(), metrics={"f1": 0.9}, by=people.bob)
    make_model(api.bob, "risk--copy")
    made = make_version(api.bob, "risk--copy", "models:/fraud/1", run_id=run.uid)
    assert (made["source"], made["run_id"], made["description"]) == ("models:/fraud/1", run.uid, "")
    one, two = ModelVersion.objects.order_by("id")
    assert two.manifest == one.manifest
    assert two.framework == "scikit-learn"
    assert two.metrics.get().value == 0.9
    back = make_version(api.bob, source="models:/risk--copy/1")
    assert back["version"] == "2"
    uri = good(api.bob, "model-versions/get-download-uri", "GET", name="fraud", version="2")["artifact_uri"]
    assert make_version(api.bob, source=uri)["version"] == "3"
    make_version(api.bob, source="s3://bucket/far")
    assert make_version(api.bob, "risk--copy", "models:/fraud/4")["source"] == "s3://bucket/far"
    for source, more in (
        ("models:/fraud/9", {}),
        ("models:/nothing/1", {}),
    ):
        answer = ask(api.bob, "model-versions/create", name="fraud", source=source, **more)
        refused(answer, 404, "RESOURCE_DOES_NOT_EXIST")
    refused(ask(api.bob, "model-versions/create", name="fraud", source="models:/fraud/1", run_id="other"))
    refused(ask(api.bob, "model-versions/create", name="fraud", source="models:/fraud/1", model_id="m-1"))


ELSEWHERE = [
    "s3://bucket/a/b",
    "s3a://bucket/a",
    "gs://bucket/a",
    "wasbs://c@a.blob.core.windows.net/m",
    "abfss://c@a/m",
    "dbfs:/models/fraud",
    "hdfs://host:9000/m",
    "https://models.example.com/fraud",
    "s3://bucket/a%20b/ü",
]


def test_places_elsewhere_are_pointers(api):
    for source in ELSEWHERE:
        made = make_version(api.bob, source=source)
        assert made["source"] == source
        answer = good(
            api.bob, "model-versions/get-download-uri", "GET", name="fraud", version=made["version"]
        )
        assert answer["artifact_uri"] == source
    assert not ModelVersion.objects.exclude(manifest=None).exists()


REFUSED = [
    "file:///etc/passwd",
    "FILE:/etc",
    "file:etc",
    "/etc/passwd",
    "etc/passwd",
    "model",
    "C:\\models\\x",
    "c:/models/x",
    "\\\\host\\share",
    "./model",
    "~/model",
    "s3://bucket/../x",
    "s3://bucket/a/..",
    "s3://bucket/%2e%2e/x",
    "s3://bucket/%252e%252e/x",
    "s3://bucket/..%2fx",
    "s3://bucket/..%5cx",
    "s3://bucket/%" + "25" * 30 + "41",
    "s3://bucket/a?versionId=1",
    "s3://bucket/a#x",
    "s3://bucket/a%00b",
    "s3://bucket/a%0ab",
    "s3:bucket",
    "mlflow-artifacts:/0/../1",
    "mlflow-artifacts://host/0/..%2f1/artifacts",
    "mlflow-artifacts:/",
    "mlflow-artifacts:/x",
    "mlflow-artifacts:/versions/x",
    "models:/fraud",
    "models:/fraud/latest",
    "models:/fraud@champion",
    "models:/",
    "models://host/fraud/1",
    "runs://host/r/model",
    ":/",
]


def test_sources_that_are_refused(api):
    for source in REFUSED:
        said = refused(ask(api.bob, "model-versions/create", name="fraud", source=source))
        assert "Invalid model version source" in said, source
    assert not ModelVersion.objects.exists()


def test_sources_of_nobody_are_404(api):
    for source in ("runs:/" + "0" * 32 + "/model", "models:/m-" + "0" * 32, "mlflow-artifacts:/versions/999"):
        answer = ask(api.bob, "model-versions/create", name="fraud", source=source)
        refused(answer, 404, "RESOURCE_DOES_NOT_EXIST")


def test_other_runs_than_named_are_refused(api, people, run, logged):
    other = runs.create_run(by=people.bob)
    put(other, people.bob, FILES, "model/")
    wrong = logged_models.create_logged_model(other.experiment, by=people.bob, name="x", source_run=other)
    for message in (
        {"source": f"runs:/{other.uid}/model", "run_id": run.uid},
        {"source": f"mlflow-artifacts:/{other.experiment_id}/{other.uid}/artifacts/model", "run_id": run.uid},
        {"source": f"mlflow-artifacts:/99/{other.uid}/artifacts/model", "run_id": other.uid},
        {"source": f"models:/{logged.uid}", "model_id": wrong.uid},
        {"source": f"models:/{logged.uid}", "run_id": other.uid},
        {"source": f"runs:/{run.uid}/model", "model_id": wrong.uid},
        {"source": f"mlflow-artifacts:/99/models/{logged.uid}/artifacts"},
    ):
        assert "must identify" in refused(ask(api.bob, "model-versions/create", name="fraud", **message)), (
            message
        )


def test_empty_folders_are_refused(api, run):
    for folder in ("/nothing", "/mode", "/model/nothing"):
        said = refused(ask(api.bob, "model-versions/create", name="fraud", source=f"runs:/{run.uid}{folder}"))
        assert "There are no files" in said


def test_runs_of_private_experiments_are_404(api, people, run):
    secret = experiments.create_experiment("secret", by=people.charlie, team=people.vision, visibility="team")
    hidden = runs.create_run(by=people.charlie, experiment=secret)
    put(hidden, people.charlie, FILES, "model/")
    answer = ask(api.bob, "model-versions/create", name="fraud", source=f"runs:/{hidden.uid}/model")
    refused(answer, 404, "RESOURCE_DOES_NOT_EXIST")
    # Named beside a place elsewhere it is a text like any other.
    assert make_version(api.bob, run_id=hidden.uid)["run_id"] == hidden.uid
    assert ModelVersion.objects.get().run is None


@pytest.mark.parametrize("content", [b"a: &a [x]\nb: *a\n", b"\xff\xfe", b"x" * (2 << 20), b"- 1", b""])
def test_a_bad_mlmodel_file_is_only_a_file(api, people, run, content):
    put(run, people.bob, {"bad/MLmodel": content, "bad/model.pkl": b"w"})
    make_version(api.bob, source=f"runs:/{run.uid}/bad")
    version = ModelVersion.objects.get()
    assert (version.framework, version.signature) == ("", {})
    assert paths() == ["MLmodel", "model.pkl"]


def test_the_clients_own_tags_are_kept(api, run):
    history = json.dumps([{"run_id": run.uid}])
    made = make_version(
        api.bob, source=f"runs:/{run.uid}/model", tags=tags(("mlflow.x", history), ("license", "no licence!"))
    )
    assert {"key": "mlflow.x", "value": history} in made["tags"]
    assert ModelVersion.objects.get().license == ""
