"""Registered models and versions as the protocol writes them: rows straight to dicts, a constant number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any

from django.db.models import Q, QuerySet, TextField, Value
from django.db.models.functions import Cast

from models_app.models import Alias, ModelTag, ModelVersion, RegisteredModel, Stage, VersionTag
from models_app.registry.access import (
    Actor,
    get_model,
    get_version,
    may_read,
    require_reading,
    unflat,
)
from models_app.registry.errors import NotFound
from models_app.registry.names import flat
from models_app.registry.prepared import Prepared, PreparedInstances

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
# Who may read it stands before what is read.
_GUARD = ("model__visibility", "model__team_id")
# As many ids as go into one statement on every database.
MANY = 10_000
# Up to so many rows of one model are cheaper named one by one.
FEW = 200

Row = Sequence[Any]

_VERSION_OF_NUMBER = Prepared(
    lambda name, number: (
        ModelVersion.objects.filter(model__name=name, number=number).order_by().values_list(*VERSION, *_GUARD)
    ),
    str,
    int,
)
_VERSION_OF_ALIAS = Prepared(
    lambda name, alias: (
        ModelVersion.objects.filter(aliases__name=alias, aliases__model__name=name)
        .order_by()
        .values_list(*VERSION, *_GUARD)
    ),
    str,
    str,
)
_VERSION_OF_ID = Prepared(lambda pk: ModelVersion.objects.filter(pk=pk).order_by().values_list(*VERSION), int)
_VERSIONS_OF_IDS = Prepared(
    lambda *pks: ModelVersion.objects.filter(pk__in=pks).order_by().values_list(*VERSION), int, int, int, int
)
_MODEL_OF_NAME = Prepared(
    lambda name: (
        RegisteredModel.objects.filter(name=name).order_by().values_list(*MODEL, "visibility", "team_id")
    ),
    str,
)
_MODEL_OF_ID = Prepared(lambda pk: RegisteredModel.objects.filter(pk=pk).order_by().values_list(*MODEL), int)
_LEAN_MODEL = PreparedInstances(lambda name: RegisteredModel.objects.filter(name=name).order_by(), str)
_LEAN_VERSION = PreparedInstances(
    lambda model, number: ModelVersion.objects.filter(model=model, number=number).order_by(),
    int,
    int,
)
_ABOUT_VERSION = Prepared(
    lambda pk: _tag_rows(VersionTag.objects.filter(version=pk), "version_id").union(
        _alias_rows(Alias.objects.filter(version=pk)), all=True
    ),
    int,
)
_ABOUT_MODEL = Prepared(
    lambda pk, *version_ids: _tag_rows(ModelTag.objects.filter(model=pk), "model_id", "model tag").union(
        _alias_rows(Alias.objects.filter(model=pk)),
        _tag_rows(VersionTag.objects.filter(version__in=version_ids), "version_id"),
        all=True,
    ),
    int,
    int,
    int,
    int,
    int,
)


def _tag_rows(rows: QuerySet[Any], owner: str, kind: str = "tag") -> QuerySet[Any, Any]:
    return rows.order_by().annotate(kind=Value(kind)).values_list("kind", owner, "key", "value")


def _alias_rows(rows: QuerySet[Alias]) -> QuerySet[Any, Any]:
    number = Cast("version__number", TextField())
    return (
        rows.order_by()
        .annotate(kind=Value("alias"), number=number)
        .values_list("kind", "version_id", "name", "number")
    )


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
    """For a verb, which locks it. Raises NotFound."""
    exact = unflat(name)
    require_reading(actor)
    model = _LEAN_MODEL.one(exact)
    if model is not None and may_read(actor, model.visibility, model.team_id):
        return model
    return get_model(exact, by=actor)


def find_version(name: str, version: IntLike, actor: Actor) -> ModelVersion:
    """With its model, for a verb, which locks both. Raises NotFound."""
    exact, number = unflat(name), number_of(version)
    model = find_model(exact, actor)
    found = _LEAN_VERSION.one(model.pk, number)
    if found is None:
        return get_version(exact, str(number), by=actor)
    found.model = model
    return found


def _readable(rows: Sequence[Row], actor: Actor) -> Row | None:
    """The only row, whose last columns say who may read it; None when there is none for the caller."""
    require_reading(actor)
    if rows and may_read(actor, rows[0][-2], rows[0][-1]):
        return rows[0]
    return None


def read_version(name: str, version: IntLike, actor: Actor) -> dict[str, Any]:
    """A version by its number. Raises NotFound."""
    exact, number = unflat(name), number_of(version)
    row = _readable(_VERSION_OF_NUMBER(exact, number), actor)
    return one_version(row) if row else by_id(get_version(exact, str(number), by=actor).pk)


def read_alias(name: str, alias: str, actor: Actor) -> dict[str, Any] | None:
    """The version that an alias points at, by the model's name of today."""
    row = _readable(_VERSION_OF_ALIAS(unflat(name), alias), actor)
    return one_version(row) if row else None


def by_id(version_id: int) -> dict[str, Any]:
    """A version that the caller may read."""
    rows = _VERSION_OF_ID(version_id)
    if not rows:
        raise NotFound("The version was deleted.")
    return one_version(rows[0])


def read_model(name: str, actor: Actor) -> dict[str, Any]:
    """A model with its newest versions. Raises NotFound."""
    exact = unflat(name)
    row = _readable(_MODEL_OF_NAME(exact), actor)
    return one_model(row) if row else model_by_id(get_model(exact, by=actor).pk)


