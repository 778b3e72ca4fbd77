"""Accounts of automations: what they may not do, and who holds their tokens."""

import pytest

from models_app.models import AuditEvent, Review, Stage
from models_app.registry import logins, promotions, reviews, service_accounts
from models_app.registry import people as verbs
from models_app.registry.access import Actor
from models_app.registry.errors import AlreadyExists, Conflict, Forbidden, Invalid, Unauthenticated
from tests import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def bot(people):
    return service_accounts.create_account("bot", roles={people.risk: "contributor"}, by=people.erin)


def acting(user, *scopes, by):
    _, secret = verbs.create_token(user=user, name="ci", scopes=scopes or ["read", "write", "promote"], by=by)
    token = verbs.find_token(secret)
    return Actor.of(token.user, door="api", token=token)


def test_it_registers_and_asks_and_never_says_yes(people, bot):
    actor = acting(bot, by=people.erin)
    model = builders.model(by=people.alice)
    made = builders.complete_version(model, by=actor)
    promotions.ask(made, to=Stage.PRODUCTION, by=actor)
    others = builders.complete_version(model, by=people.alice)
    asked = promotions.ask(others, to=Stage.PRODUCTION, by=people.bob)
    with pytest.raises(Forbidden, match="service account"):
        reviews.review(asked, verdict="approved", by=actor)
    # Whatever role a row gives it.
    bot.memberships.update(role="approver")
    with pytest.raises(Forbidden, match="service account"):
        reviews.review(asked, verdict="approved", by=acting(bot, by=people.erin))
    with pytest.raises(Invalid, match="may not review"):
        reviews.ask_reviewers(asked, reviewers=[bot], by=people.bob)
    assert not Review.objects.exists()


def test_it_cannot_log_in_nor_rise(people, bot):
    assert not bot.has_usable_password()
    assert not logins.may_log_in(bot)
    with pytest.raises(Invalid, match="no password"):
        verbs.set_password(bot, password="correct horse battery", by=people.root)
    for role in ("admin", "approver"):
        with pytest.raises(Invalid, match="role"):
            verbs.set_role(people.risk, user=bot, role=role, by=people.root)
    with pytest.raises(Invalid, match="service account"):
        verbs.set_account(bot, by=people.root, is_active=True, is_staff=True, is_site_admin=False)
    with pytest.raises(Forbidden):
        verbs.create_token(user=bot, name="own", scopes=["read"], by=acting(bot, by=people.erin))


def test_only_who_manages_all_its_teams_holds_it(people, bot):
    token, _ = verbs.create_token(user=bot, name="ci", scopes=["read"], by=people.erin)
    verbs.set_role(people.vision, user=people.charlie.user, role="admin", by=people.root)
    charlie = Actor.of(people.charlie.user, door="web")
    with pytest.raises(Forbidden, match="other teams"):
        verbs.set_role(people.vision, user=bot, role="viewer", by=charlie)
    verbs.set_role(people.vision, user=bot, role="viewer", by=people.root)
    for by in (charlie, people.erin, people.alice):
        with pytest.raises(Forbidden):
            verbs.create_token(user=bot, name="x", scopes=["read"], by=by)
        with pytest.raises(Forbidden):
            service_accounts.rotate_token(token, by=by)
        with pytest.raises(Forbidden):
            verbs.revoke_token(token, by=by)
        with pytest.raises(Forbidden):
            service_accounts.deactivate(bot, by=by)
    with pytest.raises(Forbidden):
        service_accounts.create_account(
            "other", roles={people.risk: "viewer", people.vision: "viewer"}, by=people.erin
        )
    with pytest.raises(AlreadyExists):
        service_accounts.create_account("alice", roles={people.risk: "viewer"}, by=people.erin)


def test_tokens_are_rotated_and_die_with_the_account(people, bot):
    token, former = verbs.create_token(user=bot, name="ci", scopes=["read"], by=people.erin)
    made, secret = service_accounts.rotate_token(token, by=people.erin)
    assert (made.name, made.scopes) == ("ci", ["read"])
    with pytest.raises(Unauthenticated):
        verbs.find_token(former)
    with pytest.raises(Conflict):
        service_accounts.rotate_token(token, by=people.erin)
    for _ in range(2):
        service_accounts.deactivate(bot, by=people.erin)
    with pytest.raises(Unauthenticated):
        verbs.find_token(secret)
    with pytest.raises(Conflict):
        verbs.create_token(user=bot, name="x", scopes=["read"], by=people.root)
    assert AuditEvent.objects.filter(verb="service_account.deactivated").count() == 1


def test_through_page_and_rest(people, client, bot):
    client.force_login(people.erin.user)
    here = "/teams/risk/service-accounts/bot/"
    shown = client.post(
        here, {"action": "make", "name": "ci", "scopes": "write", "days": "90"}
    ).content.decode()
    assert "mdl_" in shown
    assert client.post(here, {"action": "rotate", "token": "x"}).status_code == 400
    assert client.post(here, {"action": "make"}).status_code == 422
    _, secret = verbs.create_token(user=people.erin.user, name="t", scopes=["write"], by=people.erin)
    rest = {"headers": {"Authorization": f"Bearer {secret}"}, "content_type": "application/json"}
    address = "/api/v1/teams/risk/service-accounts"
    [row] = client.get(address, **rest).json()
    assert (row["username"], row["role"], row["usable_tokens"]) == ("bot", "contributor", 1)
    [token] = client.get(f"{address}/bot/tokens", **rest).json()
    made = client.post(f"{address}/bot/tokens/{token['id']}/rotate", **rest)
    assert made.json()["token"].startswith("mdl_")
    assert made["Cache-Control"] == "no-store"
    bad = {"username": "b c", "role": "admin"}
    assert client.post(address, bad, **rest).status_code == 400
    acting(bot, by=people.erin)
    builders.model("risk/made-by-bot", by=acting(bot, by=people.erin))
    assert "bot (service)" in client.get("/audit/?verb=model.registered").content.decode()
