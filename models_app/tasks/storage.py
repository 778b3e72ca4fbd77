"""What the artifact storage needs of the worker: sweeping what nobody refers to, reading what has to be verified."""

from __future__ import annotations

import logging
import threading

from django.db import connection

from models_app.registry import storage_use
from models_app.registry.artifacts import storage_tasks, verifying
from models_app.registry.errors import Unavailable

log = logging.getLogger(__name__)


def add_up() -> int:
    """Add what was registered and deleted to the sums of the teams; returns how many changes that were."""
    done = 0
    while found := storage_use.fold():
        done += found
    return done


def keep_clean(stop: threading.Event | None = None) -> bool:
    """Do what is due; returns whether anything was. A storage that does not answer is asked again next time."""
    try:
        found = storage_tasks.run_due(stop=stop.is_set if stop else lambda: False)
    except Unavailable as error:
        log.warning("storage not looked after: %s", error)
        return False
    for name, facts in found.items():
        log.info("storage: %s %s", name, facts)
    return bool(found)


class Housekeeper:
    """`keep_clean` beside everything else: listing and reading a large storage takes long."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()

    def begin(self) -> None:
        """Do what is due, unless that is under way."""
        under_way = self._thread is not None and self._thread.is_alive()
        if not under_way and storage_tasks.any_due():
            self._thread = threading.Thread(target=self._work, name="storage", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Have it stop soon, and wait for that a little."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def _work(self) -> None:
        try:
            keep_clean(self._stopping)
        except Exception:
            log.exception("looking after the storage failed")
        finally:
            connection.close()


def verify_all() -> bool:
    """Read all uploaded files that wait for it; returns whether there were any."""
    found = False
    try:
        while verifying.verify_next():
            found = True
    except Unavailable as error:
        log.warning("an upload not verified: %s", error)
    return found


class Verifiers:
    """Read uploaded files beside everything else, a few at a time: whole large models pass through."""

    SIDE_BY_SIDE = 2

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()

    def begin(self) -> None:
        """Read what waits."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if len(self._threads) < self.SIDE_BY_SIDE and verifying.any_waiting():
            thread = threading.Thread(target=self._work, name="verify uploads", daemon=True)
            self._threads.append(thread)
            thread.start()

    def end(self) -> None:
        """Have them stop soon, and wait for that a little; another worker goes on with what they had."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=10)

    def _work(self) -> None:
        try:
            while not self._stopping.is_set() and verifying.verify_next(stop=self._stopping.is_set):
                pass
        except Unavailable as error:
            log.warning("an upload not verified: %s", error)
        except Exception:
            log.exception("verifying an upload failed")
        finally:
            connection.close()
