"""What metrics mean: which direction is better, which one a model is judged by, how it moved over versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from models_app.models import ModelVersion, RegisteredModel, VersionMetric

# Words that tell a direction wherever they stand in a name: `val_loss`, `latency_p99_ms`, `top5_accuracy`.
_LOWER = frozenset(
    [
        "loss",
        "error",
        "rmse",
        "rmsle",
        "mse",
        "mae",
        "mape",
        "smape",
        "wmape",
        "perplexity",
        "ppl",
        "wer",
        "cer",
        "ter",
        "latency",
        "brier",
        "fpr",
        "fnr",
        "ece",
        "fid",
        "kl",
        "bias",
        "logloss",
        "deviance",
        "duration",
        "memory",
        "cost",
        "drift",
        "psi",
        "regret",
        "overprediction",
        "underprediction",
    ]
)
_HIGHER = frozenset(
    [
        "accuracy",
        "acc",
        "f1",
        "f2",
        "fbeta",
        "auc",
        "auroc",
        "auprc",
        "aupr",
        "roc",
        "ap",
        "map",
        "precision",
        "recall",
        "sensitivity",
        "specificity",
        "tpr",
        "tnr",
        "ndcg",
        "mrr",
        "r2",
        "bleu",
        "rouge",
        "meteor",
        "iou",
        "miou",
        "dice",
        "kappa",
        "mcc",
        "gini",
        "coverage",
        "throughput",
        "lift",
        "score",
        "hit",
        "ks",
        "correlation",
        "psnr",
        "ssim",
    ]
)
_WORD = re.compile(r"[a-z]+[0-9]*")
SERIES = 60


def higher_is_better(name: str) -> bool | None:
    """The direction that well-known words in a metric's name tell, or None. Of two, the last word decides."""
    for word in reversed(_WORD.findall(name.lower())):
        bare = word.rstrip("0123456789")
        if word in _LOWER or bare in _LOWER:
            return False
        if word in _HIGHER or bare in _HIGHER:
            return True
    return None


def verdict(value: float, reference: float, *, higher_is_better: bool | None) -> str:
    """How a value stands against a reference: better, worse, same, or differs where no direction is known."""
    if value == reference:
        return "same"
    if higher_is_better is None:
        return "differs"
    return "better" if (value > reference) is higher_is_better else "worse"


def key_of(metric: VersionMetric) -> tuple[str, str, str]:
    """What makes two measurements comparable: name, dataset and split."""
    return (metric.name, metric.dataset, metric.split)


def headline_name(model: RegisteredModel, metrics: Iterable[VersionMetric]) -> str:
    """The metric the model is judged by: the one its owner named, else the first by name."""
    names = sorted({metric.name for metric in metrics})
    return model.headline_metric if model.headline_metric or not names else names[0]


@dataclass(frozen=True, slots=True)
class Point:
    """A metric's value in one version."""

    number: int
    value: float
    stage: str
    promoted: bool


def series(model: RegisteredModel, name: str) -> list[Point]:
    """A metric over the newest 60 versions, oldest first, on the dataset and split that were measured most often."""
    rows = list(
        VersionMetric.objects.filter(version__model=model, name=name)
        .order_by("-version__number")
        .values_list(
            "version__number", "value", "version__stage", "version__last_promoted_at", "dataset", "split"
        )[: SERIES * 4]
    )
    counts: dict[tuple[str, str], int] = {}
    for *_, dataset, split in rows:
        counts[(dataset, split)] = counts.get((dataset, split), 0) + 1
    if not counts:
        return []
    usual = max(counts, key=lambda where: counts[where])
    points = [
        Point(number, value, stage, promoted is not None)
        for number, value, stage, promoted, *where in rows
        if tuple(where) == usual
    ]
    return points[:SERIES][::-1]


@dataclass(frozen=True, slots=True)
class Compared:
    """A measurement beside the same measurement of a reference version; `reference` None when it was not made there."""

    metric: VersionMetric
    reference: float | None
    verdict: str


def against(version: ModelVersion, reference: ModelVersion | None) -> list[Compared]:
    """A version's metrics beside those of another (usually production). Reads `metrics` of both, prefetched or not."""
    known = {key_of(metric): metric.value for metric in reference.metrics.all()} if reference else {}
    rows = []
    for metric in version.metrics.all():
        value = known.get(key_of(metric))
        word = "" if value is None else verdict(metric.value, value, higher_is_better=metric.higher_is_better)
        rows.append(Compared(metric, value, word))
    return rows
