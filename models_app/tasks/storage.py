"""What the artifact storage needs of the clock: sweeping what nobody refers to."""

from __future__ import annotations

import logging
import threading

from django.db import connection

from models_app.registry.artifacts import storage_tasks
from models_app.registry.errors import Unavailable

log = logging.getLogger(__name__)


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
