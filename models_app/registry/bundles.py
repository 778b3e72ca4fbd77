"""Everything about one version as one signed archive: what an auditor takes away and checks without this server.

A zip with manifest.json, the card, the audit's records with their proof, optionally the files, a list of the SHA-256 of
all of them, and an Ed25519 signature over that list. Written while it is sent. Checked by bundle_check.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.models import AuditEvent, ManifestEntry, ModelVersion, PromotionRequest, Stage

from . import audit, audit_chain, lineage, requirements
from .access import Actor, Right, require_login, require_scope
from .artifacts.archives import Archive, Member, archive_of
from .errors import Forbidden
from .metadata import VERSION_FIELDS

FORMAT = "modelry-bundle-1"
SUMS, SIGNATURE, KEY = "SHA256SUMS", "SHA256SUMS.sig", "public_key.pem"
AUDIT, CHECKPOINT = "audit.jsonl", "checkpoint.json"
FILES = "files/"
MOST_RECORDS = 10_000
DEPTH = 5
STAGES = (Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED)
README = """\
{name}
{rule}

Everything that the registry {registry}
knew about this version at {at}, put together for {by}.

  manifest.json     metadata, files with their SHA-256, lineage, stages, requests with reviews and the
                    policies they were decided under, checks
  card.md           the model card
  audit.jsonl       the audit's records about the version and its model, a JSON object a line
  checkpoint.json   a signed statement of how long the audit's chain was, and how it ended
  files/            the files themselves, where they were asked for
  SHA256SUMS        the SHA-256 of every file here but itself and its signature
  SHA256SUMS.sig    an Ed25519 signature over SHA256SUMS
  public_key.pem    the key it is checked with

Check it

1. Every file is what was listed:

     sha256sum -c SHA256SUMS

2. The list is what was signed (OpenSSL 3):

     openssl pkeyutl -verify -pubin -inkey public_key.pem -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig

3. The key is the registry's. Compare it with what you keep from the registry, not with this bundle:

     {key}

4. Each sealed record of the audit fits its hash, and the hash of the record before it (Python 3):

     import hashlib, json
     for line in open("audit.jsonl", encoding="utf-8"):
         record = json.loads(line)
         position, hash, former = (record.pop(name) for name in ("position", "hash", "former"))
         text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
         assert position is None or hashlib.sha256(f"{{former}}\\n{{text}}".encode()).hexdigest() == hash

   That these hashes are links of the chain that checkpoint.json ends takes the links between them: an export
   of the whole audit, or `manage.py audit_verify --checkpoint checkpoint.json` where the registry runs.

Or all of it at once, with the registry's program and without its database:

     manage.py bundle_verify BUNDLE.zip --public-key {key}
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """An archive to send: `digest` names its bytes."""

    name: str
    digest: str
    made_at: datetime
    archive: Archive


def may_take(version: ModelVersion, *, by: Actor) -> bool:
    """Whether this person may take the bundle: it holds what the audit says, so those who read the model's audit."""
    return audit.may_read_about(version.model, by=by)


def make(version: ModelVersion, *, by: Actor, with_files: bool = False) -> Bundle:
    """The bundle of a version that the actor may read, with its files where asked for.

    Raises Unauthenticated, Forbidden for who may not read the audit of the model.
    """
    require_login(by)
    require_scope(by, Right.READ)
    if not may_take(version, by=by):
        raise Forbidden(
            "A bundle holds the audit's records of the model: only site admins and admins of its team take it.",
            next_step=f"Ask an admin of team {version.model.team.slug}; the compliance report is open to every reader.",
        )
    now = timezone.now().replace(microsecond=0)
    entries = _entries(version)
    records = audit_chain.proven(records_of(version), most=MOST_RECORDS)
    checkpoint = audit_chain.unsaved_checkpoint()
    about = manifest(version, by=by, at=now, with_files=with_files, entries=entries) | {
        "audit": {
            "records": len(records),
            "left_out": records_of(version).count() - len(records),
            "unsealed": sum(record["position"] is None for record in records),
        }
    }
    texts = {
        "README.txt": _readme(version, at=now, by=by),
        "manifest.json": _json(about),
        "card.md": version.model.card,
        AUDIT: "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records),
        CHECKPOINT: _json(checkpoint.as_dict() if checkpoint is not None else {}),
        KEY: _pem(),
    }
    members = [_inline(path, text.encode(), now) for path, text in texts.items()]
    if with_files:
        members += [Member(FILES + row.path, row.blob_id, row.size, now) for row in entries]
    sums = "".join(f"{member.sha256}  {member.path}\n" for member in members).encode()
    signed = [_inline(SUMS, sums, now), _inline(SIGNATURE, audit_chain.sign(sums), now)]
    title = f"{version.model.name.replace('/', '-')}-v{version.number}-bundle"
    archive = archive_of([*signed, *members], kind="zip")
    return Bundle(title, hashlib.sha256(sums).hexdigest(), now, archive)


def _inline(path: str, content: bytes, at: datetime) -> Member:
    return Member(path, hashlib.sha256(content).hexdigest(), len(content), at, content)


def _pem() -> str:
    return audit_chain.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def key_id() -> str:
    """The public key as checkpoints name it: hex."""
    return audit_chain.public_key().public_bytes_raw().hex()


def _readme(version: ModelVersion, *, at: datetime, by: Actor) -> str:
    name = f"{version.model.name}, version {version.number}"
    return README.format(
        name=name,
        rule="=" * len(name),
        registry=settings.PUBLIC_URL or "(no public address set)",
        at=_moment(at),
        by=by.name,
        key=key_id(),
    )


