"""Incidents: who sees them, takes them up and resolves them. What opens them: drift.py; what else ends them:
retraining.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from models_app.models import Breach, Incident, IncidentState, RegisteredModel, Resolution, Retraining

from . import audit, incident_facts, lifecycle, prepared
from .access import Actor, Right, may_on, models_for, require_on, require_reading
from .errors import Conflict, Forbidden, Invalid, NotFound


def incidents_for(actor: Actor) -> QuerySet[Incident]:
    """Incidents of the models that the actor may read, newest first, with what went beyond and which versions were
    trained because of it. Raises Unauthenticated, Forbidden.
    """
    require_reading(actor)
    rows = Incident.objects.select_related(
        "model__team",
        "acknowledged_by",
        "resolved_by",
        "transition__version",
        "transition__request",
        "transition__by",
    )
    rows = rows.prefetch_related(
        Prefetch(
            "breaches",
            Breach.objects.select_related(
                "series__deployment__environment", "series__deployment__version", "threshold"
            ),
        ),
        Prefetch(
            "retrainings",
            Retraining.objects.select_related("version__model", "by").order_by("version__number"),
        ),
    )
    if actor.readable_teams is not None:
        rows = rows.filter(model__in=models_for(actor))
    return rows.order_by("-id")


def get_incident(number: int, *, by: Actor) -> Incident:
    """Raises NotFound."""
    found = incidents_for(by).filter(pk=number).first()
    if found is None:
        raise NotFound(f"There is no incident {number} that you may see.")
    return found


def unresolved(model: RegisteredModel) -> Incident | None:
    """The one that a model has now."""
    return Incident.objects.filter(model=model).exclude(state=IncidentState.RESOLVED).first()


def may_answer(incident: Incident, *, by: Actor) -> bool:
    """Whether the actor may take it up and resolve it: people with a role that moves versions of the model."""
    is_machine = by.user is not None and by.user.is_service
    return not is_machine and may_on(by, Right.MOVE, incident.model)


def acknowledge(incident: Incident, *, by: Actor, reason: str = "") -> Incident:
    """Take an open incident up: it no longer ends by itself. Raises Conflict when it is not open, Forbidden."""
    note = lifecycle.clean_reason(reason)
    with _held(incident, by=by) as current:
        if current.state != IncidentState.OPEN:
            raise Conflict(f"Incident {current.pk} is {current.get_state_display().lower()} already.")
        current.state = IncidentState.ACKNOWLEDGED.value
        current.acknowledged_at, current.acknowledged_by = timezone.now(), by.user
        current.acknowledgement = note
        prepared.update(current, "state", "acknowledged_at", "acknowledged_by", "acknowledgement")
        audit.record(
            "incident.acknowledged",
            by=by,
            subject=current.model.name,
            model=current.model,
            before={"state": IncidentState.OPEN.value},
            after={"incident": current.pk, "state": current.state},
            reason=note,
        )
    return current


def resolve(incident: Incident, *, by: Actor, reason: str) -> Incident:
    """End an incident, saying why. Raises Invalid without a reason, Conflict when it is over, Forbidden."""
    why = lifecycle.clean_reason(reason)
    if not why:
        raise Invalid("reason", "Say why: whoever reads the history later will ask.")
    with _held(incident, by=by) as current:
        if current.is_over:
            raise Conflict(f"Incident {current.pk} is resolved already.")
        incident_facts.end(current, current.model, by=by, resolution=Resolution.PERSON, reason=why)
    return current


@contextmanager
def _held(incident: Incident, *, by: Actor) -> Iterator[Incident]:
    """The incident as it is now, its model locked, for one who may answer it."""
    with transaction.atomic():
        model = lifecycle.lock(incident.model)
        current = Incident.objects.filter(pk=incident.pk).first()
        if current is None:
            raise NotFound(f"Incident {incident.pk} is gone.")
        current.model = model
        require_on(by, Right.MOVE, model)
        if not may_answer(current, by=by):
            raise Forbidden(
                "Service accounts do not answer incidents.",
                next_step="Ask somebody of its team; a version registered with “retrains” ends it when it serves.",
            )
        yield current
