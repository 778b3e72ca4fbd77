"""Moving in from another MLflow server, against recorded answers: what is kept, told, and gone on with."""

import pytest

from models_app.models import (
    AuditEvent,
    Experiment,
    LoggedModel,
    ModelVersion,
    RegisteredModel,
    Run,
    StageTransition,
)
from models_app.protocols.mlflow.wire import ms
from models_app.registry import catalog, lifecycle, promotions, tags
from models_app.registry.artifacts import storage, trees
from models_app.registry.errors import Forbidden
from tests import builders
from tests.protocols.mlflow.moving import POINTER, move, snapshot, told
from tests.protocols.mlflow.recorded_source import GONE, LOGGED, RUN, Recorded, T, point, version


@pytest.fixture
def recorded():
    return Recorded()


# --- what is kept -------------------------------------------------------------------------------------------


def test_runs_keep_all_that_they_reported(recorded, people):
    report = move(recorded, people)
    assert told(report) == [POINTER]
    run = Run.objects.get(uid=RUN)
    assert (run.name, run.experiment.name, run.status, run.user_name) == (
        "parent",
        "fraud",
        "finished",
        "ann",
    )
    assert (ms(run.started_at), ms(run.ended_at), run.code_commit) == (T + 64, T + 3166, "abc123")
    assert dict(run.params.values_list("key", "value")) == {"depth": "3"}
    losses = run.metric_points.filter(key="loss").order_by("step")
    assert [(row.step, row.value) for row in losses] == [(step, 1 / (1 + step)) for step in range(5)]
    assert [row.is_nan for row in run.metric_points.filter(key="odd").order_by("step")] == [True, False]
    assert run.inputs.get().dataset.digest == "2981c147"
    child = Run.objects.get(name="child")
    assert child.tags.get(key="mlflow.parentRunId").value == RUN
    found = {file.path: storage.read(file.sha256, limit=100) for file in trees.files_in(run.tree_id, "notes")}
    assert found == {"a b.txt": "größer\n".encode()}
    assert run.run_models.get().logged_model.uid == LOGGED
    assert not Run.objects.filter(uid=GONE).exists()
    assert ms(Experiment.objects.get(name="fraud").created_at) == T + 1
    assert Experiment.objects.filter(name="Default").count() == 1


def test_logged_models_are_ready_with_their_files(recorded, people):
    move(recorded, people)
    made = LoggedModel.objects.get(uid=LOGGED)
    assert (made.status, made.source_run.uid, ms(made.updated_at)) == ("ready", RUN, T + 2296)
    assert made.metrics.get().value == 0.9
    assert [file.path for file in trees.files_in(made.tree_id)] == ["MLmodel", "model.pkl"]


def test_models_keep_numbers_stages_aliases_tags_and_times(recorded, people):
    move(recorded, people)
    model = RegisteredModel.objects.get(name="fraud_detector")
    assert (model.card, model.purpose, ms(model.created_at)) == ("# Card\nFinds fraud.", "Card", T + 1900)
    assert (model.newest.number, model.newest_production.number, model.newest_staging.number) == (2, 1, 2)
    assert model.aliases.get().version.number == 1
    first, second = model.versions.order_by("number")
    assert (first.stage, first.description, first.logged_model.uid) == ("production", "first", LOGGED)
    assert (first.source, first.run.uid) == (f"models:/{LOGGED}", RUN)
    assert (ms(first.created_at), ms(first.updated_at)) == (T + 2001, T + 4001)
    assert dict(first.tags.values_list("key", "value")) == {"k": "v"}
    assert (first.framework, first.framework_version) == ("scikit-learn", "1.6.1")
    assert first.dataset_name == "txs"
    assert first.metrics.get(name="f1").value == 0.9
    assert second.manifest.digest != first.manifest.digest
    assert StageTransition.objects.get(version=first).reason.startswith(
        "Imported from http://mlflow.internal"
    )
    pointer = ModelVersion.objects.get(model__name="elsewhere")
    assert (pointer.source, pointer.manifest) == ("s3://bucket/model", None)
    prompt = RegisteredModel.objects.get(name="greet")
    assert prompt.is_prompt
    assert prompt.versions.get().manifest.entries.get().path == "prompt.txt"


