"""Files that arrive in parts: each part waits as a file of its own, then all become one blob.

The parts of an upload are in `incoming/<upload>.parts/`, on a disk that every web process sees. A part's tag names its
file, with its size in it: a part that was sent twice is two files, and the sender says which one counts.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from models_app.registry.errors import Invalid, NotFound, TooLarge

from . import storage
from .storage import StoredBytes

_SUFFIX = ".parts"
_TAG = re.compile(r"([0-9a-f]{1,12})-[0-9a-f]{16}")
_PIECE = 1 << 20


def _folder(upload: str) -> Path:
    root = storage.incoming()
    if root is None:
        raise Invalid("", "This storage takes no parts.")
    return root / f"{upload}{_SUFFIX}"


def open_for(upload: str) -> None:
    """Make room for an upload's parts."""
    _folder(upload).mkdir(parents=True, exist_ok=True)


def receive(upload: str, number: int, chunks: Iterable[bytes]) -> str:
    """Store one part; returns its tag. Raises NotFound when the upload has ended."""
    folder = _folder(upload)
    arriving = folder / f"{secrets.token_hex(8)}.arriving"
    size = 0
    try:
        with arriving.open("xb", buffering=0) as file:
            for chunk in chunks:
                size += len(chunk)
                view = memoryview(chunk)
                while view:
                    view = view[file.write(view) :]
        tag = f"{size:x}-{secrets.token_hex(8)}"
        arriving.rename(folder / _name(number, tag))
    except FileNotFoundError as error:
        raise NotFound("This upload has ended.", next_step="Start it again.") from error
    except BaseException:
        arriving.unlink(missing_ok=True)
        raise
    return tag


def _name(number: int, tag: str) -> str:
    return f"{number}.{tag}"


def join(upload: str, tags: Mapping[int, str], *, limit: int) -> StoredBytes:
    """Make one blob of the parts, in the order of their numbers; they stay until the upload is forgotten.

    Later parts are appended to the first one's file, while another thread hashes them. A process that dies meanwhile
    leaves parts that can be joined again. Raises Invalid("parts") for one that is not there, TooLarge past `limit`.
    """
    folder = _folder(upload)
    sizes = {}
    for number, tag in tags.items():
        match = _TAG.fullmatch(tag)
        path = folder / _name(number, tag)
        if match is None or not path.is_file():
            raise Invalid("parts", f"Part {number} did not arrive, or with another ETag.")
        sizes[path] = int(match[1], 16)
    if sum(sizes.values()) > limit:
        raise TooLarge(f"A file may have at most {limit} bytes.", limit=limit)
    order = [folder / _name(number, tags[number]) for number in sorted(tags)]
    with _alone(folder), ThreadPoolExecutor(1) as pool:
        if not order[0].exists():
            raise Invalid("parts", "The upload was completed by somebody else.")
        digest = pool.submit(_digest, order, sizes)
        _append(order, sizes)
        stored = StoredBytes(digest.result(), sum(sizes.values()))
        storage.adopt(order[0], stored)
    return stored


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else joins these parts meanwhile; a process that dies lets go."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError as error:
        raise NotFound("This upload has ended.", next_step="Start it again.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _digest(order: Iterable[Path], sizes: Mapping[Path, int]) -> str:
    digest, buffer = hashlib.sha256(), memoryview(bytearray(_PIECE))
    for path in order:
        left = sizes[path]
        with path.open("rb", buffering=0) as file:
            # The first file grows meanwhile: only its own bytes count here.
            while left and (count := file.readinto(buffer[: min(left, _PIECE)])):
                digest.update(buffer[:count])
                left -= count
        if left:
            raise Invalid("parts", "A part is shorter than it was.")
    return digest.hexdigest()


def _append(order: list[Path], sizes: Mapping[Path, int]) -> None:
    first, *others = order
    with first.open("r+b", buffering=0) as whole:
        # What a process that died had appended.
        whole.truncate(sizes[first])
        written = sizes[first]
        for path in others:
            with path.open("rb", buffering=0) as part:
                _copy(part.fileno(), whole.fileno(), at=written, count=sizes[path])
            storage.begin_writing(whole, written, sizes[path])
            written += sizes[path]


def _copy(source: int, target: int, *, at: int, count: int) -> None:
    done = 0
    while done < count:
        try:
            copied = os.copy_file_range(source, target, count - done, done, at + done)
        except (AttributeError, OSError):
            copied = os.pwrite(target, os.pread(source, min(_PIECE, count - done), done), at + done)
        if not copied:
            raise Invalid("parts", "A part is shorter than it was.")
        done += copied


def forget(upload: str) -> None:
    """Remove what an upload left."""
    root = storage.incoming()
    if root is not None:
        shutil.rmtree(root / f"{upload}{_SUFFIX}", ignore_errors=True)


def last_arrival(upload: str) -> float:
    """When the last part began or ended to arrive, in seconds since 1970; 0 when there is no place for parts."""
    root = storage.incoming()
    with suppress(FileNotFoundError):
        if root is not None:
            folder = root / f"{upload}{_SUFFIX}"
            return max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    return 0.0


def sweep(*, known: Collection[str], older_than: timedelta) -> int:
    """Remove the parts of uploads that nobody knows; returns how many uploads."""
    root = storage.incoming()
    if root is None or not root.is_dir():
        return 0
    limit, removed = time.time() - older_than.total_seconds(), 0
    for folder in root.glob(f"*{_SUFFIX}"):
        upload = folder.name.removesuffix(_SUFFIX)
        if upload not in known and last_arrival(upload) < limit:
            forget(upload)
            removed += 1
    return removed
