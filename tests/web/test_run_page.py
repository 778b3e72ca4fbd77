"""The page of a training run."""

import pytest

from models_app.registry import experiments, runs
from tests import builders


@pytest.fixture
def run(people):
    return runs.create_run(
        by=people.bob,
        name="nightly",
        params={"lr": "0.1", "<b>": "<script>"},
        metrics=[{"key": "loss", "value": 1 / (n + 1), "step": n} for n in range(5)],
        tags={"mlflow.note.content": "<script>alert(1)</script>"},
        datasets=[{"name": "tx", "version": "2026-05", "context": "training"}],
    )


def test_it_shows_what_went_in_and_what_came_out(pages, people, run):
    builders.version(builders.model("risk/fraud", by=people.alice), by=people.bob, run=run.uid)
    answer = pages.dave.get(f"/runs/{run.uid}/")
    text = answer.content.decode()
    assert answer.status_code == 200
    for said in ("nightly", "0.1", "tx@2026-05", "training", "risk/fraud v1", "metric-plot"):
        assert said in text
    assert "<script>alert" not in text
    assert f"/runs/{run.uid}/" in pages.dave.get("/models/risk/fraud@1/").content.decode()


def test_runs_of_others_and_none_are_not_there(pages, people):
    team = people.bob.user.memberships.get().team
    hidden = experiments.create_experiment("secret", team=team, visibility="team", by=people.bob)
    run = runs.create_run(by=people.bob, experiment=hidden)
    assert pages.charlie.get(f"/runs/{run.uid}/").status_code == 404
    assert pages.dave.get(f"/runs/{run.uid}/").status_code == 200
    assert pages.dave.get("/runs/nothing/").status_code == 404
    assert pages.dave.get("/runs/%00/").status_code in (400, 404)
