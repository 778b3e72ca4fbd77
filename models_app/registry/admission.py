"""Refusing before a long upload what would be refused after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models_app.models import Team

from . import model_fields, quotas
from .access import Actor, Right, get_model, require, team_of_new
from .errors import NotFound
from .metadata import clean_version_metadata
from .names import check_model_name


def check_registration(
    name: str,
    *,
    create_model: bool,
    fields: Mapping[str, Any],
    data: Mapping[str, Any],
    by: Actor,
    size: int = 0,
) -> Team:
    """Refuse missing rights, wrong metadata, and so many bytes where the team may not hold them; returns whose they
    would be.

    Raises what registering would: Invalid, NotFound, Forbidden, OverQuota.
    """
    try:
        team = get_model(name, by=by, right=Right.REGISTER).team
    except NotFound:
        if not create_model:
            raise
        check_model_name(name)
        team = team_of_new(name, model_fields.clean(fields).get("team"), by)
        require(by, Right.REGISTER, team)
    clean_version_metadata(data, at_registration=True)
    quotas.check(team.pk, size)
    return team


def check_right(name: str, team: Team | None, *, by: Actor) -> None:
    """Raises Forbidden for who may not, or no longer, register under that name, or in the team that a new model of it
    would be of.
    """
    try:
        get_model(name, by=by, right=Right.REGISTER)
    except NotFound:
        require(by, Right.REGISTER, team)