def test_files_that_came_with_a_run_are_not_fetched_again_for_a_version(recorded, people):
    report = move(recorded, people)
    assert len(recorded.downloads) == len(set(recorded.downloads)) == report.files == 6


def test_numbers_go_on_after_the_highest_there_ever_was(recorded, people):
    move(recorded, people)
    model = RegisteredModel.objects.get(name="fraud_detector")
    # A logged model is marked with a version 4 that was deleted since.
    assert builders.version(model, by=people.bob).number == 5


def test_the_audit_says_who_moved_what_in_and_from_where(recorded, people):
    move(recorded, people, by=people.root, uri="http://ann:secret@mlflow.internal")
    rows = AuditEvent.objects.filter(verb__endswith=".imported")
    assert {row.actor_name for row in rows} == {"root"}
    kinds = {"experiment", "run", "logged_model", "model", "version", "alias"}
    assert {row.verb.partition(".")[0] for row in rows} == kinds
    assert rows.get(verb="model.imported", subject="greet").after["from"] == "http://mlflow.internal"
    assert not AuditEvent.objects.filter(after__icontains="secret").exists()


def test_only_site_admins_move_in(recorded, people):
    with pytest.raises(Forbidden):
        move(recorded, people, by=people.erin)
    assert not recorded.requests


def test_deleted_ones_come_when_asked(recorded, people):
    move(recorded, people, with_deleted=True)
    assert Run.objects.get(uid=GONE).deleted_at is not None
    old = Experiment.objects.get(name="old")
    # So that both come back together.
    assert ms(old.deleted_at) == T + 9
    assert old.runs.get().deleted_at == old.deleted_at
    before = snapshot()
    report = move(recorded, people, with_deleted=True)
    assert dict(report.counts["runs"]) == {"same": 3}
    assert snapshot() == before


def test_an_older_server_without_logged_models_and_without_proxied_files(recorded, people):
    recorded.hand_out_only()
    recorded.runs = recorded.runs[:1]
    assert told(move(recorded, people)) == [POINTER]
    assert len(trees.files_in(Run.objects.get().tree_id)) == 4
    made = ModelVersion.objects.get(model__name="fraud_detector")
    assert [entry.path for entry in made.manifest.entries.all()] == ["MLmodel", "model.pkl"]
    before = snapshot()
    assert move(recorded, people).files == 0
    assert snapshot() == before


# --- again --------------------------------------------------------------------------------------------------


def test_a_second_move_changes_and_fetches_nothing(recorded, people):
    move(recorded, people)
    before, audited = snapshot(), AuditEvent.objects.count()
    recorded.requests.clear()
    report = move(recorded, people)
    assert snapshot() == before
    assert AuditEvent.objects.count() == audited
    assert not recorded.downloads
    kinds = ("experiments", "runs", "logged models", "models", "versions")
    assert {outcome for kind in kinds for outcome in report.counts[kind]} == {"same"}


