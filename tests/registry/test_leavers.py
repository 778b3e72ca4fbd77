"""Who leaves: what is handed over, what is refused, and that nothing is left behind."""

import pytest

from models_app.models import AskedReviewer, AuditEvent, Membership, PromotionRequest, Stage, User
from models_app.registry import leavers, promotions, reviews
from models_app.registry import people as verbs
from models_app.registry.errors import Conflict, Forbidden, Invalid, Unauthenticated
from tests import builders

pytestmark = pytest.mark.django_db


def test_everything_is_handed_over_once(people):
    model = builders.model(by=people.alice, owner="alice")
    version = builders.promoted(model, by=people.alice, approver=people.carol)
    asked = promotions.ask(
        builders.complete_version(model, by=people.bob), to=Stage.PRODUCTION, by=people.alice
    )
    _, secret = verbs.create_token(user=people.alice.user, name="t", scopes=["read"], by=people.alice)
    for wrong in (people.dave, people.charlie, people.alice):
        with pytest.raises(Invalid):
            leavers.leave(people.alice.user, heir=wrong.user, by=people.root)
    with pytest.raises(Conflict, match="still answers"):
        leavers.leave(people.alice.user, by=people.root)
    for by in (people.erin, people.alice):
        with pytest.raises(Forbidden):
            leavers.leave(people.alice.user, heir=people.bob.user, by=by)
    there = leavers.leave(people.alice.user, heir=people.bob.user, by=people.root)
    assert there.told()["models"] == [model.name]
    model.refresh_from_db()
    version.refresh_from_db()
    assert model.owner == version.owner == people.bob.user
    assert PromotionRequest.objects.get(pk=asked.pk).state == "withdrawn"
    assert not Membership.objects.filter(user=people.alice.user).exists()
    with pytest.raises(Unauthenticated):
        verbs.find_token(secret)
    count = AuditEvent.objects.count()
    leavers.leave(people.alice.user, heir=people.bob.user, by=people.root)
    assert AuditEvent.objects.count() == count
    left = AuditEvent.objects.get(verb="person.left")
    assert left.after["heirs"] == {model.name: "bob"}
    assert AuditEvent.objects.filter(verb="model.handed_over", model_ref=model.pk).count() == 1
    # Who comes back starts anew.
    alice = User.objects.get(username="alice")
    verbs.set_account(alice, by=people.root, is_active=True, is_staff=False, is_site_admin=False)
    assert not alice.memberships.exists()
    with pytest.raises(Unauthenticated):
        verbs.find_token(secret)


def test_reviews_go_to_an_heir_who_may_give_them(people):
    model = builders.model(by=people.alice, owner="alice")
    asked = promotions.ask(
        builders.complete_version(model, by=people.alice), to=Stage.PRODUCTION, by=people.bob
    )
    reviews.ask_reviewers(asked, reviewers=[people.carol.user], by=people.bob)
    leavers.leave(people.carol.user, heir=people.erin.user, by=people.root)
    assert AskedReviewer.objects.get(request=asked).user == people.erin.user


def test_a_team_keeps_somebody_in_charge(people):
    with pytest.raises(Conflict, match="without admin"):
        leavers.leave(people.erin.user, heir=people.bob.user, by=people.root)
    assert User.objects.get(username="erin").is_active
    leavers.leave(people.erin.user, heir=people.bob.user, take_over_roles=True, by=people.root)
    assert Membership.objects.get(user=people.bob.user).role == "admin"
    with pytest.raises(Conflict):
        leavers.leave(people.root.user, by=people.root)


def test_the_admin_refuses_while_things_are_owned_and_the_page_hands_over(people, client):
    model = builders.model(by=people.alice, owner="alice")
    client.force_login(people.root.user)
    address = f"/admin/models_app/user/{people.alice.user.pk}/change/"
    off = {"first_name": "", "last_name": "", "email": ""}
    assert "/people/alice/leaving/" in client.post(address, off, follow=True).content.decode()
    assert User.objects.get(username="alice").is_active
    here = "/people/alice/leaving/"
    assert model.name in client.get(here).content.decode()
    assert client.post(here, {"heir": "dave"}).status_code == 422
    assert client.post(here, {"heir": "nobody"}).status_code == 422
    assert client.post(here, {"heir": "erin", "heirs": f"{model.name}=bob"}).status_code == 302
    model.refresh_from_db()
    assert model.owner == people.bob.user
    assert not User.objects.get(username="alice").is_active
