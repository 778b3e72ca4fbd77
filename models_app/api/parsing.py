"""What is sent: strict JSON of bounded size and depth, and fields that take nothing for something else."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.parsers import BaseParser

from models_app.http import bodies, limits
from models_app.registry.errors import Invalid

MAX_DEPTH = 32


def read_json(data: bytes, *, field: str = "body") -> Any:
    """Strict JSON: UTF-8, no doubled keys, no NaN or Infinity, no NUL or broken characters, at most MAX_DEPTH deep.

    Raises Invalid(field).
    """
    try:
        value = json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise Invalid(field, "This is not UTF-8 text.") from error
    except RecursionError as error:
        raise Invalid(field, f"Nested more than {MAX_DEPTH} deep.") from error
    except ValueError as error:
        raise Invalid(field, f"This is not JSON as it is taken here: {error}") from error
    _check(value, field)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has the same key twice.")
    return result


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON.")


def _check(root: Any, field: str) -> None:
    level = [root]
    for _ in range(MAX_DEPTH):
        if not level:
            return
        below: list[Any] = []
        for value in level:
            if isinstance(value, str):
                if "\0" in value or (
                    not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value)
                ):
                    raise Invalid(field, "Text may not contain NUL or half surrogates.")
            elif isinstance(value, dict):
                below += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                below += value
            elif isinstance(value, float) and not math.isfinite(value):
                raise Invalid(field, "A number is too large.")
        level = below
    if level:
        raise Invalid(field, f"Nested more than {MAX_DEPTH} deep.")


class LimitedJSONParser(BaseParser):
    """JSON of bounded size and depth."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        request = getattr(stream, "_request", stream)
        return read_json(b"".join(bodies.chunks(request, limit=limits.json_bytes())))


class Strict(serializers.Serializer):
    """What a body may hold: unknown fields are refused, so that a misspelled one is not lost silently."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({name: ["There is no such field."] for name in unknown})
        return super().to_internal_value(data)


class Text(serializers.CharField):
    """Text as it was sent: numbers are no text, and the verbs say what is too long or empty."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_blank": True, "trim_whitespace": False, **options})

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


@extend_schema_field({"oneOf": [{"type": "string", "maxLength": 255}, {"type": "integer"}]})
class Revision(Text):
    """A version of a model: its number as answers have it, or a text (number, stage, alias or “latest”)."""

    def to_internal_value(self, data: Any) -> str:
        is_number = isinstance(data, int) and not isinstance(data, bool)
        return super().to_internal_value(str(data) if is_number else data)


class Switch(serializers.BooleanField):
    """true or false, and nothing that looks like it."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Number(serializers.FloatField):
    """A finite number as it was sent: text and true are none."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            return super().to_internal_value(data)
        except OverflowError:
            self.fail("invalid")


class Moment(serializers.DateTimeField):
    """A moment with its time zone: without one nobody knows when it was."""

    def enforce_timezone(self, value: datetime) -> datetime:
        if value.tzinfo is None:
            raise serializers.ValidationError("A moment with its time zone, as in 2026-12-20T18:00:00Z.")
        return super().enforce_timezone(value)
