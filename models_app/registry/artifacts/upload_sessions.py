"""Upload sessions: declare files, send only what is not here, seal them into a version.

A session is its maker's alone. Files are asked for by digest: equal ones are sent once. A file counts as here when the
maker may read its bytes anyway, or sent them in a session of her own; bytes of others look like bytes that are nowhere
(reuse.py), and knowing a digest gives nobody the bytes: who declares them has to send them.

The digest of a large file may be said while its parts are sent already, so that nobody waits for hashing: until then
it is asked for by its path.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from models_app.formats.paths import check_paths
from models_app.models import UploadFile, UploadSession
from models_app.registry import admission, quotas
from models_app.registry.access import Actor, Right, require_login, require_scope
from models_app.registry.errors import Conflict, FieldProblem, Invalid, Mismatch, NotFound, TooLarge
from models_app.registry.prepared import Prepared, PreparedInstances

from . import arrivals, blobs, reuse, storage
from .arrivals import Arrival, Way
from .blobs import StoredFile
from .stores.base import Part, Target

KEPT = timedelta(hours=24)
# Files up to here may come many in one request.
SMALL = 4 << 20
# So many addresses are given out at once.
ADDRESSES = 200
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Completed:
    """How many files are here, and how many arrived but have to be read first; what keeps them from it, if anything."""

    arrived: int
    verifying: int
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file still to send: its arrival, the parts that are here, and the addresses of some that are not."""

    file: UploadFile
    arrival: Arrival
    arrived: Sequence[int]
    missing: Sequence[int]
    targets: Mapping[int, Target | None]


def begin(
    name: str,
    *,
    files: Sequence[StoredFile],
    registration: Mapping[str, Any],
    create_model: bool,
    model_fields: Mapping[str, Any],
    metadata: Mapping[str, Any],
    by: Actor,
) -> UploadSession:
    """Begin. `registration` is kept as it came, for sealing. Raises what registering would: Invalid, NotFound,
    Forbidden, OverQuota; and as `declare` does.
    """
    require_login(by)
    assert by.user is not None
    team = admission.check_registration(
        name, create_model=create_model, fields=model_fields, data=metadata, by=by
    )
    with transaction.atomic():
        session = UploadSession.objects.create(
            uid=uuid.uuid4().hex,
            model_name=name,
            team=team,
            registration=dict(registration),
            created_by=by.user,
            expires_at=timezone.now() + KEPT,
        )
        declare(session, files, by=by)
    return session


_OF_UID = PreparedInstances(
    lambda uid, maker: (
        UploadSession.objects.order_by()
        .select_related("version__model", "team")
        .filter(uid=uid, created_by=maker)
    ),
    str,
    int,
)


def find(uid: str, *, by: Actor, to_send: bool = True) -> UploadSession:
    """The session of that id, if it is the actor's own. Raises NotFound; `to_send` Forbidden, too, for who may not
    register there any more.
    """
    require_login(by)
    require_scope(by, Right.REGISTER)
    found = _OF_UID.one(uid, by.user.pk) if by.user is not None else None
    if found is None:
        raise NotFound("There is no such upload of yours.", next_step="Start it again.")
    if to_send:
        admission.check_right(found.model_name, found.team, by=by)
    return found


def _lock(session: UploadSession) -> UploadSession:
    """The session as it is now, still open, for longer again. Raises Conflict, NotFound."""
    found = UploadSession.objects.select_for_update().filter(pk=session.pk).first()
    if found is None or found.expires_at <= timezone.now():
        raise NotFound("This upload has ended.", next_step="Start it again.")
    if found.sealed_at is not None:
        raise Conflict("This upload is a version already.", next_step="Start another.")
    found.expires_at = timezone.now() + KEPT
    found.save(update_fields=["expires_at"])
    return found


