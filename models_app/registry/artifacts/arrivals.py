"""Files on their way in, whoever carries the bytes: to the store at signed addresses, or through Modelry.

A door that offers uploads does five things, and need not know which store there is:

    arrival = arrivals.begin(size=…, sha256=…)          # remember it: all fields are plain values
    target = arrivals.target(arrival, number)           # where the client sends part `number`, 1 to part_count
    if target is None:                                  # here: at a signed address of the door's own, whose view calls
        tag = arrivals.receive(arrival, number, chunks, length=…)
    arrivals.arrived(arrival)                           # {number: Part(size, tag)}: what need not be sent again
    stored = arrivals.gather(arrival)                   # visible as a blob, verified: name it in a tree; or None, when
    stored = arrivals.finish(arrival)                   # this has to read it first: the worker's, see verifying.py
    arrivals.abandon(arrival)                           # or forget it

What goes to a store waits there under `incoming/<uid>/`, where only this arrival's addresses lead: whoever knows no
more than a digest can finish nothing. `finish` copies it within the store to its digest's key, after reading and
hashing it, unless the store itself has refused all other bytes. Both may be called again by whoever died or lost the
answer, and give the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from django.conf import settings
from django.utils import timezone

from models_app.registry.errors import Invalid, NotFound, TooLarge

from . import parts as disk_parts
from . import storage
from .reading import Told, hashed, nobody_listens
from .storage import INCOMING, BlobWriter
from .stores.base import DirectStore, Part, StoredBytes, Target

PART_SIZE = 16 << 20
# One request up to here, where the client may choose: a broken one is not much to repeat.
WHOLE_MOST = 64 << 20
MOST_PARTS = 5_000
VALID = timedelta(hours=24)
TRIES = 3


class Way(StrEnum):
    """How the bytes come."""

    WHOLE = "whole"  # one request through Modelry
    PARTS = "parts"  # in parts through Modelry, to a disk
    DIRECT = "direct"  # one request to the store
    DIRECT_PARTS = "direct-parts"  # in parts to the store


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file on its way. `part_size` is that of all parts but the last, 0 when the client chooses; `at_store` is what
    the store calls the upload; `size` and `sha256` are what was declared, None and "" for nothing.
    """

    uid: str
    way: Way
    part_count: int = 1
    part_size: int = 0
    size: int | None = None
    sha256: str = ""
    at_store: str = ""

    def length_of(self, number: int) -> int | None:
        """How many bytes part `number` has; None when nobody said."""
        if self.size is None or (self.part_count > 1 and not self.part_size):
            return None
        if number < self.part_count:
            return self.part_size
        return self.size - (self.part_count - 1) * self.part_size


def takes_unsaid(size: int) -> bool:
    """Whether a file of so many bytes may be begun before its digest is known: one that comes in parts."""
    return size > WHOLE_MOST and (_direct_for(size) is not None or storage.takes_parts())


def _direct_for(size: int) -> DirectStore | None:
    return storage.direct_store() if size >= settings.DIRECT_MIN_BYTES else None