def records_of(version: ModelVersion) -> QuerySet[AuditEvent]:
    """The audit's records about a version, and about its model as a whole; not those of other versions."""
    rows = AuditEvent.objects.filter(model_ref=version.model_id)
    return rows.filter(Q(subject__endswith=f"@{version.number}") | ~Q(subject__contains="@"))


def _entries(version: ModelVersion) -> list[ManifestEntry]:
    if version.manifest_id is None:
        return []
    return list(ManifestEntry.objects.filter(manifest=version.manifest_id).order_by("path"))


def manifest(
    version: ModelVersion, *, by: Actor, at: datetime, with_files: bool, entries: list[ManifestEntry]
) -> dict[str, Any]:
    """All that is known of a version but the audit, as JSON."""
    found = lineage.graph(version, by=by, depth=DEPTH)
    return {
        "format": FORMAT,
        "made_at": _moment(at),
        "made_by": by.name,
        "registry": settings.PUBLIC_URL,
        "public_key": key_id(),
        "model": _model(version),
        "version": _version(version),
        "files": [
            {"path": row.path, "size": row.size, "sha256": row.blob_id, "included": with_files}
            for row in entries
        ],
        "lineage": {
            "nodes": [asdict(node) for node in found.nodes.values()],
            "edges": [asdict(edge) for edge in found.edges],
            "cut": found.is_cut,
        },
        "checks": [
            {
                **_columns(check, "name", "state", "summary", "url"),
                "reported_by": _name(check.reported_by),
                "reported_at": _moment(check.reported_at),
            }
            for check in version.checks.select_related("reported_by")
        ],
        "transitions": [
            {
                **_columns(move, "from_stage", "to_stage", "kind", "reason"),
                "by": _name(move.by),
                "at": _moment(move.at),
            }
            for move in version.transitions.select_related("by").order_by("at", "id")
        ],
        "requests": [_request(request) for request in _requests(version)],
        "policies": [
            {"stage": stage.value, **one.reference}
            for stage in STAGES
            for one in requirements.applied(version.model, to=stage)
        ],
        "demands": [asdict(demand) for demand in requirements.requirements(version, to=Stage.PRODUCTION)],
    }


def _model(version: ModelVersion) -> dict[str, Any]:
    model = version.model
    columns = ("name", "visibility", "purpose", "task", "library", "license", "risk_level", "headline_metric")
    return {
        **_columns(model, *columns),
        "team": model.team.slug,
        "owner": _name(model.owner),
        "created_at": _moment(model.created_at),
        "created_by": _name(model.created_by),
        "former_names": list(model.former_names.order_by("id").values_list("name", flat=True)),
        "tags": dict(model.tags.values_list("key", "value")),
    }


def _version(version: ModelVersion) -> dict[str, Any]:
    plain = [name for name in VERSION_FIELDS if name != "owner"]
    held = version.manifest
    return {
        **_columns(version, "number", "stage", "source", "run_link", *plain),
        "owner": _name(version.owner),
        "created_at": _moment(version.created_at),
        "created_by": _name(version.created_by),
        "stage_changed_at": _moment(version.stage_changed_at),
        "last_promoted_at": _moment(version.last_promoted_at),
        "last_promoted_by": _name(version.last_promoted_by),
        "rollback_target": version.rollback_target.number if version.rollback_target else None,
        "run": version.run.uid if version.run else None,
        "digest": held.digest if held else None,
        "file_count": held.file_count if held else 0,
        "total_size": held.total_size if held else 0,
        "aliases": [alias.name for alias in version.aliases.all()],
        "tags": dict(version.tags.values_list("key", "value")),
        "risk_flags": [flag.name for flag in version.risk_flags.all()],
        "metrics": [
            _columns(row, "name", "value", "dataset", "split", "higher_is_better")
            for row in version.metrics.all()
        ],
        "reports": [_columns(row, "title", "url") for row in version.reports.all()],
    }


def _requests(version: ModelVersion) -> Iterable[PromotionRequest]:
    rows = PromotionRequest.objects.filter(version=version).order_by("id")
    return rows.select_related("requested_by", "decided_by", "reviewed_after_by").prefetch_related(
        "reviews__reviewer", "entries__by"
    )


def _request(request: PromotionRequest) -> dict[str, Any]:
    return {
        "number": request.pk,
        **_columns(request, "to_stage", "state", "reason", "is_emergency", "evidence", "policies"),
        "requested_by": _name(request.requested_by),
        "decided_by": _name(request.decided_by),
        "reviewed_after_by": _name(request.reviewed_after_by),
        "created_at": _moment(request.created_at),
        "decided_at": _moment(request.decided_at),
        "reviewed_after_at": _moment(request.reviewed_after_at),
        "reviews": [
            {
                **_columns(review, "role", "verdict", "body", "evidence", "dismissed_why"),
                "reviewer": _name(review.reviewer),
                "at": _moment(review.created_at),
                "dismissed_at": _moment(review.dismissed_at),
            }
            for review in request.reviews.all()
        ],
        "discussion": [
            {**_columns(entry, "kind", "body"), "by": _name(entry.by), "at": _moment(entry.at)}
            for entry in request.entries.all()
        ],
    }


def _columns(row: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _name(user: Any) -> str | None:
    return user.username if user is not None else None


def _moment(at: datetime | None) -> str | None:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if at is not None else None


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"
