"""The proof that the audit was not changed afterwards: every record linked to the one before by SHA-256.

Writers never wait: records are linked some time after they were committed, in batches, by one sealer at a time. A
signed checkpoint (Ed25519) kept elsewhere makes even a chain that was rewritten as a whole visible.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from models_app.models import AuditCheckpoint, AuditEvent, AuditLink, AuditVerification

from . import audit
from .access import Actor, Right, require_login, require_scope
from .errors import Conflict, Forbidden

START = "0" * 64
BATCH = 500
# A record's number is taken before its transaction commits: younger ones may still be missing between older ones.
SETTLED = timedelta(seconds=10)
# Looking at the whole chain takes a while: once a day, and again when a look was cut off (a restart, say).
VERIFY_EVERY = timedelta(days=1)
VERIFY_AGAIN = timedelta(hours=1)
# How far below the last sealed record younger ones may still wait, and how many that wait are counted.
LATE = 10_000
MOST_COUNTED = 10_000
FIELDS = (
    "id",
    "at",
    "verb",
    "actor_id",
    "actor_name",
    "token_prefix",
    "door",
    "address",
    "request_id",
    "subject",
    "model_ref",
    "before",
    "after",
    "reason",
    "refused",
    "policy",
)


def plain(record: dict[str, Any]) -> dict[str, Any]:
    """A record with its times as texts."""
    return {
        name: value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if isinstance(value, datetime)
        else value
        for name, value in record.items()
    }


def canonical(record: dict[str, Any]) -> bytes:
    """A record as the bytes that are hashed: JSON with sorted keys, no spaces, times in UTC with microseconds."""
    return json.dumps(plain(record), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def link_hash(former: str, record: dict[str, Any]) -> str:
    """SHA-256 over the former link's hash and the record."""
    return hashlib.sha256(former.encode() + b"\n" + canonical(record)).hexdigest()


def seal(*, batch: int = BATCH) -> int:
    """Link the next records; returns how many. Of two sealers at once one does nothing: positions are unique."""
    with transaction.atomic():
        last = AuditLink.objects.order_by("-position").first()
        position, former = (last.position, last.hash) if last else (0, START)
        records = _unsealed(batch, behind=last.event_id if last else 0)
        links = []
        for record in records:
            position += 1
            former = link_hash(former, record)
            links.append(AuditLink(position=position, event_id=record["id"], hash=former))
        try:
            with transaction.atomic():
                AuditLink.objects.bulk_create(links)
        except IntegrityError:
            return 0
        return len(links)


def _unsealed(batch: int, *, behind: int) -> list[dict[str, Any]]:
    """Records that settled and have no link yet; only near the last one sealed, as an anti-join over all would cost."""
    settled = timezone.now() - SETTLED
    rows = AuditEvent.objects.filter(link=None, at__lt=settled, id__gt=behind - LATE).order_by("id")
    return list(rows.values(*FIELDS)[:batch])


def exported(rows: QuerySet[AuditEvent], *, chunk: int) -> Iterator[dict[str, Any]]:
    """Records as they are hashed, each with its place in the chain and its hash (null while it waits), oldest first.

    Reads as it is asked to go on, `chunk` at a time.
    """
    values = rows.order_by("id").values(*FIELDS, position=F("link__position"), hash=F("link__hash"))
    return map(plain, values.iterator(chunk_size=chunk))


def proven(rows: QuerySet[AuditEvent], *, most: int) -> list[dict[str, Any]]:
    """The newest of these records, oldest first, as `exported`, each with the former link's hash too: with it a record
    can be held against its own hash without the rest of the chain.
    """
    before = AuditLink.objects.filter(position=OuterRef("link__position") - 1).values("hash")[:1]
    values = rows.order_by("-id").values(
        *FIELDS, position=F("link__position"), hash=F("link__hash"), former=Subquery(before)
    )
    found = [plain(record) for record in reversed(values[:most])]
    for record in found:
        if record["position"] == 1:
            record["former"] = START
    return found


def why_not_proven(record: dict[str, Any]) -> str:
    """Why a record of `proven` is not what was sealed, or nothing. One that was not sealed yet proves nothing."""
    if record["position"] is None:
        return ""
    expected = link_hash(str(record["former"]), {name: record[name] for name in FIELDS})
    return "" if expected == record["hash"] else f"Record {record['id']} is not what was sealed."


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at the chain found: how far it is whole, what waits to be linked, and the first thing wrong."""

    links: int
    waiting: int
    head: str
    problem: str = ""
    event_id: int | None = None


def verify(*, progress: Any = None) -> Verdict:
    """Compute every link anew. Reads the whole audit, a batch at a time, in flat memory."""
    former, position = START, 0
    for link, record in _pairs():
        position += 1
        if link["position"] != position:
            return _broken(position, former, f"Link {position} is missing.", link["event_id"])
        if record is None:
            return _broken(position, former, f"Record {link['event_id']} is missing.", link["event_id"])
        expected = link_hash(former, record)
        if expected != link["hash"]:
            return _broken(
                position, former, f"Record {link['event_id']} is not what was sealed.", link["event_id"]
            )
        former = expected
        if progress is not None and position % BATCH == 0:
            progress(position)
    for checkpoint in AuditCheckpoint.objects.order_by("position"):
        if why := why_not_valid(checkpoint.as_dict()):
            return _broken(position, former, why, None)
    return Verdict(position, AuditEvent.objects.filter(link=None).count(), former)


def prove(*, progress: Any = None) -> Verdict:
    """`verify`, and keep what it found for `standing`."""
    look = AuditVerification.objects.create()
    found = verify(progress=progress)
    look.links, look.head = found.links, found.head
    look.problem, look.event_ref = found.problem[:300], found.event_id
    look.ended_at = timezone.now()
    look.save()
    return found


def verification_is_due() -> bool:
    """Whether there is a chain, the last look at the whole of it is a day old, and none began within the hour."""
    now = timezone.now()
    looks = AuditVerification.objects.filter(
        Q(ended_at__gt=now - VERIFY_EVERY) | Q(started_at__gt=now - VERIFY_AGAIN, ended_at=None)
    )
    return not looks.exists() and AuditLink.objects.exists()


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the chain stands, as far as that costs nothing to know. `waiting` counts no further than MOST_COUNTED."""

    sealed: int
    waiting: int
    checkpoint: AuditCheckpoint | None
    verification: AuditVerification | None

    @property
    def waiting_is_capped(self) -> bool:
        return self.waiting >= MOST_COUNTED