@transaction.atomic
def declare(session: UploadSession, files: Sequence[StoredFile], *, by: Actor) -> list[UploadFile]:
    """Add files to a session; those that are here have their blob then. Their digests may be "", to be said later.

    Raises Invalid("files") for bad or doubled paths and malformed digests, TooLarge for too many files or bytes,
    OverQuota when the session's files are together more than its team may still hold: sealing asks again.
    """
    session = _lock(session)
    sizes_of = dict(session.files.values_list("path", "size"))
    known = list(sizes_of)
    limit = settings.MAX_FILES_PER_VERSION
    if len(known) + len(files) > limit:
        raise TooLarge(
            f"At most {limit} files in a version.", limit=limit, next_step="Pack small files into an archive."
        )
    try:
        check_paths([*known, *(file.path for file in files)])
    except ValueError as error:
        raise Invalid("files", str(error)) from error
    if over := next((file for file in files if file.size > settings.MAX_FILE_BYTES), None):
        limit = settings.MAX_FILE_BYTES
        raise TooLarge(f"{over.path}: a file may have at most {limit} bytes.", limit=limit)
    if session.team_id is not None:
        quotas.check(session.team_id, sum(sizes_of.values()) + sum(file.size for file in files))
    sizes = _keep_here(session, files, by=by)
    rows = [
        UploadFile(
            session=session,
            path=file.path,
            sha256=file.sha256,
            size=file.size,
            blob_id=file.sha256 if file.sha256 in sizes else None,
        )
        for file in files
    ]
    return UploadFile.objects.bulk_create(rows, batch_size=AT_ONCE)


@transaction.atomic
def say(session: UploadSession, digests: Mapping[str, str], *, by: Actor) -> list[UploadFile]:
    """Say the digests, by path, of files that were declared without; those that are here need not be sent on.

    Raises Invalid("files") for undeclared paths, Conflict for another digest than was said, else as `declare`.
    """
    session = _lock(session)
    rows = list(_named(session, digests).values())
    fresh = [row for row in rows if row.sha256 != digests[row.path]]
    if said := next((row for row in fresh if row.sha256), None):
        raise Conflict(
            f"{said.path}: it was declared with another digest.", next_step="Start another upload."
        )
    for row in fresh:
        row.sha256 = digests[row.path]
    sizes = _keep_here(session, [StoredFile(row.path, row.sha256, row.size) for row in fresh], by=by)
    left = [row for row in fresh if row.sha256 in sizes]
    for row in left:
        row.blob_id = row.sha256
    UploadFile.objects.bulk_update(fresh, ["sha256", "blob"], batch_size=AT_ONCE)
    for row in left:
        if row.arrival:
            transaction.on_commit(partial(arrivals.abandon, arrival_of(row)), robust=True)
    return rows


def _keep_here(session: UploadSession, files: Sequence[StoredFile], *, by: Actor) -> dict[str, int]:
    """Sizes of those that are here, which are kept for them. Raises Mismatch for one declared with another size, than
    it has or than was declared before.
    """
    digests = {file.sha256 for file in files if file.sha256}
    sizes = reuse.sizes_here(digests, by=by)
    told = dict(sizes)
    for some in blobs.in_lots(digests):
        told.update(session.files.filter(sha256__in=some).values_list("sha256", "size"))
    for file in files:
        if file.sha256 and told.setdefault(file.sha256, file.size) != file.size:
            raise blobs.other_size(file, told[file.sha256])
    blobs.keep([file for file in files if file.sha256 in sizes])
    return sizes


def is_small(file: UploadFile) -> bool:
    """Whether the file may come with others in one request."""
    direct = storage.direct_store() is not None and file.size >= settings.DIRECT_MIN_BYTES
    return file.size <= SMALL and not direct


# --- Sending --------------------------------------------------------------------------------------------------


def _of(session: UploadSession, digests: Iterable[str]) -> dict[str, UploadFile]:
    """The row of each digest that has its arrival. Raises Invalid("files") for one that was not declared."""
    wanted = {digest.lower() for digest in digests}
    _check_count(wanted)
    found: dict[str, UploadFile] = {}
    for file in session.files.filter(sha256__in=wanted).order_by("pk"):
        if not (found.setdefault(file.sha256, file).arrival or not file.arrival):
            found[file.sha256] = file  # Begun by its path, before its digest was said.
    _check_known(wanted, found)
    return found


