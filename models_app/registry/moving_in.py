"""Taking over what another server kept: experiments, runs and logged models, with their own ids and times.

Registered models are in moving_in_models.py. Only a site admin or the registry itself moves things in; all of it is
audited as `*.imported`. What is there already is brought up to date and never made less: repeating a call changes
nothing, whatever ended the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from django.db import transaction
from django.utils import timezone

from models_app.models import (
    Experiment,
    ExperimentTag,
    LoggedModel,
    LoggedModelMetric,
    LoggedModelParam,
    LoggedModelStatus,
    LoggedModelTag,
    Run,
    RunLatestMetric,
    RunModel,
    RunModelKind,
    RunParam,
    RunStatus,
    RunTag,
)

from . import audit, datasets, experiments, run_logging, run_metrics, runs
from .access import Actor
from .datasets import Read
from .errors import Conflict, Forbidden, Invalid
from .run_metrics import Point

_BATCH = 1000


class Outcome(StrEnum):
    """What a call found: nothing there before, something to bring up to date, or all as it was."""

    NEW = "new"
    CHANGED = "changed"
    SAME = "same"


def require_mover(by: Actor) -> None:
    """Raises Forbidden unless a site admin, with no token that narrows her rights, or the registry itself acts."""
    if not by.is_site_admin or by.scopes is not None:
        raise Forbidden("Only a site admin may move in what another server kept.")


def storable(text: str, limit: int | None = None) -> str:
    """Text as every database keeps it: no NUL, nothing that is no character; cut at `limit`."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    clean = clean.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return clean if limit is None else clean[:limit]


def storable_pairs(pairs: Mapping[str, str], *, key_limit: int = 250) -> dict[str, str]:
    """Keys and values so; keys without a character are left out."""
    return {storable(key, key_limit): storable(value) for key, value in pairs.items() if key}


# --- experiments --------------------------------------------------------------------------------------------


@transaction.atomic
def experiment(
    name: str,
    *,
    by: Actor,
    origin: str,
    created_at: datetime,
    updated_at: datetime,
    tags: Mapping[str, str] | None = None,
) -> tuple[Experiment, Outcome]:
    """The experiment of that name: the one that is here, with these tags set as well, or a new one. “Default” is
    experiment 0. Raises Invalid("name"), Forbidden, Conflict when it was deleted here.
    """
    require_mover(by)
    known = Experiment.objects.select_for_update(of=("self",), no_key=True)
    found = known.filter(pk=0).first() if name == "Default" else known.filter(name=name).first()
    if found is None:
        found = Experiment.objects.create(
            name=experiments.check_name(name),
            created_by=by.user,
            created_at=created_at,
            updated_at=updated_at,
        )
        outcome = Outcome.NEW
        audit.record("experiment.imported", by=by, subject=name, after={"from": origin})
    elif found.deleted_at is not None:
        raise Conflict(f"The experiment “{name}” was deleted here.", next_step="Restore it first.")
    else:
        outcome = Outcome.SAME
    wanted = storable_pairs(tags or {})
    if missing := _differing(dict(found.tags.values_list("key", "value")), wanted):
        ExperimentTag.objects.bulk_create(
            [ExperimentTag(experiment=found, key=key, value=value) for key, value in missing.items()],
            update_conflicts=True,
            unique_fields=["experiment", "key"],
            update_fields=["value"],
        )
        if outcome is Outcome.SAME:
            outcome = Outcome.CHANGED
    return found, outcome


@transaction.atomic
def put_away_experiment(experiment: Experiment, *, at: datetime, by: Actor) -> None:
    """Mark an experiment that was moved in as deleted, as it was where it came from; its runs too."""
    require_mover(by)
    if Experiment.objects.filter(pk=experiment.pk, deleted_at=None).update(deleted_at=at):
        # The same time: restoring the experiment brings back what went with it.
        Run.objects.filter(experiment=experiment, deleted_at=None).update(deleted_at=at)
        audit.record("experiment.imported", by=by, subject=experiment.name, after={"deleted": True})


def _differing(here: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in wanted.items() if here.get(key) != value}


# --- runs ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run as another server knew it."""

    uid: str
    name: str
    status: str
    started_at: datetime
    ended_at: datetime | None = None
    user_name: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    reads: Sequence[Read] = ()


