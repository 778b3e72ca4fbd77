"""What a place for bytes promises, whoever keeps it.

A store is Django's `storages["artifacts"]`: a storage class of Django or django-storages that is a Store as well. Keys
are ours: `blobs/sha256/ab/cd/<hex>` for what is whole and verified, `incoming/…` for what is not yet. A store knows
neither digests as names nor the database.

Whatever goes wrong is one of three: FileNotFoundError (no such key, or it is too short), Unavailable (the store does
not answer, or does not let us), or a mistake of ours. What may be repeated is, a few times, before they say so.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO, ClassVar, Protocol

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from models_app.registry.errors import OutOfSpace, Unavailable

CONNECT_SECONDS = 5
ANSWER_SECONDS = 60
ATTEMPTS = 3
# Stores take signatures that are 15 minutes old, or less.
CLOCKS_APART = 5
# How much of a file one request asks of a store whose library does not stream.
PIECE = 4 << 20
# Small requests to stores at once, of all callers in this process.
_pool = ThreadPoolExecutor(8, "store")


class Readable(Protocol):
    """What bytes are read from, front to back. Reading raises Unavailable when the store is lost on the way."""

    def read(self, size: int, /) -> bytes: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """What was stored: 64 hex digits and a size in bytes."""

    sha256: str
    size: int

    def as_note(self) -> str:
        """As one line, for `from_note`."""
        return f"{self.sha256} {self.size}"

    @classmethod
    def from_note(cls, line: str) -> StoredBytes:
        """Raises ValueError."""
        sha256, _, size = line.partition(" ")
        return cls(sha256, int(size))


@dataclass(frozen=True, slots=True)
class Kept:
    """A key that is there, its size, and when it was written."""

    key: str
    size: int
    written_at: datetime


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client sends bytes itself: `method` to `url` with exactly these `headers` and nothing to log in with."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "PUT"


@dataclass(frozen=True, slots=True)
class Part:
    """A part that arrived: its size, and the tag by which the store knows it."""

    size: int
    tag: str


# Is told the digest of bytes that are there already and wanted again.
Again = Callable[[str], None]


def nobody_asks(sha256: str) -> None:
    """For stores that nothing is swept from."""


class Store(ABC):
    """A place for bytes."""

    # The folder of a store on a disk that every web process sees; None for any other.
    folder: Path | None = None
    # The classes of storage that cost less to keep, more to read, and are read at once all the same; none on a disk.
    cold_classes: ClassVar[tuple[str, ...]] = ()
    # Which of these what is archived moves to; "" for none.
    cold_class: str = ""

    # Whether something should be here, for a place where nothing is at all. A store does not know the database.
    expects_blobs: Callable[[], bool] = staticmethod(lambda: False)

    @property
    def cold_place(self) -> str:
        """Which class of which store that is, so that a move to another store is seen; "" for none."""
        return ""

    def set_class(self, key: str, *, cold: bool) -> None:
        """Keep what is there in the colder class, or in the usual one again; readers notice nothing.

        Only where there is a `cold_class`. Raises FileNotFoundError, Unavailable.
        """
        raise NotImplementedError

    def credentials_missing(self) -> str:
        """How it is given credentials where it has none; "" where it has some, needs none, or only asking tells."""
        return ""

    def begin(self) -> None:  # noqa: B027
        """Make a place that is empty on purpose one that files can go to; only a folder has to be told."""

    def require(self) -> None:  # noqa: B027
        """Raises Unavailable where it is plain that what one is to write would go elsewhere."""

    def room_left(self) -> tuple[int, int] | None:
        """Bytes free and in all; None for a place without an end. Raises Unavailable."""
        return None

    def obstacle(self) -> str:
        """Why nothing can be kept there, as far as that is plain without asking; "" for nothing."""
        return ""

    @abstractmethod
    def keep(self, whole: Sequence[tuple[Path, str, StoredBytes]], *, again: Again = nobody_asks) -> None:
        """Take files of ours under their keys and remove them here; what is there with that size already stays.

        Of such it tells `again` first, and looks whether they are there still: the sweep may be about to remove them.
        All is there for good when this returns. Raises Unavailable.
        """

    @abstractmethod
    def bring(self, source: BinaryIO, key: str, stored: StoredBytes) -> None:
        """Stream what is to be there, whatever was; whole or not at all, also when reading it raises something.

        Raises what reading does, Unavailable.
        """

    @abstractmethod
    def measure(self, key: str) -> int | None:
        """The size of what is there; None for nothing. Raises Unavailable."""

    def measure_again(self, key: str, stored: StoredBytes, again: Again, *, there: int | None) -> int | None:
        """As `measure`, which said `there`; bytes of that size are there to stay. Raises Unavailable."""
        if there != stored.size:
            return there
        again(stored.sha256)
        return self.measure(key)

    @abstractmethod
    def read_from(self, key: str, *, start: int, length: int) -> Readable:
        """What is there from `start`; `length` (at least 1) is how much will be read. Raises FileNotFoundError."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Take away what is there; nothing there is no error. Raises Unavailable."""

    @abstractmethod
    def move(self, key: str, to: str) -> None:
        """Give what is there another key; nothing there is no error. Raises Unavailable."""

    @abstractmethod
    def walk(self, prefix: str) -> Iterator[Kept]:
        """All keys that begin so, a few hundred in memory at a time. Raises Unavailable."""


