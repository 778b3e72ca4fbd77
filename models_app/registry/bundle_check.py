"""Whether a bundle is what this or another registry signed: read from a file, without database and storage."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from . import audit_chain
from .artifacts.archives import Member, look_at
from .bundles import AUDIT, CHECKPOINT, KEY, SIGNATURE, SUMS

# What is read into memory; files may be of any size.
MAX_READ = 64 << 20


@dataclass(slots=True)
class Outcome:
    """What was found: nothing wrong when `problems` is empty. `public_key` (hex) is the one the bundle brings."""

    problems: list[str] = field(default_factory=list)
    members: int = 0
    records: int = 0
    unsealed: int = 0
    public_key: str = ""
    position: int | None = None


def check(path: Path, *, public_key: str = "") -> Outcome:
    """Look at every byte of a bundle. `public_key` (hex) is the key one trusts; without it the bundle's own is.

    Each problem names the file of the bundle that it is about.
    """
    found = Outcome()
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            listed = archive.infolist()
            digests = _digests(file, listed, found)
            small = {one.filename: archive.read(one) for one in listed if _is_read(one, digests)}
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, RuntimeError, EOFError) as error:
        found.problems.append(f"The archive's directory: {error}"[:300])
        return found
    _check_sums(digests, small, found)
    _check_signature(small, public_key, found)
    _check_audit(small, public_key, found)
    found.problems = list(dict.fromkeys(found.problems))
    return found


def _is_read(one: zipfile.ZipInfo, digests: dict[str, str]) -> bool:
    wanted = one.filename in (SUMS, SIGNATURE, KEY, AUDIT, CHECKPOINT)
    return wanted and one.filename in digests and one.file_size <= MAX_READ


def _digests(file: BinaryIO, listed: list[zipfile.ZipInfo], found: Outcome) -> dict[str, str]:
    """The SHA-256 of each member; what is not as it was written is a problem, and left out."""
    members = [
        Member(one.filename, "", one.file_size, datetime(*one.date_time, tzinfo=UTC)) for one in listed
    ]
    digests: dict[str, str] = {}
    for member, digest, is_whole in look_at(file, members):
        name = member.path or "The archive's directory"
        if not is_whole:
            found.problems.append(f"{name}: its bytes in the archive are not as they were written.")
        if member.path in digests:
            found.problems.append(f"{name}: is there twice.")
        if member.path and is_whole:
            digests[member.path] = digest
    found.members = len(members)
    return digests


def _check_sums(digests: dict[str, str], small: dict[str, bytes], found: Outcome) -> None:
    sums: dict[str, str] = {}
    for line in small.get(SUMS, b"").decode(errors="replace").split("\n")[:-1]:
        digest, _, path = line.partition("  ")
        sums[path] = digest
    for path in (SUMS, SIGNATURE, *sums):
        if path not in digests:
            found.problems.append(f"{path}: is missing or damaged.")
    if SUMS not in digests:
        return
    for path, digest in digests.items():
        if path in (SUMS, SIGNATURE):
            continue
        if path not in sums:
            found.problems.append(f"{path}: is not listed in {SUMS}.")
        elif sums[path] != digest:
            found.problems.append(f"{path}: is not what {SUMS} lists.")


def _check_signature(small: dict[str, bytes], trusted: str, found: Outcome) -> None:
    try:
        key = load_pem_public_key(small.get(KEY, b""))
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("no Ed25519 key")
        found.public_key = key.public_bytes_raw().hex()
    except ValueError as error:
        found.problems.append(f"{KEY}: is no key ({str(error)[:80]}).")
        return
    if trusted and trusted.lower() != found.public_key:
        found.problems.append(f"{KEY}: is {found.public_key}, not the key that you trust.")
    try:
        key.verify(small.get(SIGNATURE, b""), small.get(SUMS, b""))
    except InvalidSignature:
        found.problems.append(f"{SIGNATURE}: is no signature by {KEY} over {SUMS}.")


def _check_audit(small: dict[str, bytes], trusted: str, found: Outcome) -> None:
    former: dict[str, Any] | None = None
    for number, line in enumerate(small.get(AUDIT, b"").split(b"\n")[:-1], start=1):
        found.records += 1
        try:
            record = json.loads(line)
            why = audit_chain.why_not_proven(record)
            found.unsealed += record["position"] is None
            if former and former["position"] and record["position"] == former["position"] + 1:
                why = why or (
                    "" if record["former"] == former["hash"] else "It does not follow the one before."
                )
            former = record
        except (ValueError, KeyError, TypeError, AttributeError):
            why = "It is no record."
        if why:
            found.problems.append(f"{AUDIT}: line {number}: {why}")
    try:
        checkpoint = json.loads(small.get(CHECKPOINT, b"{}"))
    except ValueError:
        checkpoint = None
    if not isinstance(checkpoint, dict) or (
        checkpoint and not audit_chain.is_signed(checkpoint, public_key=trusted or found.public_key)
    ):
        found.problems.append(f"{CHECKPOINT}: is not signed by {KEY}.")
    elif checkpoint:
        found.position = checkpoint["position"]
