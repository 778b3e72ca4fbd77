"""What a store keeps, read once from front to back as fast as it answers: several pieces are asked for ahead."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from models_app.registry.errors import Unavailable

from .stores.base import Store, StoredBytes

# In memory at once, with what libraries need to get them: some tens of MiB.
AHEAD = 4
PIECE = 4 << 20
TRIES = 3
_STEP = 1 << 20

# Is told how many bytes were read, and raises to stop.
Told = Callable[[int], None]


def nobody_listens(count: int) -> None:
    """For who waits anyway."""


def in_order(store: Store, key: str, size: int) -> Iterator[bytes]:
    """All `size` bytes of what is there. Raises FileNotFoundError when it is gone or shorter, Unavailable."""
    if store.folder is not None or size <= PIECE:
        yield from _steps(store, key, size)
        return
    starts = iter(range(0, size, PIECE))
    asked: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        try:
            for start in starts:
                asked.append(pool.submit(_piece, store, key, start, min(PIECE, size - start)))
                if len(asked) == AHEAD:
                    yield asked.popleft().result()
            while asked:
                yield asked.popleft().result()
        finally:
            for future in asked:
                future.cancel()


def _steps(store: Store, key: str, size: int) -> Iterator[bytes]:
    if not size:
        return
    source, left = store.read_from(key, start=0, length=size), size
    try:
        while left:
            piece = source.read(min(left, _STEP))
            if not piece:
                raise FileNotFoundError(key)
            left -= len(piece)
            yield piece
    finally:
        source.close()


def _piece(store: Store, key: str, start: int, length: int) -> bytes:
    """Asked for again when the store is lost on the way: the others need not be read anew."""
    tries = TRIES
    while True:
        tries -= 1
        try:
            return _read(store, key, start, length)
        except Unavailable:
            if not tries:
                raise


def _read(store: Store, key: str, start: int, length: int) -> bytes:
    source, got, left = store.read_from(key, start=start, length=length), [], length
    try:
        while left and (piece := source.read(left)):
            got.append(piece)
            left -= len(piece)
    finally:
        source.close()
    if left:
        raise FileNotFoundError(key)
    return got[0] if len(got) == 1 else b"".join(got)


def hashed(store: Store, key: str, size: int, *, told: Told = nobody_listens) -> StoredBytes:
    """What is there, by its digest. Raises FileNotFoundError when it is gone or shorter, Unavailable."""
    digest = hashlib.sha256()
    for piece in in_order(store, key, size):
        digest.update(piece)
        told(len(piece))
    return StoredBytes(digest.hexdigest(), size)
