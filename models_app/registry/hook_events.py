"""What a webhook can hear of: from the outbox's events to the words of MLflow's, and their payloads.

Pure tables and functions of them; who is told stands in webhooks.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from models_app.models import ModelVersion, OutboxEvent, RegisteredModel, Stage

from .names import flat

# Ours, not MLflow's: its clients know no such event.
STAGE_MOVED = "model_version_stage.transitioned"
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
}
# Tags that make a prompt what it is, and are no news.
_PROMPT_MARKS = frozenset({"mlflow.prompt.is_prompt", "_mlflow_prompt_type"})
_PROMPT_TEXT = "mlflow.prompt.text"
_STAGES = {
    Stage.DEV.value: "None",
    Stage.STAGING.value: "Staging",
    Stage.PRODUCTION.value: "Production",
    Stage.ARCHIVED.value: "Archived",
}


@dataclass(frozen=True, slots=True)
class _Fact:
    """An outbox event with the rows it speaks of, as far as they are still there."""

    payload: Mapping[str, Any]
    model: RegisteredModel | None
    is_prompt: bool

    @property
    def version(self) -> ModelVersion | None:
        if self.model is None:
            return None
        return ModelVersion.objects.filter(model=self.model, number=self.payload["version"]).first()


def _same(*names: str) -> Callable[[_Fact], dict[str, Any]]:
    """Fields as they are in the outbox; version numbers are texts on this wire."""

    def take(fact: _Fact) -> dict[str, Any]:
        found: dict[str, Any] = {"name": flat(str(fact.payload.get("name", "")))}
        for name in names:
            value = fact.payload.get(name)
            found[name] = str(value) if name == "version" else value
        return found

    return take


def _tags(row: RegisteredModel | ModelVersion | None, *, is_prompt: bool) -> dict[str, str]:
    tags: dict[str, str] = dict(row.tags.values_list("key", "value")) if row is not None else {}
    if is_prompt:
        tags = {key: value for key, value in tags.items() if key not in _PROMPT_MARKS | {_PROMPT_TEXT}}
    return tags


def _model_made(fact: _Fact) -> dict[str, Any]:
    return {
        **_same()(fact),
        "tags": _tags(fact.model, is_prompt=fact.is_prompt),
        "description": (fact.model.purpose or fact.model.card or None) if fact.model else None,
    }


def _version_made(fact: _Fact) -> dict[str, Any]:
    version = fact.version
    described = {
        "tags": _tags(version, is_prompt=fact.is_prompt),
        "description": (version.description or None) if version else None,
    }
    if fact.is_prompt:
        text = (
            version.tags.filter(key=_PROMPT_TEXT).values_list("value", flat=True).first() if version else None
        )
        return {**_same("version")(fact), "template": text, **described}
    return {
        **_same("version")(fact),
        "source": version.source if version else "",
        "run_id": (version.training_run_id or None) if version else None,
        **described,
    }


def _stage_moved(fact: _Fact) -> dict[str, Any]:
    return {
        **_same("version")(fact),
        "from_stage": _STAGES[fact.payload["from"]],
        "to_stage": _STAGES[fact.payload["to"]],
    }


# Outbox event → the event about a model, the event about a prompt (none: nobody is told), and its payload.
TABLE: dict[str, tuple[str, str, Callable[[_Fact], dict[str, Any]]]] = {
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
    "version.moved": (STAGE_MOVED, "", _stage_moved),
    "alias.set": ("model_version_alias.created", "prompt_alias.created", _same("alias", "version")),
    "alias.deleted": ("model_version_alias.deleted", "prompt_alias.deleted", _same("alias")),
}


def heard_as(event: OutboxEvent, model: RegisteredModel | None) -> str:
    """The name under which webhooks hear of an outbox event; empty when they do not."""
    about_model, about_prompt, _ = TABLE.get(event.name, ("", "", _same()))
    return about_prompt if _is_prompt(event, model) else about_model


def data_of(event: OutboxEvent, model: RegisteredModel | None) -> dict[str, Any]:
    """What a webhook is told of it, from the outbox row and, where that says less, from the rows as they are now."""
    fact = _Fact(event.payload, model, _is_prompt(event, model))
    return TABLE[event.name][2](fact)


def _is_prompt(event: OutboxEvent, model: RegisteredModel | None) -> bool:
    return model.is_prompt if model is not None else bool(event.payload.get("is_prompt"))


def body(name: str, *, data: Mapping[str, Any], at: datetime) -> str:
    """The exact text that is sent and signed."""
    entity, _, action = name.partition(".")
    stamp = at.astimezone(UTC).isoformat()
    return json.dumps({"entity": entity, "action": action, "timestamp": stamp, "data": data})
