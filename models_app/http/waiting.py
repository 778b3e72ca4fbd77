"""Long polls: a request that waits till there is something to tell, without holding what others need.

However many wait in a process, one of them looks for all, by a question that costs next to nothing; the others sleep.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from django.conf import settings

from .connections import let_go

LONGEST = 25
EVERY = 0.25
# What stays there although it was asked for in vain is asked for again after so long.
AGAIN = 1.0

# Each waiting request holds a thread of the app server, of which enough must stay free for others.
_slots = threading.BoundedSemaphore(settings.WAITING_REQUESTS)
Found = TypeVar("Found")
Key = TypeVar("Key")


@dataclass(slots=True)
class _Seen:
    """What there is, since when, and how many shall still be woken by it."""

    what: Collection[int]
    since: float
    wakes: int


class News(Generic[Key]):
    """What may have something for whom: `look` gets the keys that are waited for, and says of which there is what."""

    def __init__(self, look: Callable[[Collection[Key]], Mapping[Key, Collection[int]]]) -> None:
        self._look = look
        self._changed = threading.Condition()
        self._waiting: Counter[Key] = Counter()
        self._seen: dict[Key, _Seen] = {}
        self._is_looking = False

    def wait(self, key: Key, *, asked: float, until: float) -> bool:
        """Whether there may be something now, for one who asked in vain before; False when time is up."""
        with self._changed:
            self._waiting[key] += 1
        try:
            while True:
                with self._changed:
                    while self._is_looking and not self._is_there(key, asked):
                        left = until - time.monotonic()
                        if left <= 0:
                            return False
                        self._changed.wait(min(left, AGAIN) if key in self._seen else left)
                    if self._is_looking:
                        return True
                    if time.monotonic() >= until:
                        # Woken to look, but on the way out: another does.
                        self._changed.notify()
                        return False
                    self._is_looking = True
                return self._look_out(key, asked=asked, until=until)
        finally:
            with self._changed:
                self._waiting[key] -= 1
                if not self._waiting[key]:
                    del self._waiting[key]

    def _is_there(self, key: Key, asked: float) -> bool:
        """A few are woken by what is new, not all who wait for the same; what stays there is for everybody."""
        seen = self._seen.get(key)
        if seen is None:
            return False
        if seen.wakes and seen.since > asked:
            seen.wakes -= 1
            return True
        now = time.monotonic()
        return now - seen.since >= AGAIN and now - asked >= AGAIN

    def _look_out(self, key: Key, *, asked: float, until: float) -> bool:
        """Look for all who wait, till there is something for this one or its time is up."""
        try:
            while (left := until - time.monotonic()) > 0:
                time.sleep(min(EVERY, left))
                with self._changed:
                    keys = list(self._waiting)
                found = self._look(keys)
                with self._changed:
                    if self._note(found):
                        self._changed.notify_all()
                    if self._is_there(key, asked):
                        return True
            return False
        finally:
            with self._changed:
                self._is_looking = False
                self._changed.notify()

    def _note(self, found: Mapping[Key, Collection[int]]) -> bool:
        """Whether anything new is there."""
        is_new = False
        for key in [key for key in self._seen if key not in found]:
            del self._seen[key]
        for key, what in found.items():
            before = self._seen.get(key)
            if before is None or before.what != what:
                self._seen[key] = _Seen(what, time.monotonic(), 2 * len(what))
                is_new = True
        return is_new


def until_found(
    ask: Callable[[], Found | None], seconds: float, *, news: News[Key], of: Key
) -> tuple[Found | None, bool]:
    """What `ask` finds, asked again whenever there may be something, for so many seconds; None when it stays without an
    answer. And whether it was waited for.

    Meanwhile no transaction and no database connection is held, but by the one who looks for all. When too many
    requests wait in this process already, it is asked only once: the client comes again.
    """
    asked = time.monotonic()
    found = ask()
    if found is not None or seconds <= 0 or not _slots.acquire(blocking=False):
        return found, found is not None
    try:
        until = time.monotonic() + min(seconds, LONGEST)
        while found is None:
            let_go(None)
            if not news.wait(of, asked=asked, until=until):
                break
            asked = time.monotonic()
            found = ask()
        return found, True
    finally:
        _slots.release()
