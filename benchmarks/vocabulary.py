"""What the made-up company talks about: names, tasks, tags and sentences, few of them common, most of them rare."""

from __future__ import annotations

import random
from collections.abc import Sequence

TEAMS = (
    "vision risk search ads pricing supply logistics speech support fraud trust growth maps energy factory quality "
    "claims lending identity payments media docs translate weather health fleet retail legal finance people security "
    "forecast recs robotics imaging genomics audio safety platform research"
).split()

# Task, its usual metrics (name, start, end of a model's life, higher is better), and words people use around it.
TASKS = [
    ("tabular-classification", ["f1", "auc", "latency_ms"], "churn default fraud lead claim response"),
    ("image-classification", ["accuracy", "f1", "latency_ms"], "defect product scan label crop scene"),
    ("text-classification", ["f1", "accuracy", "latency_ms"], "intent topic sentiment ticket spam toxicity"),
    ("tabular-regression", ["rmse", "mae", "r2"], "price demand duration cost yield wear"),
    ("time-series-forecasting", ["mape", "rmse", "mae"], "demand load traffic sales inventory weather"),
    ("object-detection", ["map", "recall", "latency_ms"], "vehicle pallet person helmet barcode damage"),
    ("token-classification", ["f1", "precision", "recall"], "entity address invoice contract medicine skill"),
    ("recommendation", ["ndcg", "recall", "latency_ms"], "article product music next basket home"),
    ("image-segmentation", ["iou", "dice", "latency_ms"], "road tissue roof leaf weld cloud"),
    ("anomaly-detection", ["auc", "precision", "recall"], "sensor login payment network turbine log"),
    ("text-generation", ["perplexity", "bleu", "latency_ms"], "reply summary title report code answer"),
    ("feature-extraction", ["recall", "mrr", "latency_ms"], "embedding image sentence product user query"),
    (
        "automatic-speech-recognition",
        ["wer", "cer", "latency_ms"],
        "call meeting command dictation radio captions",
    ),
    ("translation", ["bleu", "loss", "latency_ms"], "manual chat listing legal subtitle web"),
    ("question-answering", ["f1", "accuracy", "latency_ms"], "policy manual faq ticket wiki law"),
    ("learning-to-rank", ["ndcg", "mrr", "latency_ms"], "search ads jobs hotels feed documents"),
]
RANGES = {
    "f1": (0.55, 0.97), "auc": (0.6, 0.99), "accuracy": (0.6, 0.98), "precision": (0.5, 0.98), "recall": (0.4, 0.97),
    "map": (0.3, 0.8), "iou": (0.4, 0.9), "dice": (0.5, 0.95), "ndcg": (0.2, 0.7), "mrr": (0.2, 0.7), "r2": (0.2, 0.97),
    "bleu": (0.1, 0.5), "rmse": (40.0, 2.0), "mae": (25.0, 1.0), "mape": (0.5, 0.04), "latency_ms": (180.0, 4.0),
    "perplexity": (60.0, 6.0), "wer": (0.4, 0.03), "cer": (0.3, 0.01), "loss": (2.5, 0.2),
}  # fmt: skip
LIBRARIES = ["scikit-learn", "pytorch", "xgboost", "transformers", "lightgbm", "tensorflow", "onnx", "catboost", "keras", "spacy"]  # fmt: skip
LICENSES = [
    "Apache-2.0",
    "LicenseRef-internal",
    "MIT",
    "BSD-3-Clause",
    "CC-BY-4.0",
    "CC-BY-NC-4.0",
    "AGPL-3.0-only",
    "",
]
KINDS = "classifier detector model ranker scorer predictor tagger encoder forecaster estimator matcher filter".split()
SHAPES = "small base large v2 lite fast multi de en eu us nordic mobile edge daily weekly hourly b2b b2c legacy".split()
TAG_WORDS = (
    "baseline champion challenger pilot gpu cpu quantized distilled multilingual realtime batch explainable audited "
    "gdpr pii-free external seasonal experimental cold-start calibrated ensemble finetuned pretrained deprecated"
).split()
TAG_KEYS = {
    "tier": ["gold", "silver", "bronze"],
    "region": ["eu", "us", "apac", "latam", "mea"],
    "cost-center": [str(number) for number in range(1000, 1040)],
    "framework-family": ["trees", "transformer", "cnn", "linear", "rnn", "diffusion"],
}
SUBJECTS = (
    "customer payment invoice vehicle patient product warehouse machine sensor contract ticket camera satellite meter "
    "engine pallet shelf route driver merchant account policy claim loan card basket article video song podcast image "
    "document message call review listing job hotel flight shipment parcel weld turbine panel battery roof leaf tissue "
    "cell molecule street bridge train bus wagon container crane valve pump press oven robot drone label barcode"
).split()
SENTENCES = [
    "It looks at every {a} and says how likely a {b} is.",
    "Training data are {a} records of the last {n} months, joined with {b} features.",
    "We hold out the newest {n} weeks and measure once a day on fresh {a} data.",
    "Known limits: rare {a} types, {b} data from new regions and the {c} project.",
    "Do not use it to decide about people without a review by the {t} team.",
    "The {c} pipeline prepares features; missing {a} values are imputed by the median.",
    "Errors concentrate on {a} cases that contain more than one {b}.",
    "Serving takes about {n} milliseconds on one core and is called by the {c} service.",
    "An earlier approach with rules for each {a} found half as many cases.",
    "Calibration was checked on {n} thousand {a} samples; thresholds live with the {b} service.",
    "Fairness was reviewed for region and age; differences stay below {n} points.",
    "Labels come from {a} experts, with an agreement of 0.{n} between two of them.",
    "Retraining starts on Mondays when drift of the {a} distribution passes the limit.",
    "Contact the {t} team in the channel {c} when {a} scores look odd.",
]
SYLLABLES = "ka lo mi ne ru ta vo shi bel dor fin gal hes jun kir lam nor pol quen ras sol tur ven wil yar zet".split()


def skewed(rng: random.Random, values: Sequence[str], *, slope: float = 2.2) -> str:
    """One of the values; the first ones far more often."""
    return values[int(len(values) * rng.random() ** slope)]


def code_words(rng: random.Random, count: int = 4_000) -> list[str]:
    """Names of projects and services: words that few texts share."""
    made: dict[str, None] = {}
    while len(made) < count:
        made["".join(rng.choices(SYLLABLES, k=rng.choice((2, 3, 3))))] = None
    return list(made)


def card(rng: random.Random, *, title: str, task: str, words: str, team: str, projects: Sequence[str]) -> str:
    """A model card of one to three thousand characters."""
    nouns = words.split()
    lines = [f"# {title}", "", f"A {task.replace('-', ' ')} model of the {team} team."]
    for heading in ("Purpose", "Data", "Evaluation", "Limits"):
        lines += ["", f"## {heading}", ""]
        for sentence in rng.sample(SENTENCES, k=rng.randint(2, 5)):
            lines.append(
                sentence.format(
                    a=skewed(rng, SUBJECTS),
                    b=rng.choice(nouns),
                    c=skewed(rng, projects),
                    n=rng.randint(2, 98),
                    t=team,
                )
            )
    return "\n".join(lines)