def test_what_is_new_at_the_source_is_brought_over(recorded, people):
    move(recorded, people)
    recorded.histories[RUN, "loss"].append(point("loss", 0.01, 5))
    recorded.runs[0]["data"]["metrics"][0] = point("loss", 0.01, 5)
    recorded.runs[0]["data"]["tags"].append({"key": "later", "value": "yes"})
    recorded.files[f"1/{RUN}/artifacts/late.txt"] = b"late"
    recorded.models[0]["aliases"] = [{"alias": "champion", "version": "2"}]
    recorded.versions[0] |= {"current_stage": "Archived", "last_updated_timestamp": T + 5000}
    recorded.versions[1] |= {"current_stage": "Production", "tags": [{"key": "new", "value": "tag"}]}
    recorded.versions.append(version("fraud_detector", 3, source=f"models:/{LOGGED}", run_id=RUN))
    recorded.locations["fraud_detector", "3"] = f"mlflow-artifacts:/1/models/{LOGGED}/artifacts"
    report = move(recorded, people)
    assert told(report) == [POINTER]
    assert report.files == 1
    assert Run.objects.get(uid=RUN).latest_metrics.get(key="loss").value == 0.01
    assert Run.objects.get(uid=RUN).tags.get(key="later").value == "yes"
    model = RegisteredModel.objects.get(name="fraud_detector")
    assert (model.newest.number, model.newest_production.number, model.newest_archived.number) == (3, 2, 1)
    assert model.aliases.get().version.number == 2
    assert model.versions.get(number=2).tags.get().value == "tag"
    assert ms(model.versions.get(number=1).updated_at) == T + 5000
    assert report.counts["versions"] == {"changed": 2, "new": 1, "same": 2}


def test_what_was_changed_here_since_stays(recorded, people):
    move(recorded, people)
    model = RegisteredModel.objects.get(name="fraud_detector")
    first, second = model.versions.order_by("number")
    promotions.move(first, to="archived", by=people.carol, reason="too old")
    lifecycle.set_alias(model, name="champion", version=second, by=people.bob)
    tags.set_version_tag(first, key="k", value="mine", by=people.bob)
    tags.set_model_tag(model, key="domain", value="ours", by=people.alice)
    catalog.update_model(model, card="# Ours", by=people.alice)
    before = snapshot()
    move(recorded, people)
    after = snapshot()
    assert after == before


def test_a_version_registered_here_meanwhile_is_not_touched(recorded, people):
    move(recorded, people)
    model = RegisteredModel.objects.get(name="fraud_detector")
    mine = builders.version(model, by=people.bob)
    recorded.versions.append(version("fraud_detector", mine.number, source="s3://b/other"))
    assert f"version fraud_detector/{mine.number}" in told(move(recorded, people))
    mine.refresh_from_db()
    assert mine.source == ""


@pytest.mark.parametrize("first", [1, 2])
def test_a_move_that_ends_at_any_request_is_finished_by_the_next(recorded, people, first):
    budget, ends = first, 0
    while True:
        broken = recorded.clone()
        broken.budget = budget
        report = move(broken, people, with_deleted=True)
        if not report.interrupted:
            break
        assert not LoggedModel.objects.filter(status="ready", tree=None).exists()
        ends, budget = ends + 1, budget + 2
    assert ends > 12
    ended_often = snapshot()
    for table in (ModelVersion, RegisteredModel, LoggedModel, Run):
        table.objects.all().delete()
    Experiment.objects.exclude(pk=0).delete()
    move(recorded, people, with_deleted=True)
    assert snapshot() == ended_often


# --- what cannot be had -------------------------------------------------------------------------------------


def test_a_file_of_another_size_than_listed_leaves_no_ready_model_and_no_sealed_version(recorded, people):
    recorded.sizes[f"1/models/{LOGGED}/artifacts/model.pkl"] = 5
    report = move(recorded, people)
    assert f"file logged model {LOGGED}: model.pkl" in told(report)
    assert "version fraud_detector/1" in told(report)
    assert LoggedModel.objects.get().status == "failed"
    first = ModelVersion.objects.get(model__name="fraud_detector", number=1)
    assert (first.manifest, first.stage) == (None, "production")
    recorded.sizes.clear()
    assert told(move(recorded, people)) == [POINTER]
    first.refresh_from_db()
    assert first.manifest.file_count == 2
    assert LoggedModel.objects.get().status == "ready"


