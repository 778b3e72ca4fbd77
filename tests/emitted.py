"""Whatever event a test causes, receivers would be told of it as its schema says. For all tests; see conftest.py."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from django.utils import timezone
from jsonschema import Draft202012Validator

from models_app.registry import events, standard_events


def check_message(name: str, body: dict[str, Any]) -> None:
    """A message is as its schema says, and says nothing beyond."""
    event = standard_events.EVENTS[name]
    _validator(name).validate(body)
    assert set(body) == set(event.schema()["properties"]), name
    assert set(body["data"]) == set(event.fields), name


@cache
def _validator(name: str) -> Draft202012Validator:
    schema = standard_events.EVENTS[name].schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def check_emitted(patch: Any) -> None:
    """Have every event checked as it is emitted."""
    emit = events.emit

    def checked(name: str, **about: Any) -> Any:
        event = emit(name, **about)
        for heard in standard_events.heard_as(name, event.payload):
            data = standard_events.data_of(heard, event.payload)
            check_message(heard, json.loads(standard_events.body(heard, data=data, at=timezone.now())))
        return event

    patch.setattr(events, "emit", checked)
