from datetime import UTC, datetime

import pytest

from models_app.models import Experiment, Run
from models_app.registry import datasets, experiments, run_metrics, runs
from models_app.registry.access import Actor
from models_app.registry.errors import Conflict, Forbidden, Invalid, NotFound
from tests import builders  # noqa: F401

pytestmark = pytest.mark.django_db


def test_a_run_with_everything(people):
    run = runs.create_run(
        by=people.bob,
        experiment="fraud",
        params={"depth": 3},
        metrics=[{"key": "loss", "value": 1.0, "step": 0}, {"key": "loss", "value": 0.5, "step": 1}],
        tags={"team": "risk"},
        datasets=[{"name": "tx", "version": "1", "context": "training"}],
    )
    assert runs.get_run(run.uid, by=people.dave).params.get().value == "3"
    assert run_metrics.latest_metrics(run) == {"loss": 0.5}
    assert run.inputs.get().dataset.name == "tx"
    runs.log(run, by=people.bob, metrics={"loss": 0.25}, tags={"team": "fraud"}, params={"depth": 3})
    assert run.tags.get().value == "fraud"
    with pytest.raises(Conflict):
        runs.log(run, by=people.bob, params={"depth": 4})
    assert runs.finish_run(run, by=people.bob).ended_at is not None


@pytest.mark.parametrize(
    "bad",
    [
        {"metrics": {"loss": float("nan")}},
        {"metrics": {"loss": float("inf")}},
        {"metrics": {"loss": "x"}},
        {"metrics": {"loss": 10**400}},
        {"metrics": [{"key": "loss", "value": 1, "step": 2**70}]},
        {"metrics": [{"key": "loss", "value": 1, "at": "yesterday"}]},
        {"metrics": [{"key": "loss", "value": 1, "at": "2026-13-45T00:00:00Z"}]},
        {"metrics": 3},
        {"params": ["x"]},
        {"params": {"": "x"}},
        {"params": {"a": {"b": 1}}},
        {"tags": {"a": "\x00"}},
        {"datasets": [{"version": "1"}]},
        {"datasets": [{"name": "x", "colour": "red"}]},
        {"status": "dancing"},
        {"name": "x" * 300},
    ],
)
def test_bad_runs_leave_nothing(people, bad):
    with pytest.raises(Invalid):
        runs.create_run(by=people.bob, **bad)
    assert not Run.objects.exists()


def test_private_experiments(people):
    team = people.bob.user.memberships.get().team
    experiments.create_experiment("secret", team=team, visibility="team", by=people.bob)
    run = runs.create_run(by=people.bob, experiment="secret")
    assert runs.get_run(run.uid, by=people.dave) == run
    with pytest.raises(NotFound):
        runs.get_run(run.uid, by=people.charlie)
    with pytest.raises(Forbidden):
        runs.create_run(by=people.charlie, experiment="secret")
    assert Experiment.objects.exclude(name="Default").count() == 1


def test_viewers_log_nothing(people):
    with pytest.raises(Forbidden):
        runs.create_run(by=people.dave)
    with pytest.raises(Forbidden):
        datasets.register_dataset("x", by=people.dave)


def test_a_dataset_is_registered_once(people):
    one = datasets.register_dataset("tx", version="1", path="s3://b/x", by=people.bob)
    assert datasets.register_dataset("tx", version="1", path="elsewhere", by=people.bob) == one
    assert datasets.register_dataset("tx", version="2", by=people.bob) != one


def test_only_the_registry_takes_a_uid_and_it_keeps_times(people):
    at = datetime(2020, 1, 2, tzinfo=UTC)
    with pytest.raises(Invalid):
        runs.create_run(by=people.root, uid="0" * 32)
    run = runs.create_run(
        by=Actor.system(), uid="0" * 32, started_at=at, ended_at=at, status="finished", user_name="zoë"
    )
    run.refresh_from_db()
    assert (run.uid, run.started_at, run.ended_at, run.user_name) == ("0" * 32, at, at, "zoë")
