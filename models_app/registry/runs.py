"""Runs: one execution of training code each, with what it reports. Deleted ones take nothing and can be restored."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from models_app.models import Experiment, Run, RunModel, RunModelKind, RunStatus, RunTag

from . import audit, datasets, events, experiments, holds, prepared, run_logging, run_metrics, run_names
from .access import Actor, may_read, require_reading
from .datasets import Read
from .errors import Frozen, Invalid, NotFound
from .logged_models import logged_models_for
from .metadata import clean_text, without_login
from .prepared import PreparedInstances
from .run_metrics import Point

MAX_NAME = 250
MAX_KEY = 250
MAX_VALUE = 8000
MAX_HISTORY = 1_000_000

# Tags that clients set by themselves, and what they say of a run.
NAME_TAG = "mlflow.runName"
MODELS_TAG = "mlflow.log-model.history"
_SAID = {
    "mlflow.user": "user_name",
    "mlflow.source.git.commit": "code_commit",
    "mlflow.source.git.repoURL": "code_repository",
}
_LIMITS = {"user_name": 256, "code_commit": 64, "code_repository": 500}
_UID = re.compile(r"[0-9a-zA-Z_-]{1,32}")


def runs_for(actor: Actor) -> QuerySet[Run]:
    """The runs the actor may read, deleted ones too."""
    return Run.objects.filter(experiments.readable(actor, "experiment__")).select_related(
        "experiment__team", "created_by"
    )


_OF_UID = PreparedInstances(
    lambda uid: Run.objects.order_by().select_related("experiment__team", "created_by").filter(uid=uid), str
)


def get_run(uid: str, *, by: Actor) -> Run:
    """Deleted ones too. Raises NotFound when absent or unreadable."""
    if not _UID.fullmatch(uid):
        raise _missing(uid)
    require_reading(by)
    run = _OF_UID.one(uid)
    if run is None or not may_read(by, run.experiment.visibility, run.experiment.team_id):
        raise _missing(uid)
    return run


def is_uid(text: str) -> bool:
    """Whether a run can have that uid."""
    return _UID.fullmatch(text) is not None


def _missing(uid: str) -> NotFound:
    return NotFound(f"Run with id={uid[:64]} not found, or you may not see it.")


_LOCKED = PreparedInstances(
    lambda uid: Run.objects.select_for_update(no_key=True).filter(uid=uid).order_by(), str
)


def _held(run: Run | str, *, by: Actor, active: bool = True) -> Run:
    """The run as it is now, locked, with its experiment. Raises NotFound, Forbidden, Frozen once deleted."""
    uid = run if isinstance(run, str) else run.uid
    held = _LOCKED.one(uid) if _UID.fullmatch(uid) else None
    group = experiments.find(held.experiment_id, by=by) if held is not None else None
    if held is None or group is None:
        raise _missing(uid)
    held.experiment = group
    experiments.require_logging_in(group, by=by)
    if active and held.deleted_at is not None:
        raise Frozen(
            f"The run {held.uid} must be in the 'active' state. Current state is deleted.",
            next_step="Restore it first.",
        )
    return held


@transaction.atomic
def create_run(
    *,
    by: Actor,
    experiment: str | Experiment = "Default",
    name: str = "",
    status: str = RunStatus.RUNNING,
    started_at: datetime | None = None,
    ended_at: datetime | None = None,
    user_name: str = "",
    code_repository: str = "",
    code_commit: str = "",
    params: Any = None,
    metrics: Any = None,
    tags: Any = None,
    datasets: Any = None,
    uid: str | None = None,
) -> Run:
    """Start a run, or record a finished one, with what is known of it. The experiment is made if it is missing.

    `params` and `tags` are {key: value}; `metrics` {key: number} or [{key, value, step?, at?}]; `datasets` a list of
    {name, version?, digest?, path?, license?, context?}. Only the registry itself may choose the `uid`, of a run that
    was made elsewhere. Raises Invalid, Frozen for a deleted experiment, Forbidden.
    """
    group = experiments.named(experiment, by=by) if isinstance(experiment, str) else experiment
    if status not in RunStatus.values:
        raise Invalid("status", f"One of {', '.join(RunStatus.values)}.")
    started = started_at or timezone.now()
    if ended_at is not None and ended_at < started and not by.is_system:
        raise Invalid("ended_at", "Must not be before the start.")
    run = _start(
        group,
        by=by,
        name=clean_text("name", name, limit=MAX_NAME),
        status=status,
        started_at=started,
        ended_at=ended_at or (None if status in _GOING else timezone.now()),
        user_name=clean_text("user_name", user_name, limit=256),
        code_repository=without_login(clean_text("code_repository", code_repository, limit=500)),
        code_commit=clean_text("code_commit", code_commit, limit=64),
        uid=uid,
    )
    run_logging.add(run, params=params, metrics=metrics, tags=tags, datasets=datasets, by=by)
    return run


_GOING = (RunStatus.RUNNING, RunStatus.SCHEDULED)


def _start(group: Experiment, *, by: Actor, uid: str | None = None, **columns: Any) -> Run:
    experiments.require_logging_in(group, by=by)
    experiments.require_active(group)
    if uid is not None and not (by.is_system and _UID.fullmatch(uid)):
        raise Invalid("uid", "The registry makes the uids of runs itself.")
    run = Run(uid=uid or uuid.uuid4().hex, experiment=group, created_by=by.user, **columns)
    prepared.insert(run)
    audit.record("run.created", by=by, subject=run.uid, after={"experiment": group.name, "name": run.name})
    return run


@transaction.atomic
def start_run(
    experiment: Experiment,
    *,
    by: Actor,
    name: str = "",
    user_name: str = "",
    started_at: datetime | None = None,
    tags: Mapping[str, str] | None = None,
) -> Run:
    """Start a run for a client that reports by itself. Without a name it gets one, which is kept as a tag as well.

    The tags that say who runs which code fill the run's own columns. Raises Invalid, Frozen, Forbidden.
    """
    marks = _clean_tags(tags or {})
    tagged = marks.get(NAME_TAG, "")
    if name and tagged and name != tagged:
        raise Invalid(
            "",
            "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values "
            f"(run_name='{name[:80]}', mlflow.runName='{tagged[:80]}').",
        )
    marks[NAME_TAG] = check_name(name or tagged or run_names.invent())
    said = {"user_name": _column("user_name", user_name), **columns_in(marks)}
    run = _start(experiment, by=by, name=marks[NAME_TAG], started_at=started_at or timezone.now(), **said)
    run_logging.write_tags(run, marks)
    return run


def check_name(name: str) -> str:
    """Raises Invalid for a name that is too long, or no text."""
    if len(name) > MAX_NAME or "\0" in name:
        raise Invalid("run_name", f"exceeds the maximum length of {MAX_NAME} characters, or is no text.")
    return name


def columns_in(tags: Mapping[str, str]) -> dict[str, str]:
    """What the tags that clients set by themselves say of a run, by its column."""
    return {column: _column(column, tags[tag]) for tag, column in _SAID.items() if tags.get(tag)}


def _column(name: str, text: str) -> str:
    """What fits into the column of a run: one line, and no password of a repository."""
    if name == "code_repository":
        text = without_login(text)
    limit = _LIMITS[name]
    return "".join(char for char in text if ord(char) >= 32)[:limit]


@transaction.atomic
def log(
    run: Run, *, by: Actor, params: Any = None, metrics: Any = None, tags: Any = None, datasets: Any = None
) -> None:
    """Add to a run, in the shapes of `create_run`. Tags may change, params may not.

    Raises Invalid, Frozen for another value of a param and for a deleted run, Forbidden.
    """
    run_logging.add(_held(run, by=by), params=params, metrics=metrics, tags=tags, datasets=datasets, by=by)


@transaction.atomic
def log_batch(
    run: Run | str,
    *,
    by: Actor,
    points: Sequence[Point] = (),
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> None:
    """Add points, params and tags to a run (or the run of that uid), all or nothing.

    A point that is there already changes nothing. Raises Invalid, NotFound, Frozen for another value of a param and
    for a deleted run, Forbidden.
    """
    held = _held(run, by=by)
    run_logging.write_params(held, _clean_pairs("params", params or {}))
    run_metrics.write(held, points, by=by)
    _set_tags(held, _clean_tags(tags or {}))


def _set_tags(run: Run, tags: Mapping[str, str]) -> None:
    """Set tags of a locked run, and the columns that they speak of."""
    if not tags:
        return
    said = columns_in(tags)
    if tags.get(NAME_TAG):
        said["name"] = check_name(tags[NAME_TAG])
    run_logging.write_tags(run, tags)
    if said:
        Run.objects.filter(pk=run.pk).update(**said)


def _clean_tags(tags: Mapping[str, str]) -> dict[str, str]:
    return _clean_pairs("tags", tags)


def _clean_pairs(field: str, pairs: Mapping[str, str], *, limit: int = MAX_VALUE) -> dict[str, str]:
    """Keys and values as they are. Raises Invalid for what no column takes."""
    for key, value in pairs.items():
        if not key or len(key) > MAX_KEY or "\0" in key:
            raise Invalid(field, f"A key has 1 to {MAX_KEY} characters: {key[:80]!r}")
        if len(value) > limit:
            raise Invalid(field, f"The value of {key!r} exceeds the maximum length of {limit} characters.")
        if "\0" in value:
            raise Invalid(field, f"The value of {key!r} may not contain NUL.")
    return dict(pairs)


@transaction.atomic
def delete_tag(run: Run | str, *, key: str, by: Actor) -> None:
    """Raises NotFound without such a tag, Frozen for a deleted run, Forbidden."""
    held = _held(run, by=by)
    found = "\0" not in key and RunTag.objects.filter(run=held, key=key).delete()[0]
    if not found:
        raise NotFound(f"No tag with name: {key[:MAX_KEY]} in run with id {held.uid}")


@transaction.atomic
def log_inputs(run: Run | str, *, by: Actor, reads: Sequence[Read] = (), models: Sequence[str] = ()) -> None:
    """Note which datasets and which logged models (by uid) a run read. Repeating it changes nothing.

    Raises Invalid, NotFound for a logged model, Frozen, Forbidden.
    """
    held = _held(run, by=by)
    datasets.add_inputs(held, reads, by=by)
    _link_models(held, dict.fromkeys(models, 0), RunModelKind.INPUT, by)


@transaction.atomic
def log_outputs(run: Run | str, *, models: Mapping[str, int], by: Actor) -> None:
    """Note which logged models (uid → step) a run wrote. Raises Invalid, NotFound, Frozen, Forbidden."""
    _link_models(_held(run, by=by), models, RunModelKind.OUTPUT, by)


def _link_models(run: Run, steps: Mapping[str, int], kind: str, by: Actor) -> None:
    if not steps:
        return
    wanted = [uid for uid in steps if "\0" not in uid]
    known = dict(logged_models_for(by).filter(uid__in=wanted).values_list("uid", "pk"))
    rows = []
    for uid, step in steps.items():
        if uid not in known:
            raise NotFound(f"Logged model with ID '{uid[:64]}' not found.")
        if not -(2**63) <= step < 2**63:
            raise Invalid("step", "Not in 64 bits.")
        rows.append(RunModel(run=run, logged_model_id=known[uid], kind=kind, step=step))
    RunModel.objects.bulk_create(rows, ignore_conflicts=True)


@transaction.atomic
def note_model(run: Run | str, *, facts: Mapping[str, Any], by: Actor) -> None:
    """Add to the list of models that a run keeps among its own files: a tag that clients read.

    Raises Invalid once the list is too long, Frozen, Forbidden.
    """
    held = _held(run, by=by)
    before = RunTag.objects.filter(run=held, key=MODELS_TAG).values_list("value", flat=True).first()
    try:
        noted = json.loads(before or "[]")
    except ValueError:
        noted = []
    value = json.dumps([*(noted if isinstance(noted, list) else []), facts])
    if len(value) > MAX_HISTORY or "\\u0000" in value:
        raise Invalid("model_json", "The list of this run's models becomes too long, or is no text.")
    run_logging.write_tags(held, {MODELS_TAG: value})


@transaction.atomic
def update_run(
    run: Run | str,
    *,
    by: Actor,
    status: str | None = None,
    ended_at: datetime | None = None,
    name: str = "",
) -> Run:
    """What a client says of its run: how it stands, when it ended, what it is called. "" leaves the name.

    Raises Invalid, Frozen for a deleted run, Forbidden.
    """
    held = _held(run, by=by)
    if status is not None and status not in RunStatus.values:
        raise Invalid("status", f"One of {', '.join(RunStatus.values)}.")
    before, fields = held.status, set()
    if status is not None:
        held.status = status
        held.ended_at = None if status in _GOING else ended_at or held.ended_at or timezone.now()
        fields |= {"status", "ended_at"}
    elif ended_at is not None:
        held.ended_at = ended_at
        fields.add("ended_at")
    if name:
        held.name = check_name(name)
        fields.add("name")
        run_logging.write_tags(held, {NAME_TAG: name})
    if fields:
        held.save(update_fields=sorted(fields))
    if held.status != before:
        _tell(held, before, by)
    return held


def _tell(run: Run, before: str, by: Actor) -> None:
    audit.record(
        "run.finished", by=by, subject=run.uid, before={"status": before}, after={"status": run.status}
    )
    events.emit("run.finished", payload={"run": run.uid, "status": run.status})


@transaction.atomic
def finish_run(
    run: Run, *, by: Actor, status: str = RunStatus.FINISHED, ended_at: datetime | None = None
) -> Run:
    """End a run, or set it running again. Raises Invalid, Frozen for a deleted run, Forbidden."""
    held = _held(run, by=by)
    if status not in RunStatus.values:
        raise Invalid("status", f"One of {', '.join(RunStatus.values)}.")
    if ended_at is not None and ended_at < held.started_at:
        raise Invalid("ended_at", "Must not be before the start.")
    before = held.status
    run.status = held.status = status
    run.ended_at = held.ended_at = None if status == RunStatus.RUNNING else ended_at or timezone.now()
    held.save(update_fields=["status", "ended_at"])
    _tell(held, before, by)
    return run


@transaction.atomic
def delete_run(run: Run | str, *, by: Actor) -> Run:
    """Put a run away; nothing is lost. Repeating it changes nothing. Raises NotFound, Forbidden."""
    held = _held(run, by=by, active=False)
    if held.deleted_at is None:
        holds.refuse_if_held(held, by=by)
        held.deleted_at = timezone.now()
        held.save(update_fields=["deleted_at"])
        audit.record("run.deleted", by=by, subject=held.uid)
    return held


@transaction.atomic
def restore_run(run: Run | str, *, by: Actor) -> Run:
    """Bring a deleted run back. Repeating it changes nothing. Raises NotFound, Frozen in a deleted experiment."""
    held = _held(run, by=by, active=False)
    if held.deleted_at is not None:
        experiments.require_active(held.experiment)
        held.deleted_at = None
        held.save(update_fields=["deleted_at"])
        audit.record("run.restored", by=by, subject=held.uid)
    return held