class DirectStore(Store):
    """A store that clients can send to and read from themselves, at addresses that we sign."""

    # Whether the answer to a part has the part's tag as ETag.
    tells_tags: ClassVar[bool] = True

    def signs(self) -> bool:
        """Whether it can sign with the credentials that it has. Raises Unavailable."""
        return True

    def keep(self, whole: Sequence[tuple[Path, str, StoredBytes]], *, again: Again = nobody_asks) -> None:
        # Many small files would mostly wait for answers one after the other; large ones go in pieces side by side.
        there = list(_pool.map(self.measure, [key for _, key, _ in whole]))
        small: list[Future[None]] = []
        for (path, key, stored), size in zip(whole, there, strict=True):
            size = self.measure_again(key, stored, again, there=size)
            if size == stored.size:
                continue
            if stored.size > PIECE:
                self._replace(path, key, stored, there=size)
            else:
                small.append(_pool.submit(self._replace, path, key, stored, there=size))
        for sent in small:
            sent.result()
        for path, _, _ in whole:
            path.unlink(missing_ok=True)

    def _replace(self, path: Path, key: str, stored: StoredBytes, *, there: int | None) -> None:
        if there is not None:
            self.remove(key)
        self._send(path, key, stored)

    @abstractmethod
    def _send(self, path: Path, key: str, stored: StoredBytes) -> None:
        """Send a file of ours; others who store the same bytes meanwhile do no harm. Raises Unavailable."""

    def move(self, key: str, to: str) -> None:
        found = self.state(key)
        if found is not None:
            self.copy(key, to, tag=found.tag)
            self.remove(key)

    @abstractmethod
    def address(self, key: str, *, disposition: str, media_type: str, valid: timedelta) -> str:
        """Where whoever has the address reads it, ranges too, with these headers."""

    def checks_digests(self) -> bool:
        """Whether there is a `put_target`. May ask the store, once per process. Raises Unavailable."""
        return False

    def put_target(self, key: str, *, stored: StoredBytes, valid: timedelta) -> Target:
        """Where one request brings a whole file; the store refuses bytes with another digest or size."""
        raise NotImplementedError

    def digest(self, key: str, *, tag: str) -> str:
        """The SHA-256 of all bytes of what is there and has that tag, where the store computed it itself; else "".

        Asked only of who `checks_digests`. Raises Unavailable.
        """
        return ""

    @abstractmethod
    def begin_parts(self, key: str) -> str:
        """Prepare for parts; what this returns, never empty, names the upload below. Raises Unavailable."""

    @abstractmethod
    def part_target(
        self, key: str, upload: str, number: int, *, size: int | None, valid: timedelta
    ) -> Target:
        """Where part `number` (from 1) goes; sent again it replaces what came before."""

    @abstractmethod
    def parts(self, key: str, upload: str) -> list[tuple[int, Part]]:
        """What arrived so far, by number; some stores go on listing a part that was sent again with other bytes.

        Raises FileNotFoundError when the upload has ended, Unavailable.
        """

    @abstractmethod
    def join_parts(self, key: str, upload: str, tags: Sequence[str]) -> None:
        """Make `key` of parts 1 to n with these tags. Raises Invalid("parts") for parts that the store does not join,
        FileNotFoundError when the upload has ended, Unavailable.
        """

    @abstractmethod
    def drop_parts(self, key: str, upload: str) -> None:
        """Forget an upload and its parts; one that has ended is no error. Raises Unavailable."""

    @abstractmethod
    def drop_old_parts(self, prefix: str, before: datetime) -> int:
        """Forget uploads of keys that begin so and began before; returns how many. Raises Unavailable."""

    @abstractmethod
    def state(self, key: str) -> Part | None:
        """Size of what is there, and a tag that changes whenever it is written. Raises Unavailable."""

    @abstractmethod
    def copy(self, source: str, key: str, *, tag: str) -> None:
        """Copy within the store, whole or not at all, what has that tag. Raises FileNotFoundError, Unavailable."""

    @abstractmethod
    def write(self, key: str, content: bytes) -> None:
        """Keep a few bytes, whatever was there. Raises Unavailable."""


