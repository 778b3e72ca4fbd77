import pytest

from models_app.registry.metrics import against, higher_is_better, series, verdict
from tests import builders


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("f1", True),
        ("val_f1", True),
        ("F1 macro", True),
        ("top5_accuracy", True),
        ("rmse", False),
        ("val_loss", False),
        ("latency_p99_ms", False),
        ("error_rate", False),
        ("map50", True),
        ("mape", False),
        ("flavour", None),
        ("", None),
    ],
)
def test_directions(name, direction):
    assert higher_is_better(name) is direction


@pytest.mark.parametrize(
    ("value", "reference", "direction", "word"),
    [
        (2, 1, True, "better"),
        (2, 1, False, "worse"),
        (1, 2, True, "worse"),
        (1, 1, True, "same"),
        (1, 2, None, "differs"),
    ],
)
def test_verdicts(value, reference, direction, word):
    assert verdict(value, reference, higher_is_better=direction) == word


@pytest.mark.django_db
def test_series_and_comparison(people):
    model = builders.model(by=people.bob)
    versions = [
        builders.version(
            model,
            by=people.bob,
            metrics=[
                {"name": "f1", "value": value, "dataset": "tx", "split": "test"},
                {"name": "f1", "value": 0.1, "dataset": "other"},
            ]
            if value > 0.5
            else [{"name": "f1", "value": value, "dataset": "tx", "split": "test"}],
        )
        for value in (0.4, 0.6, 0.8)
    ]
    assert [(point.number, point.value) for point in series(model, "f1")] == [(1, 0.4), (2, 0.6), (3, 0.8)]
    assert series(model, "none") == []
    [other, same] = against(versions[2], versions[0])
    assert (other.metric.dataset, other.reference) == ("other", None)
    assert (same.reference, same.verdict) == (0.4, "better")
    assert [row.reference for row in against(versions[2], None)] == [None, None]
