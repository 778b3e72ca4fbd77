"""What is said of an incident, and how one ends: for what observations, people and promotions do to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from models_app.models import Incident, IncidentState, RegisteredModel, Resolution, StageTransition

from . import audit, events
from .access import Actor
from .names import flat


def of(incident: Incident, model: RegisteredModel) -> dict[str, Any]:
    """What each event of an incident says."""
    return {
        "name": model.name,
        "flat_name": flat(model.name),
        "incident": incident.pk,
        "state": incident.state,
        "opened_at": incident.opened_at.isoformat(),
    }


def sentence(facts: Mapping[str, Any]) -> str:
    """`psi of amount in eu: 0.31, above 0.25 3 times in a row`."""
    feature = f" of {facts['feature']}" if facts["feature"] else ""
    times = f" {facts['in_a_row']} times in a row" if facts["in_a_row"] > 1 else ""
    return (
        f"{facts['observed']}{feature} in {facts['environment']}: {facts['value']:.4g}, "
        f"{facts['comparison']} {facts['limit']:.4g}{times}"
    )


def end(
    incident: Incident,
    model: RegisteredModel,
    *,
    by: Actor,
    resolution: Resolution,
    reason: str,
    transition: StageTransition | None = None,
    version: int | None = None,
) -> None:
    """Resolve an incident that is not; the model is locked."""
    before = incident.state
    incident.state, incident.resolution = IncidentState.RESOLVED, resolution
    incident.resolved_at, incident.resolved_by = timezone.now(), by.user
    incident.reason, incident.transition = reason, transition
    incident.save(update_fields=["state", "resolution", "resolved_at", "resolved_by", "reason", "transition"])
    audit.record(
        "incident.resolved",
        by=by,
        subject=model.name,
        model=model,
        before={"state": before},
        after={"incident": incident.pk, "resolution": resolution.value}
        | ({"version": version} if version else {}),
        reason=reason,
    )
    events.emit(
        "model.drift_resolved",
        model=model,
        payload={
            **of(incident, model),
            "resolution": resolution.value,
            "version": version,
            "by": by.name,
            "by_id": by.user.pk if by.user else None,
            "text": reason,
        },
    )


def reopen(
    incident: Incident,
    model: RegisteredModel,
    *,
    by: Actor,
    why: str,
    version: int,
    environment: str = "",
) -> None:
    """An incident that was over is not, since this version serves again; the model is locked and has no other."""
    before = {"state": incident.state, "resolution": incident.resolution, "reason": incident.reason}
    taken_up = incident.acknowledged_at is not None
    incident.state = IncidentState.ACKNOWLEDGED.value if taken_up else IncidentState.OPEN.value
    incident.resolution = incident.reason = ""
    incident.resolved_at = incident.resolved_by = incident.transition = None
    incident.reopened_at, incident.reopened_because = timezone.now(), why
    incident.save()
    audit.record(
        "incident.reopened",
        by=by,
        subject=model.name,
        model=model,
        before=before,
        after={"incident": incident.pk, "state": incident.state, "version": version},
        reason=why,
    )
    events.emit(
        "model.drift_reopened",
        model=model,
        payload={
            **of(incident, model),
            "version": version,
            "environment": environment,
            "by": by.name,
            "by_id": by.user.pk if by.user else None,
            "text": why,
        },
    )