class Pieces:
    """Reads what only comes in pieces: `fetch(start, length)` gets one."""

    def __init__(
        self, fetch: Callable[[int, int], bytes], *, start: int, length: int, piece: int = PIECE
    ) -> None:
        self._fetch, self._piece = fetch, piece
        self._at, self._end = start, start + length
        self._have = memoryview(b"")
        self._more()

    def _more(self) -> None:
        self._have = memoryview(b"")
        wanted = min(self._end - self._at, self._piece)
        self._have = memoryview(self._fetch(self._at, wanted))
        self._at += len(self._have)
        if len(self._have) < wanted:
            self._end = self._at

    def read(self, size: int, /) -> bytes:
        if not self._have and self._at < self._end:
            self._more()
        piece, self._have = self._have[:size], self._have[size:]
        return bytes(piece)

    def close(self) -> None:
        self._have, self._at = memoryview(b""), self._end


FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def room() -> Iterator[None]:
    """Say in our words that a disk is full. Raises OutOfSpace."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise OutOfSpace(
            f"There is no room for this file ({error.strerror}); nothing of it was kept.",
            next_step="Tell an operator to make room, then send it again.",
        ) from error


def cold_class_of(asked: str, store: type[Store]) -> str:
    """The class as the store calls it. Raises ImproperlyConfigured for one that is read hours later, or not there."""
    known = {name.lower(): name for name in store.cold_classes}
    if asked and asked.lower() not in known:
        raise ImproperlyConfigured(
            f"cold_class is one of {', '.join(store.cold_classes)}, not “{asked[:40]}”: what is archived is read at "
            "once, and other classes have it wait or do not exist."
        )
    return known.get(asked.lower(), "")


def failed(store: str, why: str, *, status: int, headers: Mapping[str, str] | None = None) -> Unavailable:
    """What an answer with that status means."""
    return refused(store, why, headers=headers) if 400 <= status < 500 else silent(store, why)


def refused(store: str, why: str, *, headers: Mapping[str, str] | None = None) -> Unavailable:
    """The store answers, and does not let us; the headers of its answer may tell that it is about the clock."""
    minutes = _minutes_apart((headers or {}).get("date", ""))
    next_step = "Tell an operator: name, credentials and rights are in docs/storage.md."
    if minutes >= CLOCKS_APART:
        next_step = (
            f"Tell an operator: the clock of this machine and the store's are {minutes} minutes apart, which it does "
            "not accept. Set the clock right (NTP)."
        )
    return Unavailable(f"{store} refuses what Modelry asks of it ({why}).", next_step=next_step)


def unsigned(store: str, how: str) -> Unavailable:
    """Modelry has no credentials to ask it with; `how` it is given some."""
    return Unavailable(
        f"Modelry has no credentials for {store[0].lower()}{store[1:]}.",
        next_step=f"Tell an operator: give web processes and worker {how} (docs/storage.md), and restart them.",
    )


def _minutes_apart(date: str) -> int:
    try:
        return int(abs((parsedate_to_datetime(date) - timezone.now()).total_seconds()) // 60)
    except (TypeError, ValueError):
        return 0


def silent(store: str, why: str) -> Unavailable:
    """The store does not answer, or not sensibly."""
    return Unavailable(
        f"{store} does not answer ({why}).",
        next_step="Try again in a minute; if it stays so, tell an operator.",
    )
