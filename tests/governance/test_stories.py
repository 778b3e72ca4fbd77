"""What must not be left to chance: each way in which what was approved changes before the last yes."""

import pytest

from models_app.models import ModelVersion, Review

from .acting import Company, Try
from .oracle import Oracle, check

pytestmark = pytest.mark.sqlite_is_enough

CHANGES = {
    "its text": ("edit", "bob", "MLflow", 0, 1),
    "its license": ("edit", "bob", "REST", 2, 1),
    "its metrics": ("edit", "bob", "REST", 0, 1),
    "the model's risk": ("card", "alice", "REST", 2, 1),
    "the policy": ("write_policy", "erin", "REST", 2, 1),
    "what is in production": ("emergency", "erin", "REST", 1, 2),
}


@pytest.fixture
def company(people) -> Company:
    return Company(people)


def tell(company, *story):
    for what, who, door, how, number in story:
        company.attempt(Try(what, who, "risk/strict", number, door, how))


@pytest.mark.parametrize("change", CHANGES)
def test_a_yes_to_what_changed_since_does_not_count(company, change):
    oracle = Oracle()
    tell(
        company,
        ("ask", "alice", "REST", 0, 1),
        ("review", "carol", "REST", 0, 1),
        CHANGES[change],
        ("review", "erin", "REST", 0, 1),
    )
    check(oracle)
    assert Review.objects.filter(verdict="approved").count() == 2
    assert not ModelVersion.objects.filter(number=1, stage="production").exists()
    tell(company, ("review", "carol", "REST", 0, 1))
    check(oracle)
    assert ModelVersion.objects.filter(number=1, stage="production").exists()


@pytest.mark.parametrize("door", ["pages", "REST", "MLflow"])
def test_nobody_goes_past_whoever_asked_for_changes(company, door):
    oracle = Oracle()
    tell(
        company,
        ("ask", "alice", "REST", 0, 1),
        ("review", "root", "REST", 3, 1),
        ("review", "carol", "REST", 0, 1),
        ("review", "erin", "REST", 0, 1),
        ("promote", "erin", door, 0, 1),
    )
    check(oracle)
    assert not ModelVersion.objects.filter(stage="production").exists()