def _named(session: UploadSession, paths: Collection[str]) -> dict[str, UploadFile]:
    """Rows by path. Raises Invalid("files") for one that was not declared."""
    _check_count(paths)
    found = {file.path: file for file in session.files.filter(path__in=paths).order_by("pk")}
    _check_known(paths, found)
    return found


def _check_count(wanted: Collection[str]) -> None:
    if len(wanted) > AT_ONCE:
        raise TooLarge(f"Ask for at most {AT_ONCE} files at once.", limit=AT_ONCE)


def _check_known(wanted: Iterable[str], found: Collection[str]) -> None:
    if unknown := sorted(set(wanted).difference(found)):
        raise Invalid("files", f"“{unknown[0][:70]}” was not declared in this upload.")


def arrival_of(file: UploadFile) -> Arrival:
    """How the file comes."""
    return Arrival(
        file.arrival, Way(file.way), file.part_count, file.part_size, file.size, file.sha256, file.at_store
    )


def where(session: UploadSession, digests: Iterable[str], *, paths: Collection[str] = ()) -> list[Wanted]:
    """Where the parts of these files go that have not arrived; nothing for those that are here. `paths` are of files
    whose digest was not said yet; those that cannot come before it is are left out.

    At most ADDRESSES addresses: ask again for the rest. Raises Invalid("files"), NotFound, Conflict, Unavailable.
    """
    with transaction.atomic():
        _lock(session)
    found, left = [], ADDRESSES
    for file in (*_of(session, digests).values(), *_named(session, paths).values()):
        if file.blob_id is not None or file.verifying_at is not None:
            continue
        if not (file.sha256 or arrivals.takes_unsaid(file.size)):
            continue
        under_way = _under_way(session, file)
        if under_way is None:
            continue
        arrival, arrived = under_way
        missing = [number for number in range(1, arrival.part_count + 1) if number not in arrived]
        asked = missing[:left]
        left -= len(asked)
        targets = {number: arrivals.target(arrival, number, valid=KEPT) for number in asked}
        found.append(Wanted(file, arrival, sorted(arrived), missing, targets))
    return found


def _under_way(session: UploadSession, file: UploadFile) -> tuple[Arrival, dict[int, Part]] | None:
    """The file's arrival, begun now if it was not or has ended, and the parts that are here; None when it is whole."""
    if file.arrival:
        arrival = arrival_of(file)
        try:
            return arrival, arrivals.arrived(arrival)
        except NotFound:
            if _gather(session, file):  # joined before, by one who died then
                return None
    arrival = arrivals.begin(size=file.size, sha256=file.sha256)
    if arrival.way == Way.WHOLE:
        return arrival, {}
    values = {
        "arrival": arrival.uid,
        "way": arrival.way.value,
        "part_count": arrival.part_count,
        "part_size": arrival.part_size,
        "at_store": arrival.at_store,
        "refusal": "",
    }
    if UploadFile.objects.filter(pk=file.pk, arrival="").update(**values):
        return arrival, {}
    arrivals.abandon(arrival)  # Another began it meanwhile.
    file.refresh_from_db()
    arrival = arrival_of(file)
    return arrival, arrivals.arrived(arrival)


_END = Prepared(
    lambda pk: UploadSession.objects.order_by().filter(pk=pk, sealed_at=None).values_list("expires_at"),
    int,
)


def receive(session: int, arrival: Arrival, number: int, chunks: Iterable[bytes], *, length: int) -> None:
    """Take a part for whom `where` gave the address; a file that comes whole is here then.

    Raises Mismatch for other bytes than declared, Invalid("body"), TooLarge, Unavailable, and NotFound when the session
    has ended.
    """
    if not any(end > timezone.now() for (end,) in _END(session)):
        raise NotFound("This upload has ended.", next_step="Start it again.")
    try:
        arrivals.receive(arrival, number, chunks, length=length)
    except Mismatch:
        raise
    except Invalid as error:
        if error.problems[0].field != "sha256":
            raise
        raise Mismatch("sha256", error.problems[0].message, next_step="Send the file again.") from error
    if arrival.way == Way.WHOLE:
        claim(session, [StoredFile("", arrival.sha256, arrival.size or 0)])


