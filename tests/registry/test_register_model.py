import pytest

from models_app.models import AuditEvent, ModelRedirect, OutboxEvent, RegisteredModel
from models_app.registry import catalog
from models_app.registry import people as people_verbs
from models_app.registry.access import Actor, get_model
from models_app.registry.errors import (
    AlreadyExists,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TeamUnclear,
    Unauthenticated,
)
from tests import builders

pytestmark = pytest.mark.django_db


def test_registers_with_metadata_audit_and_event(people):
    model = catalog.register_model(
        "risk/fraud-detector",
        by=people.bob,
        purpose="Score card payments.",
        task="tabular-classification",
        license="apache-2.0",
        owner="alice",
        tags={"pii": "", "region": "eu"},
    )
    model.refresh_from_db()
    assert model.team.slug == "risk"
    assert model.license == "Apache-2.0"
    assert model.owner.username == "alice"
    assert dict(model.tags.values_list("key", "value")) == {"pii": "", "region": "eu"}
    event = AuditEvent.objects.get(verb="model.registered")
    assert (event.actor_name, event.subject, event.model_ref) == ("bob", "risk/fraud-detector", model.pk)
    assert OutboxEvent.objects.filter(name="model.registered", model_ref=model.pk).count() == 1


def test_a_plain_name_belongs_to_the_only_team_of_the_person(people):
    assert catalog.register_model("fraud_detector", by=people.bob).team.slug == "risk"


def test_a_plain_name_belongs_where_its_author_registers(people):
    """Looking on in other teams, or having a default that one only looks on in, leaves no choice."""
    people_verbs.set_role(people.vision, user=people.bob.user, role="viewer", by=people.root)
    people_verbs.update_profile(people.bob.user, by=people.bob, default_team=people.vision)
    bob = Actor.of(people.bob.user, door="shell")
    assert catalog.register_model("fraud_detector", by=bob).team.slug == "risk"


def test_of_several_teams_the_default_one_owns_a_plain_name(people):
    people_verbs.set_role(people.vision, user=people.bob.user, role="contributor", by=people.root)
    with pytest.raises(TeamUnclear, match="default team"):
        catalog.register_model("fraud_detector", by=Actor.of(people.bob.user, door="shell"))
    for who in (people.bob, people.root):
        people_verbs.update_profile(who.user, by=who, default_team=people.vision)
        made = catalog.register_model(f"of_{who.name}", by=Actor.of(who.user, door="shell"))
        assert made.team.slug == "vision"


def test_who_only_looks_on_is_told_who_gives_the_role(people):
    with pytest.raises(Forbidden) as refused:
        catalog.register_model("fraud_detector", by=people.dave)
    assert "erin" in refused.value.next_step


def test_a_namespace_is_a_team(people):
    with pytest.raises(Invalid, match="there is none"):
        catalog.register_model("nobody/x", by=people.bob)


@pytest.mark.parametrize("who", ["dave", "carol", "charlie"])
def test_refused_without_the_role(people, who):
    with pytest.raises(Forbidden) as refused:
        catalog.register_model("risk/x", by=getattr(people, who))
    assert "erin" in refused.value.next_step
    assert not RegisteredModel.objects.exists()
    assert not AuditEvent.objects.filter(verb__startswith="model.").exists()


def test_refused_for_nobody(people):
    with pytest.raises(Unauthenticated):
        catalog.register_model("risk/x", by=people.anonymous)


def test_taken_names(people):
    builders.model("risk/a", by=people.bob)
    with pytest.raises(AlreadyExists):
        builders.model("risk/a", by=people.bob)


def test_every_problem_is_listed(people):
    with pytest.raises(Invalid) as refused:
        builders.model(
            "risk/a", by=people.bob, license="Nonsense-9", owner="ghost", visibility="world", colour="red"
        )
    assert {problem.field for problem in refused.value.problems} == {
        "license",
        "owner",
        "visibility",
        "colour",
    }


def test_update_records_before_and_after(people):
    model = builders.model(by=people.bob, purpose="Old.")
    catalog.update_model(model, by=people.alice, purpose="New.", tags=["x"])
    event = AuditEvent.objects.get(verb="model.updated")
    assert (event.before, event.after) == ({"purpose": "Old."}, {"purpose": "New."})
    assert get_model(model.name, by=people.dave).purpose == "New."


def test_contributors_may_not_change_the_model(people):
    model = builders.model(by=people.alice)
    with pytest.raises(Forbidden):
        catalog.update_model(model, by=people.bob, purpose="Mine.")


def test_rename_leaves_a_redirect_and_keeps_the_old_name_taken(people):
    model = builders.model("risk/a", by=people.bob)
    catalog.rename_model(model, to="risk/b", by=people.alice)
    assert get_model("risk/a", by=people.bob).name == "risk/b"
    with pytest.raises(AlreadyExists):
        builders.model("risk/a", by=people.bob)
    catalog.rename_model(model, to="risk/a", by=people.alice)
    assert set(ModelRedirect.objects.values_list("name", flat=True)) == {"risk/b"}


def test_rename_into_another_team_takes_the_right_there(people):
    model = builders.model("risk/a", by=people.bob)
    with pytest.raises(Forbidden):
        catalog.rename_model(model, to="vision/a", by=people.alice)
    catalog.rename_model(model, to="vision/a", by=people.root)
    assert get_model("vision/a", by=people.charlie).team.slug == "vision"


def test_delete_takes_everything_but_the_record(people):
    model = builders.model(by=people.bob)
    builders.version(model, by=people.bob)
    catalog.delete_model(model, by=people.alice, reason="mistake")
    assert not RegisteredModel.objects.exists()
    event = AuditEvent.objects.get(verb="model.deleted")
    assert event.reason == "mistake"


def test_delete_is_refused_while_in_production(people):
    model = builders.model(by=people.bob)
    builders.promoted(model, by=people.bob, approver=people.carol)
    with pytest.raises(Conflict, match="v1"):
        catalog.delete_model(model, by=people.alice)


def test_a_private_model_does_not_exist_for_strangers(people):
    model = builders.model(by=people.bob, visibility="team")
    assert get_model(model.name, by=people.dave) == model
    assert get_model(model.name, by=people.root) == model
    with pytest.raises(NotFound):
        get_model(model.name, by=people.charlie)


def test_reading_needs_a_login_unless_the_site_says_otherwise(people, settings):
    model = builders.model(by=people.bob)
    with pytest.raises(Unauthenticated):
        get_model(model.name, by=people.anonymous)
    settings.PUBLIC_READ = True
    assert get_model(model.name, by=people.anonymous) == model
    catalog.update_model(model, by=people.alice, visibility="team")
    with pytest.raises(NotFound):
        get_model(model.name, by=people.anonymous)
