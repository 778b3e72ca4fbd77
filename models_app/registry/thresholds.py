"""Limits on what deployments observe: of a model, of an environment, or of both together."""

from __future__ import annotations

import math
from fnmatch import fnmatchcase
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.models import (
    Comparison,
    Deployment,
    Environment,
    ObservationSeries,
    RegisteredModel,
    Threshold,
)

from . import audit, lifecycle
from .access import Actor, Right, may, may_on, models_for, require, require_on, require_reading
from .errors import Conflict, FieldProblem, Invalid, NotFound
from .metadata import clean_text

MOST = 100
LONGEST_RUN = 100
FIELDS = ("name_pattern", "feature_pattern", "comparison", "value", "in_a_row", "resolves")


def thresholds_for(actor: Actor) -> QuerySet[Threshold]:
    """Those of environments, and of the models that the actor may read. Raises Unauthenticated, Forbidden."""
    require_reading(actor)
    rows = Threshold.objects.select_related("model__team", "environment__team", "created_by")
    rows = rows.filter(Q(environment=None) | Q(environment__deleted_at=None))
    if actor.readable_teams is not None:
        rows = rows.filter(Q(model=None) | Q(model__in=models_for(actor)))
    return rows.order_by("id")


def get_threshold(number: int, *, by: Actor) -> Threshold:
    """Raises NotFound."""
    found = thresholds_for(by).filter(pk=number).first()
    if found is None:
        raise NotFound(f"There is no threshold {number} that you may see.")
    return found


def of_deployment(deployment: Deployment) -> list[Threshold]:
    """Those that hold for a deployment: one query."""
    rows = Threshold.objects.filter(
        Q(model=deployment.model_id) | Q(model=None),
        Q(environment=deployment.environment_id) | Q(environment=None),
    )
    return list(rows.order_by("pk"))


def of_model(model: RegisteredModel) -> QuerySet[Threshold]:
    """Those of the model itself, in any environment, and those of environments in which it is or was."""
    there = Deployment.objects.filter(model=model).order_by().values("environment")
    rows = Threshold.objects.filter(Q(model=model) | Q(model=None, environment__in=there))
    return rows.filter(Q(environment=None) | Q(environment__deleted_at=None)).select_related(
        "environment__team", "model"
    )


def covers(threshold: Threshold, series: ObservationSeries) -> bool:
    """Whether it is a limit of this series."""
    return fnmatchcase(series.name, threshold.name_pattern) and fnmatchcase(
        series.feature, threshold.feature_pattern
    )


def may_set(model: RegisteredModel | None, environment: Environment | None, *, by: Actor) -> bool:
    """Who edits the model; of an environment for all models, who manages its team."""
    if model is not None:
        return may_on(by, Right.EDIT_MODEL, model)
    return may(by, Right.MANAGE_TEAM, environment.team if environment else None)


def _require(model: RegisteredModel | None, environment: Environment | None, *, by: Actor) -> None:
    if model is not None:
        require_on(by, Right.EDIT_MODEL, model)
    else:
        require(by, Right.MANAGE_TEAM, environment.team if environment else None)


def _of(threshold: Threshold) -> dict[str, Any]:
    whose = {
        "model": threshold.model.name if threshold.model else None,
        "environment": threshold.environment.name if threshold.environment else None,
    }
    return {**whose, **{name: getattr(threshold, name) for name in FIELDS}}


def _subject(threshold: Threshold) -> str:
    return threshold.model.name if threshold.model else str(threshold.environment)


@transaction.atomic
def add(
    model: RegisteredModel | None, *, by: Actor, environment: Environment | None = None, **fields: Any
) -> Threshold:
    """Set a limit, of FIELDS, of which name_pattern and value have to be given. Observations from now on are judged.

    Raises Invalid naming every wrong field, Conflict when there are MOST, Forbidden, NotFound.
    """
    if model is None and environment is None:
        raise Invalid("model", "Say of which model or environment, or of both.")
    if model is not None:
        model = lifecycle.lock(model)
    _require(model, environment, by=by)
    for name in ("name_pattern", "value"):
        fields.setdefault(name, None)
    threshold = Threshold(model=model, environment=environment, created_at=timezone.now(), created_by=by.user)
    _apply(threshold, fields)
    if Threshold.objects.filter(model=model, environment=environment).count() >= MOST:
        raise Conflict(f"There are {MOST} thresholds already.", next_step="Use patterns, or remove some.")
    threshold.save(force_insert=True)
    audit.record("threshold.set", by=by, subject=_subject(threshold), model=model, after=_of(threshold))
    return threshold


@transaction.atomic
def change(threshold: Threshold, *, by: Actor, **fields: Any) -> Threshold:
    """Change some of FIELDS. What was opened by it stays open. Raises Invalid, Forbidden, NotFound."""
    current = _locked(threshold)
    _require(current.model, current.environment, by=by)
    before = _of(current)
    _apply(current, fields)
    after = _of(current)
    changed = [name for name in after if after[name] != before[name]]
    if changed:
        current.save()
        audit.record(
            "threshold.changed",
            by=by,
            subject=_subject(current),
            model=current.model,
            before={name: before[name] for name in changed},
            after={name: after[name] for name in changed},
        )
    return current


@transaction.atomic
def remove(threshold: Threshold, *, by: Actor) -> None:
    """Take a limit away; incidents keep what they say. Raises Forbidden, NotFound."""
    current = _locked(threshold)
    _require(current.model, current.environment, by=by)
    audit.record(
        "threshold.removed", by=by, subject=_subject(current), model=current.model, before=_of(current)
    )
    current.delete()


def _locked(threshold: Threshold) -> Threshold:
    if threshold.model is not None:
        # First the model, as every verb does.
        lifecycle.lock(threshold.model)
    found = (
        Threshold.objects.select_for_update(of=("self",))
        .select_related("model__team", "environment__team")
        .filter(pk=threshold.pk)
        .first()
    )
    if found is None:
        raise NotFound("This threshold was removed.")
    return found


def _apply(threshold: Threshold, fields: dict[str, Any]) -> None:
    problems: list[FieldProblem] = []
    for name, value in fields.items():
        try:
            setattr(threshold, name, _clean(name, value))
        except Invalid as error:
            problems.extend(error.problems)
    if problems:
        raise Invalid.many(problems)


def _clean(name: str, value: Any) -> Any:
    if name in ("name_pattern", "feature_pattern"):
        limit = 100 if name == "name_pattern" else 200
        text = clean_text(name, value, limit=limit)
        if not text and name == "name_pattern":
            raise Invalid(name, "Say which observations, as in “psi” or “latency_*”.")
        return text
    if name == "comparison":
        if value not in Comparison.values:
            raise Invalid(name, f"One of {', '.join(Comparison.values)}.")
        return Comparison(value).value
    if name == "value":
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise Invalid(name, "A finite number.")
        return float(value)
    if name == "in_a_row":
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LONGEST_RUN:
            raise Invalid(name, f"A whole number from 1 to {LONGEST_RUN}.")
        return value
    if name == "resolves":
        if not isinstance(value, bool):
            raise Invalid(name, "true or false.")
        return value
    raise Invalid(name[:100], "There is no such field.")
