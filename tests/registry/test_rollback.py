import pytest

from models_app.models import StageTransition
from models_app.registry import lifecycle, promotions
from models_app.registry.access import get_version
from models_app.registry.errors import Conflict, Forbidden, Invalid
from tests import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(people):
    return builders.model(by=people.alice)


def promote(model, people):
    return builders.promoted(model, by=people.bob, approver=people.carol)


def in_production(model, people):
    return get_version(model.name, "production", by=people.bob).number


def test_the_previous_version_is_production_again(people, model):
    first, second = promote(model, people), promote(model, people)
    assert lifecycle.rollback_target(model) == first
    transition = lifecycle.rollback(model, by=people.carol, reason="latency doubled")
    assert (transition.version, transition.kind, transition.reason) == (first, "rollback", "latency doubled")
    second.refresh_from_db()
    assert second.stage == "archived"
    assert in_production(model, people) == 1
    assert StageTransition.objects.get(version=second, to_stage="archived").caused_by == transition


def test_twice_goes_back_two_versions(people, model):
    for _ in range(3):
        promote(model, people)
    lifecycle.rollback(model, by=people.carol, reason="bad")
    assert in_production(model, people) == 2
    lifecycle.rollback(model, by=people.carol, reason="also bad")
    assert in_production(model, people) == 1
    with pytest.raises(Conflict, match="no earlier"):
        lifecycle.rollback(model, by=people.carol, reason="still bad")


def test_never_to_and_fro(people, model):
    first = promote(model, people)
    promote(model, people)
    first.refresh_from_db()
    promotions.move(first, to="production", by=people.carol)
    lifecycle.rollback(model, by=people.carol, reason="bad")
    assert in_production(model, people) == 2
    with pytest.raises(Conflict):
        lifecycle.rollback(model, by=people.carol, reason="this would bring back what was just taken out")
    assert in_production(model, people) == 2


def test_needs_a_reason_a_role_and_something_to_go_back_to(people, model):
    with pytest.raises(Conflict, match="nothing in production"):
        lifecycle.rollback(model, by=people.carol, reason="x")
    promote(model, people)
    with pytest.raises(Conflict, match="no earlier"):
        lifecycle.rollback(model, by=people.carol, reason="x")
    promote(model, people)
    with pytest.raises(Invalid):
        lifecycle.rollback(model, by=people.carol, reason="  ")
    for who in (people.bob, people.dave, people.charlie):
        with pytest.raises(Forbidden):
            lifecycle.rollback(model, by=who, reason="x")
    lifecycle.rollback(model, by=people.alice, reason="owners may go back")
    assert in_production(model, people) == 1
