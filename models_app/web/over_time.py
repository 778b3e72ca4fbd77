"""What is held day by day, as places in a picture that a template draws."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from models_app.models import StorageDay
from models_app.registry.quotas import Standing

# The template stretches it; words stand beside it, so that they stay readable on a phone.
WIDTH, HEIGHT = 600, 200
# A quota that is farther away than this would press the lines to the floor.
MOST_ABOVE = 4


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota in the picture."""

    name: str
    value: int
    y: float


@dataclass(frozen=True, slots=True)
class Picture:
    """`used` and `stored` as points of lines, `area` under the first; `levels` are values at the picture's edge."""

    used: str
    stored: str
    area: str
    quotas: tuple[Quota, ...]
    levels: tuple[int, ...]
    days: Sequence[StorageDay]

    @property
    def first(self) -> StorageDay:
        return self.days[0]

    @property
    def last(self) -> StorageDay:
        return self.days[-1]

    @property
    def middle(self) -> date:
        return self.first.day + (self.last.day - self.first.day) / 2


def picture(days: Sequence[StorageDay], standing: Standing | None) -> Picture | None:
    """None when there are not two days to join."""
    if len(days) < 2:
        return None
    highest = max(max(day.used, day.stored) for day in days) or 1
    limits = [("soft", standing.soft), ("hard", standing.hard)] if standing else []
    shown = [(name, value) for name, value in limits if value and value <= highest * MOST_ABOVE]
    top = _round_up(max([highest, *(value for _, value in shown)]))
    span = (days[-1].day - days[0].day).days

    def x(day: StorageDay) -> float:
        return WIDTH * (day.day - days[0].day).days / span

    def y(value: int) -> float:
        return HEIGHT - HEIGHT * value / top

    used = _line((x(day), y(day.used)) for day in days)
    return Picture(
        used=used,
        stored=_line((x(day), y(day.stored)) for day in days),
        area=f"0,{HEIGHT} {used} {WIDTH},{HEIGHT}",
        quotas=tuple(Quota(name, value, round(y(value), 1)) for name, value in shown),
        levels=(top, top // 2, 0),
        days=days,
    )


def _line(points: Iterable[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _round_up(value: int) -> int:
    """The next one of 1, 2, 5 and their tens in the value's unit, with a little air."""
    unit = 1
    while value / unit >= 1024 and unit < 1024**4:
        unit *= 1024
    for step in (step * 10**power for power in range(8) for step in (1, 2, 3, 4, 5, 6, 8)):
        if step * unit >= value * 1.02:
            return step * unit
    return value
