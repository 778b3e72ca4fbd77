"""How an event that webhooks hear of is declared: once, and its schema, example and payload all follow.

Pure: fields know their JSON Schema and an example; an `Event` knows which outbox event it tells and how. The events
themselves are in standard_events.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from models_app.models import Stage

from . import addresses

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an event's data: its JSON Schema, description included, and what stands in examples."""

    schema: Mapping[str, Any]
    example: Any


Fields = Mapping[str, Field]


def _field(kind: str, description: str, example: Any, *, null: bool, **more: Any) -> Field:
    return Field(
        {"type": [kind, "null"] if null else kind, "description": description, **more, "examples": [example]},
        example,
    )


def text(description: str, example: str | None, *, null: bool = False, **more: Any) -> Field:
    """A text; `more` is JSON Schema, `format` or `enum` say."""
    return _field("string", description, example, null=null, **more)


def whole(description: str, example: int | None, *, null: bool = False) -> Field:
    return _field("integer", description, example, null=null)


def number(description: str, example: float | None, *, null: bool = False) -> Field:
    return _field("number", description, example, null=null)


def switch(description: str, example: bool) -> Field:
    return _field("boolean", description, example, null=False)


def texts(description: str, example: list[str]) -> Field:
    return _field("array", description, example, null=False, items={"type": "string"})


def facts(description: str, example: dict[str, Any], *, null: bool = False) -> Field:
    """An object whose keys are not ours to name."""
    return _field("object", description, example, null=null)


def stage(description: str, example: str) -> Field:
    return text(description, example, enum=Stage.values)


def address(description: str, path: str) -> Field:
    """The whole address of a page of this site."""
    return text(description, f"https://models.example.com{path}", format="uri")


def as_emitted(payload: Payload, fields: Fields) -> dict[str, Any]:
    """The fields as the outbox has them. `model` is its `name` there, and `url` is made of its `path`."""
    found = {name: payload.get(name) for name in fields}
    if found.get("model", "") is None:
        found["model"] = payload["name"]
    if "url" in found and "path" in payload:
        found["url"] = addresses.absolute(payload["path"])
    return found


def _always(payload: Payload) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Event:
    """An event as receivers know it: `name`, in one sentence `when` it is sent, the `fields` of its data.

    `of` is the outbox event it tells, the same name unless said; `applies` chooses among those; `tell` makes the data
    of the payload (`as_emitted` unless said). `example` is what an example says otherwise than its fields do. A field
    may be added to a version of an event; one that changes its meaning makes `version` go up.
    """

    name: str
    when: str
    fields: Fields
    of: str = ""
    applies: Callable[[Payload], bool] = _always
    tell: Callable[[Payload, Fields], dict[str, Any]] = as_emitted
    example: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1

    @property
    def source(self) -> str:
        """Its name in the outbox."""
        return self.of or self.name

    def data(self, payload: Payload) -> dict[str, Any]:
        """What is told of an outbox event."""
        return self.tell(payload, self.fields)

    def example_data(self) -> dict[str, Any]:
        """What a test sends."""
        return {name: one.example for name, one in self.fields.items()} | dict(self.example)

    @property
    def schema_name(self) -> str:
        """How its schema is called in the OpenAPI document: `EventVersionPromotedV1`."""
        words = self.name.replace(".", "_").split("_")
        return "Event" + "".join(word.capitalize() for word in words) + f"V{self.version}"

    def schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12, as OpenAPI 3.1 has it) of a whole message. Receivers must bear added fields."""
        return {
            "type": "object",
            "description": f"Sent when {self.when}.",
            "required": ["type", "version", "timestamp", "data"],
            "properties": {
                "type": {"const": self.name},
                "version": {"const": self.version, "description": "Of this schema."},
                "timestamp": {"type": "string", "format": "date-time", "description": "When it happened."},
                "data": {
                    "type": "object",
                    "required": list(self.fields),
                    "properties": {name: dict(one.schema) for name, one in self.fields.items()},
                },
            },
        }


def declare(*events: Event) -> dict[str, Event]:
    """The events by name."""
    return {event.name: event for event in events}
