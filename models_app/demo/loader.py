"""Tells the demo company's story by calling the verbs, each at its own time in the past."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from models_app.models import ModelVersion, RegisteredModel, Stage, Team, User
from models_app.registry import catalog, lifecycle, people, runs
from models_app.registry.access import Actor
from models_app.registry.artifacts import storage
from models_app.registry.artifacts.blobs import StoredFile
from models_app.registry.metrics import higher_is_better
from models_app.registry.search import index as search_index

from . import artifacts
from .logins import LOGINS, PASSWORD
from .story import PEOPLE, STORIES, TEAMS, Story

DAYS = 330


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Within, it is `moment`: the verbs stamp what they write with it."""
    real = timezone.now
    timezone.now = lambda: moment
    try:
        yield
    finally:
        timezone.now = real


@contextmanager
def indexed_at_the_end() -> Iterator[None]:
    """Within, the verbs leave the search index alone; afterwards it is built once instead of hundreds of times."""
    real = search_index.refresh
    search_index.refresh = lambda model_ids: None
    try:
        yield
    finally:
        search_index.refresh = real
    real(list(RegisteredModel.objects.values_list("pk", flat=True)))


def is_loaded() -> bool:
    """Whether the demo company is there."""
    return (
        Team.objects.filter(slug__in=TEAMS).count() == len(TEAMS)
        and RegisteredModel.objects.filter(name=STORIES[0].name).exists()
    )


@transaction.atomic
def load(*, progress: Callable[[int, int], None] = lambda done, total: None) -> None:
    """Make the whole company, or nothing of it. Raises AlreadyExists when other data is in the way."""
    start = timezone.now() - timedelta(days=DAYS)
    with at(start):
        actors = _people()
    with indexed_at_the_end():
        for number, story in enumerate(STORIES):
            _tell(story, actors, start + timedelta(days=7 + number))
            progress(number + 1, len(STORIES))


def _people() -> dict[str, Actor]:
    system = Actor.system(door="shell")
    teams = {
        slug: people.create_team(slug, name=name, description=text, by=system)
        for slug, (name, text) in TEAMS.items()
    }
    logins = {login["username"] for login in LOGINS}
    users: dict[str, User] = {}
    for username, (first, last, roles) in PEOPLE.items():
        users[username] = people.create_user(
            username,
            email=f"{username}@acme.example",
            password=PASSWORD if username in logins else None,
            first_name=first,
            last_name=last,
            is_staff=username == "owner",
            by=system,
        )
        for slug, role in roles.items():
            people.set_role(teams[slug], user=users[username], role=role, by=system)
    users["admin"] = people.create_user(
        "admin",
        email="admin@acme.example",
        password=PASSWORD,
        first_name="Sam",
        last_name="Okafor",
        is_site_admin=True,
        by=system,
    )
    return {username: Actor.of(user, door="web") for username, user in users.items()}


