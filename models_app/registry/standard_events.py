"""What webhooks made with Modelry's own API hear of: names, payloads, examples. Signed as Standard Webhooks say.

A payload's fields are only ever added to; one that has to change its meaning gets a new VERSION. Pure tables and
functions of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models_app.models import TransitionKind

from . import addresses

VERSION = 1
Payload = Mapping[str, Any]

MOVED, PROMOTED, ROLLED_BACK = "version.moved", "version.promoted", "version.rolled_back"
_REQUEST: dict[str, Any] = {
    "request": 42,
    "url": "https://models.example.com/approvals/42/",
    "model": "vision/defects",
    "version": 13,
    "to_stage": "production",
    "state": "open",
    "by": "hanna",
    "text": "Fewer false alarms at the same recall.",
}
_VERSION: dict[str, Any] = {
    "model": "vision/defects",
    "version": 13,
    "url": "https://models.example.com/models/vision/defects@13/",
    "is_prompt": False,
    "by": "li.wei",
    "text": "Fewer false alarms at the same recall.",
}


def _request(**changes: Any) -> dict[str, Any]:
    return {**_REQUEST, **changes}


# Every event, with the data that a test sends.
EXAMPLES: dict[str, dict[str, Any]] = {
    "promotion.requested": _request(),
    "promotion.review_requested": _request(reviewers=["li.wei"], text="li.wei"),
    "promotion.reviewed": _request(verdict="approved", by="li.wei", text="approved: Report read."),
    "promotion.commented": _request(by="li.wei", text="Which night shifts are in the test data?"),
    "promotion.dismissed": _request(
        by="system", text="What was reviewed has changed; 1 review no longer count."
    ),
    "promotion.promoted": _request(state="promoted", by="li.wei", text=""),
    "promotion.rejected": _request(state="rejected", by="li.wei", text="Too slow."),
    "promotion.withdrawn": _request(state="withdrawn", text="v14 comes tomorrow."),
    "promotion.expired": _request(state="expired", by="system", text=""),
    "promotion.emergency": _request(state="promoted", text="The line stands still.\n\nSkipped: 1 approval."),
    "promotion.review_due": _request(state="promoted", by="system", text=""),
    "promotion.reviewed_after": _request(state="promoted", by="li.wei", text="It was right to."),
    MOVED: {**_VERSION, "from_stage": "staging", "to_stage": "production", "kind": "move"},
    PROMOTED: {**_VERSION, "former": 12},
    ROLLED_BACK: {**_VERSION, "version": 12, "taken_out": 13, "text": "Misses scratches."},
}


def heard_as(name: str, payload: Payload) -> list[str]:
    """The names under which an outbox event is heard; none for most."""
    if name != MOVED:
        return [name] if name.startswith("promotion.") and name in EXAMPLES else []
    found = [MOVED]
    if is_promotion(payload):
        found.append(PROMOTED)
    if is_rollback(payload):
        found.append(ROLLED_BACK)
    return found


def is_promotion(payload: Payload) -> bool:
    """Whether a move brought a version into production that was not there just before."""
    return bool(payload["to"] == "production" and payload["kind"] == TransitionKind.MOVE)


def is_rollback(payload: Payload) -> bool:
    """Whether a move stands for a rollback; those it causes do not."""
    return "restored" in payload


def data_of(name: str, payload: Payload) -> dict[str, Any]:
    """What is told under one of the names in `heard_as`."""
    if name.startswith("promotion."):
        return _of_request(payload)
    number = payload["restored"] if name == ROLLED_BACK else payload["version"]
    data: dict[str, Any] = {
        "model": payload["name"],
        "version": number,
        "url": addresses.absolute(addresses.of_version(payload["name"], number)),
        "is_prompt": bool(payload.get("is_prompt")),
        "by": payload.get("by", ""),
        "text": payload.get("text", ""),
    }
    if name == MOVED:
        data |= {"from_stage": payload["from"], "to_stage": payload["to"], "kind": payload["kind"]}
    elif name == PROMOTED:
        data["former"] = payload.get("former")
    else:
        data["taken_out"] = payload["taken_out"]
    return data


def _of_request(payload: Payload) -> dict[str, Any]:
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
    return data | {name: payload[name] for name in ("verdict", "reviewers") if name in payload}


def body(name: str, *, data: Mapping[str, Any], at: datetime) -> str:
    """The exact text that is sent and signed, as the specification likes it: type, timestamp, data."""
    stamp = at.astimezone(UTC).isoformat()
    return json.dumps({"type": name, "version": VERSION, "timestamp": stamp, "data": data})