@transaction.atomic
def run(
    facts: RunFacts, *, experiment: Experiment, points: Sequence[Point], by: Actor, origin: str
) -> tuple[Run, Outcome]:
    """The run of that uid, made or brought up to date: its state, and the params, tags, inputs and points it lacks.

    One that was deleted here stays as it is. Raises Invalid, Forbidden, Frozen for another value of a param.
    """
    require_mover(by)
    if facts.status not in RunStatus.values:
        raise Invalid("status", f"One of {', '.join(RunStatus.values)}.")
    if not runs.is_uid(facts.uid):
        raise Invalid("uid", "A run's id has 1 to 32 letters and digits.")
    tags = storable_pairs(facts.tags)
    columns: dict[str, object] = {
        "name": storable(facts.name, runs.MAX_NAME),
        "status": facts.status,
        "started_at": facts.started_at,
        "ended_at": facts.ended_at,
        "user_name": storable(facts.user_name, 256),
    } | runs.columns_in(tags)
    held = Run.objects.select_for_update(of=("self",), no_key=True).filter(uid=facts.uid).first()
    if held is None:
        held = Run.objects.create(uid=facts.uid, experiment=experiment, created_by=by.user, **columns)
        audit.record(
            "run.imported", by=by, subject=held.uid, after={"experiment": experiment.name, "from": origin}
        )
        outcome = Outcome.NEW
    elif held.deleted_at is not None:
        return held, Outcome.SAME
    else:
        outcome = _update_run(held, columns)
    filled = _fill_run(held, facts, tags, by)
    if (_write_points(held, points, by) or filled) and outcome is Outcome.SAME:
        outcome = Outcome.CHANGED
    return held, outcome


def _write_points(held: Run, points: Sequence[Point], by: Actor) -> bool:
    """Whether any of them was not there."""
    if not points:
        return False
    before = held.metric_points.count()
    run_metrics.write(held, points, by=by)
    return held.metric_points.count() != before


def _update_run(held: Run, columns: Mapping[str, object]) -> Outcome:
    changed = [name for name, value in columns.items() if getattr(held, name) != value]
    if not changed:
        return Outcome.SAME
    for name in changed:
        setattr(held, name, columns[name])
    held.save(update_fields=changed)
    return Outcome.CHANGED


def _fill_run(held: Run, facts: RunFacts, tags: Mapping[str, str], by: Actor) -> bool:
    """Write the params, tags and inputs that are not there yet; whether there were any."""
    params = storable_pairs(facts.params)
    new_params = _differing(dict(RunParam.objects.filter(run=held).values_list("key", "value")), params)
    new_tags = _differing(dict(RunTag.objects.filter(run=held).values_list("key", "value")), tags)
    run_logging.write_params(held, new_params)
    run_logging.write_tags(held, new_tags)
    before = held.inputs.count() if facts.reads else 0
    if facts.reads:
        datasets.add_inputs(held, facts.reads, by=by)
    return bool(new_params or new_tags or (facts.reads and held.inputs.count() != before))


@transaction.atomic
def points(run: Run, points: Sequence[Point], *, by: Actor) -> None:
    """More points of a run than fit into the call that made it. Raises Invalid, Forbidden."""
    require_mover(by)
    held = Run.objects.select_for_update(of=("self",), no_key=True).get(pk=run.pk)
    run_metrics.write(held, points, by=by)


def lacking(uid: str, latest: Iterable[Point]) -> list[str]:
    """The keys of metrics whose last point here is not this one: of them there may be more to take over.

    Points of one key are written all at once, so that none is half there.
    """
    here = {
        row.key: (row.step, row.at, row.value, row.is_nan)
        for row in RunLatestMetric.objects.filter(run__uid=uid)
    }
    rows = map(run_metrics.as_kept, latest)
    return [row.key for row in rows if here.get(row.key) != (row.step, row.at, row.value, row.is_nan)]


@transaction.atomic
def put_away_run(run: Run, *, by: Actor) -> None:
    """Mark a run as deleted, as it was where it came from."""
    require_mover(by)
    if Run.objects.filter(pk=run.pk, deleted_at=None).update(deleted_at=timezone.now()):
        audit.record("run.imported", by=by, subject=run.uid, after={"deleted": True})


