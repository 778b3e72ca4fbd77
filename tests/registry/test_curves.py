"""Curves for pictures."""

from models_app.registry import runs
from models_app.registry.curves import MOST_POINTS, curves


def test_long_runs_are_thinned_and_short_ones_whole(people):
    points = [{"key": "loss", "value": 1 / (step + 1), "step": step} for step in range(4 * MOST_POINTS)]
    points += [{"key": "acc", "value": step / 10, "step": step} for step in range(5)]
    points += [{"key": "once", "value": 1.0}]
    run = runs.create_run(by=people.bob, metrics=points)
    acc, loss = curves(run, most=12)
    assert (acc.name, acc.steps, acc.values) == ("acc", [0, 1, 2, 3, 4], [0.0, 0.1, 0.2, 0.3, 0.4])
    assert loss.name == "loss"
    assert MOST_POINTS <= len(loss.steps) <= 2 * MOST_POINTS
    assert loss.steps[0] == 0


def test_the_last_value_of_a_step_counts(people):
    points = [{"key": "loss", "value": v, "step": s} for s, v in [(0, 1.0), (1, 0.5), (1, 0.4)]]
    run = runs.create_run(by=people.bob, metrics=points)
    (loss,) = curves(run, most=12)
    assert loss.values == [1.0, 0.4]
    assert curves(run, most=0) == []