def _tell(story: Story, actors: dict[str, Actor], born: datetime) -> None:
    noise = random.Random(story.name)
    registrar = actors["nightly-training"]
    with at(born):
        model = catalog.register_model(
            story.name,
            by=registrar,
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
    spacing = (timezone.now() - timedelta(hours=5) - born) / (len(story.path) + 0.2)
    trainings = [
        _train(story, index, born + spacing * (index + 0.6), noise) for index in range(len(story.path))
    ]
    stored = _store(story, trainings)
    for index, (fate, training) in enumerate(zip(story.path, trainings, strict=True)):
        version = _version(story, model, index, training, stored[index], registrar, gaps=fate == "g")
        _live(story, version, fate, training.ended, actors, index)


@dataclass(frozen=True)
class Training:
    """What a nightly training brought."""

    ended: datetime
    values: dict[str, float]
    curve: list[float]
    commit: str


def _train(story: Story, index: int, about: datetime, noise: random.Random) -> Training:
    ended = about + timedelta(minutes=noise.randrange(600))
    share = index / max(len(story.path) - 1, 1)
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
                bytes_ = writer.end()
                writers.append(writer)
                versions[-1].append(StoredFile(path, bytes_.sha256, bytes_.size))
        storage.place(writers)
    return versions


def _progress(first: float, last: float, share: float, noise: random.Random) -> float:
    value = first + (last - first) * share + abs(last - first) * noise.uniform(-0.12, 0.12)
    return round(value, 4)


def _version(
    story: Story,
    model: RegisteredModel,
    index: int,
    training: Training,
    files: list[StoredFile],
    by: Actor,
    *,
    gaps: bool,
) -> ModelVersion:
    made = training.ended
    month = f"{made:%Y-%m}"
    team = story.name.split("/")[0]
    with at(made - timedelta(hours=2)):
        run = runs.create_run(
            by=by,
            experiment=story.name,
            name=f"{story.name.split('/')[1]}-{made:%Y%m%d}",
            status="finished",
            started_at=made - timedelta(hours=2),
            ended_at=made - timedelta(minutes=12),
            code_repository=f"https://git.acme.example/{team}/{story.name.split('/')[1]}",
            code_commit=training.commit,
            params={
                "learning_rate": round(0.001 * (1 + index), 4),
                "batch_size": 64 * (1 + index % 3),
                "epochs": 40,
            },
            metrics=[
                {
                    "key": key,
                    "value": value + offset,
                    "step": step,
                    "at": made - timedelta(minutes=110 - 2 * step),
                }
                for key, offset in (("train_loss", 0.0), ("val_loss", 0.06))
                for step, value in enumerate(training.curve)
            ],
            datasets=[]
            if gaps
            else [
                {
                    "name": story.dataset,
                    "version": month,
                    "path": f"s3://acme-data/{team}/{story.dataset}/{month}/",
                    "license": story.data_license,
                    "context": "training",
                }
            ],
        )
    evaluated = {"dataset": story.dataset, "split": "test"}
    metadata: dict[str, object] = {
        "run": run.uid,
        "description": _description(story, index),
        "framework": story.library,
        "signature": {
            "inputs": [{"name": "features", "type": "float32", "shape": [-1, story.width]}],
            "outputs": [{"name": "scores", "type": "float32", "shape": [-1, 8]}],
        },
        "feature_pipeline_version": f"{team}-features {3 + index // 2}.{index % 2}",
        "metrics": []
        if gaps
        else [
            {"name": name, "value": value, "higher_is_better": higher_is_better(name), **evaluated}
            for name, value in training.values.items()
        ],
        "tags": {"trained-by": "nightly"},
    }
    if story.base:
        metadata |= {
            "base_model": story.base,
            "base_relation": story.relation,
            "base_model_license": "Apache-2.0",
        }
    if story.pii:
        metadata |= {"pii_usage": story.pii, "pii_notes": _PII.get(story.pii, "")}
    if story.fairness:
        metadata["bias_fairness_notes"] = story.fairness
    if story.flags:
        metadata["risk_flags"] = list(story.flags)
    if not gaps and story.risk == "high":
        metadata["reports"] = [
            {
                "title": f"Evaluation {month}",
                "url": f"https://reports.acme.example/{team}/{story.name.split('/')[1]}/{month}",
            }
        ]
    with at(made):
        return catalog.register_version(model, files=files, metadata=metadata, by=by)


_PII = {
    "none": "",
    "pseudonymous": "Customer ids are hashed with a key of the data platform; the key is not known here.",
    "personal": "Trained on records of persons, access limited to the team; deleted after 24 months.",
    "sensitive": "Special categories of data; the data protection officer keeps the impact assessment.",
}


def _description(story: Story, index: int) -> str:
    if index == 0:
        return "First try."
    return story.reasons[index - 1] if index <= len(story.reasons) else "Retrained on newer data."


def _live(
    story: Story, version: ModelVersion, fate: str, made: datetime, actors: dict[str, Actor], index: int
) -> None:
    """Through the stages, as far as the letter says."""
    if fate in ("d", "g"):
        return
    owner, approver = actors["contributor"], actors["approver"]
    team_owner = actors[story.owner]
    mover = owner if story.name.split("/")[0] in ("risk", "vision", "discovery") else team_owner
    with at(made + timedelta(hours=3)):
        lifecycle.move(
            version,
            to=Stage.STAGING,
            by=mover,
            reason="Offline evaluation passed; shadow traffic from now on.",
        )
    if fate == "s":
        return
    with at(made + timedelta(hours=30)):
        version.refresh_from_db()
        reason = _description(story, index)
        lifecycle.move(version, to=Stage.PRODUCTION, by=approver, reason=reason)
        host = story.name.replace("/", "-")
        catalog.update_version(
            version,
            metadata={"serving_endpoint": f"https://serving.acme.example/{host}/v{version.number}"},
            by=actors["admin"],
        )
        lifecycle.set_alias(version.model, name="champion", version=version, by=actors["admin"])
    if fate == "r":
        with at(made + timedelta(hours=41)):
            lifecycle.rollback(
                version.model,
                by=approver,
                reason="Twice as many false alarms since the switch; see incident 2117.",
            )
            now = lifecycle.current_production(version.model)
            assert now is not None
            lifecycle.set_alias(version.model, name="champion", version=now, by=actors["admin"])


def card(story: Story) -> str:
    """The model card in Markdown."""
    first = next(iter(story.metrics))
    rows = "\n".join(f"| {name} | {_way(name)} | {story.dataset}, test |" for name in story.metrics)
    personal = _PII.get(story.pii) or "No personal data."
    return f"""\
# {story.name.split("/")[1].replace("-", " ").capitalize()}

{story.purpose}

## What it does

{story.does}

## Intended use

Used by the {TEAMS[story.name.split("/")[0]][0]} team in production. Others may use it after asking the owner. It is not
made for decisions about people beyond what is described here.

## Data

Trained on **{story.dataset}**, a monthly snapshot ({story.data_license}). {personal}

## Evaluation

| Metric | Direction | Data |
| --- | --- | --- |
{rows}

We judge it by **{first}**. A version goes to production when it is no worse than its predecessor on the same data.

## Limits

{story.limits}

## Fairness

{story.fairness or "No decisions about people; nothing was tested."}

## Maintenance

Trained every month by the nightly job. Report problems in the channel of the team.
"""


def _way(metric: str) -> str:
    higher = higher_is_better(metric)
    return "" if higher is None else "higher is better" if higher else "lower is better"