def test_verifying_finds_what_is_damaged_here_and_what_changed_there(recorded, people):
    move(recorded, people)
    report = move(recorded, people, verify=True)
    assert (told(report), report.verified) == ([POINTER], 10)
    notes = trees.files_in(Run.objects.get(uid=RUN).tree_id, "notes")[0]
    path = storage.local_path(notes.sha256)
    path.chmod(0o600)
    path.write_bytes(b"damaged!\n")
    recorded.files[f"1/models/{LOGGED}/artifacts/model.pkl"] = b"OTHER weights" * 1000
    problems = {row["subject"]: row["why"] for row in move(recorded, people, verify=True).problems}
    assert problems[f"run {RUN}: notes/a b.txt"] == "is damaged in storage here"
    assert problems[f"logged model {LOGGED}: model.pkl"] == "is another file at the source now"


def test_hostile_and_colliding_paths_are_told_and_the_others_come(recorded, people):
    root = f"1/{RUN}/artifacts"
    recorded.files |= {f"{root}/con.txt": b"x", f"{root}/bad:name": b"x", f"{root}/EMPTY.txt": b"y"}
    recorded.files |= {f"{root}/..": b"up"}
    report = move(recorded, people)
    bad = [name.rpartition(" ")[2] for name in told(report) if name.startswith(f"file run {RUN}")]
    assert sorted(bad) == ["..", "EMPTY.txt", "bad:name", "con.txt"] or sorted(bad) == [
        "..",
        "bad:name",
        "con.txt",
        "empty.txt",
    ]
    assert trees.find(Run.objects.get(uid=RUN).tree_id, "model/model.pkl")


def test_names_that_cannot_be_and_names_that_are_taken_are_told(recorded, people):
    builders.model("fraud_detector", by=people.erin, team="risk")
    recorded.models += [
        {"name": name, "creation_timestamp": T, "last_updated_timestamp": T}
        for name in ("search", "a\\b", "nobody--model", " x")
    ]
    report = move(recorded, people)
    refused = {"model search", "model a\\b", "model  x", "model fraud_detector"}
    assert set(told(report)) == {*refused, POINTER}
    assert RegisteredModel.objects.get(name="fraud_detector").versions.count() == 0
    assert RegisteredModel.objects.filter(name="nobody--model").exists()


def test_plain_names_go_under_a_team(recorded, people):
    recorded.models.append({"name": "risk--scores", "creation_timestamp": T, "last_updated_timestamp": T})
    move(recorded, people, team=None, prefix=people.vision)
    names = set(RegisteredModel.objects.values_list("name", "team__slug"))
    plain = {(f"vision/{name}", "vision") for name in ("fraud_detector", "elsewhere", "greet")}
    assert names == {*plain, ("risk/scores", "risk")}


def test_an_alias_that_means_something_else_here_is_told(recorded, people):
    recorded.models[0]["aliases"] += [
        {"alias": "production", "version": "1"},
        {"alias": "lost", "version": "9"},
    ]
    assert told(move(recorded, people)).count("alias fraud_detector") == 2
    assert RegisteredModel.objects.get(name="fraud_detector").aliases.count() == 1


def test_text_that_no_database_keeps_is_made_into_one(recorded, people):
    recorded.runs[0]["data"]["params"].append({"key": "odd", "value": "a\0b\ud800"})
    recorded.models[0]["description"] = "nul \0"
    assert told(move(recorded, people)) == [POINTER]
    assert Run.objects.get(uid=RUN).params.get(key="odd").value.startswith("a\N{REPLACEMENT CHARACTER}b")


def test_only_some_models_come_with_what_they_are_of(recorded, people):
    report = move(recorded, people, only_models=["fraud_detector", "nope"])
    assert told(report) == ["model nope"]
    assert list(Run.objects.values_list("uid", flat=True)) == [RUN]
    assert LoggedModel.objects.get().run_models.get().kind == "output"
    assert list(RegisteredModel.objects.values_list("name", flat=True)) == ["fraud_detector"]
    assert ModelVersion.objects.get(number=1).logged_model.uid == LOGGED
