"""The fields of a registered model that people and clients may set, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models_app.models import RegisteredModel, Risk, Team, Visibility

from . import metadata
from .errors import FieldProblem, Invalid

FIELDS = (
    "team",
    "owner",
    "visibility",
    "purpose",
    "card",
    "task",
    "library",
    "license",
    "risk_level",
    "headline_metric",
    "tags",
)
MAX_CARD = 500_000


def clean(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Checked fields of a model; raises Invalid listing every problem."""
    found: dict[str, Any] = {}
    problems: list[FieldProblem] = []
    for name, value in fields.items():
        try:
            found[name] = _clean(name, value)
        except Invalid as error:
            problems.extend(error.problems)
    if problems:
        raise Invalid.many(problems)
    return found


def _clean(name: str, value: Any) -> Any:
    if name == "team":
        return _find_team(value)
    if name == "owner":
        return metadata.find_person("owner", value)
    if name == "tags":
        return metadata.clean_tags(value)
    if name == "license":
        return metadata.clean_license("license", value)
    if name == "visibility":
        if value not in Visibility.values:
            raise Invalid(name, f"One of {', '.join(Visibility.values)}.")
        return value
    if name == "risk_level":
        if (value or "") not in Risk.values:
            raise Invalid(name, "One of low, medium, high, or empty.")
        return value or ""
    if name == "card":
        return metadata.clean_text(name, value, limit=MAX_CARD, lines=True, exact=True)
    if name in FIELDS:
        limit = getattr(RegisteredModel._meta.get_field(name), "max_length", None) or 500
        return metadata.clean_text(name, value, limit=limit)
    raise Invalid(str(name)[:100], "There is no such field.")


def _find_team(value: Any) -> Team | None:
    if value in (None, "") or isinstance(value, Team):
        return value or None
    team = Team.objects.filter(slug=str(value)[:64]).first()
    if team is None:
        raise Invalid("team", f"There is no team “{str(value)[:64]}”.")
    return team
