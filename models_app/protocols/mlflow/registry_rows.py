"""Registered models and versions as the protocol writes them: rows straight to dicts, a constant number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import QuerySet

from models_app.models import Alias, ModelTag, ModelVersion, RegisteredModel, Stage, VersionTag
from models_app.registry.access import Actor, get_model, get_version, models_for, unflat, versions_for
from models_app.registry.errors import NotFound
from models_app.registry.names import flat

from . import locations
from .errors import WireError
from .wire import IntLike, ms

STAGES = {
    "None": Stage.DEV,
    "Staging": Stage.STAGING,
    "Production": Stage.PRODUCTION,
    "Archived": Stage.ARCHIVED,
}
_SHOWN = {stage.value: name for name, stage in STAGES.items()}
_READ = {name.lower(): stage.value for name, stage in STAGES.items()}

VERSION = (
    "id",
    "model__name",
    "number",
    "created_at",
    "updated_at",
    "created_by__username",
    "stage",
    "description",
    "source",
    "training_run_id",
    "run_link",
    "logged_model__uid",
)
NEWEST = tuple(f"newest_{stage.value}_id" for stage in STAGES.values())
MODEL = ("id", "name", "created_at", "updated_at", "card", *NEWEST)
# As many ids as go into one statement on every database.
MANY = 10_000


def stage_of(name: str) -> str:
    """Our word for a stage, whose name is read in any case."""
    stage = _READ.get(name.lower())
    if stage is None:
        raise WireError(
            f"Invalid Model Version stage: {name[:100]}. Value must be one of {', '.join(STAGES)}."
        )
    return stage


def number_of(version: IntLike) -> int:
    """A version's number; 0, which no version has, for one that none can have."""
    try:
        number = int(version)
    except ValueError:
        raise WireError(f"Model version must be an integer, got '{str(version)[:50]}'") from None
    return number if 0 < number < 2**31 else 0


# --- finding ------------------------------------------------------------------------------------------------


def find_model(name: str, actor: Actor) -> RegisteredModel:
    """Only what a verb needs to lock it. Raises NotFound."""
    exact = unflat(name)
    found = models_for(actor).filter(name=exact).select_related("team")
    model = found.only("name", "is_prompt", "owner", "team__slug").first()
    return model or get_model(exact, by=actor)


def find_version(name: str, version: IntLike, actor: Actor) -> ModelVersion:
    """Only what a verb needs to lock it. Raises NotFound."""
    exact, number = unflat(name), number_of(version)
    found = versions_for(actor).filter(model__name=exact, number=number)
    lean = found.only(
        "number", "stage", "manifest", "source", "model__name", "model__is_prompt", "model__team__slug"
    ).first()
    return lean or get_version(exact, str(number), by=actor)


def one_version(queryset: QuerySet[ModelVersion]) -> dict[str, Any] | None:
    """The only version of a queryset."""
    return next(iter(versions(queryset.order_by()[:1].values(*VERSION))), None)


def read_version(name: str, version: IntLike, actor: Actor) -> dict[str, Any]:
    """A version by its number. Raises NotFound."""
    exact, number = unflat(name), number_of(version)
    found = one_version(versions_for(actor).filter(model__name=exact, number=number))
    return found or by_id(get_version(exact, str(number), by=actor).pk)


def by_id(version_id: int) -> dict[str, Any]:
    """A version that the caller may read."""
    found = one_version(ModelVersion.objects.filter(pk=version_id))
    if found is None:
        raise NotFound("The version was deleted.")
    return found


def read_model(name: str, actor: Actor) -> dict[str, Any]:
    """A model with its newest versions. Raises NotFound."""
    exact = unflat(name)
    rows = list(models_for(actor).filter(name=exact).values(*MODEL))
    if not rows:
        rows = list(RegisteredModel.objects.filter(pk=get_model(exact, by=actor).pk).values(*MODEL))
    return next(iter(models(rows)))


