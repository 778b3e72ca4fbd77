"""Taking over another server's registered models: their versions with number, stage, times and files, aliases, tags.

Stages are kept as they were, so no gate is asked: whoever let a version into production did so elsewhere. What
somebody changed here since is left as it is. Models and versions are recognised by the moment they were made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from models_app.models import (
    Alias,
    AuditEvent,
    LoggedModel,
    Manifest,
    ModelRedirect,
    ModelTag,
    ModelVersion,
    RegisteredModel,
    Run,
    Stage,
    StageTransition,
    Team,
    VersionTag,
)

from . import audit, cards, events, lineage, metadata, names, quotas, sources, version_facts
from .access import Actor
from .artifacts import manifests
from .artifacts.blobs import StoredFile
from .errors import AlreadyExists, Conflict, Invalid
from .lifecycle import find_newest, lock
from .moving_in import Outcome, require_mover, storable, storable_pairs
from .search import index
from .tags import mark_prompt

_MOVES = frozenset({"version.moved", "version.rolled_back"})
_TAGS = frozenset({"version.tag_set", "version.tag_deleted", "version.updated"})
_MODEL_TAGS = frozenset({"model.tag_set", "model.tag_deleted", "model.tags_set"})


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A registered model as another server knew it."""

    name: str
    created_at: datetime
    updated_at: datetime
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """A version as another server knew it. `files` None: they cannot be had, and it only points to its source."""

    number: int
    created_at: datetime
    updated_at: datetime
    stage: str = Stage.DEV
    source: str = ""
    description: str = ""
    run_id: str = ""
    run_link: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    run: Run | None = None
    logged_model: LoggedModel | None = None
    files: Sequence[StoredFile] | None = None


@dataclass(slots=True)
class ChangedHere:
    """What people changed of a model since it was moved in: the source does not overrule them."""

    card: bool = False
    model_tags: set[str] = field(default_factory=set)
    aliases: set[str] = field(default_factory=set)
    moved: set[int] = field(default_factory=set)
    described: set[int] = field(default_factory=set)
    tags: set[tuple[int, str]] = field(default_factory=set)


def changed_here(model: RegisteredModel) -> ChangedHere:
    """Read from the audit."""
    found = ChangedHere()
    rows = AuditEvent.objects.filter(model_ref=model.pk).exclude(verb__endswith=".imported").order_by("id")
    for verb, subject, before, after in rows.values_list("verb", "subject", "before", "after"):
        number = _number_in(subject)
        keys = {*before.get("tags", {}), *after.get("tags", {})}
        if verb in _MODEL_TAGS:
            found.model_tags |= {*keys, *before, *after} - {"tags"}
        elif verb == "model.updated":
            found.card = found.card or "card" in before or "card" in after
        elif verb in ("alias.set", "alias.deleted"):
            found.aliases |= {*before, *after}
        elif verb in _MOVES:
            found.moved.add(number)
        elif verb in _TAGS:
            found.tags |= {(number, key) for key in keys}
            if "description" in before or "description" in after:
                found.described.add(number)
    return found


def _number_in(subject: str) -> int:
    text = subject.rpartition("@")[2]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 11 else 0


# --- models -------------------------------------------------------------------------------------------------


def find(name: str, *, created_at: datetime) -> RegisteredModel | None:
    """The model that was moved in under this name, whatever it is called now. Raises AlreadyExists when the name is
    another model's here.
    """
    model = RegisteredModel.objects.select_related("team").filter(name=name).first()
    if model is None:
        former = ModelRedirect.objects.filter(name=name).values("model")
        model = RegisteredModel.objects.select_related("team").filter(pk__in=former).first()
    if model is not None and model.created_at != created_at:
        raise AlreadyExists(
            f"The name “{name}” is taken by another model here.",
            next_step="Rename one of them, or use --prefix.",
        )
    return model


@transaction.atomic
def model(facts: ModelFacts, *, team: Team, by: Actor, origin: str) -> tuple[RegisteredModel, Outcome]:
    """The model of that name, made or with what changed since. Raises Invalid("name"), AlreadyExists, Forbidden."""
    require_mover(by)
    names.check_model_name(facts.name)
    tags = storable_pairs(facts.tags)
    card = storable(facts.description)
    found = find(facts.name, created_at=facts.created_at)
    if found is not None:
        return _update_model(found, card, tags, by)
    made = RegisteredModel.objects.create(
        name=facts.name,
        team=team,
        card=card,
        purpose=cards.first_line(card),
        created_by=by.user,
        created_at=facts.created_at,
        updated_at=facts.updated_at,
        is_prompt=mark_prompt(tags),
    )
    _set_model_tags(made, tags)
    if not made.is_prompt:
        index.add(made, tags)
    after = {"name": made.name, "team": team.slug, "from": origin}
    audit.record("model.imported", by=by, subject=made.name, model=made, after=after)
    return made, Outcome.NEW