# --- logged models ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LoggedFacts:
    """A logged model as another server knew it."""

    uid: str
    name: str
    status: str
    created_at: datetime
    updated_at: datetime
    model_type: str = ""
    status_message: str = ""
    source_run: str = ""
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@transaction.atomic
def logged_model(
    facts: LoggedFacts, *, experiment: Experiment, by: Actor, origin: str
) -> tuple[LoggedModel | None, Outcome]:
    """The logged model of that uid, made (pending, until `finish_logged_model`) or with what it lacks.

    None for one that was deleted here. Raises Invalid, Forbidden.
    """
    require_mover(by)
    if not facts.uid.startswith("m-") or not runs.is_uid(facts.uid[2:]):
        raise Invalid("uid", "A logged model's id is “m-” and letters or digits.")
    held = LoggedModel.objects.select_for_update(of=("self",), no_key=True).filter(uid=facts.uid).first()
    outcome = Outcome.SAME
    if held is None:
        held = LoggedModel.objects.create(
            uid=facts.uid,
            name=storable(facts.name, 250),
            experiment=experiment,
            model_type=storable(facts.model_type, 500),
            created_by=by.user,
            created_at=facts.created_at,
        )
        outcome = Outcome.NEW
        after = {"name": held.name, "experiment": experiment.name, "from": origin}
        audit.record("logged_model.imported", by=by, subject=held.uid, after=after)
    elif held.deleted_at is not None:
        return None, Outcome.SAME
    if held.source_run_id is None and facts.source_run:
        held.source_run = Run.objects.filter(uid=facts.source_run).first()
        held.save(update_fields=["source_run"])
    if _fill_logged_model(held, facts) and outcome is Outcome.SAME:
        outcome = Outcome.CHANGED
    return held, outcome


def _fill_logged_model(held: LoggedModel, facts: LoggedFacts) -> bool:
    params, tags = storable_pairs(facts.params), storable_pairs(facts.tags)
    known = dict(held.params.values_list("key", "value"))
    params = {key: value for key, value in params.items() if key not in known}
    tags = _differing(dict(held.tags.values_list("key", "value")), tags)
    LoggedModelParam.objects.bulk_create(
        [LoggedModelParam(logged_model=held, key=key, value=value) for key, value in params.items()]
    )
    LoggedModelTag.objects.bulk_create(
        [LoggedModelTag(logged_model=held, key=key, value=value) for key, value in tags.items()],
        update_conflicts=True,
        unique_fields=["logged_model", "key"],
        update_fields=["value"],
    )
    return bool(params or tags)


@transaction.atomic
def logged_model_points(held: LoggedModel, points: Mapping[str, Sequence[Point]], *, by: Actor) -> list[str]:
    """Measurements of a logged model, by the uid of the run that made them; returns the uids of runs that are not here.

    Raises Invalid, Forbidden.
    """
    require_mover(by)
    known = dict(Run.objects.filter(uid__in=list(points)).values_list("uid", "pk"))
    rows = [
        LoggedModelMetric(
            logged_model=held,
            run_id=known[uid],
            dataset_name=storable(point.dataset_name, run_metrics.MAX_DATASET_NAME),
            dataset_digest=storable(point.dataset_digest, run_metrics.MAX_DATASET_DIGEST),
            **run_metrics.as_kept(point)._asdict(),
        )
        for uid, some in points.items()
        if uid in known
        for point in some
    ]
    LoggedModelMetric.objects.bulk_create(rows, ignore_conflicts=True, batch_size=_BATCH)
    return [uid for uid in points if uid not in known]


@transaction.atomic
def finish_logged_model(held: LoggedModel, facts: LoggedFacts, *, complete: bool, by: Actor) -> None:
    """Give it its status and time. One that lacks files is not ready, whatever it was where it came from."""
    require_mover(by)
    status, message = facts.status, storable(facts.status_message, 1000)
    if status == LoggedModelStatus.READY and not complete:
        status, message = LoggedModelStatus.FAILED, "Not all of its files could be moved in."
    if status not in LoggedModelStatus.values:
        raise Invalid("status", f"One of {', '.join(LoggedModelStatus.values)}.")
    LoggedModel.objects.filter(pk=held.pk, deleted_at=None).update(
        status=status, status_message=message, updated_at=facts.updated_at
    )
    held.status = status


@transaction.atomic
def link(run_uid: str, *, read: Iterable[str], wrote: Mapping[str, int], by: Actor) -> list[str]:
    """Note which logged models a run read, and which it wrote at which step; returns the uids that are not here."""
    require_mover(by)
    run = Run.objects.filter(uid=run_uid).first()
    wanted = [(uid, RunModelKind.INPUT, 0) for uid in read]
    wanted += [(uid, RunModelKind.OUTPUT, step) for uid, step in wrote.items()]
    known = dict(LoggedModel.objects.filter(uid__in=[uid for uid, *_ in wanted]).values_list("uid", "pk"))
    if run is not None:
        rows = [
            RunModel(run=run, logged_model_id=known[uid], kind=kind, step=step)
            for uid, kind, step in wanted
            if uid in known
        ]
        RunModel.objects.bulk_create(rows, ignore_conflicts=True)
    return [uid for uid, *_ in wanted if uid not in known]
