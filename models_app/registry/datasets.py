"""Datasets: what runs read and versions were trained on, known by name, version and digest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import QuerySet

from models_app.models import Dataset, Run, RunInput, Team

from . import audit
from .access import Actor, Right, may, require, require_login, require_reading, require_scope
from .errors import Forbidden, Invalid
from .metadata import clean_license, clean_text

MAX_NAME = 250
MAX_DIGEST = 128
MAX_SOURCE_TYPE = 64
MAX_PATH = 2000
MAX_CONTEXT = 64
MAX_SOURCE = 65_535
MAX_SCHEMA = 1_048_575
MAX_PROFILE = 16_777_215
MAX_TAG_KEY = 255
MAX_TAG_VALUE = 500


def datasets_for(actor: Actor) -> QuerySet[Dataset]:
    """The datasets: their records are everyone's who may read, for lineage is worth little if it ends at a wall."""
    require_reading(actor)
    return Dataset.objects.select_related("team")


@transaction.atomic
def register_dataset(
    name: str,
    *,
    by: Actor,
    version: str = "",
    digest: str = "",
    path: str = "",
    license: str = "",
    description: str = "",
    team: Team | None = None,
) -> Dataset:
    """The dataset of that name, version and digest: made, or found as it is. Raises Invalid, Forbidden."""
    require_login(by)
    require_scope(by, Right.REGISTER)
    if team is not None:
        require(by, Right.REGISTER, team)
    elif not by.is_site_admin and not any(may(by, Right.REGISTER, team_id) for team_id in by.roles):
        raise Forbidden("You may not register datasets: that takes the role contributor in some team.")
    name = clean_text("name", name, limit=MAX_NAME)
    if not name:
        raise Invalid("name", "A dataset needs a name.")
    dataset, created = Dataset.objects.get_or_create(
        name=name,
        version=clean_text("version", version, limit=250),
        digest=clean_text("digest", digest, limit=MAX_DIGEST),
        defaults={
            "path": clean_text("path", path, limit=MAX_PATH),
            "license": clean_license("license", license),
            "description": clean_text("description", description, limit=20_000, lines=True),
            "team": team,
        },
    )
    if created:
        audit.record("dataset.registered", by=by, subject=str(dataset), after={"path": dataset.path})
    return dataset


@dataclass(frozen=True, slots=True)
class Read:
    """A dataset that a run says it read, as clients describe it: known by name and digest, `source` JSON as a rule."""

    name: str
    digest: str
    context: str = ""
    source_type: str = ""
    source: str = ""
    schema: str = ""
    profile: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def add_inputs(run: Run, reads: Sequence[Read], *, by: Actor) -> None:
    """Note what a run read, and register what nobody knew yet. The run is locked, the right to log checked.

    A dataset without a version of its own has its digest for one. Raises Invalid.
    """
    for read in reads:
        _check(read)
    wanted = {(read.name, read.digest): read for read in reversed(reads)}
    known = _known(wanted)
    missing = [read for key, read in wanted.items() if key not in known]
    if missing:
        Dataset.objects.bulk_create([_dataset(read) for read in missing], ignore_conflicts=True)
        known = _known(wanted)
        for read in missing:
            dataset = known[read.name, read.digest]
            audit.record("dataset.registered", by=by, subject=str(dataset), after={"path": dataset.path})
    RunInput.objects.bulk_create(
        [
            RunInput(
                run=run,
                dataset=known[read.name, read.digest],
                context=read.context[:MAX_CONTEXT],
                tags=dict(read.tags),
            )
            for read in reads
        ],
        ignore_conflicts=True,
    )


def _known(wanted: Mapping[tuple[str, str], Read]) -> dict[tuple[str, str], Dataset]:
    rows = Dataset.objects.filter(
        name__in={name for name, _ in wanted}, digest__in={digest for _, digest in wanted}
    )
    return {(row.name, row.digest): row for row in rows.order_by("-id")}


def _check(read: Read) -> None:
    limits = (
        ("name", read.name, MAX_NAME),
        ("digest", read.digest, MAX_DIGEST),
        ("source_type", read.source_type, MAX_SOURCE_TYPE),
        ("source", read.source, MAX_SOURCE),
        ("schema", read.schema, MAX_SCHEMA),
        ("profile", read.profile, MAX_PROFILE),
        ("context", read.context, MAX_TAG_VALUE),
        *(("key", key, MAX_TAG_KEY) for key in read.tags),
        *(("value", value, MAX_TAG_VALUE) for value in read.tags.values()),
    )
    for name, text, limit in limits:
        if len(text) > limit:
            raise Invalid("", f"'{name}' exceeds the maximum length of {limit} characters")
        if "\0" in text:
            raise Invalid("", f"'{name}' may not contain NUL.")
    if not read.name or not read.digest:
        raise Invalid("", "A dataset needs a name and a digest.")


def _dataset(read: Read) -> Dataset:
    said = _source(read.source)
    version = next((said[key] for key in ("delta_table_version", "revision") if said.get(key)), read.digest)
    path = next((said[key] for key in ("uri", "url", "path", "delta_table_name") if said.get(key)), "")
    return Dataset(
        name=read.name,
        version=version[:250],
        digest=read.digest,
        path=path[:MAX_PATH],
        source_type=read.source_type,
        source=read.source,
        schema=read.schema,
        profile=read.profile,
    )


def _source(text: str) -> dict[str, str]:
    """The plain values of a source that is a JSON object; nothing of any other."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(said, dict):
        return {}
    return {
        key: str(value)
        for key, value in said.items()
        if isinstance(value, str | int) and not isinstance(value, bool) and "\0" not in str(value)
    }
