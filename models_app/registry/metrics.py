"""What metrics mean: which direction is better, what changed, and how a metric moved over versions."""

from __future__ import annotations

import re

_LOWER = frozenset(
    {
        "rmse",
        "mse",
        "mae",
        "mape",
        "smape",
        "loss",
        "error",
        "perplexity",
        "wer",
        "cer",
        "latency",
        "brier",
        "fpr",
        "fnr",
    }
)
_HIGHER = frozenset(
    {
        "accuracy",
        "acc",
        "f1",
        "auc",
        "auroc",
        "aupr",
        "precision",
        "recall",
        "map",
        "ndcg",
        "mrr",
        "r2",
        "bleu",
        "iou",
        "dice",
    }
)
_WORD = re.compile(r"[a-z]+[0-9]*")


def higher_is_better(name: str) -> bool | None:
    """The direction that a metric's name tells by well-known words, or None."""
    words = set(_WORD.findall(name.lower()))
    if words & _LOWER:
        return False
    return True if words & _HIGHER else None
