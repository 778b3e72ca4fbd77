"""Experiments, runs and datasets: what training reports."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from models_app.models import (
    Dataset,
    Experiment,
    Run,
    RunInput,
    RunMetric,
    RunParam,
    RunStatus,
    RunTag,
    Team,
    Visibility,
)

from . import audit, events
from .access import RIGHTS, Actor, Right, may, require, require_login, require_reading, require_scope
from .errors import AlreadyExists, Conflict, Forbidden, Invalid, NotFound
from .metadata import clean_license, clean_text

MAX_ROWS = 10_000


def _readable(actor: Actor, path: str = "") -> Q:
    require_reading(actor)
    if actor.readable_teams is None:
        return Q()
    team = list(actor.readable_teams)
    return Q(**{f"{path}visibility": Visibility.INTERNAL}) | Q(**{f"{path}team__in": team})


def experiments_for(actor: Actor) -> QuerySet[Experiment]:
    """The experiments the actor may read."""
    return Experiment.objects.filter(_readable(actor)).select_related("team")


def runs_for(actor: Actor) -> QuerySet[Run]:
    """The runs the actor may read."""
    return Run.objects.filter(_readable(actor, "experiment__")).select_related(
        "experiment__team", "created_by"
    )


def datasets_for(actor: Actor) -> QuerySet[Dataset]:
    """The datasets: their records are everyone's who may read, for lineage is worth little if it ends at a wall."""
    require_reading(actor)
    return Dataset.objects.select_related("team")


def get_run(uid: str, *, by: Actor) -> Run:
    """Raises NotFound when absent or unreadable."""
    run = runs_for(by).filter(uid=uid).first()
    if run is None:
        raise NotFound(f"There is no run “{uid[:64]}” that you may see.")
    return run


def _require_logging(actor: Actor, experiment: Experiment) -> None:
    """Who may register models in the experiment's team may log runs there; without a team, who may so anywhere."""
    if experiment.team is not None:
        require(actor, Right.REGISTER, experiment.team)
        return
    require_login(actor)
    require_scope(actor, Right.REGISTER)
    anywhere = any(Right.REGISTER in RIGHTS[role] for role in actor.roles.values())
    if not (actor.is_site_admin or anywhere):
        raise Forbidden("You may not log runs: that takes the role contributor in some team.")


@transaction.atomic
def create_experiment(
    name: str, *, by: Actor, team: Team | None = None, visibility: str = Visibility.INTERNAL
) -> Experiment:
    """Make an experiment. Raises Invalid("name"), AlreadyExists, Forbidden."""
    name = clean_text("name", name, limit=500)
    if not name:
        raise Invalid("name", "An experiment needs a name.")
    if visibility not in Visibility.values:
        raise Invalid("visibility", f"One of {', '.join(Visibility.values)}.")
    if team is None and visibility != Visibility.INTERNAL:
        raise Invalid("team", "Only an experiment of a team can be private.")
    experiment = Experiment(name=name, team=team, visibility=visibility)
    _require_logging(by, experiment)
    try:
        with transaction.atomic():
            experiment.save(force_insert=True)
    except IntegrityError as error:
        raise AlreadyExists(f"There is already an experiment “{name}”.") from error
    audit.record("experiment.created", by=by, subject=name, after={"team": team.slug if team else None})
    return experiment


def _experiment_named(name: str, by: Actor) -> Experiment:
    """The experiment of that name, made if it is missing."""
    name = clean_text("experiment", name, limit=500) or "Default"
    experiment = Experiment.objects.select_related("team").filter(name=name).first()
    if experiment is None:
        try:
            return create_experiment(name, by=by)
        except AlreadyExists:
            experiment = Experiment.objects.select_related("team").get(name=name)
    if not experiments_for(by).filter(pk=experiment.pk).exists():
        raise Forbidden(f"The experiment “{name}” is private.", next_step="Choose another name.")
    return experiment


