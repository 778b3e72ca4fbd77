"""Moments in a query string, for pages and APIs alike."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django_filters.fields import IsoDateTimeField  # type: ignore[import-untyped]

from models_app.registry.errors import Invalid

EARLIEST, LATEST = datetime(1900, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)


class MomentField(IsoDateTimeField):
    """A moment that every database can compare with."""

    def to_python(self, value: Any) -> Any:
        moment = super().to_python(value)
        if moment is None:
            return None
        try:
            # In UTC: databases know fewer offsets than Python.
            moment = moment.astimezone(UTC)
        except OverflowError:
            moment = LATEST
        if not EARLIEST <= moment < LATEST:
            raise forms.ValidationError("A moment from 1900 to 9998, like 2026-05-03T12:00:00Z.")
        return moment


def moment_in(name: str, text: str | None) -> datetime | None:
    """The moment of a query parameter; None where it is not given. Raises Invalid(name)."""
    try:
        moment: datetime | None = MomentField(required=False).clean(text or "")
    except forms.ValidationError as error:
        raise Invalid(name, " ".join(error.messages)) from error
    return moment
