"""What one statement looks at besides a page of results: the same hits, gathered once."""

from __future__ import annotations

from dataclasses import dataclass

# (what, which, how many)
Told = tuple[str, str | None, int]


@dataclass(frozen=True, slots=True)
class Gathered:
    """The `most` newest hits with these columns, and statements over them (`hits`, with `id`) that answer `Told`s."""

    most: int = 0
    columns: tuple[str, ...] = ()
    selects: tuple[str, ...] = ()


NOTHING = Gathered()