def _update_model(
    found: RegisteredModel, card: str, tags: Mapping[str, str], by: Actor
) -> tuple[RegisteredModel, Outcome]:
    held = lock(found)
    kept = changed_here(held)
    here = dict(held.tags.values_list("key", "value"))
    new = {key: value for key, value in tags.items() if here.get(key) != value and key not in kept.model_tags}
    after: dict[str, Any] = {"tags": metadata.brief_tags(new)} if new else {}
    if card != held.card and card and not kept.card:
        held.card, held.purpose = card, cards.first_line(card)
        held.save(update_fields=["card", "purpose"])
        after["card"] = f"{len(card)} characters"
    if not after:
        return held, Outcome.SAME
    _set_model_tags(held, new)
    audit.record("model.imported", by=by, subject=held.name, model=held, after=after)
    return held, Outcome.CHANGED


def _set_model_tags(model: RegisteredModel, tags: Mapping[str, str]) -> None:
    ModelTag.objects.bulk_create(
        [ModelTag(model=model, key=key, value=value) for key, value in tags.items()],
        update_conflicts=True,
        unique_fields=["model", "key"],
        update_fields=["value"],
    )


@transaction.atomic
def settle(
    model: RegisteredModel, *, aliases: Mapping[str, int], highest: int, updated_at: datetime, by: Actor
) -> tuple[int, list[str]]:
    """When all versions are there: point the aliases, go on numbering after `highest`, let search know.

    Returns how many aliases were pointed anew, and those that could not be. Raises Forbidden.
    """
    require_mover(by)
    held = lock(model)
    kept = changed_here(held).aliases
    versions = {row.number: row for row in held.versions.filter(number__in=list(aliases.values()))}
    here = dict(held.aliases.values_list("name", "version__number"))
    pointed, refused = {}, []
    for name, number in aliases.items():
        if name in kept or here.get(name) == number:
            continue
        try:
            names.check_alias(name)
        except Invalid as error:
            refused.append(f"alias “{name}”: {error.why}")
            continue
        if number not in versions:
            refused.append(f"alias “{name}”: version {number} is not here.")
            continue
        Alias.objects.update_or_create(
            model=held, name=name, defaults={"version": versions[number], "updated_at": updated_at}
        )
        pointed[name] = number
    if pointed:
        audit.record("alias.imported", by=by, subject=held.name, model=held, after=dict(pointed))
    held.last_number = max(held.last_number, highest)
    held.updated_at = max(held.updated_at, updated_at)
    held.save(update_fields=["last_number", "updated_at"])
    index.refresh([held.pk])
    return len(pointed), refused


# --- versions -----------------------------------------------------------------------------------------------


def find_version(model: RegisteredModel, number: int, *, created_at: datetime) -> ModelVersion | None:
    """The version that was moved in with this number. Raises Conflict when the number is another's here."""
    version = ModelVersion.objects.select_related("manifest").filter(model=model, number=number).first()
    if version is not None and version.created_at != created_at:
        raise Conflict(f"The number {number} was given to another version here.")
    return version


@transaction.atomic
def version(
    model: RegisteredModel, facts: VersionFacts, *, by: Actor, origin: str
) -> tuple[ModelVersion, Outcome]:
    """The version of that number, made with its stage and times, or with what changed since.

    Its files are sealed. One that only pointed gets them when they can be had after all; others are never taken.
    Raises Invalid("files"), Conflict when the number or the files are another version's, Forbidden.
    """
    require_mover(by)
    held = lock(model)
    if facts.stage not in Stage.values:
        raise Invalid("stage", f"One of {', '.join(Stage.values)}.")
    if not 0 < facts.number < 2**31:
        raise Invalid("version", "A version has a whole number.")
    found = find_version(held, facts.number, created_at=facts.created_at)
    if found is None:
        return _make(held, facts, by, origin), Outcome.NEW
    found.model = held
    return found, _update(found, facts, by, origin)