def standing() -> Standing:
    """Where the chain stands, and what the last look at the whole of it found."""
    last = AuditLink.objects.order_by("-position").first()
    waiting = AuditEvent.objects.filter(link=None, id__gt=last.event_id - LATE if last else 0).order_by()
    return Standing(
        sealed=last.position if last else 0,
        waiting=waiting.values("pk")[:MOST_COUNTED].count(),
        checkpoint=newest_checkpoint(),
        verification=AuditVerification.objects.exclude(ended_at=None).order_by("-ended_at", "-id").first(),
    )


def _broken(position: int, head: str, problem: str, event_id: int | None) -> Verdict:
    return Verdict(position - 1, 0, head, problem, event_id)


def _pairs() -> Iterator[tuple[Any, Any]]:
    """Every link and its record, None where that is gone."""
    after = 0
    while True:
        links = list(
            AuditLink.objects.filter(position__gt=after)
            .order_by("position")
            .values("position", "event_id", "hash")[:BATCH]
        )
        if not links:
            return
        ids = [link["event_id"] for link in links]
        records = {record["id"]: record for record in AuditEvent.objects.filter(id__in=ids).values(*FIELDS)}
        for link in links:
            yield link, records.get(link["event_id"])
        after = links[-1]["position"]


def _key() -> Ed25519PrivateKey:
    """This site's signing key, made from its secret key."""
    seed = HKDF(hashes.SHA256(), 32, salt=None, info=b"modelry audit checkpoint").derive(
        settings.SECRET_KEY.encode()
    )
    return Ed25519PrivateKey.from_private_bytes(seed)


def _statement(checkpoint: dict[str, Any]) -> bytes:
    return f"modelry audit\n{checkpoint['position']}\n{checkpoint['hash']}\n{checkpoint['at']}\n".encode()


def sign(text: bytes) -> bytes:
    """An Ed25519 signature by this site's key; `text` must not begin like a checkpoint."""
    if text.startswith(b"modelry audit"):
        raise ValueError("That would be a checkpoint.")
    return _key().sign(text)


def public_key() -> Ed25519PublicKey:
    """The key that this site's signatures are checked with."""
    return _key().public_key()


def checkpoint() -> AuditCheckpoint | None:
    """Sign where the chain stands now; None when nothing is sealed. Keep what it says outside of this server."""
    made = unsaved_checkpoint()
    if made is not None:
        made.save(force_insert=True)
    return made


def unsaved_checkpoint() -> AuditCheckpoint | None:
    """As `checkpoint`, for somebody to take away: nothing is written."""
    last = AuditLink.objects.order_by("-position").first()
    if last is None:
        return None
    key = _key()
    made = AuditCheckpoint(
        position=last.position,
        hash=last.hash,
        public_key=key.public_key().public_bytes_raw().hex(),
        created_at=timezone.now().replace(microsecond=0),
    )
    made.signature = key.sign(_statement(made.as_dict())).hex()
    return made


def newest_checkpoint() -> AuditCheckpoint | None:
    """The last signed checkpoint, if there is one."""
    return AuditCheckpoint.objects.order_by("-id").first()


def ask_checkpoint(*, by: Actor) -> AuditCheckpoint:
    """A new checkpoint for a site admin, on record. Raises Forbidden, or Conflict while nothing is sealed."""
    require_login(by)
    require_scope(by, Right.MANAGE_TEAM)
    if not by.is_site_admin:
        raise Forbidden(
            "Only site admins sign checkpoints of the audit.",
            next_step="Ask one; the newest checkpoint can be read by whoever may read the audit.",
        )
    with transaction.atomic():
        made = checkpoint()
        if made is None:
            raise Conflict(
                "Nothing is sealed yet.",
                next_step="Records are sealed by the worker seconds after they are made.",
            )
        audit.record(
            "audit.checkpoint_signed",
            by=by,
            subject=f"position {made.position}",
            after={"position": made.position, "hash": made.hash},
        )
    return made


def why_not_valid(exported: dict[str, Any], *, public_key: str = "") -> str:
    """Why an exported checkpoint does not fit the chain as it is now, or nothing.

    `public_key` (hex) is the key one trusts; without it the one in the checkpoint is believed.
    """
    if not is_signed(exported, public_key=public_key):
        return f"The checkpoint at {exported.get('position')} is not signed by this key."
    link = AuditLink.objects.filter(position=exported["position"]).values_list("hash", flat=True).first()
    if link != exported["hash"]:
        return f"The chain at {exported['position']} is not what the checkpoint of {exported['at']} says."
    return ""


def is_signed(exported: dict[str, Any], *, public_key: str = "") -> bool:
    """Whether an exported checkpoint is signed by the key one trusts, or by the one in it."""
    try:
        trusted = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key or exported["public_key"]))
        trusted.verify(bytes.fromhex(exported["signature"]), _statement(exported))
    except (InvalidSignature, ValueError, KeyError, TypeError):
        return False
    return True
