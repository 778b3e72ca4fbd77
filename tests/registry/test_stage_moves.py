import pytest

from models_app.models import AuditEvent, OutboxEvent, Stage, StageTransition
from models_app.registry import catalog, lifecycle, promotions
from models_app.registry.access import get_version
from models_app.registry.errors import Conflict, Forbidden, Invalid, NotFound, PolicyUnmet
from tests import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def model(people):
    return builders.model(by=people.alice)


def test_a_move_is_recorded_with_its_reason(people, model):
    version = builders.version(model, by=people.bob)
    transition = promotions.move(version, to="staging", by=people.bob, reason="smoke test")
    assert (transition.from_stage, transition.to_stage, transition.reason) == ("dev", "staging", "smoke test")
    assert transition.by.username == "bob"
    event = AuditEvent.objects.get(verb="version.moved")
    assert (event.before, event.after, event.reason) == ({"stage": "dev"}, {"stage": "staging"}, "smoke test")
    assert OutboxEvent.objects.get(name="version.moved").payload["to"] == "staging"
    model.refresh_from_db()
    assert model.newest_staging_id == version.pk


def test_production_says_what_is_missing(people, model):
    version = builders.version(model, by=people.bob)
    with pytest.raises(PolicyUnmet) as refused:
        promotions.move(version, to="production", by=people.carol)
    assert [missing.key for missing in refused.value.missing] == [
        "dataset_version",
        "metrics",
        "owner",
        "license",
    ]
    assert not StageTransition.objects.exists()
    catalog.update_version(
        version,
        by=people.bob,
        metadata={
            "dataset_version": "1",
            "dataset_name": "d",
            "license": "MIT",
            "owner": "bob",
            "metrics": {"f1": 1},
        },
    )
    promotions.move(version, to="production", by=people.carol)
    assert get_version(model.name, "production", by=people.dave) == version


def test_promotion_archives_the_former_and_remembers_it(people, model):
    first = builders.promoted(model, by=people.bob, approver=people.carol)
    second = builders.promoted(model, by=people.bob, approver=people.carol)
    first.refresh_from_db()
    assert (first.stage, second.stage) == ("archived", "production")
    assert second.rollback_target == first
    assert second.last_promoted_by.username == "carol"
    archived = StageTransition.objects.get(to_stage="archived")
    assert archived.caused_by.version == second
    assert archived.kind == "replaced"


def test_the_former_may_be_kept(people, model):
    first = builders.promoted(model, by=people.bob, approver=people.carol)
    second = builders.complete_version(model, by=people.bob)
    promotions.move(second, to="production", by=people.carol, keep_former=True)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.stage, second.stage, second.rollback_target) == ("production", "production", first)
    lifecycle.rollback(model, by=people.carol, reason="worse")
    second.refresh_from_db()
    assert second.stage == "archived"
    assert get_version(model.name, "production", by=people.bob) == first


@pytest.mark.parametrize(
    ("who", "may_stage", "may_promote"),
    [
        ("alice", True, False),
        ("bob", True, False),
        ("carol", True, True),
        ("dave", False, False),
        ("erin", True, True),
        ("charlie", False, False),
        ("root", True, True),
    ],
)
def test_roles(people, model, who, may_stage, may_promote):
    actor = getattr(people, who)
    version = builders.complete_version(model, by=people.bob)
    for to, allowed in ((Stage.STAGING, may_stage), (Stage.PRODUCTION, may_promote)):
        assert (to in lifecycle.allowed_moves(version, by=actor)) is allowed
        if allowed:
            promotions.move(version, to=to, by=actor)
            version.refresh_from_db()
        else:
            with pytest.raises(Forbidden):
                promotions.move(version, to=to, by=actor)


def test_contributors_may_not_take_a_version_out_of_production(people, model):
    version = builders.promoted(model, by=people.bob, approver=people.carol)
    with pytest.raises(Forbidden):
        promotions.move(version, to="archived", by=people.bob)
    promotions.move(version, to="archived", by=people.alice)


def test_bad_moves(people, model):
    version = builders.version(model, by=people.bob)
    with pytest.raises(Invalid):
        promotions.move(version, to="nowhere", by=people.bob)
    with pytest.raises(Conflict):
        promotions.move(version, to="dev", by=people.bob)
    with pytest.raises(Invalid):
        promotions.move(version, to="staging", by=people.bob, reason="x" * 3000)
    catalog.delete_version(version, by=people.alice)
    with pytest.raises(NotFound):
        promotions.move(version, to="staging", by=people.bob)


def test_aliases(people, model):
    one = builders.version(model, by=people.bob)
    two = builders.version(model, by=people.bob)
    lifecycle.set_alias(model, name="champion", version=one, by=people.bob)
    lifecycle.set_alias(model, name="champion", version=two, by=people.bob)
    assert get_version(model.name, "champion", by=people.dave) == two
    with pytest.raises(Forbidden):
        lifecycle.set_alias(model, name="champion", version=one, by=people.dave)
    lifecycle.delete_alias(model, name="champion", by=people.bob)
    with pytest.raises(NotFound):
        lifecycle.delete_alias(model, name="champion", by=people.bob)
    other = builders.model("risk/other", by=people.bob)
    with pytest.raises(NotFound):
        lifecycle.set_alias(other, name="x", version=one, by=people.bob)


def test_what_is_in_a_stage(people, model):
    version = builders.promoted(model, by=people.bob, approver=people.carol)
    private = builders.model("risk/private", by=people.bob, visibility="team", tags={"region": "eu"})
    hidden = builders.promoted(private, by=people.bob, approver=people.carol)
    assert set(lifecycle.in_stage("production", by=people.dave)) == {version, hidden}
    assert set(lifecycle.in_stage("production", by=people.charlie)) == {version}
    assert list(lifecycle.in_stage("production", by=people.dave, tag="region=eu")) == [hidden]
    assert list(lifecycle.in_stage("production", by=people.dave, team="vision")) == []
    assert list(lifecycle.in_stage("production", by=people.dave, model=model.name)) == [version]