def model_by_id(model_id: int) -> dict[str, Any]:
    """A model that the caller may read."""
    return next(iter(models(list(RegisteredModel.objects.filter(pk=model_id).values(*MODEL)))))


# --- shaping ------------------------------------------------------------------------------------------------


def versions(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of VERSION with their tags and aliases, in two more statements."""
    found = list(rows)
    ids = [row["id"] for row in found]
    tags, aliases = _version_tags(ids), _version_aliases(ids)
    return [_version(row, tags.get(row["id"]), aliases.get(row["id"])) for row in found]


def _version(
    row: Mapping[str, Any], tags: list[dict[str, str]] | None, aliases: list[str] | None
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": flat(row["model__name"]),
        "version": str(row["number"]),
        "creation_timestamp": ms(row["created_at"]),
        "last_updated_timestamp": ms(row["updated_at"]),
        "current_stage": _SHOWN[row["stage"]],
        "description": row["description"],
        "source": row["source"] or locations.of_version(row["id"]),
        "run_id": row["training_run_id"],
        "status": "READY",
        "run_link": row["run_link"],
    }
    if user := row["created_by__username"]:
        shown["user_id"] = user
    if logged := row["logged_model__uid"]:
        shown["model_id"] = logged
    if tags:
        shown["tags"] = tags
    if aliases:
        shown["aliases"] = aliases
    return shown


def models(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows of MODEL with tags, aliases and the newest version of each stage, in five more statements."""
    ids = [row["id"] for row in rows]
    wanted = [pk for row in rows for column in NEWEST if (pk := row[column])]
    newest = {}
    if wanted:
        found = list(ModelVersion.objects.filter(pk__in=wanted).order_by().values(*VERSION))
        newest = dict(zip((row["id"] for row in found), versions(found), strict=True))
    tags: defaultdict[int, list[dict[str, str]]] = defaultdict(list)
    for model_id, key, value in (
        ModelTag.objects.filter(model__in=ids).order_by("key").values_list("model_id", "key", "value")
    ):
        tags[model_id].append({"key": key, "value": value})
    aliases: defaultdict[int, list[dict[str, str]]] = defaultdict(list)
    named = Alias.objects.filter(model__in=ids).order_by("name")
    for model_id, name, number in named.values_list("model_id", "name", "version__number"):
        aliases[model_id].append({"alias": name, "version": str(number)})
    return [_model(row, newest, tags.get(row["id"]), aliases.get(row["id"])) for row in rows]


def _model(
    row: Mapping[str, Any],
    newest: Mapping[int, dict[str, Any]],
    tags: list[dict[str, str]] | None,
    aliases: list[dict[str, str]] | None,
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": flat(row["name"]),
        "creation_timestamp": ms(row["created_at"]),
        "last_updated_timestamp": ms(row["updated_at"]),
    }
    if row["card"]:
        shown["description"] = row["card"]
    if latest := [newest[row[column]] for column in NEWEST if row[column] in newest]:
        shown["latest_versions"] = latest
    if tags:
        shown["tags"] = tags
    if aliases:
        shown["aliases"] = aliases
    return shown


def _pieces(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), MANY):
        yield ids[start : start + MANY]


def _version_tags(ids: list[int]) -> dict[int, list[dict[str, str]]]:
    found: defaultdict[int, list[dict[str, str]]] = defaultdict(list)
    for some in _pieces(ids):
        rows = VersionTag.objects.filter(version__in=some).order_by("key")
        for version_id, key, value in rows.values_list("version_id", "key", "value"):
            found[version_id].append({"key": key, "value": value})
    return found


def _version_aliases(ids: list[int]) -> dict[int, list[str]]:
    found: defaultdict[int, list[str]] = defaultdict(list)
    for some in _pieces(ids):
        rows = Alias.objects.filter(version__in=some).order_by("name")
        for version_id, name in rows.values_list("version_id", "name"):
            found[version_id].append(name)
    return found
