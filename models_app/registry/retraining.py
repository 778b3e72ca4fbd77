"""The way back from an incident: a version that was trained because of it, which ends it when it serves."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils import timezone

from models_app.models import (
    Deployment,
    Follows,
    Incident,
    IncidentState,
    ModelVersion,
    Resolution,
    Retraining,
    Stage,
    StageTransition,
)

from . import audit, incident_facts, prepared
from .access import Actor
from .environments import following
from .errors import Conflict, Invalid
from .prepared import Prepared

TAG = "modelry.retrains"


def link(version: ModelVersion, number: str, *, by: Actor, field: str = "retrains") -> None:
    """Say that a version was trained because of an incident of its model, open or not. The model is locked.

    Saying it again does no harm. Raises Invalid(field) for what is no incident of the model, Conflict when the version
    was trained because of another.
    """
    text = number.strip().removeprefix("#")
    pk = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
    incident = Incident.objects.filter(model=version.model_id, pk=pk).first()
    if incident is None:
        raise Invalid(
            field, f"The number of an incident of {version.model.name}; there is none “{text[:20]}”."
        )
    there = Retraining.objects.filter(version=version).first()
    if there is not None and there.incident_id == incident.pk:
        return
    if there is not None:
        raise Conflict(
            f"{version} was trained because of incident {there.incident_id}.",
            next_step="Register another version for this one.",
        )
    prepared.insert(Retraining(version=version, incident=incident, at=timezone.now(), by=by.user))
    audit.record(
        "version.retrains",
        by=by,
        subject=str(version),
        model=version.model,
        after={"incident": incident.pk},
    )


def link_by_tags(version: ModelVersion, tags: Mapping[str, str], *, by: Actor) -> None:
    """The same where a client can only set tags: TAG has the number."""
    if TAG in tags:
        link(version, tags[TAG], by=by, field="tags")


def reason_for(version: ModelVersion) -> Incident | None:
    """The incident because of which a version was trained."""
    return Incident.objects.filter(retrainings__version=version).first()


# Nearly no promotion is of a retrained version, or of one that drifted; that costs two quick questions.
_ANSWERS = Prepared(
    lambda version, open_, taken: Retraining.objects.filter(
        version=version, incident__state__in=[open_, taken]
    ).values_list("incident"),
    int,
    str,
    str,
)
_ENDED = Prepared(
    lambda version, over, retrained: (
        Incident.objects.filter(
            state=over, resolution=retrained, breaches__series__deployment__version=version
        )
        .order_by("-id")
        .values_list("id")
    ),
    int,
    str,
    str,
)


def entered_production(version: ModelVersion, transition: StageTransition, *, by: Actor) -> None:
    """A version enters production. Where nobody deploys what does, it serves by that: the incident that it was trained
    because of ends, and one that it was the reason for is open again. The model is locked.
    """
    if (incident := _answered(version)) is not None and not _is_deployed(version):
        _end(incident, version, "in production", by=by, transition=transition)
    if (incident := _undone(version)) is not None and not _is_deployed(version):
        incident_facts.reopen(
            incident,
            version.model,
            by=by,
            version=version.number,
            why=f"v{version.number}, on which it was opened, is in production again.",
        )


def went_live(deployment: Deployment, *, by: Actor) -> None:
    """A version serves. The incident that it was trained because of ends with it, as soon as what drifted serves
    nowhere any more; one that a retrained version ended is open again when what drifted comes back, by a rollback for
    one. The model is locked.
    """
    version, environment = deployment.version, deployment.environment
    if (incident := _answered(version)) is not None:
        drifted = _drifted(incident)
        is_there = environment.pk in {one for one, _ in drifted} or version.stage == Stage.PRODUCTION
        if is_there and not _live_of(drifted):
            live = Deployment.objects.live().filter(version=version, environment__deleted_at=None)
            names = sorted(live.values_list("environment__name", flat=True))
            entered = StageTransition.objects.filter(version=version, to_stage=Stage.PRODUCTION)
            _end(
                incident,
                version,
                f"live in {' and '.join(names)}",
                by=by,
                transition=entered.order_by("-pk").first(),
            )
    if (incident := _undone(version)) is not None and (environment.pk, version.pk) in _drifted(incident):
        incident_facts.reopen(
            incident,
            version.model,
            by=by,
            version=version.number,
            environment=environment.name,
            why=f"v{version.number}, on which it was opened, serves in {environment} again.",
        )


def _answered(version: ModelVersion) -> Incident | None:
    """The incident because of which a version was trained, if it is not over."""
    rows = _ANSWERS(version.pk, IncidentState.OPEN.value, IncidentState.ACKNOWLEDGED.value)
    return Incident.objects.get(pk=rows[0][0]) if rows else None


def _undone(version: ModelVersion) -> Incident | None:
    """The model's last incident, if this version drifted and a retrained one ended it."""
    rows = _ENDED(version.pk, IncidentState.RESOLVED.value, Resolution.RETRAINED.value)
    if not rows:
        return None
    last = Incident.objects.filter(model=version.model_id).order_by("-pk").first()
    return last if last is not None and last.pk == rows[0][0] else None


def _drifted(incident: Incident) -> set[tuple[int, int]]:
    """(environment, version) of what went beyond a limit."""
    pairs = incident.breaches.values_list("series__deployment__environment", "series__deployment__version")
    return set(pairs)


def _live_of(drifted: set[tuple[int, int]]) -> bool:
    """Whether any of it still serves where it drifted."""
    live = Deployment.objects.live().filter(
        version__in={version for _, version in drifted}, environment__deleted_at=None
    )
    return not drifted.isdisjoint(live.values_list("environment", "version"))


def _is_deployed(version: ModelVersion) -> bool:
    """Whether something deploys what enters production: then what counts is that it is live."""
    model = version.model
    return bool(following(model, Follows.STAGE, Stage.PRODUCTION)) or (
        Deployment.objects.live().filter(model=model, environment__deleted_at=None).exists()
    )


def _end(
    incident: Incident, version: ModelVersion, where: str, *, by: Actor, transition: StageTransition | None
) -> None:
    incident_facts.end(
        incident,
        version.model,
        by=by,
        resolution=Resolution.RETRAINED,
        reason=f"v{version.number}, trained because of it, is {where}.",
        transition=transition,
        version=version.number,
    )
