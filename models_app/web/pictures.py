"""Numbers as places in a picture that a template draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from models_app.models import Stage
from models_app.registry.metrics import Point

WIDTH, HEIGHT, EDGE = 300, 64, 8
SHOWN = (Stage.PRODUCTION, Stage.STAGING)


@dataclass(frozen=True, slots=True)
class Dot:
    """A version in the picture; `mark` is its stage, or `was-production`, or nothing worth a mark."""

    x: float
    y: float
    point: Point
    mark: str


@dataclass(frozen=True, slots=True)
class History:
    """A metric over versions, oldest first."""

    line: str
    dots: tuple[Dot, ...]

    @property
    def first(self) -> Point:
        return self.dots[0].point

    @property
    def last(self) -> Point:
        return self.dots[-1].point

    @property
    def marks(self) -> set[str]:
        return {dot.mark for dot in self.dots}


def history(points: Sequence[Point]) -> History | None:
    """Where the points stand; none when there are not two to join."""
    points = [point for point in points if isfinite(point.value)]
    if len(points) < 2:
        return None
    low, high = min(point.value for point in points), max(point.value for point in points)
    dots = tuple(
        Dot(
            x=round(EDGE + (WIDTH - 2 * EDGE) * place / (len(points) - 1), 1),
            y=round(HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * ((point.value - low) / (high - low)), 1)
            if high > low
            else HEIGHT / 2,
            point=point,
            mark=point.stage if point.stage in SHOWN else "was-production" if point.promoted else "",
        )
        for place, point in enumerate(points)
    )
    return History(" ".join(f"{dot.x},{dot.y}" for dot in dots), dots)
