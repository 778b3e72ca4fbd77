"""What threads of the worker share that go on till they are told to stop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

from django.db import close_old_connections, connection

log = logging.getLogger(__name__)

PAUSE = 2

One = TypeVar("One")


def keep_going(
    name: str, step: Callable[[], object], *, goes_on: Callable[[], bool], stopping: threading.Event
) -> None:
    """Do a step after the other. A database that is away for a while does not end it: it tries again after a pause."""
    try:
        while goes_on():
            try:
                step()
            except Exception:
                log.exception("%s: will try again", name)
                close_old_connections()
                stopping.wait(PAUSE)
    finally:
        connection.close()


def drained(queue: SimpleQueue[One | None], wait: float) -> list[One]:
    """What came in, after waiting for the first a moment. None only wakes."""
    found: list[One] = []
    try:
        one = queue.get(timeout=wait)
        while True:
            if one is not None:
                found.append(one)
            one = queue.get_nowait()
    except Empty:
        return found