def model_by_id(model_id: int) -> dict[str, Any]:
    """A model that the caller may read."""
    rows = _MODEL_OF_ID(model_id)
    if not rows:
        raise NotFound("The model was deleted.")
    return one_model(rows[0])


# --- shaping ------------------------------------------------------------------------------------------------


def one_version(row: Row) -> dict[str, Any]:
    """A row that begins with VERSION, with its tags and aliases: one more statement."""
    tags, aliases = [], []
    for kind, _, key, value in sorted(_ABOUT_VERSION(row[0])):
        if kind == "tag":
            tags.append({"key": key, "value": value})
        else:
            aliases.append(key)
    return _version(row, tags, aliases)


def versions(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows that begin with VERSION with their tags and aliases, in two more statements."""
    tags: defaultdict[int, list[dict[str, str]]] = defaultdict(list)
    aliases: defaultdict[int, list[str]] = defaultdict(list)
    for chosen in _choices(rows):
        tagged = VersionTag.objects.filter(chosen).order_by().values_list("version_id", "key", "value")
        for version_id, key, value in tagged:
            tags[version_id].append({"key": key, "value": value})
        named = Alias.objects.filter(chosen).order_by("name").values_list("version_id", "name")
        for version_id, name in named:
            aliases[version_id].append(name)
    for found in tags.values():
        found.sort(key=itemgetter("key"))
    return [_version(row, tags.get(row[0]), aliases.get(row[0])) for row in rows]


def _choices(rows: Sequence[Row]) -> Iterator[Q]:
    """What finds the things that hang on the versions of these rows: many of one model as a range, others by id."""
    if len(rows) > FEW and len({row[1] for row in rows}) == 1:
        numbers = [row[2] for row in rows]
        yield Q(
            version__model__name=rows[0][1],
            version__number__gte=min(numbers),
            version__number__lte=max(numbers),
        )
        return
    for start in range(0, len(rows), MANY):
        yield Q(version__in=[row[0] for row in rows[start : start + MANY]])


def _version(row: Row, tags: list[dict[str, str]] | None, aliases: list[str] | None) -> dict[str, Any]:
    pk, name, number, created, updated, user, stage, description, source, run_id, link, logged = row[:12]
    shown: dict[str, Any] = {
        "name": flat(name),
        "version": str(number),
        "creation_timestamp": ms(created),
        "last_updated_timestamp": ms(updated),
        "current_stage": _SHOWN[stage],
        "description": description,
        "source": source or locations.of_version(pk),
        "run_id": run_id,
        "status": "READY",
        "run_link": link,
    }
    if user:
        shown["user_id"] = user
    if logged:
        shown["model_id"] = logged
    if tags:
        shown["tags"] = tags
    if aliases:
        shown["aliases"] = aliases
    return shown


def one_model(row: Row) -> dict[str, Any]:
    """A row that begins with MODEL, with tags, aliases and the newest version of each stage: two more statements."""
    ids = [pk or 0 for pk in row[5 : 5 + len(NEWEST)]]
    tags: list[dict[str, str]] = []
    aliases: list[dict[str, str]] = []
    of_version: defaultdict[int, tuple[list[dict[str, str]], list[str]]] = defaultdict(lambda: ([], []))
    for kind, owner, key, value in sorted(_ABOUT_MODEL(row[0], *ids)):
        if kind == "model tag":
            tags.append({"key": key, "value": value})
        elif kind == "tag":
            of_version[owner][0].append({"key": key, "value": value})
        else:
            aliases.append({"alias": key, "version": value})
            of_version[owner][1].append(key)
    rows = _VERSIONS_OF_IDS(*ids) if any(ids) else []
    newest = {found[0]: _version(found, *of_version[found[0]]) for found in rows}
    aliases.sort(key=itemgetter("alias"))
    return _model(row, newest, tags, aliases)


def models(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Rows that begin with MODEL with tags, aliases and newest versions, in five more statements."""
    ids = [row[0] for row in rows]
    wanted = [pk for row in rows for pk in row[5 : 5 + len(NEWEST)] if pk]
    newest = {}
    if wanted:
        found = list(ModelVersion.objects.filter(pk__in=wanted).order_by().values_list(*VERSION))
        newest = dict(zip((row[0] for row in found), versions(found), strict=True))
    tags: defaultdict[int, list[dict[str, str]]] = defaultdict(list)
    for model_id, key, value in (
        ModelTag.objects.filter(model__in=ids).order_by("key").values_list("model_id", "key", "value")
    ):
        tags[model_id].append({"key": key, "value": value})
    aliases: defaultdict[int, list[dict[str, str]]] = defaultdict(list)
    named = Alias.objects.filter(model__in=ids).order_by("name")
    for model_id, name, number in named.values_list("model_id", "name", "version__number"):
        aliases[model_id].append({"alias": name, "version": str(number)})
    return [_model(row, newest, tags.get(row[0]), aliases.get(row[0])) for row in rows]


def _model(
    row: Row,
    newest: Mapping[int, dict[str, Any]],
    tags: list[dict[str, str]] | None,
    aliases: list[dict[str, str]] | None,
) -> dict[str, Any]:
    _, name, created, updated, card, *ids = row[: 5 + len(NEWEST)]
    shown: dict[str, Any] = {
        "name": flat(name),
        "creation_timestamp": ms(created),
        "last_updated_timestamp": ms(updated),
    }
    if card:
        shown["description"] = card
    if versions_shown := [newest[pk] for pk in ids if pk in newest]:
        shown["latest_versions"] = versions_shown
    if tags:
        shown["tags"] = tags
    if aliases:
        shown["aliases"] = aliases
    return shown
