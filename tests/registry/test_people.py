from datetime import timedelta

import pytest
from django.utils import timezone

from models_app.models import ApiToken, Membership
from models_app.registry import catalog, lifecycle, promotions
from models_app.registry import people as verbs
from models_app.registry.access import Actor, Right, may
from models_app.registry.errors import AlreadyExists, Conflict, Forbidden, Invalid, Unauthenticated
from tests import builders

pytestmark = pytest.mark.django_db


def with_token(actor, *scopes):
    token, _ = verbs.create_token(user=actor.user, name="t", scopes=scopes, by=actor)
    return Actor.of(actor.user, door="api", token=token)


def test_a_token_is_stored_hashed_and_found_by_its_secret(people):
    token, secret = verbs.create_token(user=people.bob.user, name="ci", scopes=["read"], by=people.bob)
    assert secret.startswith("mdl_")
    assert secret not in str(ApiToken.objects.values().get(pk=token.pk))
    assert verbs.find_token(secret).user == people.bob.user
    token.refresh_from_db()
    assert token.last_used_at is not None


def test_dead_tokens(people):
    token, secret = verbs.create_token(user=people.bob.user, name="ci", scopes=["read"], by=people.bob)
    verbs.revoke_token(token, by=people.bob)
    _, expiring = verbs.create_token(
        user=people.bob.user,
        name="ci",
        scopes=["read"],
        by=people.bob,
        expires_at=timezone.now() + timedelta(hours=1),
    )
    ApiToken.objects.exclude(expires_at=None).update(expires_at=timezone.now() - timedelta(seconds=1))
    for dead in (secret, expiring, "", "mdl_nonsense", "x" * 10_000):
        with pytest.raises(Unauthenticated):
            verbs.find_token(dead)


def test_tokens_of_inactive_people_are_dead(people):
    _, secret = verbs.create_token(user=people.bob.user, name="ci", scopes=["read"], by=people.bob)
    type(people.bob.user).objects.filter(pk=people.bob.user.pk).update(is_active=False)
    with pytest.raises(Unauthenticated):
        verbs.find_token(secret)


def test_a_token_does_less_than_its_person_never_more(people):
    model = builders.model(by=people.bob)
    version = builders.complete_version(model, by=people.bob)
    reader, writer, promoter = (with_token(people.erin, scope) for scope in ("read", "write", "promote"))
    assert may(reader, Right.READ, model.team)
    with pytest.raises(Forbidden, match="scope"):
        catalog.update_model(model, by=reader, purpose="x")
    with pytest.raises(Forbidden, match="scope"):
        promotions.move(version, to="production", by=writer)
    with pytest.raises(Forbidden, match="scope"):
        catalog.update_model(model, by=promoter, purpose="x")
    promotions.move(version, to="production", by=promoter)
    with pytest.raises(Forbidden):
        lifecycle.rollback(model, by=with_token(people.dave, "promote"), reason="x")


def test_a_token_cannot_breed_a_stronger_one(people):
    weak = with_token(people.erin, "write")
    with pytest.raises(Forbidden):
        verbs.create_token(user=people.erin.user, name="x", scopes=["promote"], by=weak)


@pytest.mark.parametrize(
    "bad",
    [{"name": ""}, {"scopes": []}, {"scopes": ["root"]}, {"expires_at": timezone.now() - timedelta(days=1)}],
)
def test_bad_tokens(people, bad):
    with pytest.raises(Invalid):
        verbs.create_token(
            **{"user": people.bob.user, "name": "x", "scopes": ["read"], "by": people.bob, **bad}
        )


def test_nobody_handles_the_tokens_of_others(people):
    with pytest.raises(Forbidden):
        verbs.create_token(user=people.alice.user, name="x", scopes=["read"], by=people.erin)
    token, _ = verbs.create_token(user=people.alice.user, name="x", scopes=["read"], by=people.root)
    with pytest.raises(Forbidden):
        verbs.revoke_token(token, by=people.bob)
    verbs.revoke_token(token, by=people.root)


def test_teams_and_roles(people):
    with pytest.raises(Forbidden):
        verbs.create_team("new", by=people.erin)
    team = verbs.create_team("new", by=people.root)
    with pytest.raises(AlreadyExists):
        verbs.create_team("new", by=people.root)
    verbs.set_role(team, user=people.bob.user, role="admin", by=people.root)
    bob = Actor.of(people.bob.user, door="web")
    verbs.set_role(team, user=people.dave.user, role="viewer", by=bob)
    with pytest.raises(Invalid):
        verbs.set_role(team, user=people.dave.user, role="emperor", by=bob)
    with pytest.raises(Conflict, match="last admin"):
        verbs.remove_member(team, user=people.bob.user, by=bob)
    with pytest.raises(Conflict, match="last admin"):
        verbs.set_role(team, user=people.bob.user, role="viewer", by=bob)
    verbs.remove_member(team, user=people.dave.user, by=bob)
    assert Membership.objects.filter(team=team).count() == 1
    with pytest.raises(Forbidden):
        verbs.set_role(team, user=people.dave.user, role="admin", by=people.dave)


def test_profile(people):
    verbs.update_profile(
        people.bob.user, by=people.bob, first_name="Bob", email="bob@example.com", theme="dark"
    )
    with pytest.raises(Invalid):
        verbs.update_profile(people.bob.user, by=people.bob, email="nonsense")
    with pytest.raises(Invalid):
        verbs.update_profile(people.bob.user, by=people.bob, is_superuser=True)
    with pytest.raises(Forbidden):
        verbs.update_profile(people.alice.user, by=people.bob, first_name="Eve")


def test_only_site_admins_make_people(people):
    with pytest.raises(Forbidden):
        verbs.create_user("new", by=people.erin, password="long enough 123")
    with pytest.raises(Invalid):
        verbs.create_user("new", by=people.root, password="short")
    assert verbs.create_user("new", by=people.root, password="long enough 123").check_password(
        "long enough 123"
    )
