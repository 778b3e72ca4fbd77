"""Models that runs logged: made pending, filled with files, ready when all is there; registered or not.

Their files are in artifacts/trees.py. A ready model's files stay as they are.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.models import (
    Experiment,
    LoggedModel,
    LoggedModelParam,
    LoggedModelStatus,
    LoggedModelTag,
    Run,
    Visibility,
)

from . import audit, holds
from .access import Actor, require_logging, require_reading
from .errors import Invalid, NotFound

MAX_NAME = 250
MAX_KEY = 250
MAX_VALUE = 100_000
MAX_PAIRS = 1000
# A model that was not finished by then was left by a process that died.
ABANDONED = timedelta(hours=24)
_NOT_IN_NAMES = frozenset("/:.%\"'\x00")


def logged_models_for(actor: Actor) -> QuerySet[LoggedModel]:
    """The logged models the actor may read; deleted ones are not there any more."""
    require_reading(actor)
    readable = LoggedModel.objects.filter(deleted_at=None)
    teams = actor.readable_teams
    if teams is None:
        return readable
    return readable.filter(
        Q(experiment__visibility=Visibility.INTERNAL) | Q(experiment__team__in=list(teams))
    )


def get_logged_model(uid: str, *, by: Actor) -> LoggedModel:
    """With experiment, team and source run. Raises NotFound when absent, deleted or unreadable."""
    related = ("experiment__team", "source_run")
    model = (
        logged_models_for(by).select_related(*related).filter(uid=uid[:100]).first() if _sane(uid) else None
    )
    if model is None:
        raise NotFound(f"Logged model with ID '{uid[:64]}' not found.")
    return model


def _sane(text: str) -> bool:
    """Whether a database takes this as text at all."""
    return "\x00" not in text


@transaction.atomic
def create_logged_model(
    experiment: Experiment,
    *,
    by: Actor,
    name: str = "",
    source_run: Run | None = None,
    model_type: str = "",
    params: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
) -> LoggedModel:
    """A pending model, to be filled and finished. Without a name it gets one. Raises Invalid, Forbidden."""
    require_logging(by, experiment.team)
    if experiment.deleted_at is not None:
        raise Invalid("experiment_id", f"The experiment {experiment.pk} must be in the 'active' state.")
    uid = f"m-{uuid.uuid4().hex}"
    if len(model_type) > 500 or "\x00" in model_type:
        raise Invalid("model_type", "At most 500 characters of text.")
    model = LoggedModel.objects.create(
        uid=uid,
        name=_clean_name(name) or f"model-{uid[2:10]}",
        experiment=experiment,
        source_run=source_run,
        model_type=model_type,
        created_by=by.user,
    )
    model.updated_at = model.created_at
    _add_params(model, _clean_pairs("params", params or {}))
    _add_tags(model, _clean_pairs("tags", tags or {}))
    audit.record(
        "logged_model.created",
        by=by,
        subject=uid,
        after={
            "name": model.name,
            "experiment": experiment.name,
            "run": source_run.uid if source_run else None,
        },
    )
    return model


def _clean_name(name: str) -> str:
    if len(name) > MAX_NAME or _NOT_IN_NAMES.intersection(name):
        raise Invalid(
            "name",
            f"Invalid model name ({name[:MAX_NAME]!r}) provided. A name has at most {MAX_NAME} characters, and none "
            "of / : . % \" '",
        )
    return name


def _clean_pairs(field: str, pairs: Mapping[str, str]) -> dict[str, str]:
    if len(pairs) > MAX_PAIRS:
        raise Invalid(field, f"At most {MAX_PAIRS} at once.")
    for key, value in pairs.items():
        if not key or len(key) > MAX_KEY or "\x00" in key:
            raise Invalid(field, f"A key has 1 to {MAX_KEY} characters: {key[:80]!r}")
        if len(value) > MAX_VALUE or "\x00" in value:
            raise Invalid(
                field, f"The value of {key[:80]!r} is longer than {MAX_VALUE} characters, or no text."
            )
    return dict(pairs)


def _locked(model: LoggedModel, *, by: Actor) -> LoggedModel:
    """The model as it is now, locked. Raises NotFound once deleted, Forbidden for who may not log in its experiment."""
    rows = LoggedModel.objects.select_related("experiment__team").select_for_update(of=("self",), no_key=True)
    held = rows.filter(pk=model.pk, deleted_at=None).first()
    if held is None:
        raise NotFound(f"Logged model with ID '{model.uid}' not found.")
    require_logging(by, held.experiment.team)
    return held


@transaction.atomic
def finalize(model: LoggedModel, *, status: str, by: Actor) -> LoggedModel:
    """Say that all of it is there (ready), or that it will not be (failed). A ready model stays ready.

    Raises Invalid("status"), Forbidden.
    """
    held = _locked(model, by=by)
    if status not in (LoggedModelStatus.READY, LoggedModelStatus.FAILED):
        raise Invalid("status", "A model is finished as ready or as failed.")
    if held.status != status:
        if held.status == LoggedModelStatus.READY:
            raise Invalid("status", f"{held.uid} is ready, and stays so. Log another model.")
        before, held.status, held.status_message = held.status, status, ""
        held.updated_at = timezone.now()
        held.save(update_fields=["status", "status_message", "updated_at"])
        audit.record(
            "logged_model.finished",
            by=by,
            subject=held.uid,
            before={"status": before},
            after={"status": status},
        )
    model.status, model.status_message, model.updated_at = held.status, held.status_message, held.updated_at
    return model


@transaction.atomic
def set_tags(model: LoggedModel, tags: Mapping[str, str], *, by: Actor) -> None:
    """Set tags, new or again. Raises Invalid("tags"), Forbidden."""
    _add_tags(_locked(model, by=by), _clean_pairs("tags", tags))


@transaction.atomic
def delete_tag(model: LoggedModel, key: str, *, by: Actor) -> None:
    """Take a tag away. Raises NotFound when it is not there, Forbidden."""
    held = _locked(model, by=by)
    gone = LoggedModelTag.objects.filter(logged_model=held, key=key).delete()[0] if _sane(key) else 0
    if not gone:
        raise NotFound(f"No tag with key {key[:250]!r} found for model with ID '{held.uid}'.")


@transaction.atomic
def log_params(model: LoggedModel, params: Mapping[str, str], *, by: Actor) -> None:
    """Add params. One that is there stays as it is: raises Invalid("params") for another value. Raises Forbidden."""
    _add_params(_locked(model, by=by), _clean_pairs("params", params))


def _add_tags(model: LoggedModel, tags: Mapping[str, str]) -> None:
    if not tags:
        return
    LoggedModelTag.objects.bulk_create(
        [LoggedModelTag(logged_model=model, key=key, value=value) for key, value in sorted(tags.items())],
        update_conflicts=True,
        unique_fields=["logged_model", "key"],
        update_fields=["value"],
    )


def _add_params(model: LoggedModel, params: Mapping[str, str]) -> None:
    if not params:
        return
    known = dict(
        LoggedModelParam.objects.filter(logged_model=model, key__in=params).values_list("key", "value")
    )
    for key, value in params.items():
        if known.get(key, value) != value:
            raise Invalid("params", f"The param {key!r} of {model.uid} is already {known[key][:80]!r}.")
    LoggedModelParam.objects.bulk_create(
        [
            LoggedModelParam(logged_model=model, key=key, value=value)
            for key, value in params.items()
            if key not in known
        ]
    )


@transaction.atomic
def delete_logged_model(model: LoggedModel, *, by: Actor) -> None:
    """Let it be found no more; versions that were registered from it keep their files. Raises Forbidden."""
    held = _locked(model, by=by)
    holds.refuse_if_held(held, by=by)
    held.deleted_at = held.updated_at = timezone.now()
    held.save(update_fields=["deleted_at", "updated_at"])
    audit.record("logged_model.deleted", by=by, subject=held.uid, before={"name": held.name})


def fail_abandoned(older_than: timedelta = ABANDONED) -> int:
    """Mark models failed whose writer must have died; returns how many. A writer that lives may still finish them."""
    now = timezone.now()
    return LoggedModel.objects.filter(
        status=LoggedModelStatus.PENDING, updated_at__lt=now - older_than, deleted_at=None
    ).update(
        status=LoggedModelStatus.FAILED,
        status_message="Nobody finished it: the process that logged it must have ended early.",
        updated_at=now,
    )
