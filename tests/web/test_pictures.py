"""A metric over versions as places in a picture."""

from models_app.registry.metrics import Point
from models_app.web.pictures import HEIGHT, history


def point(number: int, value: float, stage: str = "dev", promoted: bool = False) -> Point:
    return Point(number, value, stage, promoted)


def test_two_finite_values_make_a_line():
    assert history([point(1, 0.5)]) is None
    assert history([point(1, float("nan")), point(2, float("inf")), point(3, 1)]) is None
    drawn = history([point(1, 0), point(2, float("nan")), point(3, 1)])
    assert drawn.line == "8.0,56.0 292.0,8.0"
    assert (drawn.first.number, drawn.last.number) == (1, 3)


def test_equal_values_lie_in_the_middle():
    assert {dot.y for dot in history([point(1, 3), point(2, 3)]).dots} == {HEIGHT / 2}


def test_marks_tell_what_is_and_was_in_production():
    drawn = history(
        [
            point(1, 1, "archived", promoted=True),
            point(2, 2, "archived"),
            point(3, 3, "production", promoted=True),
            point(4, 4, "staging", promoted=True),
        ]
    )
    assert [dot.mark for dot in drawn.dots] == ["was-production", "", "production", "staging"]