@transaction.atomic
def create_run(
    *,
    by: Actor,
    experiment: str | Experiment = "Default",
    name: str = "",
    status: str = RunStatus.RUNNING,
    started_at: datetime | None = None,
    ended_at: datetime | None = None,
    code_repository: str = "",
    code_commit: str = "",
    params: Any = None,
    metrics: Any = None,
    tags: Any = None,
    datasets: Any = None,
) -> Run:
    """Start a run, or record a finished one, with what is known of it. The experiment is made if it is missing.

    `params` and `tags` are {key: value}; `metrics` {key: number} or [{key, value, step?, at?}]; `datasets` a list of
    {name, version?, digest?, path?, license?, context?}. Raises Invalid, Forbidden.
    """
    group = _experiment_named(experiment, by) if isinstance(experiment, str) else experiment
    _require_logging(by, group)
    if status not in RunStatus.values:
        raise Invalid("status", f"One of {', '.join(RunStatus.values)}.")
    started = started_at or timezone.now()
    if ended_at is not None and ended_at < started:
        raise Invalid("ended_at", "Must not be before the start.")
    if ended_at is None and status != RunStatus.RUNNING:
        ended_at = timezone.now()
    run = Run.objects.create(
        uid=uuid.uuid4().hex,
        name=clean_text("name", name, limit=250),
        experiment=group,
        status=status,
        created_by=by.user,
        started_at=started,
        ended_at=ended_at,
        code_repository=clean_text("code_repository", code_repository, limit=500),
        code_commit=clean_text("code_commit", code_commit, limit=64),
    )
    audit.record("run.created", by=by, subject=run.uid, after={"experiment": group.name, "name": run.name})
    _write(run, params=params, metrics=metrics, tags=tags, datasets=datasets, by=by)
    return run


@transaction.atomic
def log(
    run: Run, *, by: Actor, params: Any = None, metrics: Any = None, tags: Any = None, datasets: Any = None
) -> None:
    """Add to a run. Tags may change, params may not: raises Conflict for another value. Raises Invalid, Forbidden."""
    _require_logging(by, run.experiment)
    Run.objects.select_for_update(of=("self",), no_key=True).get(pk=run.pk)
    _write(run, params=params, metrics=metrics, tags=tags, datasets=datasets, by=by)


def _write(run: Run, *, params: Any, metrics: Any, tags: Any, datasets: Any, by: Actor) -> None:
    _write_params(run, _pairs("params", params))
    rows = [RunTag(run=run, key=key, value=value) for key, value in _pairs("tags", tags).items()]
    RunTag.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["run", "key"], update_fields=["value"]
    )
    RunMetric.objects.bulk_create(
        [RunMetric(run=run, **point) for point in _points(metrics)], batch_size=2000
    )
    for row in _rows("datasets", datasets):
        if not isinstance(row, Mapping):
            raise Invalid("datasets", "Each must be an object with a name.")
        fields = dict(row)
        context = clean_text("datasets", fields.pop("context", ""), limit=64)
        if unknown := sorted(set(fields) - {"name", "version", "digest", "path", "license"}):
            raise Invalid("datasets", f"A dataset has no field “{unknown[0]}”.")
        dataset = register_dataset(fields.pop("name", ""), by=by, **fields)
        RunInput.objects.get_or_create(run=run, dataset=dataset, context=context)


