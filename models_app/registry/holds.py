"""Legal holds: what is under one is not deleted by anybody, and neither is what its versions came from."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Prefetch, Q, QuerySet
from django.utils import timezone

from models_app.models import Experiment, LegalHold, LoggedModel, ModelVersion, RegisteredModel, Run

from . import audit, events, lifecycle
from .access import Actor, Right, may, models_for, require, versions_for
from .errors import Conflict, Forbidden, Invalid, NotFound, NothingToDo
from .search import index

LIFT_FIRST = "Whoever placed the legal hold, or a site admin, can lift it."
SITE_ONLY = "A site admin placed this hold; only a site admin lifts it."


def in_force() -> QuerySet[LegalHold]:
    """The holds that nobody has lifted."""
    return LegalHold.objects.filter(lifted_at=None)


def of_version(version: ModelVersion) -> list[LegalHold]:
    """The holds in force on a version or its whole model, newest first."""
    return _with(version.model, in_force().filter(Q(version=version) | Q(version=None)))


# What `keeping` reads, for lists.
KEEPING = (
    Prefetch("holds", LegalHold.objects.filter(lifted_at=None), to_attr="holds_in_force"),
    Prefetch(
        "model__holds", LegalHold.objects.filter(lifted_at=None, version=None), to_attr="holds_in_force"
    ),
)


def keeping(version: ModelVersion) -> list[LegalHold]:
    """As `of_version`, from what a list has read with KEEPING."""
    if not hasattr(version, "holds_in_force"):
        return of_version(version)
    return [*version.holds_in_force, *getattr(version.model, "holds_in_force", [])]


def of_model(model: RegisteredModel) -> list[LegalHold]:
    """The holds in force on a model or any of its versions, newest first."""
    return _with(model, in_force())


def _with(model: RegisteredModel, rows: QuerySet[LegalHold]) -> list[LegalHold]:
    found = list(rows.filter(model=model).select_related("placed_by", "version"))
    for hold in found:
        hold.model = model
    return found


def holds_for(actor: Actor) -> QuerySet[LegalHold]:
    """Every hold, lifted ones too, on models that the actor may read."""
    rows = LegalHold.objects.filter(model__in=models_for(actor))
    return rows.select_related("model__team", "version", "placed_by", "lifted_by")


def get_hold(number: int, *, by: Actor) -> LegalHold:
    """Raises NotFound."""
    hold = holds_for(by).filter(pk=number).first()
    if hold is None:
        raise NotFound(f"There is no legal hold {number} that you may see.")
    return hold


def _reason(text: str) -> str:
    reason = lifecycle.clean_reason(text)
    if not reason.strip():
        raise Invalid("reason", "Say why: a case, a letter, whoever asked for it.")
    return reason


@transaction.atomic
def place(
    model: RegisteredModel, *, by: Actor, reason: str, version: ModelVersion | None = None
) -> LegalHold:
    """Keep a version, or without one the whole model, from being deleted until the hold is lifted.

    Raises Invalid without a reason, Forbidden, NotFound.
    """
    require(by, Right.HOLD, model.team)
    reason = _reason(reason)
    if version is not None:
        version = lifecycle.lock_version(version)
        model = version.model
    else:
        model = lifecycle.lock(model)
    hold = LegalHold.objects.create(
        model=model,
        version=version,
        reason=reason,
        of_site=by.is_site_admin,
        placed_by=by.user,
        placed_at=timezone.now(),
    )
    _tell("hold.placed", hold, by=by, reason=reason)
    return hold


@transaction.atomic
def lift(hold: LegalHold, *, by: Actor, reason: str) -> LegalHold:
    """End a hold. Raises NothingToDo when it is lifted, Invalid without a reason, Forbidden; what a site admin placed
    only a site admin lifts.
    """
    require(by, Right.HOLD, hold.model.team)
    if hold.of_site and not by.is_site_admin:
        raise Forbidden(SITE_ONLY, next_step="Ask a site admin.")
    reason = _reason(reason)
    model = lifecycle.lock(hold.model)
    held = LegalHold.objects.select_related("version").select_for_update(of=("self",)).get(pk=hold.pk)
    held.model = model
    if held.lifted_at is not None:
        raise NothingToDo(f"The legal hold {held.pk} is lifted already.")
    held.lifted_at, held.lifted_by, held.lift_reason = timezone.now(), by.user, reason
    held.save(update_fields=["lifted_at", "lifted_by", "lift_reason"])
    _tell("hold.lifted", held, by=by, reason=reason)
    return held


def may_lift(hold: LegalHold, *, by: Actor) -> bool:
    """Whether the actor may lift this hold."""
    return may(by, Right.HOLD, hold.model.team_id) and (by.is_site_admin or not hold.of_site)


def _tell(verb: str, hold: LegalHold, *, by: Actor, reason: str) -> None:
    model, version = hold.model, hold.version
    subject = f"{model.name}@{version.number}" if version else model.name
    audit.record(verb, by=by, subject=subject, model=model, after={"hold": hold.pk}, reason=reason)
    payload = {"name": model.name, "version": version.number if version else None, "hold": hold.pk}
    events.emit(verb, model=model, payload=payload)
    if version is not None:
        version.model = model
        lifecycle.touch_version(version)
    else:
        model.updated_at = timezone.now()
        model.save(update_fields=["updated_at"])
        index.touch(model)


# --- What held versions came from -----------------------------------------------------------------------------


def held_versions() -> QuerySet[ModelVersion]:
    """All versions under a hold, their own or their model's."""
    holds = in_force()
    return ModelVersion.objects.filter(
        Q(pk__in=holds.exclude(version=None).values("version"))
        | Q(model__in=holds.filter(version=None).values("model"))
    )


def held_runs() -> QuerySet[Run]:
    """Runs that held versions came from, also by way of a logged model."""
    held = held_versions()
    return Run._base_manager.filter(
        Q(pk__in=held.filter(run__isnull=False).values("run"))
        | Q(
            pk__in=LoggedModel._base_manager.filter(_made(held), source_run__isnull=False).values(
                "source_run"
            )
        )
    )


def held_logged_models() -> QuerySet[LoggedModel]:
    """Logged models that held versions came from."""
    return LoggedModel._base_manager.filter(_made(held_versions()))


def _made(held: QuerySet[ModelVersion]) -> Q:
    return Q(pk__in=held.filter(logged_model__isnull=False).values("logged_model"))


def refuse_if_held(origin: Run | LoggedModel | Experiment, *, by: Actor) -> None:
    """Raises Conflict when a version under legal hold came from this run, logged model, or a run of this experiment; it
    is named if the actor may see it.
    """
    if not in_force().exists():
        return
    held = held_versions().select_related("model").order_by("model__name", "number")
    if isinstance(origin, LoggedModel):
        held = held.filter(logged_model=origin)
    elif isinstance(origin, Run):
        held = held.filter(Q(run=origin) | Q(logged_model__source_run=origin))
    else:
        held = held.filter(Q(run__experiment=origin) | Q(logged_model__experiment=origin))
    version = held.first()
    if version is not None:
        seen = versions_for(by).filter(pk=version.pk).exists()
        raise Conflict(
            f"{version if seen else 'A version that you may not see'} came from here and is under legal hold.",
            next_step=LIFT_FIRST,
        )