def _make(model: RegisteredModel, facts: VersionFacts, by: Actor, origin: str) -> ModelVersion:
    columns, collections, dataset = _known_of(model, facts)
    manifest = manifests.seal(facts.files) if facts.files else None
    made = ModelVersion.objects.create(
        model=model,
        number=facts.number,
        manifest=manifest,
        run=facts.run,
        logged_model=facts.logged_model,
        source=storable(facts.source, sources.MAX_SOURCE),
        run_link=storable(facts.run_link, sources.MAX_SOURCE),
        description=storable(facts.description),
        created_by=by.user,
        created_at=facts.created_at,
        updated_at=facts.updated_at,
        stage_changed_at=facts.created_at,
        **columns,
    )
    version_facts.add(made, {**collections, "tags": storable_pairs(facts.tags)}, by)
    lineage.connect(made, relation=lineage.check_relation(""), by=by, dataset=dataset)
    if facts.stage != Stage.DEV:
        _move(made, facts.stage, facts.updated_at, by, origin)
    model.last_number = max(model.last_number, facts.number)
    model.version_count += 1
    _count(model, manifest)
    if made.framework and not model.library:
        model.library = made.framework
    model.updated_at = max(model.updated_at, facts.updated_at)
    _point_to_newest(model, "last_number", "version_count", "size", "library", "updated_at")
    after = {"digest": manifest.digest if manifest else None, "stage": facts.stage, "from": origin}
    audit.record("version.imported", by=by, subject=str(made), model=model, after=after)
    payload = {"name": model.name, "version": made.number, "digest": after["digest"]}
    events.emit("version.imported", model=model, payload=payload)
    return made


def _count(model: RegisteredModel, manifest: Manifest | None) -> None:
    """What moves in counts, and nothing of it is refused."""
    if manifest is not None:
        model.size += manifest.total_size
        quotas.charge(model.team_id, manifest.total_size, judged=False)


def _known_of(model: RegisteredModel, facts: VersionFacts) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """What files, run and logged model say of a version: columns, collections, and the dataset of its run."""
    origin = sources.Origin(files=list(facts.files or ()), run=facts.run, logged_model=facts.logged_model)
    said = {} if model.is_prompt else sources.facts_of(origin, storable_pairs(facts.tags))
    try:
        clean = metadata.clean_version_metadata(said, at_registration=True)
    except Invalid:
        # What a file says must not keep it from being moved in.
        clean = {}
    columns = {name: value for name, value in clean.items() if name not in metadata.COLLECTIONS}
    collections = {name: value for name, value in clean.items() if name in metadata.COLLECTIONS}
    columns["training_run_id"] = storable(facts.run_id, 250)
    dataset = lineage.inherit_from_run(columns, facts.run)
    return columns, collections, dataset


def _update(found: ModelVersion, facts: VersionFacts, by: Actor, origin: str) -> Outcome:
    after: dict[str, Any] = {}
    if facts.files and _complete(found, facts.files):
        after["digest"] = found.manifest.digest if found.manifest else None
    description = storable(facts.description) or found.description
    here = dict(found.tags.values_list("key", "value"))
    wanted = storable_pairs(facts.tags).items()
    tags = {key: value for key, value in wanted if here.get(key) != value}
    if tags or facts.stage != found.stage or description != found.description:
        kept = changed_here(found.model)
        if facts.stage != found.stage and found.number not in kept.moved:
            after["stage"] = facts.stage
            _move(found, facts.stage, facts.updated_at, by, origin)
            _point_to_newest(found.model)
        if description != found.description and found.number not in kept.described:
            found.description = after["description"] = description
        tags = {key: value for key, value in tags.items() if (found.number, key) not in kept.tags}
    if tags:
        after["tags"] = metadata.brief_tags(tags)
        VersionTag.objects.bulk_create(
            [VersionTag(version=found, key=key, value=value) for key, value in tags.items()],
            update_conflicts=True,
            unique_fields=["version", "key"],
            update_fields=["value"],
        )
    if not after:
        return Outcome.SAME
    found.updated_at = max(found.updated_at, facts.updated_at)
    found.save(update_fields=["updated_at", "description", "manifest"])
    audit.record("version.imported", by=by, subject=str(found), model=found.model, after=after)
    return Outcome.CHANGED


def _complete(found: ModelVersion, files: Sequence[StoredFile]) -> bool:
    """Seal files into a version that only pointed to them so far. Raises Conflict when it has others."""
    if found.manifest is None:
        found.manifest = manifests.seal(files)
        _count(found.model, found.manifest)
        found.model.save(update_fields=["size"])
        return True
    if manifests.digest_of(files) != found.manifest.digest:
        raise Conflict(f"{found} is sealed here with other files than the source has now.")
    return False


def _move(version: ModelVersion, to: str, at: datetime, by: Actor, origin: str) -> None:
    """Note the stage that a version has where it came from, since its last change there as far as anybody knows."""
    StageTransition.objects.create(
        model=version.model,
        version=version,
        from_stage=version.stage,
        to_stage=to,
        reason=f"Imported from {origin}.",
        by=by.user,
        at=at,
    )
    version.stage, version.stage_changed_at = to, at
    fields = ["stage", "stage_changed_at"]
    if to == Stage.PRODUCTION:
        version.last_promoted_at = at
        fields.append("last_promoted_at")
    version.save(update_fields=fields)


def _point_to_newest(model: RegisteredModel, *fields: str) -> None:
    model.newest = ModelVersion.objects.filter(model=model).newest_first().first()
    model.save(update_fields=["newest", *find_newest(model, *Stage.values), *fields])