def _pairs(field: str, value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Invalid(field, "Must be an object of keys and values.")
    if len(value) > MAX_ROWS:
        raise Invalid(field, f"At most {MAX_ROWS} at once.")
    pairs = {}
    for key, text in value.items():
        if isinstance(text, bool | int | float):
            text = str(text)
        name = clean_text(field, key, limit=250)
        if not name:
            raise Invalid(field, "No key may be empty.")
        pairs[name] = clean_text(field, text, limit=8000, lines=True)
    return pairs


def _rows(field: str, value: Any) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise Invalid(field, "Must be a list.")
    if len(value) > MAX_ROWS:
        raise Invalid(field, f"At most {MAX_ROWS} at once.")
    return list(value)


def _write_params(run: Run, params: dict[str, str]) -> None:
    if not params:
        return
    known = dict(RunParam.objects.filter(run=run, key__in=params).values_list("key", "value"))
    for key, value in params.items():
        if known.get(key, value) != value:
            raise Conflict(f"The param “{key}” of run {run.uid} is already “{known[key][:80]}”.")
    RunParam.objects.bulk_create(
        [RunParam(run=run, key=k, value=v) for k, v in params.items() if k not in known]
    )


def _points(value: Any) -> Iterable[dict[str, Any]]:
    rows = (
        [{"key": key, "value": number} for key, number in value.items()]
        if isinstance(value, Mapping)
        else value
    )
    points = []
    for row in _rows("metrics", rows):
        if not isinstance(row, Mapping) or set(row) - {"key", "value", "step", "at"}:
            raise Invalid(
                "metrics", "Each must be an object with key and value, and step and at if you like."
            )
        key = clean_text("metrics", row.get("key", ""), limit=250)
        number, step = row.get("value"), row.get("step", 0)
        if not key:
            raise Invalid("metrics", "Each needs a key.")
        if isinstance(number, bool) or not isinstance(number, int | float) or abs(number) > 1e308:
            raise Invalid("metrics", f"The value of “{key}” must be a finite number.")
        if not math.isfinite(number):
            raise Invalid("metrics", f"The value of “{key}” must be finite.")
        if isinstance(step, bool) or not isinstance(step, int) or abs(step) >= 2**63:
            raise Invalid("metrics", f"The step of “{key}” must be a whole number.")
        points.append({"key": key, "value": float(number), "step": step, "at": _moment(row.get("at"))})
    return points


def _moment(value: Any) -> datetime:
    if value is None:
        return timezone.now()
    if isinstance(value, datetime):
        return value
    try:
        moment = parse_datetime(value) if isinstance(value, str) else None
        if moment is not None and moment.tzinfo is not None:
            # In UTC: databases know fewer offsets than Python.
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Invalid("metrics", "A time is written like 2026-05-03T12:00:00Z.")


@transaction.atomic
def finish_run(
    run: Run, *, by: Actor, status: str = RunStatus.FINISHED, ended_at: datetime | None = None
) -> Run:
    """End a run, or set it running again. Raises Invalid, Forbidden."""
    _require_logging(by, run.experiment)
    if status not in RunStatus.values:
        raise Invalid("status", f"One of {', '.join(RunStatus.values)}.")
    if ended_at is not None and ended_at < run.started_at:
        raise Invalid("ended_at", "Must not be before the start.")
    before = run.status
    run.status = status
    run.ended_at = None if status == RunStatus.RUNNING else ended_at or timezone.now()
    run.save(update_fields=["status", "ended_at"])
    audit.record("run.finished", by=by, subject=run.uid, before={"status": before}, after={"status": status})
    events.emit("run.finished", payload={"run": run.uid, "status": status})
    return run


def latest_metrics(run: Run) -> dict[str, float]:
    """The last value of each metric: greatest step, then time, then order of arrival."""
    last: dict[str, float] = {}
    for key, value in run.metric_points.order_by("key", "step", "at", "id").values_list("key", "value"):
        last[key] = value
    return last


@transaction.atomic
def register_dataset(
    name: str,
    *,
    by: Actor,
    version: str = "",
    digest: str = "",
    path: str = "",
    license: str = "",
    description: str = "",
    team: Team | None = None,
) -> Dataset:
    """The dataset of that name, version and digest: made, or found as it is. Raises Invalid, Forbidden."""
    require_login(by)
    require_scope(by, Right.REGISTER)
    if team is not None:
        require(by, Right.REGISTER, team)
    elif not by.is_site_admin and not any(may(by, Right.REGISTER, team_id) for team_id in by.roles):
        raise Forbidden("You may not register datasets: that takes the role contributor in some team.")
    name = clean_text("name", name, limit=250)
    if not name:
        raise Invalid("name", "A dataset needs a name.")
    dataset, created = Dataset.objects.get_or_create(
        name=name,
        version=clean_text("version", version, limit=250),
        digest=clean_text("digest", digest, limit=128),
        defaults={
            "path": clean_text("path", path, limit=2000),
            "license": clean_license("license", license),
            "description": clean_text("description", description, limit=20_000, lines=True),
            "team": team,
        },
    )
    if created:
        audit.record("dataset.registered", by=by, subject=str(dataset), after={"path": dataset.path})
    return dataset
