"""Hashing a file while its parts arrive, so that little is left to read when all are there.

SHA-256 reads in order, parts come in any: a thread reads each part when it is whole and its turn, and in the end notes
the digest in the upload's folder (parts.py). The note counts only when no part changed after it was read, which the
marks of its attempts tell: who writes a part first makes `begun-<number>-<tag>`, then looks whether that part is whole
already; if so it writes into `lock`, and the note means nothing. The thread reads a part that is whole and that nobody
is at. It is only faster: without a note, and after any doubt, joining reads everything. Where the sender chooses the
lengths of parts, one could be written over another; so such files are not followed.

Who reads is one among many who write, and would end long after them: what comes far ahead of it is held back a little.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .stores.base import StoredBytes

# So many files at once in a process; others are read when they are joined.
AT_ONCE = 16
# Given up when nothing came for so many seconds, or a whole part still seems to be written for so long.
IDLE, UNCLEAN = 600.0, 2.0
SHORTEST_LOOK, LONGEST_LOOK = 0.005, 0.25
_PIECE = 1 << 20
_room = threading.BoundedSemaphore(AT_ONCE)
# A part waits for so many seconds at most while the thread is more than so many parts behind.
AHEAD, HELD_BACK = 4, 1.0
_moved = threading.Condition()
_reading: dict[Path, int] = {}


@contextmanager
def writing(folder: Path, number: int, tag: str) -> Iterator[None]:
    """Mark that somebody writes that part, and that it was whole before, if it was."""
    begun = folder / f"begun-{number}-{tag}"
    begun.touch()
    if _named(folder, f"{number}."):
        _doubt(folder)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            begun.unlink()


def _doubt(folder: Path) -> None:
    """The note means nothing. In the file that is locked, as of that one a network drive never shows an old state."""
    with (folder / "lock").open("ab", buffering=0) as lock:
        lock.write(b"!")


def _is_doubted(folder: Path) -> bool:
    with (folder / "lock").open("rb") as lock:
        return bool(lock.read(1))


def _named(folder: Path, prefix: str) -> list[str]:
    """What follows that prefix in names of the folder."""
    with os.scandir(folder) as entries:
        return [entry.name.removeprefix(prefix) for entry in entries if entry.name.startswith(prefix)]


def hold_back(folder: Path, number: int) -> None:
    """Wait for a thread of this process that has much to read before that part; never for parts that did not come."""
    with _moved:
        _moved.wait_for(lambda: number - _reading.get(folder, number) <= AHEAD, HELD_BACK)


def _reads(folder: Path, number: int | None) -> None:
    """Which part the thread reads now, if any."""
    with _moved:
        if number is None:
            _reading.pop(folder, None)
        else:
            _reading[folder] = number
        _moved.notify_all()


def follow(folder: Path, *, of: int) -> None:
    """Have a thread of this process read the parts, if none does and there is room for one more. A part just came."""
    room = _room
    if of == 1 or not room.acquire(blocking=False):
        return
    try:
        if _is_doubted(folder):
            room.release()
            return
        descriptor = os.open(folder / "following", os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        room.release()
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        threading.Thread(target=_read, args=(folder, descriptor, of, room), daemon=True).start()
    except (OSError, RuntimeError):  # Another does, here or in another process; or no thread can begin.
        os.close(descriptor)
        room.release()


def _read(folder: Path, descriptor: int, of: int, room: threading.Semaphore) -> None:
    try:
        if not (folder / "hashed").exists():
            stored = _hashed(folder, of)
            note = folder / "hashing"
            note.write_text(stored.as_note())
            note.rename(folder / "hashed")
    except TimeoutError:
        with suppress(FileNotFoundError):
            _doubt(folder)  # Not to be begun again and again.
    except FileNotFoundError:
        pass  # The upload was given up.
    finally:
        _reads(folder, None)
        os.close(descriptor)
        room.release()


def _hashed(folder: Path, of: int) -> StoredBytes:
    digest, size = hashlib.sha256(), 0
    with (folder / "data").open("rb", buffering=0) as data:
        for number in range(1, of):
            length = _await(folder, number)
            _reads(folder, number)
            size += _feed(digest, data.fileno(), size, length)
    length = _await(folder, of)
    with (folder / "last").open("rb", buffering=0) as last:
        size += _feed(digest, last.fileno(), 0, length)
    return StoredBytes(digest.hexdigest(), size)


def _await(folder: Path, number: int) -> int:
    """How many bytes the part has, when it is whole and nobody is at it. Raises TimeoutError, FileNotFoundError."""
    pause, end = SHORTEST_LOOK, time.monotonic() + IDLE
    seen = False
    while time.monotonic() < end:
        if not (folder / "data").exists():
            raise FileNotFoundError("The upload was given up.")
        # In this order: who begins after the second look finds the part whole, and says so.
        if whole := _named(folder, f"{number}."):
            # A network drive shows the present to who changes something.
            (folder / "looking").touch()
            (folder / "looking").unlink(missing_ok=True)
            if len(whole) == 1 and not _named(folder, f"begun-{number}-"):
                return int(whole[0].partition("-")[0], 16)
            end = end if seen else time.monotonic() + UNCLEAN
            seen = True
        _reads(folder, None)
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_LOOK)
    raise TimeoutError


def _feed(digest: hashlib._Hash, descriptor: int, start: int, length: int) -> int:
    buffer = bytearray(_PIECE)
    view, left = memoryview(buffer), length
    while left:
        count = os.preadv(descriptor, [view[: min(left, _PIECE)]], start)
        if not count:
            raise FileNotFoundError("The part became shorter.")
        digest.update(view[:count])
        start, left = start + count, left - count
    return length


def noted(folder: Path, size: int) -> str:
    """The digest of the whole, of so many bytes, if it was read while it came and holds; else "".

    For whom nobody can write a part any more. Waits while the thread reads the rest.
    """
    with suppress(FileNotFoundError):
        with (folder / "following").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
        stored = StoredBytes.from_note((folder / "hashed").read_text())
        if stored.size == size and not _is_doubted(folder):
            return stored.sha256
    return ""
