"""How long to wait before trying again: longer each time, and never the same for everybody."""

from __future__ import annotations

import random
from datetime import timedelta

FIRST_WAIT = timedelta(seconds=10)
LONGEST_WAIT = timedelta(hours=4)


def wait_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts: doubling up to a limit, a quarter more or less."""
    longest: timedelta = min(FIRST_WAIT * 2 ** min(attempts - 1, 20), LONGEST_WAIT)
    spread: float = random.uniform(0.75, 1.25)  # noqa: S311  (spreads load, guards nothing)
    return longest * spread
