"""What webhooks made with Modelry's own API hear of. Signed as Standard Webhooks say.

To tell of something new: emit it to the outbox, and declare it once in EVENTS. Its payload, its example, its schema in
the OpenAPI document and the list on the page follow.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models_app.models import RequestState, TransitionKind, Verdict

from . import addresses, deployment_events, drift_events
from .event_schemas import Event, Fields, Payload, address, declare, stage, switch, text, texts, whole

MOVED, PROMOTED, ROLLED_BACK = "version.moved", "version.promoted", "version.rolled_back"


def is_promotion(payload: Payload) -> bool:
    """Whether a move brought a version into production that was not there just before."""
    return bool(payload["to"] == "production" and payload["kind"] == TransitionKind.MOVE)


def is_rollback(payload: Payload) -> bool:
    """Whether a move stands for a rollback; those it causes do not."""
    return "restored" in payload


# --- fields, and what fills them ------------------------------------------------------------------------------

_MODEL = text("Name of the model.", "vision/defects")
_BY = text("Username of who did it, or “system”.", "li.wei")
_REQUEST: Fields = {
    "request": whole("Number of the promotion request.", 42),
    "url": address("Its page.", "/approvals/42/"),
    "model": _MODEL,
    "version": whole("Number of the version.", 13),
    "to_stage": stage("Where it is to go.", "production"),
    "state": text("How the request stands after this.", "open", enum=RequestState.values),
    "by": _BY,
    "text": text("The reason, or what was said.", "Fewer false alarms at the same recall."),
}
_VERSION: Fields = {
    "model": _MODEL,
    "version": whole("Number of the version.", 13),
    "url": address("Its page.", "/models/vision/defects@13/"),
    "is_prompt": switch("Whether the model is a prompt.", False),
    "by": _BY,
    "text": text("The reason that was given.", "Fewer false alarms at the same recall."),
}


def _of_request(payload: Payload, fields: Fields) -> dict[str, Any]:
    data = {
        "request": payload["request"],
        "url": addresses.absolute(addresses.of_request(payload["request"])),
        "model": payload["name"],
        "version": payload["version"],
        "to_stage": payload["to"],
        "state": payload["state"],
        "by": payload["by"],
        "text": payload.get("text", ""),
    }
    return data | {name: payload.get(name) for name in fields if name not in data}


def _of_version(payload: Payload, number: int) -> dict[str, Any]:
    return {
        "model": payload["name"],
        "version": number,
        "url": addresses.absolute(addresses.of_version(payload["name"], number)),
        "is_prompt": bool(payload.get("is_prompt")),
        "by": payload.get("by", ""),
        "text": payload.get("text", ""),
    }


def _moved(payload: Payload, fields: Fields) -> dict[str, Any]:
    stages = {"from_stage": payload["from"], "to_stage": payload["to"], "kind": payload["kind"]}
    return _of_version(payload, payload["version"]) | stages


def _promoted(payload: Payload, fields: Fields) -> dict[str, Any]:
    return _of_version(payload, payload["version"]) | {"former": payload.get("former")}


def _rolled_back(payload: Payload, fields: Fields) -> dict[str, Any]:
    return _of_version(payload, payload["restored"]) | {"taken_out": payload["taken_out"]}


def _about_request(name: str, when: str, more: Fields | None = None, **example: Any) -> Event:
    return Event(f"promotion.{name}", when, {**_REQUEST, **(more or {})}, tell=_of_request, example=example)


# --- the events -----------------------------------------------------------------------------------------------

EVENTS = declare(
    _about_request("requested", "somebody asks to promote a version", by="hanna"),
    _about_request(
        "review_requested",
        "people are asked for a review by name",
        {"reviewers": texts("Usernames of who is asked.", ["li.wei"])},
        by="hanna",
        text="li.wei",
    ),
    _about_request(
        "reviewed",
        "a verdict is given that is not the last word",
        {"verdict": text("What the reviewer says.", "approved", enum=Verdict.values)},
        text="approved: Report read.",
    ),
    _about_request("commented", "somebody says something", text="Which night shifts are in the test data?"),
    _about_request(
        "dismissed",
        "what was reviewed has changed, so that reviews no longer count",
        by="system",
        text="What was reviewed has changed; 1 review no longer count.",
    ),
    _about_request("promoted", "a request ends with the promotion", state="promoted", text=""),
    _about_request("rejected", "a request is rejected", state="rejected", text="Too slow."),
    _about_request(
        "withdrawn",
        "a request is taken back",
        by="hanna",
        state="withdrawn",
        text="v14 comes tomorrow.",
    ),
    _about_request(
        "expired", "a request ran out of time without a decision", state="expired", by="system", text=""
    ),
    _about_request(
        "emergency",
        "an admin promotes past approvals",
        state="promoted",
        by="hanna",
        text="The line stands still.\n\nSkipped: 1 approval.",
    ),
    _about_request(
        "review_due",
        "nobody reviewed an emergency within a day, and again each week",
        state="promoted",
        by="system",
        text="",
    ),
    _about_request(
        "reviewed_after", "somebody reviewed an emergency", state="promoted", text="It was right to."
    ),
    Event(
        MOVED,
        "a version moves between stages, also when another move causes it",
        {
            **_VERSION,
            "from_stage": stage("Where it was.", "staging"),
            "to_stage": stage("Where it is.", "production"),
            "kind": text("What moved it.", "move", enum=TransitionKind.values),
        },
        tell=_moved,
    ),
    Event(
        PROMOTED,
        "a version enters production, whichever way",
        {**_VERSION, "former": whole("Number of the version it replaced, or null.", 12, null=True)},
        of=MOVED,
        applies=is_promotion,
        tell=_promoted,
    ),
    Event(
        ROLLED_BACK,
        "a model goes back to an earlier version, which `version` names",
        {**_VERSION, "taken_out": whole("Number of the version that was taken out.", 13)},
        of=MOVED,
        applies=is_rollback,
        tell=_rolled_back,
        example={"version": 12, "text": "Misses scratches."},
    ),
    *deployment_events.EVENTS,
    *drift_events.EVENTS,
)
# Every event, with the data that a test sends.
EXAMPLES: dict[str, dict[str, Any]] = {name: event.example_data() for name, event in EVENTS.items()}
_BY_SOURCE: dict[str, list[Event]] = {}
for _event in EVENTS.values():
    _BY_SOURCE.setdefault(_event.source, []).append(_event)


def heard_as(name: str, payload: Payload) -> list[str]:
    """The names under which an outbox event is heard; none for most."""
    return [event.name for event in _BY_SOURCE.get(name, ()) if event.applies(payload)]


def data_of(name: str, payload: Payload) -> dict[str, Any]:
    """What is told under one of the names in `heard_as`."""
    return EVENTS[name].data(payload)


def body(name: str, *, data: Mapping[str, Any], at: datetime) -> str:
    """The exact text that is sent and signed, as the specification likes it: type, timestamp, data."""
    stamp = at.astimezone(UTC).isoformat()
    return json.dumps({"type": name, "version": EVENTS[name].version, "timestamp": stamp, "data": data})