def begin(*, size: int, sha256: str, direct: bool = True) -> Arrival:
    """A file of so many bytes with that digest is to come. `direct` is False for who cannot reach the store. The digest
    of one that `takes_unsaid` may be "": it has to be known to `finish`.

    Raises Invalid("sha256" or "size"), TooLarge, Unavailable.
    """
    sha256 = sha256.lower()
    unsaid = not sha256 and takes_unsaid(size)
    if not unsaid and (len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef")):
        raise Invalid("sha256", "This is no SHA-256 of 64 hex digits.")
    if size < 0:
        raise Invalid("size", "A size is 0 or more bytes.")
    _check_size(size)
    uid = uuid.uuid4().hex
    store = _direct_for(size) if direct else None
    if store is not None and size <= WHOLE_MOST and store.checks_digests():
        return Arrival(uid, Way.DIRECT, size=size, sha256=sha256)
    if store is None and (size <= WHOLE_MOST or not storage.takes_parts()):
        return Arrival(uid, Way.WHOLE, size=size, sha256=sha256)
    part_size = PART_SIZE
    while size > part_size * MOST_PARTS:
        part_size *= 2
    count = max(-(-size // part_size), 1)
    if store is None:
        disk_parts.open_for(uid)
        return Arrival(uid, Way.PARTS, count, part_size, size, sha256)
    at_store = store.begin_parts(_waiting(uid))
    return Arrival(uid, Way.DIRECT_PARTS, count, part_size, size, sha256, at_store)


def begin_parts(count: int) -> Arrival:
    """A file is to come in so many parts; size and digest nobody knows. Raises Invalid("num_parts"), Unavailable."""
    if not 1 <= count <= MOST_PARTS or not takes_unknown_parts():
        raise Invalid("num_parts", f"A file comes in 1 to {MOST_PARTS} parts.")
    uid, store = uuid.uuid4().hex, storage.direct_store()
    if store is None:
        disk_parts.open_for(uid)
        return Arrival(uid, Way.PARTS, count)
    return Arrival(uid, Way.DIRECT_PARTS, count, at_store=store.begin_parts(_waiting(uid)))


def takes_unknown_parts() -> bool:
    """Whether files can come by `begin_parts`. Its clients name the parts, so they have to learn the tags."""
    store = storage.direct_store()
    return storage.takes_parts() if store is None else store.tells_tags


def _check_size(size: int) -> None:
    limit = settings.MAX_FILE_BYTES
    if size > limit:
        raise TooLarge(f"A file may have at most {limit} bytes.", limit=limit)


def _waiting(uid: str) -> str:
    return f"{INCOMING}/{uid}/data"


def _store(arrival: Arrival) -> DirectStore:
    store = storage.direct_store()
    if store is None:
        raise _ended()  # Files went to a store that is no longer used.
    return store


def target(arrival: Arrival, number: int = 1, *, valid: timedelta = VALID) -> Target | None:
    """Where the client sends part `number` itself; None when it comes through Modelry. Raises NotFound, Unavailable."""
    if arrival.way in (Way.WHOLE, Way.PARTS):
        return None
    store = _store(arrival)
    if arrival.way == Way.DIRECT:
        declared = StoredBytes(arrival.sha256, arrival.size or 0)
        return store.put_target(_waiting(arrival.uid), stored=declared, valid=valid)
    return store.part_target(
        _waiting(arrival.uid), arrival.at_store, number, size=arrival.length_of(number), valid=valid
    )


def receive(arrival: Arrival, number: int, chunks: Iterable[bytes], *, length: int) -> str:
    """Take part `number`, which has `length` bytes, for whom `begin` let in; returns its tag.

    Raises Invalid("body" or "sha256"), TooLarge, Unavailable, and NotFound when the upload has ended.
    """
    wanted = arrival.length_of(number)
    if wanted is not None and length != wanted:
        raise Invalid("body", f"Part {number} has {wanted} bytes, not {length}.")
    if arrival.way == Way.PARTS:
        return disk_parts.receive(
            arrival.uid,
            number,
            chunks,
            of=arrival.part_count,
            length=length,
            limit=settings.MAX_FILE_BYTES,
            are_lengths_fixed=wanted is not None,
        )
    if arrival.way != Way.WHOLE:
        raise Invalid("body", "This file goes to the store itself.", next_step="Send it to its address.")
    with BlobWriter() as writer:
        for chunk in chunks:
            writer.write(chunk)
        return writer.finish(size=arrival.size, sha256=arrival.sha256 or None).sha256


def arrived(arrival: Arrival) -> dict[int, Part]:
    """The parts that are here, by number; without those that came with different bytes: send them again, and name them
    by their tags in `finish`. Raises NotFound when the upload has ended, Unavailable."""
    if arrival.way == Way.PARTS:
        return disk_parts.arrived(arrival.uid)
    if arrival.way == Way.DIRECT_PARTS:
        store = _store(arrival)
        try:
            found = store.parts(_waiting(arrival.uid), arrival.at_store)
        except FileNotFoundError as error:
            raise _ended() from error
        if not found and _done(store, arrival) is not None:
            raise _ended()
        return _clear(found)
    if arrival.way == Way.DIRECT:
        store = _store(arrival)
        waiting = store.state(_waiting(arrival.uid))
        if waiting is None and _done(store, arrival) is not None:
            raise _ended()
        return {1: waiting} if waiting is not None else {}
    size = storage.size_of(arrival.sha256)
    return {1: Part(size, arrival.sha256)} if size is not None and size == arrival.size else {}


def gather(arrival: Arrival, tags: Mapping[int, str] | None = None) -> StoredBytes | None:
    """Put together what arrived. None when it still has to be read to verify it, which only `finish` does; else as it.

    Raises as `finish`.
    """
    if arrival.way != Way.DIRECT_PARTS:
        return finish(arrival, tags)
    return _gather_parts(_store(arrival), arrival, tags)


def finish(
    arrival: Arrival, tags: Mapping[int, str] | None = None, *, told: Told = nobody_listens
) -> StoredBytes:
    """Make a blob of what arrived: verified, then visible. Asked again it gives the same, till it is abandoned.

    `tags` name the parts that the client means, for clients that have them; else all that arrived count. Raises
    Invalid("parts") for parts that are not here, Mismatch for other bytes than declared (then they are gone), TooLarge,
    Conflict while parts still come, NotFound when the upload has ended, Unavailable. `told` hears how much was read.
    """
    if arrival.way == Way.PARTS:
        return _finish_on_disk(arrival, tags)
    if arrival.way == Way.DIRECT_PARTS:
        store = _store(arrival)
        return _gather_parts(store, arrival, tags) or _admit(store, arrival, told=told)
    if arrival.way == Way.DIRECT:
        return _finish_whole(arrival)
    # `receive` has checked them.
    if arrival.size is None or not storage.stays(arrival.sha256, arrival.size):
        raise Invalid("parts", "The file did not arrive.", next_step="Send it again.")
    return StoredBytes(arrival.sha256, arrival.size)


def _finish_on_disk(arrival: Arrival, tags: Mapping[int, str] | None) -> StoredBytes:
    if not disk_parts.is_done(arrival.uid):
        if tags is None:
            tags = {number: part.tag for number, part in disk_parts.arrived(arrival.uid).items()}
        _all_there(arrival, tags)
    return disk_parts.join(arrival.uid, tags or {}, limit=settings.MAX_FILE_BYTES, sha256=arrival.sha256)


def _all_there(arrival: Arrival, numbers: Iterable[int]) -> None:
    wanted, found = set(range(1, arrival.part_count + 1)), set(numbers)
    if lacking := sorted(wanted - found):
        raise Invalid("parts", f"Parts are missing: {', '.join(map(str, lacking[:10]))}.")
    if found != wanted:
        raise Invalid("parts", f"There are only {arrival.part_count} parts.")


def _gather_parts(store: DirectStore, arrival: Arrival, tags: Mapping[int, str] | None) -> StoredBytes | None:
    key = _waiting(arrival.uid)
    if (done := _done(store, arrival)) is not None or store.state(key) is not None:
        return done
    try:
        _join(store, arrival, tags)
    except (FileNotFoundError, Invalid) as error:
        # Another may have joined them meanwhile, and even be done.
        if store.state(key) is None and (done := _done(store, arrival)) is None:
            raise (_ended() if isinstance(error, FileNotFoundError) else error) from error
    return done


def _finish_whole(arrival: Arrival) -> StoredBytes:
    store = _store(arrival)
    if store.state(_waiting(arrival.uid)) is None and _done(store, arrival) is None:
        raise Invalid("parts", "The file did not arrive.", next_step="Send it again.")
    return _admit(store, arrival)


def _clear(here: Iterable[tuple[int, Part]]) -> dict[int, Part]:
    """By number, without those of which there are several."""
    found: dict[int, Part] = {}
    several = set()
    for number, part in here:
        if found.setdefault(number, part) != part:
            several.add(number)
    return {number: part for number, part in found.items() if number not in several}


def _join(store: DirectStore, arrival: Arrival, tags: Mapping[int, str] | None) -> None:
    key = _waiting(arrival.uid)
    here = store.parts(key, arrival.at_store)
    wanted = {number: part.tag for number, part in _clear(here).items()} if tags is None else dict(tags)
    _all_there(arrival, wanted)
    _as_announced(arrival, {(number, part.tag): part.size for number, part in here}, wanted)
    store.join_parts(key, arrival.at_store, [wanted[number] for number in sorted(wanted)])


def _as_announced(arrival: Arrival, here: Mapping[tuple[int, str], int], wanted: Mapping[int, str]) -> None:
    total = 0
    for number, tag in wanted.items():
        size = here.get((number, tag))
        if size is None:
            raise Invalid("parts", f"Part {number} did not arrive, or with another ETag.")
        if size != (arrival.length_of(number) or size):
            raise Invalid("parts", f"Part {number} has {size} bytes, not {arrival.length_of(number)}.")
        total += size
    _check_size(total)


def _admit(store: DirectStore, arrival: Arrival, *, told: Told = nobody_listens) -> StoredBytes:
    """Copy what waits to its place when its digest is sure: only that, should somebody still be writing there."""
    key = _waiting(arrival.uid)
    for _ in range(TRIES):
        waiting = store.state(key)
        if waiting is None:
            break
        try:
            _check_size(waiting.size)
            stored = _known(store, key, waiting) or hashed(store, key, waiting.size, told=told)
            if stored.sha256 != (arrival.sha256 or stored.sha256):
                store.remove(key)
                raise disk_parts.other_bytes(stored, arrival.sha256)
            if not storage.stays(stored.sha256, stored.size):
                store.copy(key, storage.blob_name(stored.sha256), tag=waiting.tag)
        except FileNotFoundError:
            continue  # Another finished it meanwhile, or wrote there.
        store.write(f"{INCOMING}/{arrival.uid}/done", stored.as_note().encode())
        store.remove(key)
        return stored
    if (done := _done(store, arrival)) is not None:
        return done
    raise _ended()


def _known(store: DirectStore, key: str, waiting: Part) -> StoredBytes | None:
    """What the store computed itself when it took the bytes, where it does."""
    sha256 = store.digest(key, tag=waiting.tag) if store.checks_digests() else ""
    return StoredBytes(sha256, waiting.size) if sha256 else None


def _done(store: DirectStore, arrival: Arrival) -> StoredBytes | None:
    """What a finish before came to."""
    with suppress(FileNotFoundError):
        note = store.read_from(f"{INCOMING}/{arrival.uid}/done", start=0, length=100)
        try:
            return StoredBytes.from_note(note.read(100).decode())
        finally:
            note.close()
    return None


def _ended() -> NotFound:
    return NotFound("This upload has ended.", next_step="Start it again.")


def abandon(arrival: Arrival) -> None:
    """Forget an upload and what arrived of it. Raises Unavailable."""
    if arrival.way == Way.PARTS:
        disk_parts.forget(arrival.uid)
    store = storage.direct_store()
    if store is None or arrival.way not in (Way.DIRECT, Way.DIRECT_PARTS):
        return
    if arrival.at_store:
        store.drop_parts(_waiting(arrival.uid), arrival.at_store)
    for found in store.walk(f"{INCOMING}/{arrival.uid}/"):
        store.remove(found.key)


def sweep(older_than: timedelta) -> int:
    """Remove what waits at the store for longer: nobody asks for it any more. Returns how many. Raises Unavailable."""
    store = storage.direct_store()
    if store is None:
        return 0
    before, removed = timezone.now() - older_than, 0
    for found in store.walk(f"{INCOMING}/"):
        if found.written_at < before:
            store.remove(found.key)
            removed += 1
    # Under blobs/ are parts of what a killed process of ours was sending.
    return removed + sum(store.drop_old_parts(prefix, before) for prefix in (f"{INCOMING}/", "blobs/"))
