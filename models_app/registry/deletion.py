"""What stands in the way of deleting a version or a model: asked here by every door, and by retention."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet

from models_app.models import (
    Alias,
    DeploymentState,
    LegalHold,
    LineageEdge,
    ModelVersion,
    RegisteredModel,
    Stage,
)

from . import deployments, holds, lineage
from .access import Actor
from .errors import Obstacle, StillNeeded

LIVE = (Stage.STAGING, Stage.PRODUCTION)
MOST_NAMED = 5


def obstacles(version: ModelVersion, *, by: Actor) -> list[Obstacle]:
    """Why a version may not be deleted, each reason with what to do about it; nothing for one that may."""
    found = []
    if version.stage in LIVE:
        found.append(Obstacle("stage", f"{version} is in {version.stage}.", "Archive it first."))
    if names := list(Alias.objects.filter(version=version).values_list("name", flat=True)[:MOST_NAMED]):
        told = ", ".join(f"“{name}”" for name in names)
        said = f"{version} has the alias {told}." if len(names) == 1 else f"{version} has the aliases {told}."
        found.append(Obstacle("alias", said, "Move or delete the alias first."))
    holder = _rolled_back_to().filter(rollback_target=version).select_related("model").first()
    if holder is not None:
        said = f"{version} is what {holder} would be rolled back to."
        found.append(Obstacle("rollback_target", said, "Promote another version first."))
    found += _deployed([version])
    found += _held(holds.of_version(version))
    found += _bases(ModelVersion.objects.filter(pk=version.pk), by=by)
    return found


def unneeded(versions: QuerySet[Any]) -> QuerySet[Any]:
    """Those of the versions which no `obstacles` but their stage keep, whoever asks: the same rules as a query."""
    here = Q(version=OuterRef("pk"))
    return versions.filter(
        ~Exists(Alias.objects.filter(here)),
        ~Exists(_rolled_back_to().filter(rollback_target=OuterRef("pk"))),
        ~Exists(LegalHold.objects.filter(here, lifted_at=None)),
        ~Exists(LegalHold.objects.filter(model=OuterRef("model"), version=None, lifted_at=None)),
        ~Exists(deployments.present().filter(Q(version=OuterRef("pk")) | Q(rollback_target=OuterRef("pk")))),
        ~Exists(LineageEdge.objects.filter(base_version=OuterRef("pk"))),
    )


def obstacles_of_model(model: RegisteredModel, *, by: Actor) -> list[Obstacle]:
    """Why a model with all its versions may not be deleted."""
    found = []
    live = ModelVersion.objects.filter(model=model, stage__in=LIVE).order_by("number")
    if numbers := list(live.values_list("number", flat=True)[:MOST_NAMED]):
        said = f"{model.name} has versions in staging or production: {', '.join(f'v{n}' for n in numbers)}."
        found.append(Obstacle("stage", said, "Archive them first."))
    found += _deployed(ModelVersion.objects.filter(model=model))
    found += _held(holds.of_model(model))
    found += _bases(ModelVersion.objects.filter(model=model), by=by, outside=model)
    return found


def refuse(found: list[Obstacle]) -> None:
    """Raises StillNeeded when anything stands in the way."""
    if found:
        raise StillNeeded(found)


def _rolled_back_to() -> QuerySet[ModelVersion]:
    """What is in production, each with the version that a roll back would bring back."""
    return ModelVersion.objects.filter(stage=Stage.PRODUCTION)


def _deployed(versions: Any) -> list[Obstacle]:
    found = deployments.holding(versions)
    if found is None:
        return []
    what = "is" if found.state == DeploymentState.LIVE else "is about to be"
    back = f", and would be rolled back to v{found.rollback_target.number}" if found.rollback_target else ""
    said = f"{found.version} {what} deployed in {found.environment}{back}."
    return [Obstacle("deployment", said, "Deploy another version there first.")]


def _held(found: Iterable[LegalHold]) -> list[Obstacle]:
    told = []
    for hold in list(found)[:MOST_NAMED]:
        what = f"v{hold.version.number}" if hold.version else "The whole model"
        who = f"{hold.placed_by.username}, " if hold.placed_by else ""
        said = f"{what} is under legal hold ({who}{hold.placed_at:%Y-%m-%d}): {hold.reason[:200]}"
        said = said if said.endswith((".", "!", "?")) else f"{said}."
        told.append(Obstacle("legal_hold", said, holds.SITE_ONLY if hold.of_site else holds.LIFT_FIRST))
    return told


def _bases(
    versions: QuerySet[ModelVersion], *, by: Actor, outside: RegisteredModel | None = None
) -> list[Obstacle]:
    edge = lineage.made_from(versions, by=by, outside=outside)
    return [Obstacle("base", edge, "Its history would be lost; archive it instead.")] if edge else []
