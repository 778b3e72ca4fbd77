"""Bytes on their way into the cache: in segments, so that another pull can go on with them; hashed as they come."""

from __future__ import annotations

import hashlib
import os
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from .transfer import LOCAL, PIECE, Failure

SEGMENT = 64 << 20
# So many segments are fetched or wait to be hashed, as long as hashing waits less than so many seconds for the next.
FEW, SHORTLY = 2, 0.2
# What killed pulls left is removed after so many seconds.
LEFT_BEHIND = 86_400


@dataclass
class Fetching:
    """Bytes on their way into the cache, in segments."""

    sha256: str
    size: int
    path: str
    blob: Path
    part: Path = field(init=False)
    left: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    held: IO[bytes] | None = None

    def __post_init__(self) -> None:
        self.part = self.own_part()

    def own_part(self) -> Path:
        """A place that nobody else writes to."""
        return self.blob.with_name(f"{self.blob.name}.{uuid.uuid4().hex[:8]}.part")

    @property
    def notes(self) -> Path:
        return self.part.with_suffix(".segments")

    def close(self) -> None:
        """Let others go on with it; what is nobody's is removed."""
        if self.held is not None:
            self.held.close()
        else:
            self.part.unlink(missing_ok=True)
            self.notes.unlink(missing_ok=True)

    def open(self) -> None:
        """Go on where an earlier pull stopped, if no other pull does just now: then alone, from the beginning."""
        self.part.parent.mkdir(parents=True, exist_ok=True)
        for left in self.blob.parent.glob(f"{self.blob.name}.*.part"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > LEFT_BEHIND:
                    left.unlink()
        # Small ones are not worth going on with, and may be more than a process can hold.
        common = self.blob.with_suffix(".part")
        self.held = alone(common) if self.size > SEGMENT else None
        if self.held is not None:
            self.part = common
        done: set[int] = set()
        with suppress(OSError, ValueError):
            if self.part.stat().st_size == self.size:
                done = {int(line) for line in self.notes.read_text().split()}
        if not done:
            self.notes.unlink(missing_ok=True)
            with self.part.open("wb") as file:
                file.truncate(self.size)
        self.left = set(range(self.segments)) - done

    @property
    def segments(self) -> int:
        return max(-(-self.size // SEGMENT), 1)

    def length(self, number: int) -> int:
        return min(SEGMENT, self.size - number * SEGMENT)

    def note(self, number: int) -> None:
        """Remember that a segment is there, for a pull that goes on with it."""
        with self.lock, self.notes.open("a") as notes:
            notes.write(f"{number}\n")


def alone(path: Path) -> IO[bytes] | None:
    """The file, made if it is missing, held against other processes till it is closed; None when another holds it, or
    files cannot be held here.
    """
    try:
        import fcntl
    except ImportError:
        return None
    try:
        file = path.open("ab")
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who held it before may have made it the blob meanwhile.
        if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
            return file
    file.close()
    return None


Segment = tuple[Fetching, int]


class Following(threading.Thread):
    """Hashes what is longer than a segment while it arrives, each file from its beginning, so that at the end little is
    left to hash. Few segments are fetched ahead of it as long as they come faster than they are hashed: more would only
    take time from it.
    """

    def __init__(self, files: list[Fetching]) -> None:
        super().__init__(daemon=True)
        self._files = [(one, set(one.left)) for one in files]
        self._news = threading.Condition()
        self._over, self._behind = False, True
        # Segments under way, and those that are there and not hashed.
        self._running = self._ready = 0
        self._error: OSError | None = None
        self.digests: dict[str, str] = {}

    def __enter__(self) -> Following:
        self.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Waits for the rest; not when something went wrong. Raises Failure when what arrived cannot be read."""
        if kind is not None:
            self.give_up()
        self.join()
        if self._error is not None and kind is None:
            raise Failure(f"What arrived cannot be read: {self._error}.", LOCAL) from self._error

    @contextmanager
    def next(self, segments: Iterator[Segment]) -> Iterator[Segment]:
        """The next to fetch, when it is time; leaving tells that it is there."""
        with self._news:
            self._news.wait_for(lambda: self._over or not self._behind or self._running + self._ready < FEW)
            one, number = next(segments)
            self._running += 1
        try:
            yield one, number
        except BaseException:
            self.give_up()
            raise
        with self._news:
            one.left.discard(number)
            self._running -= 1
            self._ready += one.segments > 1
            self._news.notify_all()

    def give_up(self) -> None:
        """No more will come."""
        with self._news:
            self._over = True
            self._news.notify_all()

    def run(self) -> None:
        try:
            self._follow()
        except OSError as error:
            self._error = error
        finally:
            self.give_up()

    def _follow(self) -> None:
        buffer = memoryview(bytearray(PIECE))
        for one, fresh in self._files:
            digest = hashlib.sha256()
            with one.part.open("rb", buffering=0) as file:
                for number in range(one.segments):
                    if not self._is_there(one, number):
                        return
                    left = one.length(number)
                    while left and (count := file.readinto(buffer[: min(left, PIECE)])):
                        digest.update(buffer[:count])
                        left -= count
                    with self._news:
                        self._ready -= number in fresh
                        self._news.notify_all()
            self.digests[one.sha256] = digest.hexdigest()

    def _is_there(self, one: Fetching, number: int) -> bool:
        def there() -> bool:
            return self._over or number not in one.left

        with self._news:
            if not self._news.wait_for(there, timeout=SHORTLY):
                self._behind = False
                self._news.notify_all()
                self._news.wait_for(there)
            self._behind = True
            return not self._over
