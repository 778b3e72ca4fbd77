"""The way back from an incident: a version that was trained because of it, and its promotion, which ends it."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils import timezone

from models_app.models import (
    Incident,
    IncidentState,
    ModelVersion,
    Resolution,
    Retraining,
    StageTransition,
)

from . import audit, incident_facts, prepared
from .access import Actor
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


# Nearly no promotion is of a retrained version; that costs one quick question.
_ANSWERS = Prepared(
    lambda version, open_, taken: Retraining.objects.filter(
        version=version, incident__state__in=[open_, taken]
    ).values_list("incident"),
    int,
    str,
    str,
)


def entered_production(version: ModelVersion, transition: StageTransition, *, by: Actor) -> None:
    """A version enters production: the incident that it was trained because of, if that is not over, ends with it.

    The model is locked.
    """
    for (pk,) in _ANSWERS(version.pk, IncidentState.OPEN.value, IncidentState.ACKNOWLEDGED.value):
        incident_facts.end(
            Incident.objects.get(pk=pk),
            version.model,
            by=by,
            resolution=Resolution.RETRAINED,
            reason=f"v{version.number}, trained because of it, is in production.",
            transition=transition,
            version=version.number,
        )
