"""Small serializer and filter fields that several nouns share."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from models_app.http.moments import MomentField
from models_app.models import Stage, VersionMetric
from models_app.registry.errors import Invalid
from models_app.registry.search.grammar import parse_metrics


def person(source: str, help_text: str = "Username.") -> serializers.CharField:
    """A person by username, null when there is none."""
    return serializers.CharField(
        source=f"{source}.username", read_only=True, allow_null=True, help_text=help_text
    )


def number_of(source: str, help_text: str) -> serializers.IntegerField:
    """A version by number, null when there is none."""
    return serializers.IntegerField(
        source=f"{source}.number", read_only=True, allow_null=True, help_text=help_text
    )


class Pairs(serializers.DictField):
    """Rows with key and value as one object."""

    child = serializers.CharField()

    def to_representation(self, value: Any) -> dict[str, str]:
        return {row.key: row.value for row in value.all()}


class Names(serializers.ListField):
    """The names of rows."""

    child = serializers.CharField()

    def to_representation(self, value: Any) -> list[str]:
        return [row.name for row in value.all()]


@extend_schema_field(OpenApiTypes.DATETIME)
class MomentFilter(filters.IsoDateTimeFilter):
    field_class = MomentField


class _FlagField(forms.Field):
    def to_python(self, value: Any) -> bool | None:
        words = {"": None, "true": True, "1": True, "false": False, "0": False}
        try:
            return words[str(value or "").lower()]
        except KeyError:
            raise forms.ValidationError("Must be true or false.") from None


class Flag(filters.BooleanFilter):
    """`true` or `false`; any other word is refused, where Django's own would not filter at all."""

    field_class = _FlagField

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, widget=forms.TextInput)


def since(field: str) -> MomentFilter:
    """Rows at or after a moment."""
    return MomentFilter(field_name=field, lookup_expr="gte", label="At or after this moment.")


def before(field: str) -> MomentFilter:
    """Rows before a moment."""
    return MomentFilter(field_name=field, lookup_expr="lt", label="Before this moment.")


class TagFilter(filters.CharFilter):
    """`key` or `key=value`, repeated to narrow."""

    def filter(self, qs: QuerySet[Any], value: str) -> QuerySet[Any]:
        request = getattr(self.parent, "request", None)
        values = request.query_params.getlist("tag") if request is not None else [value]
        for one in filter(None, values):
            key, equals, wanted = one.partition("=")
            found = {f"{self.field_name}__key": key}
            if equals:
                found[f"{self.field_name}__value"] = wanted
            qs = qs.filter(**found)
        return qs


class Exactly(filters.CharFilter):
    """Equal text; `help` says what of."""

    def __init__(self, field_name: str | None = None, help: str = "", **options: Any) -> None:
        super().__init__(field_name=field_name, label=help or None, max_length=2000, strip=False, **options)


class MeasuredFilter(filters.CharFilter):
    """Versions whose metrics fit comparisons like `f1 > 0.9`."""

    operators = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte", "=": "exact"}

    def filter(self, qs: QuerySet[Any], value: str) -> QuerySet[Any]:
        for wanted in parse_metrics(value) if value else []:
            measured = VersionMetric.objects.filter(
                name=wanted.name, **{f"value__{self.operators[wanted.op]}": wanted.value}
            )
            qs = qs.filter(pk__in=measured.values("version"))
        return qs


def stage_in(request: Any) -> str:
    """The stage in a query string, production unless told. Raises Invalid("to")."""
    stage: str = request.query_params.get("to", Stage.PRODUCTION)
    if stage not in Stage.values:
        raise Invalid("to", f"One of {', '.join(Stage.values)}.")
    return stage


def switch_in(request: Any, name: str) -> bool:
    """A switch in a query string, off unless told. Raises Invalid(name)."""
    text = request.query_params.get(name, "").lower()
    if text not in ("", "0", "false", "1", "true"):
        raise Invalid(name, "true or false.")
    return text in ("1", "true")
