"""What long commands share: a bar on a terminal, and a rate that people can write."""

from __future__ import annotations

import re
import sys
import time

from django.core.management.base import CommandError

from models_app.templatetags.modelry import bytes_

_RATE = re.compile(r"(\d+)([KMG]?)", re.IGNORECASE)
_TOLD_EVERY = 0.2


class Bar:
    """Progress on standard error: so many of so many, and their bytes."""

    def __init__(self, wanted: int) -> None:
        self._wanted, self._last = wanted, 0.0

    def show(self, count: int, size: int) -> None:
        """So far it is."""
        if time.monotonic() - self._last < _TOLD_EVERY and count < self._wanted:
            return
        self._last = time.monotonic()
        share = min(count / self._wanted, 1.0) if self._wanted else 1.0
        filled = int(30 * share)
        bar = "#" * filled + "." * (30 - filled)
        end = "\n" if count >= self._wanted else ""
        sys.stderr.write(f"\r[{bar}] {share:4.0%} {count}/{self._wanted} {bytes_(size)} {end}")
        sys.stderr.flush()


def rate(text: str) -> int:
    """Bytes per second: 500K, 100M, 1G. Raises CommandError."""
    match = _RATE.fullmatch(text)
    if match is None or not int(match[1]):
        raise CommandError("--rate is a number of bytes per second: 500K, 100M, 1G.")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2].upper()]
