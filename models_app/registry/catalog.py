"""Registered models and their versions: register, change, rename, delete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.models import (
    LoggedModel,
    Manifest,
    ModelRedirect,
    ModelVersion,
    RegisteredModel,
    Team,
)

from . import (
    audit,
    card_facts,
    card_sync,
    cards,
    deletion,
    events,
    lifecycle,
    lineage,
    metadata,
    model_fields,
    prepared,
    quotas,
    retraining,
    reviews,
    version_facts,
)
from .access import Actor, Right, get_model, require, require_on, team_of_new
from .artifacts import manifests
from .artifacts.blobs import StoredFile
from .errors import AlreadyExists, Conflict, FieldProblem, Forbidden, Invalid, NotFound
from .lifecycle import clean_reason, lock, lock_version
from .metadata import brief
from .names import check_model_name, split_name
from .prepared import Prepared
from .search import index
from .tags import insert_model_tags, mark_prompt, replace_model_tags


def register_model(name: str, *, by: Actor, team: Team | str | None = None, **fields: Any) -> RegisteredModel:
    """Make a model without versions. `fields` are those of model_fields.FIELDS; without a purpose, the card's first
    line is it. What its front matter says is taken over (card_sync.py).

    Raises Invalid for a bad name or field, AlreadyExists when the name is or was taken, Forbidden without the role.
    """
    check_model_name(name)
    clean = model_fields.clean({**fields, "team": team})
    # A prompt has a description, not a card.
    facts = card_facts.read("" if mark_prompt(clean.get("tags", {})) else clean.get("card", ""))
    clean = card_sync.taken_over(facts, clean, model=None)
    owning = team_of_new(name, clean.pop("team"), by)
    require(by, Right.REGISTER, owning)
    tags = clean.pop("tags", {})
    if clean.get("card") and "purpose" not in clean:
        clean["purpose"] = cards.first_line(clean["card"])
    now = timezone.now()
    model = RegisteredModel(
        name=name,
        team=owning,
        created_by=by.user,
        created_at=now,
        updated_at=now,
        is_prompt=mark_prompt(tags),
        **clean,
    )
    _refuse_taken(name)
    try:
        with transaction.atomic():
            prepared.insert(model)
            _write_new(model, tags, clean, by)
    except IntegrityError as error:
        # Somebody was faster.
        raise _taken(name) from error
    model.notices = card_sync.waiting(facts)
    return model


_OF_NAME = Prepared(lambda name: RegisteredModel.objects.filter(name=name).order_by().values_list("pk"), str)
_OF_FORMER_NAME = Prepared(lambda name: ModelRedirect.objects.filter(name=name).values_list("pk"), str)


def _refuse_taken(name: str) -> None:
    if _OF_NAME(name):
        raise _taken(name)
    if _OF_FORMER_NAME(name):
        raise AlreadyExists(
            f"“{name}” is the former name of another model.",
            next_step="Choose another name, or use that model.",
        )


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists(
        f"There is already a model “{name}”.",
        next_step="Register a new version of it, or choose another name.",
    )


def _write_new(model: RegisteredModel, tags: dict[str, str], clean: dict[str, Any], by: Actor) -> None:
    if tags:
        insert_model_tags(model, tags)
    if not model.is_prompt:
        index.add(model, tags)
    after = {"name": model.name, "team": model.team.slug, **brief(clean)}
    if tags:
        after["tags"] = metadata.brief_tags(tags)
    audit.record("model.registered", by=by, subject=model.name, model=model, after=after)
    payload = {"name": model.name, "tags": tags, "description": model.card, "is_prompt": model.is_prompt}
    events.emit("model.registered", model=model, payload=payload)


@transaction.atomic
def update_model(model: RegisteredModel, *, by: Actor, **fields: Any) -> RegisteredModel:
    """Change fields of model_fields.FIELDS. Changing the team takes the right in both. Raises Invalid, Forbidden.

    The front matter of a new card is taken over; `notices` of what is returned tell what was not (card_sync.py).
    """
    require_on(by, Right.EDIT_MODEL, model)
    model = lock(model)
    clean = model_fields.clean(fields)
    facts = card_facts.read(clean["card"]) if "card" in clean and not model.is_prompt else None
    if facts is not None:
        clean = card_sync.taken_over(facts, clean, model=model)
    tags = clean.pop("tags", None)
    if "team" in clean:
        _check_new_team(model, clean["team"], by)
    if "card" in clean and "purpose" not in clean and model.purpose == cards.first_line(model.card):
        clean["purpose"] = cards.first_line(clean["card"])
    changed = {name: value for name, value in clean.items() if getattr(model, name) != value}
    if tags is not None:
        replace_model_tags(model, tags, by)
    if changed:
        before = brief({name: getattr(model, name) for name in changed})
        if "team" in changed:
            quotas.move(model, to=changed["team"])
        for name, value in changed.items():
            setattr(model, name, value)
        audit.record(
            "model.updated", by=by, subject=model.name, model=model, before=before, after=brief(changed)
        )
        events.emit("model.updated", model=model, payload={"name": model.name, "fields": sorted(changed)})
    if changed or tags is not None:
        keys = [key for name in (*changed, "tags") for key in card_sync.KEYS_OF.get(name, ())]
        if facts is None:
            card_sync.keep_in_step(model, keys, by=by, add=True)
        _touch(model, *changed)
    if facts is not None:
        model = _fill_newest(model, facts, by)
    return model


def _fill_newest(model: RegisteredModel, facts: card_facts.CardFacts, by: Actor) -> RegisteredModel:
    """Fill gaps of the newest version from a card that is saved already; its front matter is in step afterwards."""
    notices = card_sync.waiting(facts)
    if model.newest_id is not None:
        newest = ModelVersion.objects.select_related("model").get(pk=model.newest_id)
        found = card_sync.gaps_of(newest, facts)
        if found.metadata:
            update_version(newest, by=by, metadata=found.metadata, base_relation=found.relation)
        card_sync.link_others(newest, found, by=by)
        model, notices = lock(model), tuple(found.notices)
    card_sync.keep_in_step(model, card_sync.ALL_KEYS, by=by)
    model.notices = notices
    return model


def _check_new_team(model: RegisteredModel, team: Team | None, by: Actor) -> None:
    if team is None:
        raise Invalid("team", "A model belongs to a team.")
    if team != model.team:
        require(by, Right.EDIT_MODEL, team)
        if split_name(model.name)[0]:
            raise Conflict(
                f"“{model.name}” belongs to team {model.team.slug} by its name.", next_step="Rename it."
            )


def _touch(model: RegisteredModel, *fields: str) -> None:
    model.updated_at = timezone.now()
    model.save(update_fields=[*fields, "updated_at"])
    index.refresh([model.pk])


def set_model_tags(model: RegisteredModel, *, tags: Mapping[str, str] | list[str], by: Actor) -> None:
    """Replace all tags of a model."""
    update_model(model, by=by, tags=tags)


@transaction.atomic
def rename_model(model: RegisteredModel, *, to: str, by: Actor) -> RegisteredModel:
    """Give a model another name; the old one leads here from now on. Raises Invalid, AlreadyExists, Forbidden."""
    require_on(by, Right.EDIT_MODEL, model)
    model = lock(model)
    check_model_name(to)
    former = model.name
    if to == former:
        return model
    namespace, _ = split_name(to)
    if namespace and namespace != model.team.slug:
        target = team_of_new(to, None, by)
        require(by, Right.EDIT_MODEL, target)
        quotas.move(model, to=target)
        model.team = target
    if ModelRedirect.objects.filter(name=to).exclude(model=model).exists():
        raise AlreadyExists(f"“{to}” is the former name of another model.")
    model.name = to
    try:
        with transaction.atomic():
            _touch(model, "name", "team")
    except IntegrityError as error:
        raise AlreadyExists(f"There is already a model “{to}”.") from error
    ModelRedirect.objects.filter(name=to).delete()
    ModelRedirect.objects.create(name=former, model=model)
    audit.record("model.renamed", by=by, subject=to, model=model, before={"name": former}, after={"name": to})
    events.emit("model.renamed", model=model, payload={"name": to, "former": former})
    return model


@transaction.atomic
def delete_model(model: RegisteredModel, *, by: Actor, reason: str = "") -> None:
    """Delete a model with all its versions. Raises StillNeeded with what stands in the way: deletion.py has it."""
    require_on(by, Right.DELETE, model)
    reason = clean_reason(reason)
    model = lock(model)
    deletion.refuse(deletion.obstacles_of_model(model, by=by))
    name, count = model.name, model.version_count
    audit.record("model.deleted", by=by, subject=name, model=model, before={"versions": count}, reason=reason)
    events.emit("model.deleted", model=model, payload={"name": name})
    model.delete()
    quotas.charge(model.team_id, -model.size)


def register(
    name: str,
    *,
    create_model: bool,
    model_fields: Mapping[str, Any] | None = None,
    files: Iterable[StoredFile],
    metadata: Mapping[str, Any],
    by: Actor,
) -> ModelVersion:
    """Register a version in one call, its model too if asked and absent: both or neither. What a CI job calls.

    Raises NotFound when the model is absent and was not asked for, else as register_model and register_version.
    """
    stored = list(files)
    with transaction.atomic():
        try:
            model = get_model(name, by=by)
        except NotFound:
            if not create_model:
                raise
            try:
                with transaction.atomic():
                    model = register_model(name, by=by, **dict(model_fields or {}))
            except AlreadyExists:
                # Somebody was faster; what matters is that it is there and we may see it.
                try:
                    model = get_model(name, by=by)
                except NotFound:
                    raise Forbidden(f"“{name}” is taken by a model that you may not see.") from None
        return register_version(model, files=stored, metadata=metadata, by=by)


@transaction.atomic
def register_version(
    model: RegisteredModel,
    *,
    files: Iterable[StoredFile],
    metadata: Mapping[str, Any],
    by: Actor,
    manifest: Manifest | None = None,
    logged_model: LoggedModel | None = None,
) -> ModelVersion:
    """Seal stored files into the next version of a model; or take a manifest that is sealed already.

    Without files the version only points to its `source`, or is a prompt: see sources.py, which makes such ones.
    Either everything is there afterwards or nothing: number, manifest, metadata, lineage, aliases, audit and outbox.
    Numbers are consecutive, also under parallel calls: they are given out under the lock on the model's row.
    Raises Invalid listing every wrong field, TooLarge, OverQuota, Forbidden, NotFound for an unknown run.
    """
    require_on(by, Right.REGISTER, model)
    run = lineage.find_run(metadata.get("run") or "", by=by)
    clean = _clean_registration({name: value for name, value in metadata.items() if name != "run"})
    stored = list(files)
    if manifest is None and (stored or not (clean.get("source") or model.is_prompt)):
        manifest = manifests.seal(stored)
    relation = lineage.check_relation(clean.pop("base_relation", ""))
    retrains = clean.pop("retrains", "")
    columns, collections = _split(clean)
    dataset = lineage.inherit_from_run(columns, run)
    model = lock(model)
    if model.license:
        columns["license"] = columns.get("license") or model.license
    columns["owner"] = columns.get("owner") or model.owner
    now = timezone.now()
    model.last_number += 1
    version = ModelVersion(
        model=model,
        number=model.last_number,
        manifest=manifest,
        run=run,
        logged_model=logged_model,
        created_by=by.user,
        created_at=now,
        updated_at=now,
        stage_changed_at=now,
        **columns,
    )
    prepared.insert(version)
    if retrains:
        retraining.link(version, retrains, by=by)
    version_facts.add(version, collections, by)
    lineage.connect(version, relation=relation, by=by, dataset=dataset)
    model.version_count += 1
    model.size += version.size
    model.updated_at = now
    model.newest = model.newest_dev = version
    fields = ["last_number", "version_count", "size", "updated_at", "newest", "newest_dev"]
    if version.framework and not model.library:
        model.library = version.framework
        fields.append("library")
    prepared.update(model, *fields)
    index.version_added(model, version, has_metrics=bool(collections.get("metrics")))
    _record_registered(version, columns, collections.get("tags", {}), by)
    if card_facts.has_front_matter(model.card) and not model.is_prompt:
        if version.number == 1 and (facts := card_facts.read_kept(model.card)).of_version:
            _fill_newest(model, facts, by)
            version.refresh_from_db()
            version.model = lock(model)
        card_sync.keep_in_step(version.model, card_facts.VERSION_KEYS, by=by)
    quotas.charge(model.team_id, version.size)
    return version


def _record_registered(
    version: ModelVersion, columns: dict[str, Any], tags: dict[str, str], by: Actor
) -> None:
    model, manifest = version.model, version.manifest
    after = brief(columns)
    if manifest is not None:
        after |= {"digest": manifest.digest, "files": manifest.file_count, "bytes": manifest.total_size}
    audit.record("version.registered", by=by, subject=str(version), model=model, after=after)
    payload = {
        "name": model.name,
        "version": version.number,
        "digest": manifest.digest if manifest else None,
        "source": version.source,
        "run_id": version.training_run_id,
        "tags": tags,
        "description": version.description,
        "is_prompt": model.is_prompt,
    }
    events.emit("version.registered", model=model, payload=payload)


def _clean_registration(data: Mapping[str, Any]) -> dict[str, Any]:
    return metadata.clean_version_metadata(data, at_registration=True)


def _split(clean: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    columns = {name: value for name, value in clean.items() if name not in metadata.COLLECTIONS}
    collections = {name: value for name, value in clean.items() if name in metadata.COLLECTIONS}
    return columns, collections


@transaction.atomic
def update_version(
    version: ModelVersion, *, by: Actor, metadata: Mapping[str, Any], base_relation: str = ""
) -> ModelVersion:
    """Fill in or change what may change. Metrics are added; reports, risk flags and tags are replaced as given.

    What came with training (lineage, framework, signature) may be filled in once and then stays. Raises
    Invalid, Conflict,
    Forbidden.
    """
    require_on(by, Right.EDIT_VERSION, version.model)
    clean = _clean_update(metadata)
    version = lock_version(version)
    columns, collections = _split(clean)
    if collections.pop("aliases", None) is not None:
        raise Invalid("aliases", "Aliases are set one by one.")
    changed = {name: value for name, value in columns.items() if getattr(version, name) != value}
    _refuse_rewriting(version, changed)
    before = brief({name: getattr(version, name) for name in changed})
    for name, value in changed.items():
        setattr(version, name, value)
    after = brief(changed)
    after.update(version_facts.change(version, collections, by))
    if not changed and not after:
        return version
    version.updated_at = version.model.updated_at = timezone.now()
    prepared.update(version, *changed, "updated_at")
    prepared.update(version.model, "updated_at")
    if changed.keys() & lineage.COLUMNS:
        lineage.connect(version, relation=lineage.check_relation(base_relation), by=by)
    if version.model.newest_id == version.pk:
        card_sync.keep_in_step(version.model, card_facts.VERSION_KEYS, by=by)
    index.refresh([version.model_id])
    audit.record(
        "version.updated", by=by, subject=str(version), model=version.model, before=before, after=after
    )
    events.emit(
        "version.updated",
        model=version.model,
        payload={"name": version.model.name, "version": version.number, "fields": sorted(after)},
    )
    reviews.evidence_changed(version)
    return version


def _clean_update(data: Mapping[str, Any]) -> dict[str, Any]:
    return metadata.clean_version_metadata(data)


def _refuse_rewriting(version: ModelVersion, changed: Mapping[str, Any]) -> None:
    fixed = [
        FieldProblem(name, "Recorded with the version and cannot change; register a new version instead.")
        for name in changed
        if metadata.VERSION_FIELDS[name].write_once and getattr(version, name)
    ]
    if fixed:
        raise Invalid.many(fixed)


def add_metrics(version: ModelVersion, *, metrics: Any, by: Actor) -> ModelVersion:
    """Add measurements. Repeating one is no error; another value for one that is there raises Conflict."""
    return update_version(version, by=by, metadata={"metrics": metrics})


@transaction.atomic
def delete_version(version: ModelVersion, *, by: Actor, reason: str = "") -> None:
    """Delete a version; its number is never given out again.

    Raises StillNeeded with everything that stands in the way: deletion.py has it.
    """
    require_on(by, Right.DELETE, version.model)
    reason = clean_reason(reason)
    version = lock_version(version)
    model = version.model
    deletion.refuse(deletion.obstacles(version, by=by))
    before = {"stage": version.stage, "digest": version.manifest.digest if version.manifest else ""}
    audit.record("version.deleted", by=by, subject=str(version), model=model, before=before, reason=reason)
    events.emit("version.deleted", model=model, payload={"name": model.name, "version": version.number})
    stage, size = version.stage, version.size
    version.delete()
    model.version_count -= 1
    model.size -= size
    model.updated_at = timezone.now()
    model.newest = ModelVersion.objects.filter(model=model).newest_first().first()
    newest = lifecycle.find_newest(model, stage)
    model.save(update_fields=["version_count", "size", "updated_at", "newest", *newest])
    card_sync.keep_in_step(model, card_facts.VERSION_KEYS, by=by)
    index.refresh([model.pk])
    quotas.charge(model.team_id, -size)
