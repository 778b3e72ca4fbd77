"""What a webhook can hear of: from the outbox's events to the words of its scheme, and their payloads.

Here are MLflow's words; Modelry's own are in standard_events.py. Pure tables and functions of them; who is told stands
in webhooks.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from models_app.models import Stage, WebhookScheme

from . import standard_events
from .names import flat

# Ours, not MLflow's: its clients know no such events.
STAGE_MOVED = "model_version_stage.transitioned"
PROMPT_STAGE_MOVED = "prompt_version_stage.transitioned"
OURS = frozenset({STAGE_MOVED, PROMPT_STAGE_MOVED})
# Every event, with the payload that a test sends. The examples are MLflow's own.
EXAMPLES: dict[str, dict[str, Any]] = {
    "registered_model.created": {
        "name": "example_model",
        "tags": {"example_key": "example_value"},
        "description": "An example registered model",
    },
    "model_version.created": {
        "name": "example_model",
        "version": "1",
        "source": "models:/123",
        "run_id": "abcd1234abcd5678",
        "tags": {"example_key": "example_value"},
        "description": "An example model version",
    },
    "model_version_tag.set": {
        "name": "example_model",
        "version": "1",
        "key": "example_key",
        "value": "example_value",
    },
    "model_version_tag.deleted": {"name": "example_model", "version": "1", "key": "example_key"},
    "model_version_alias.created": {"name": "example_model", "alias": "example_alias", "version": "1"},
    "model_version_alias.deleted": {"name": "example_model", "alias": "example_alias"},
    "prompt.created": {
        "name": "example_prompt",
        "tags": {"example_key": "example_value"},
        "description": "An example prompt",
    },
    "prompt_version.created": {
        "name": "example_prompt",
        "version": "1",
        "template": "Hello {{name}}!",
        "tags": {"example_key": "example_value"},
        "description": "An example prompt version",
    },
    "prompt_tag.set": {"name": "example_prompt", "key": "example_key", "value": "example_value"},
    "prompt_tag.deleted": {"name": "example_prompt", "key": "example_key"},
    "prompt_version_tag.set": {
        "name": "example_prompt",
        "version": "1",
        "key": "example_key",
        "value": "example_value",
    },
    "prompt_version_tag.deleted": {"name": "example_prompt", "version": "1", "key": "example_key"},
    "prompt_alias.created": {"name": "example_prompt", "alias": "example_alias", "version": "1"},
    "prompt_alias.deleted": {"name": "example_prompt", "alias": "example_alias"},
    # Accepted for the client's sake; nothing here has a budget.
    "budget_policy.exceeded": {
        "budget_policy_id": "bp-abc123",
        "budget_unit": "USD",
        "budget_amount": 100.0,
        "current_spend": 105.50,
        "duration_unit": "MONTHS",
        "duration_value": 1,
        "target_scope": "ENDPOINT",
        "workspace": "default",
        "target_value": "ep-abc123",
        "window_start": 1704067200000,
    },
    STAGE_MOVED: {
        "name": "example_model",
        "version": "1",
        "from_stage": "Staging",
        "to_stage": "Production",
    },
    PROMPT_STAGE_MOVED: {
        "name": "example_prompt",
        "version": "1",
        "from_stage": "Staging",
        "to_stage": "Production",
    },
}
# Tags that make a prompt what it is, and are no news; the text is told as its template.
_PROMPT_TEXT = "mlflow.prompt.text"
_PROMPT_MARKS = frozenset({"mlflow.prompt.is_prompt", "_mlflow_prompt_type", _PROMPT_TEXT})
_STAGES = {
    Stage.DEV.value: "None",
    Stage.STAGING.value: "Staging",
    Stage.PRODUCTION.value: "Production",
    Stage.ARCHIVED.value: "Archived",
}


Payload = Mapping[str, Any]


def _same(*names: str) -> Callable[[Payload], dict[str, Any]]:
    """Fields as they are in the outbox; version numbers are texts on this wire."""

    def take(payload: Payload) -> dict[str, Any]:
        found: dict[str, Any] = {"name": flat(payload["name"])}
        for name in names:
            value = payload.get(name)
            found[name] = str(value) if name == "version" else value
        return found

    return take


def _described(payload: Payload) -> dict[str, Any]:
    tags = payload.get("tags") or {}
    if payload.get("is_prompt"):
        tags = {key: value for key, value in tags.items() if key not in _PROMPT_MARKS}
    return {"tags": tags, "description": payload.get("description") or None}


def _model_made(payload: Payload) -> dict[str, Any]:
    return {**_same()(payload), **_described(payload)}


def _version_made(payload: Payload) -> dict[str, Any]:
    found = _same("version")(payload)
    if payload.get("is_prompt"):
        found["template"] = (payload.get("tags") or {}).get(_PROMPT_TEXT)
    else:
        # What came without a source is its own.
        found["source"] = payload.get("source") or f"models:/{found['name']}/{found['version']}"
        found["run_id"] = payload.get("run_id") or None
    return {**found, **_described(payload)}


def _stage_moved(payload: Payload) -> dict[str, Any]:
    return {
        **_same("version")(payload),
        "from_stage": _STAGES[payload["from"]],
        "to_stage": _STAGES[payload["to"]],
    }


# Outbox event → the event about a model, the event about a prompt (none: nobody is told), and its payload.
TABLE: dict[str, tuple[str, str, Callable[[Payload], dict[str, Any]]]] = {
    "model.registered": ("registered_model.created", "prompt.created", _model_made),
    "model.tag_set": ("", "prompt_tag.set", _same("key", "value")),
    "model.tag_deleted": ("", "prompt_tag.deleted", _same("key")),
    "version.registered": ("model_version.created", "prompt_version.created", _version_made),
    "version.tag_set": (
        "model_version_tag.set",
        "prompt_version_tag.set",
        _same("version", "key", "value"),
    ),
    "version.tag_deleted": (
        "model_version_tag.deleted",
        "prompt_version_tag.deleted",
        _same("version", "key"),
    ),
    "version.moved": (STAGE_MOVED, PROMPT_STAGE_MOVED, _stage_moved),
    "alias.set": ("model_version_alias.created", "prompt_alias.created", _same("alias", "version")),
    "alias.deleted": ("model_version_alias.deleted", "prompt_alias.deleted", _same("alias")),
}


def heard_as(name: str, payload: Payload) -> str:
    """The name under which webhooks hear of an outbox event; empty when they do not."""
    about_model, about_prompt, _ = TABLE.get(name, ("", "", _same()))
    return about_prompt if payload.get("is_prompt") else about_model


def data_of(name: str, payload: Payload) -> dict[str, Any]:
    """What a webhook is told of an outbox event of TABLE."""
    return TABLE[name][2](payload)


def body(name: str, *, data: Mapping[str, Any], at: datetime) -> str:
    """The exact text that is sent and signed."""
    entity, _, action = name.partition(".")
    stamp = at.astimezone(UTC).isoformat()
    return json.dumps({"entity": entity, "action": action, "timestamp": stamp, "data": data})


# --- whatever the scheme --------------------------------------------------------------------------------------


def examples(scheme: str) -> dict[str, dict[str, Any]]:
    """Every event that a hook of this scheme can ask for, with the data that a test sends."""
    return standard_events.EXAMPLES if scheme == WebhookScheme.STANDARD else EXAMPLES


def names(scheme: str, name: str, payload: Payload) -> list[str]:
    """The names under which hooks of this scheme hear of an outbox event; none when they do not."""
    if scheme == WebhookScheme.STANDARD:
        return standard_events.heard_as(name, payload)
    heard = heard_as(name, payload)
    return [heard] if heard else []


def message(scheme: str, heard: str, *, name: str, payload: Payload, at: datetime) -> str:
    """The body that tells an outbox event `name` under one of its `names`."""
    if scheme == WebhookScheme.STANDARD:
        return standard_events.body(heard, data=standard_events.data_of(heard, payload), at=at)
    return body(heard, data=data_of(name, payload), at=at)


def example(scheme: str, heard: str, *, at: datetime) -> str:
    """The body of a test."""
    write = standard_events.body if scheme == WebhookScheme.STANDARD else body
    return write(heard, data=examples(scheme)[heard], at=at)
