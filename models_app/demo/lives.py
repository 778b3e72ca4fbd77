"""A model's life as its story tells it: trained, registered, moved through the stages by calling the verbs."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta

from models_app.models import ModelVersion, Run, Stage
from models_app.registry import access, catalog, deployments, lifecycle, promotions, runs
from models_app.registry.access import Actor
from models_app.registry.artifacts import storage
from models_app.registry.artifacts.blobs import StoredFile
from models_app.registry.metrics import higher_is_better

from . import artifacts, monitoring, serving
from .cards import PII_NOTES, card
from .story import BASES, LEADS, Story


def live(story: Story, actors: dict[str, Actor], *, born: datetime, today: datetime) -> Iterator[datetime]:
    """Yields the moment of what comes next, and does it when it is asked to go on: at that moment."""
    registrar = actors["nightly-training"]
    yield born
    model = catalog.register_model(
        story.name,
        by=actors[story.owner],
        purpose=story.purpose,
        card=card(story),
        task=story.task,
        library=story.library,
        license=story.license,
        owner=story.owner,
        visibility=story.visibility,
        risk_level=story.risk,
        headline_metric=next(iter(story.metrics)),
        tags=dict(tag.partition("=")[::2] for tag in story.tags),
    )
    trainings = _trainings(story, born, today)
    stored = _store(story, trainings)
    for index, (fate, training) in enumerate(zip(story.path, trainings, strict=True)):
        yield training.ended - timedelta(hours=2)
        run = _run(story, index, training, registrar, gaps=fate == "g")
        yield training.ended
        facts = _facts(story, index, training, gaps=fate == "g") | {"run": run.uid, **_base(story, registrar)}
        if story.path[index:].count("p") == 1 and fate == "p":
            facts |= monitoring.retrains(model, actors, training.ended)
        version = catalog.register_version(model, files=stored[index], metadata=facts, by=registrar)
        yield from _stages(story, version, fate, training.ended, actors, index)


def _stages(
    story: Story, version: ModelVersion, fate: str, made: datetime, actors: dict[str, Actor], index: int
) -> Iterator[datetime]:
    """Through the stages, as far as the letter says."""
    if fate in ("d", "g"):
        return
    approver = actors["approver" if index % 3 else LEADS[story.team]]
    robot, model = actors[serving.DEPLOYER], version.model
    yield made + timedelta(hours=3)
    promotions.move(
        version,
        to=Stage.STAGING,
        by=actors[story.owner],
        reason="Offline evaluation passed; shadow traffic from now on.",
    )
    yield from serving.rolled_out(model, made + timedelta(hours=3), robot)
    if fate == "s":
        return
    promoted = made + timedelta(hours=30)
    yield promoted
    promotions.move(version, to=Stage.PRODUCTION, by=approver, reason=_description(story, index))
    lifecycle.set_alias(model, name="champion", version=version, by=actors[story.owner])
    if fate == "f":
        yield from serving.not_rolled_out(model, promoted, robot, story.trouble)
    else:
        yield from serving.rolled_out(model, promoted, robot)
    if fate == "r":
        yield made + timedelta(hours=41)
        deployments.roll_back(model, by=approver, reason=story.trouble)
        yield from serving.rolled_out(model, made + timedelta(hours=41), robot)
    if fate in "fr":
        former = lifecycle.current_production(model)
        assert former is not None
        lifecycle.set_alias(model, name="champion", version=former, by=actors[story.owner])


@dataclass(frozen=True)
class Training:
    """What a nightly training brought."""

    ended: datetime
    values: dict[str, float]
    curve: list[float]
    commit: str


def _trainings(story: Story, born: datetime, today: datetime) -> list[Training]:
    """Evenly over the model's life with some noise, the last one some days or weeks ago."""
    noise = random.Random(story.name)
    rhythm = random.Random(f"when {story.name}")
    span = today - born
    first, last = (0.02 if story.name in BASES else rhythm.uniform(0.1, 0.16)), rhythm.uniform(0.84, 0.985)
    trainings = []
    for index in range(len(story.path)):
        share = index / max(len(story.path) - 1, 1)
        about = born + span * (first + (last - first) * share)
        trainings.append(_train(story, share, about + timedelta(minutes=rhythm.randrange(600)), noise))
    return trainings


