"""What is told of drift: that observations went beyond a limit, which can start a retraining; and that it is over."""

from __future__ import annotations

from typing import Any

from models_app.models import Comparison, IncidentState, Resolution

from . import addresses
from .event_schemas import Event, Fields, Payload, number, text, whole

DRIFTED, RESOLVED, REOPENED = NAMES = ("model.drifted", "model.drift_resolved", "model.drift_reopened")
_SITE = "https://models.example.com"

_INCIDENT: Fields = {
    "incident": whole("Number of the incident: register the retrained version with `retrains` set to it.", 7),
    "state": text("How the incident stands.", "open", enum=IncidentState.values),
    "model": text("Name of the model.", "risk/fraud-detector"),
    "url": text("The incident's page.", f"{_SITE}/incidents/7/", format="uri"),
    "opened_at": text("When it was opened.", "2026-05-03T12:00:00+00:00", format="date-time"),
    "by": text("Username of who posted or did it, or “system”.", "monitoring"),
    "text": text("What was seen, or why it ended.", "psi of amount in eu: 0.31, above 0.25 3 times in a row"),
}
_DRIFTED: Fields = {
    **_INCIDENT,
    "version": whole("Number of the version that is served.", 12),
    "models_uri": text("What clients of MLflow load.", "models:/risk--fraud-detector/12"),
    "deployment": whole("Number of the deployment that was observed.", 77),
    "environment": text("Name of its environment.", "eu"),
    "observed": text("Name of the observation that went beyond first.", "psi"),
    "feature": text("Of which feature; empty for none.", "amount"),
    "comparison": text("Which side of the limit is beyond.", "above", enum=Comparison.values),
    "limit": number("The limit.", 0.25),
    "value": number("The newest value.", 0.31),
    "in_a_row": whole("How many in a row it took.", 3),
    "observed_at": text("When that was observed.", "2026-05-03T11:59:00+00:00", format="date-time"),
}


def tell(payload: Payload, fields: Fields) -> dict[str, Any]:
    """The facts with the addresses that they are found under."""
    made = {
        "model": payload["name"],
        "url": addresses.absolute(addresses.of_incident(payload["incident"])),
        "models_uri": f"models:/{payload['flat_name']}/{payload.get('version')}",
    }
    return {field: made[field] if field in made else payload.get(field) for field in fields}


EVENTS = (
    Event(
        DRIFTED,
        "observations of a deployment went beyond a threshold and opened an incident on the model",
        _DRIFTED,
        tell=tell,
    ),
    Event(
        RESOLVED,
        "an incident on a model ended",
        {
            **_INCIDENT,
            "resolution": text("What ended it.", "retrained", enum=Resolution.values),
            "version": whole("Number of the retrained version, or null.", 13, null=True),
        },
        tell=tell,
        example={
            "state": "resolved",
            "by": "li.wei",
            "text": "v13, trained because of it, is live in eu.",
        },
    ),
    Event(
        REOPENED,
        "an incident that a retrained version ended is open again: what drifted serves again, after a rollback for one",
        {
            **_INCIDENT,
            "version": whole("Number of the version that serves again.", 12),
            "environment": text("Name of its environment; empty when it serves in none.", "eu"),
        },
        tell=tell,
        example={"by": "system", "text": "v12, on which it was opened, serves in eu again."},
    ),
)
