"""Versions side by side, and how one gets there."""

import pytest

from tests import builders
from tests.web.reading import page

HERE = "/models/risk/fraud-detector/compare/"


@pytest.fixture
def versions(people, model):
    """v4 and v5, which differ in their metrics, one file and the commit."""
    for f1, files, commit in (
        (0.9, {"model.bin": b"one", "same.txt": b"s"}, "aaaaaaaa"),
        (0.8, {"model.bin": b"two", "same.txt": b"s"}, "bbbbbbbb"),
    ):
        builders.version(
            model,
            by=people.bob,
            files=files,
            metrics={"f1": f1, "loss": 0.5},
            code_commit=commit,
            license="MIT",
        )


@pytest.mark.sqlite_is_enough
def test_only_what_differs_is_shown_unless_all_is_asked_for(pages, versions):
    text = page(pages.dave.get(HERE + "4...5/")).text()
    for told in ("f1", "worse", "model.bin", "bbbbbbbb"):
        assert told in text
    assert "same.txt" not in text
    assert "same.txt" in page(pages.dave.get(HERE + "4...5/?all")).text()


@pytest.mark.sqlite_is_enough
def test_ticked_boxes_lead_to_the_comparison(pages, versions):
    answer = pages.dave.get(HERE, {"v": ["5", "4", "4"]})
    assert (answer.status_code, answer["Location"]) == (302, HERE + "4...5/")


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize("ticked", [[], ["1"], ["1", "1"], ["1", "x"], ["1", "٢"], ["1", "9" * 5000]])
def test_less_than_two_ticks_are_told(pages, model, ticked):
    assert "Tick two to four versions." in page(pages.dave.get(HERE, {"v": ticked}), 400).text()


@pytest.mark.parametrize(
    "numbers,status",
    [
        ("1...99", 404),
        ("1..2", 404),
        ("1...x", 404),
        ("1...", 404),
        ("1..." + "9" * 5000, 404),
        ("1...2147483648", 404),
        ("1...%00", 404),
        ("1", 400),
        ("1...1", 400),
        ("1...2...3...1", 400),
    ],
)
def test_addresses_that_compare_nothing(pages, model, numbers, status):
    assert pages.dave.get(f"{HERE}{numbers}/").status_code == status


@pytest.mark.sqlite_is_enough
def test_only_approvers_are_offered_to_promote_the_last(pages, versions):
    assert "Promote" in page(pages.carol.get(HERE + "4...5/")).text()
    assert "Promote" not in page(pages.dave.get(HERE + "4...5/")).text()