def _train(story: Story, share: float, ended: datetime, noise: random.Random) -> Training:
    values = {name: _progress(first, last, share, noise) for name, (first, last) in story.metrics.items()}
    curve = [
        round(1.4 * math.exp(-step / 9) + 0.25 - 0.1 * share + noise.uniform(-0.02, 0.02), 4)
        for step in range(40)
    ]
    return Training(ended, values, curve, f"{noise.getrandbits(160):040x}")


def _store(story: Story, trainings: list[Training]) -> list[list[StoredFile]]:
    """The files of all versions, waiting once for the disk."""
    with ExitStack() as stack:
        writers: list[storage.BlobWriter] = []
        versions: list[list[StoredFile]] = []
        for index, training in enumerate(trainings):
            made = artifacts.files(story, index + 1, training.values, training.curve)
            versions.append([])
            for path, data in made.items():
                writer = stack.enter_context(storage.BlobWriter())
                writer.write(data)
                writers.append(writer)
                ended = writer.end()
                versions[-1].append(StoredFile(path, ended.sha256, ended.size))
        storage.place(writers)
    return versions


def _progress(first: float, last: float, share: float, noise: random.Random) -> float:
    value = first + (last - first) * share + abs(last - first) * noise.uniform(-0.12, 0.12)
    return round(value, 4)


def _run(story: Story, index: int, training: Training, by: Actor, *, gaps: bool) -> Run:
    ended, month = training.ended, f"{training.ended:%Y-%m}"
    started = ended - timedelta(hours=2)
    curves = [
        {"key": key, "value": value + offset, "step": step, "at": started + timedelta(minutes=10 + 2 * step)}
        for key, offset in (("train_loss", 0.0), ("val_loss", 0.06))
        for step, value in enumerate(training.curve)
    ]
    dataset = {
        "name": story.dataset,
        "version": month,
        "path": f"s3://acme-data/{story.team}/{story.dataset}/{month}/",
        "license": story.data_license,
        "context": "training",
    }
    return runs.create_run(
        by=by,
        experiment=story.name,
        name=f"{story.short_name}-{ended:%Y%m%d}",
        status="finished",
        started_at=started,
        ended_at=ended - timedelta(minutes=12),
        code_repository=f"https://git.acme.example/{story.team}/{story.short_name}",
        code_commit=training.commit,
        params={
            "learning_rate": round(0.001 * (1 + index), 4),
            "batch_size": 64 * (1 + index % 3),
            "epochs": len(training.curve),
        },
        metrics=curves,
        datasets=[] if gaps else [dataset],
    )


def _facts(story: Story, index: int, training: Training, *, gaps: bool) -> dict[str, object]:
    """What is known of a version when it is registered. With gaps: too little for production."""
    facts: dict[str, object] = {
        "description": _description(story, index),
        "framework": story.library,
        "signature": {
            "inputs": [{"name": "features", "type": "float32", "shape": [-1, story.width]}],
            "outputs": [{"name": "scores", "type": "float32", "shape": [-1, 8]}],
        },
        "feature_pipeline_version": f"{story.team}-features {3 + index // 2}.{index % 2}",
        "tags": {"trained-by": "nightly"},
        "pii_usage": story.pii,
        "pii_notes": PII_NOTES[story.pii],
        "bias_fairness_notes": story.fairness,
        "risk_flags": list(story.flags),
    }
    if gaps:
        return facts
    facts["metrics"] = [
        {
            "name": name,
            "value": value,
            "higher_is_better": higher_is_better(name),
            "dataset": story.dataset,
            "split": "test",
        }
        for name, value in training.values.items()
    ]
    if story.risk == "high":
        month = f"{training.ended:%Y-%m}"
        url = f"https://reports.acme.example/{story.team}/{story.short_name}/{month}"
        facts["reports"] = [{"title": f"Evaluation {month}", "url": url}]
    return facts


def _base(story: Story, by: Actor) -> dict[str, object]:
    """The base model as it is now: a model of ours by its current version, any other by its address."""
    if not story.base:
        return {}
    name = story.base
    if "://" not in name:
        base = access.get_model(name, by=by)
        current = base.newest_production or base.newest
        assert current is not None
        name = f"{name}@{current.number}"
    return {"base_model": name, "base_relation": story.relation, "base_model_license": "Apache-2.0"}


def _description(story: Story, index: int) -> str:
    if index == 0:
        return "First try."
    return story.reasons[index - 1] if index <= len(story.reasons) else "Retrained on newer data."