@transaction.atomic
def claim(session: int, files: Sequence[StoredFile]) -> None:
    """The session has these bytes now. Raises NotFound when it has ended."""
    if not UploadSession.objects.select_for_update().filter(pk=session, sealed_at=None).exists():
        raise NotFound("This upload has ended.", next_step="Start it again.")
    blobs.keep(files)
    digests = [file.sha256 for file in files]
    lacking = UploadFile.objects.filter(session=session, sha256__in=digests, blob=None)
    lacking.update(blob=F("sha256"), verifying_at=None)


def check_sent(session: UploadSession, files: Sequence[StoredFile]) -> None:
    """Whether small files that came together, each named by its digest, are as declared: `claim` them then.

    Raises Mismatch for other bytes than declared, Invalid("files") for what was not declared, TooLarge.
    """
    if len(files) > AT_ONCE:
        raise TooLarge(f"Send at most {AT_ONCE} files at once.", limit=AT_ONCE)
    declared = _of(session, [file.path for file in files])
    wrong = [
        FieldProblem(
            "sha256", f"{declared[file.path.lower()].path}: what arrived has the digest {file.sha256}."
        )
        for file in files
        if (file.sha256, file.size) != (file.path.lower(), declared[file.path.lower()].size)
    ]
    if wrong:
        raise Mismatch.many(wrong[:100])


def complete(session: UploadSession, digests: Iterable[str]) -> Completed:
    """Make files of the parts that arrived. What has to be read first the worker reads: ask again till none of it is
    left, then all that were asked for are here.

    Raises Mismatch for other bytes than declared (they are gone then), Invalid for files of which something is
    missing; those that are whole are here all the same.
    """
    with transaction.atomic():
        _lock(session)
    missing: list[FieldProblem] = []
    wrong: list[FieldProblem] = []
    found = _of(session, digests)
    for file in found.values():
        try:
            if not _gather(session, file):
                missing.append(FieldProblem("files", f"{file.path}: it did not arrive."))
        except Mismatch as error:
            wrong.append(FieldProblem("sha256", f"{file.path}: {error.problems[0].message}"))
            begin_anew(file, refusal=error.problems[0].message)
        except Invalid as error:
            missing.append(FieldProblem("files", f"{file.path}: {error.problems[0].message}"))
    if wrong:
        raise Mismatch.many(wrong[:100])
    if missing:
        raise Invalid.many(missing[:100])
    waiting = [file for file in found.values() if file.blob_id is None]
    trouble = next((file.trouble for file in waiting if file.trouble), "")
    return Completed(len(found) - len(waiting), len(waiting), trouble)


def _gather(session: UploadSession, file: UploadFile) -> bool:
    """Whether all of the file arrived: it is here now, or is being verified. Raises as arrivals.gather."""
    if file.blob_id is not None or file.verifying_at is not None:
        return True
    if file.refusal:
        raise Mismatch("sha256", file.refusal)
    if not file.arrival:
        return False
    try:
        stored = arrivals.gather(arrival_of(file))
    except NotFound:
        begin_anew(file)
        return False
    if stored is None:
        now = timezone.now()
        UploadFile.objects.filter(pk=file.pk, arrival=file.arrival, blob=None).update(verifying_at=now)
        return True
    claim(session.pk, [StoredFile(file.path, stored.sha256, stored.size)])
    file.blob_id = stored.sha256
    return True


def begin_anew(file: UploadFile, *, refusal: str = "") -> None:
    """All of the file is to be sent again, for that reason."""
    fresh = {
        "blob": None,
        "arrival": "",
        "way": "",
        "at_store": "",
        "verifying_at": None,
        "lease_until": None,
        "trouble": "",
    }
    UploadFile.objects.filter(pk=file.pk, arrival=file.arrival).update(**fresh, refusal=refusal[:500])
    for name, value in (fresh | {"refusal": refusal[:500]}).items():
        setattr(file, name, value)
