"""Whether this process was there all the time: what it did not hear in a pause, nobody failed to say."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

EVERY = 0.5
# Whoever had no turn for so long was stopped, or the machine slept.
GAP = 2.0


class Awake:
    """`since` is when it began, or went on after the last pause; by the clock that goes on while a machine sleeps."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._since = self._turn = clock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="awake", daemon=True)

    def begin(self) -> None:
        """Take note of pauses from now on."""
        self._thread.start()

    def end(self) -> None:
        """No more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def since(self) -> float:
        """A pause that has just ended counts, whichever thread is the first to go on."""
        with self._lock:
            now = self._clock()
            if now - self._turn > EVERY + GAP:
                self._since = now
            self._turn = now
            return self._since

    def _work(self) -> None:
        while not self._over.wait(EVERY):
            self.since()
