"""Experiments: named groups of runs. Deleted ones keep their name and their runs, and can be restored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.models import Experiment, ExperimentTag, Run, Team, Visibility

from . import audit, holds
from .access import (
    Actor,
    Right,
    may,
    may_read,
    require,
    require_logging,
    require_login,
    require_reading,
)
from .errors import AlreadyExists, Forbidden, Frozen, Invalid, NotFound
from .prepared import PreparedInstances

MAX_NAME = 500
MAX_LOCATION = 1000
MAX_KEY = 250
MAX_TAG = 20_000


def readable(actor: Actor, path: str = "") -> Q:
    """Rows whose experiment, behind `path`, the actor may read."""
    require_reading(actor)
    if actor.readable_teams is None:
        return Q()
    team = list(actor.readable_teams)
    return Q(**{f"{path}visibility": Visibility.INTERNAL}) | Q(**{f"{path}team__in": team})


def experiments_for(actor: Actor) -> QuerySet[Experiment]:
    """The experiments the actor may read, deleted ones too."""
    return Experiment.objects.filter(readable(actor)).select_related("team")


_OF_ID = PreparedInstances(lambda number: Experiment.objects.filter(pk=number).order_by(), int)


def find(number: int, *, by: Actor) -> Experiment | None:
    """By id, deleted ones too; None when absent or unreadable."""
    require_reading(by)
    found = _OF_ID.one(number) if abs(number) < 2**63 else None
    return found if found is not None and may_read(by, found.visibility, found.team_id) else None


def get_experiment(number: int, *, by: Actor) -> Experiment:
    """By id, deleted ones too. Raises NotFound when absent or unreadable."""
    found = find(number, by=by)
    if found is None:
        raise NotFound(f"No Experiment with id={number} exists.")
    return found


def require_logging_in(experiment: Experiment, *, by: Actor) -> None:
    """`require_logging` in its team, which is read only for a refusal."""
    if experiment.team_id is None or not may(by, Right.REGISTER, experiment.team_id):
        require_logging(by, experiment.team)


def check_name(name: str) -> str:
    """The name as it is. Raises Invalid("name") for an empty or long one, or one with control characters."""
    if not isinstance(name, str) or not name.strip():
        raise Invalid("name", "An experiment needs a name.")
    if len(name) > MAX_NAME:
        raise Invalid("name", f"'name' exceeds the maximum length of {MAX_NAME} characters.")
    if any(ord(char) < 32 or 0xD800 <= ord(char) < 0xE000 for char in name):
        raise Invalid("name", "May not contain control characters.")
    return name


@transaction.atomic
def create_experiment(
    name: str,
    *,
    by: Actor,
    team: Team | None = None,
    visibility: str = Visibility.INTERNAL,
    artifact_location: str = "",
    tags: Mapping[str, str] | None = None,
    created_at: datetime | None = None,
    updated_at: datetime | None = None,
) -> Experiment:
    """Make an experiment. Only the registry itself may say when. Raises Invalid, AlreadyExists, Forbidden."""
    name = check_name(name)
    if visibility not in Visibility.values:
        raise Invalid("visibility", f"One of {', '.join(Visibility.values)}.")
    if team is None and visibility != Visibility.INTERNAL:
        raise Invalid("team", "Only an experiment of a team can be private.")
    if len(artifact_location) > MAX_LOCATION or "\0" in artifact_location:
        raise Invalid("artifact_location", f"At most {MAX_LOCATION} characters of text.")
    if (created_at or updated_at) and not by.is_system:
        raise Invalid("created_at", "The registry knows the time itself.")
    require_logging(by, team)
    clean = {key: _check_tag(key, value) for key, value in (tags or {}).items()}
    now = created_at or timezone.now()
    experiment = Experiment(
        name=name,
        team=team,
        visibility=visibility,
        artifact_location=artifact_location,
        created_by=by.user,
        created_at=now,
        updated_at=updated_at or now,
    )
    try:
        with transaction.atomic():
            experiment.save(force_insert=True)
    except IntegrityError as error:
        raise AlreadyExists(
            f"Experiment(name={name}) already exists.", next_step="A deleted one keeps its name."
        ) from error
    ExperimentTag.objects.bulk_create(
        [ExperimentTag(experiment=experiment, key=key, value=value) for key, value in clean.items()]
    )
    audit.record("experiment.created", by=by, subject=name, after={"team": team.slug if team else None})
    return experiment


def named(name: str, *, by: Actor) -> Experiment:
    """The experiment of that name, made if it is missing; "" is “Default”. Raises Invalid, Forbidden."""
    name = check_name(name or "Default")
    known = Experiment.objects.select_related("team").filter(name=name)
    experiment = known.first()
    if experiment is None:
        try:
            return create_experiment(name, by=by)
        except AlreadyExists:
            experiment = known.get()
    if not experiments_for(by).filter(pk=experiment.pk).exists():
        raise Forbidden(f"The experiment “{name}” is private.", next_step="Choose another name.")
    return experiment


def require_active(experiment: Experiment) -> None:
    """Raises Frozen for a deleted experiment."""
    if experiment.deleted_at is not None:
        raise Frozen(
            f"The experiment {experiment.pk} must be in the 'active' state. Current state is deleted.",
            next_step="Restore it first.",
        )


def _held(experiment: Experiment) -> Experiment:
    """The experiment as it is now, locked."""
    rows = Experiment.objects.select_for_update(of=("self",), no_key=True).select_related("team")
    held = rows.filter(pk=experiment.pk).first()
    if held is None:
        raise NotFound(f"No Experiment with id={experiment.pk} exists.")
    return held


@transaction.atomic
def rename_experiment(experiment: Experiment, *, to: str, by: Actor) -> Experiment:
    """Raises Invalid("name"), AlreadyExists, Frozen once deleted, Forbidden."""
    held = _held(experiment)
    require_logging(by, held.team)
    require_active(held)
    before, held.name = held.name, check_name(to)
    held.updated_at = timezone.now()
    try:
        with transaction.atomic():
            held.save(update_fields=["name", "updated_at"])
    except IntegrityError as error:
        raise AlreadyExists(f"Experiment(name={to}) already exists.") from error
    audit.record("experiment.renamed", by=by, subject=to, before={"name": before}, after={"name": to})
    return held


def _require_deleting(actor: Actor, experiment: Experiment) -> None:
    """Who may delete in its team, and who made it, as long as she may log there."""
    require_login(actor)
    if may(actor, Right.DELETE, experiment.team):
        return
    if actor.user is not None and experiment.created_by_id == actor.user.pk:
        require_logging(actor, experiment.team)
        return
    require(actor, Right.DELETE, experiment.team)


@transaction.atomic
def delete_experiment(experiment: Experiment, *, by: Actor) -> Experiment:
    """Put it and its runs away; nothing is lost. Raises NotFound when it is deleted already, Forbidden."""
    held = _held(experiment)
    _require_deleting(by, held)
    if held.deleted_at is not None:
        raise NotFound(f"No active Experiment with id={held.pk} exists.")
    holds.refuse_if_held(held, by=by)
    held.deleted_at = held.updated_at = timezone.now()
    held.save(update_fields=["deleted_at", "updated_at"])
    count = Run.objects.filter(experiment=held, deleted_at=None).update(deleted_at=held.deleted_at)
    audit.record("experiment.deleted", by=by, subject=held.name, before={"runs": count})
    return held


@transaction.atomic
def restore_experiment(experiment: Experiment, *, by: Actor) -> Experiment:
    """Bring it back with the runs that were deleted with it. Raises NotFound unless it is deleted, Forbidden."""
    held = _held(experiment)
    _require_deleting(by, held)
    if held.deleted_at is None:
        raise NotFound(f"No deleted Experiment with id={held.pk} exists.")
    count = Run.objects.filter(experiment=held, deleted_at=held.deleted_at).update(deleted_at=None)
    held.deleted_at, held.updated_at = None, timezone.now()
    held.save(update_fields=["deleted_at", "updated_at"])
    audit.record("experiment.restored", by=by, subject=held.name, after={"runs": count})
    return held


def _check_tag(key: str, value: str) -> str:
    if not key or len(key) > MAX_KEY or "\0" in key:
        raise Invalid("key", f"'key' has 1 to {MAX_KEY} characters.")
    if len(value) > MAX_TAG:
        raise Invalid("value", f"'value' exceeds the maximum length of {MAX_TAG} characters.")
    if "\0" in value:
        raise Invalid("value", "May not contain NUL.")
    return value


@transaction.atomic
def set_experiment_tag(experiment: Experiment, *, key: str, value: str, by: Actor) -> None:
    """Raises Invalid, Frozen once deleted, Forbidden."""
    held = _held(experiment)
    require_logging(by, held.team)
    require_active(held)
    ExperimentTag.objects.update_or_create(
        experiment=held, key=key, defaults={"value": _check_tag(key, value)}
    )


@transaction.atomic
def delete_experiment_tag(experiment: Experiment, *, key: str, by: Actor) -> None:
    """Raises NotFound without such a tag, Frozen once deleted, Forbidden."""
    held = _held(experiment)
    require_logging(by, held.team)
    require_active(held)
    found = "\0" not in key and ExperimentTag.objects.filter(experiment=held, key=key).delete()[0]
    if not found:
        raise NotFound(f"No tag with name: {key[:250]} in experiment with id {held.pk}")
