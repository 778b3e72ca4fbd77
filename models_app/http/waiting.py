"""Long polls: a request that waits till there is something to tell, without holding what others need."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from .connections import let_go

# Each waiting request holds a thread of the app server, of which most must stay free for others.
SLOTS = 12
LONGEST = 25
EVERY = 0.3

_slots = threading.BoundedSemaphore(SLOTS)
Found = TypeVar("Found")


def until_found(ask: Callable[[], Found | None], seconds: float) -> Found | None:
    """What `ask` finds, asked again and again for so many seconds; None when it stays without an answer.

    Between two questions no transaction and no database connection is held. When too many requests wait in this process
    already, it is asked only once: the client comes again.
    """
    found = ask()
    if found is not None or seconds <= 0 or not _slots.acquire(blocking=False):
        return found
    try:
        deadline = time.monotonic() + min(seconds, LONGEST)
        while found is None and (left := deadline - time.monotonic()) > 0:
            let_go(None)
            time.sleep(min(EVERY, left))
            found = ask()
        return found
    finally:
        _slots.release()
