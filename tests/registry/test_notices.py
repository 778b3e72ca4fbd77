"""Who is told what: by role and policy, once, and nobody of what she may not see."""

from datetime import timedelta

import pytest
from django.utils import timezone

from models_app.models import Membership, Notice, OutboxEvent, PromotionRequest, Role, User, Visibility
from models_app.registry import catalog, lifecycle, notices, policies, promotions, reviews
from models_app.registry import people as verbs
from models_app.registry.access import Actor
from models_app.tasks.dispatcher import dispatch
from models_app.tasks.governance import keep_up
from tests import builders


@pytest.fixture(autouse=True)
def _mail_is_on(settings):
    settings.MAIL_IS_ON = True


@pytest.fixture
def model(people):
    return builders.model("risk/fraud", by=people.alice, owner="alice")


@pytest.fixture
def request_(people, model):
    version = builders.complete_version(model, by=people.bob)
    return promotions.ask(version, to="production", by=people.bob, reason="Better.")


def told() -> list[tuple[str, str]]:
    """(who, subject) of what was not told before, by person."""
    dispatch()
    rows = Notice.objects.order_by("event", "user__username").values_list("user__username", "subject")
    found = list(rows)
    Notice.objects.all().delete()
    return found


def member(people, name, role, team=None, **fields) -> Actor:
    user = verbs.create_user(name, email=f"{name}@example.com", by=people.root)
    User.objects.filter(pk=user.pk).update(**fields)
    verbs.set_role(team or people.risk, user=user, role=role, by=people.root)
    return Actor.of(User.objects.get(pk=user.pk), door="shell")


WHAT = "risk/fraud v1 to production"


def test_those_who_can_approve_are_asked_and_who_takes_part_is_told(people, request_):
    assert told() == [
        ("carol", f"Review wanted by bob: {WHAT}"),
        ("erin", f"Review wanted by bob: {WHAT}"),
    ]
    reviews.comment(request_, body="Why?", by=people.carol)
    assert told() == [("bob", f"Comment by carol: {WHAT}")]
    reviews.ask_reviewers(request_, reviewers=[people.erin.user], by=people.bob)
    assert told() == [("erin", f"Your review is wanted by bob: {WHAT}")]
    reviews.review(request_, verdict="changes_requested", body="Explain.", by=people.carol)
    assert told() == [
        ("bob", f"Changes wanted by carol: {WHAT}"),
        ("erin", f"Changes wanted by carol: {WHAT}"),
    ]
    catalog.update_version(request_.version, by=people.bob, metadata={"description": "Explained."})
    who = [name for name, subject in told() if subject.startswith("Reviews no longer count")]
    assert who == ["bob", "carol", "erin"]
    reviews.review(request_, verdict="approved", by=people.carol)
    # The approval is not told besides what it led to; the owner is told, too.
    subject = "Promoted by carol: risk/fraud v1 is in production"
    assert told() == [("alice", subject), ("bob", subject), ("erin", subject)]


def test_the_policies_say_whose_yes_is_wanted(people, model):
    rules = {"approvals": {"count": 1, "roles": ["owner"], "teams": ["vision"]}}
    policies.set_policy(stage="production", team=people.risk, rules=rules, by=people.erin)
    version = builders.complete_version(model, by=people.bob)
    promotions.ask(version, to="production", by=people.alice)
    assert [name for name, _ in told()] == ["charlie"]


def test_where_nobody_else_can_site_admins_are_asked(people, model):
    Membership.objects.filter(user__username__in=["carol", "erin"]).delete()
    promotions.ask(builders.complete_version(model, by=people.bob), to="production", by=people.bob)
    assert [name for name, _ in told()] == ["root"]


@pytest.mark.parametrize(("end", "subject"), [
    ("withdraw", f"Withdrawn by bob: {WHAT}"),
    ("reject", f"Rejected by erin: {WHAT}"),
    ("expire", f"Expired without a decision: {WHAT}"),
])  # fmt: skip
def test_how_it_ends_is_told(people, request_, end, subject):
    reviews.comment(request_, body="Hm.", by=people.carol)
    told()
    if end == "withdraw":
        promotions.withdraw(request_, by=people.bob)
    elif end == "reject":
        reviews.review(request_, verdict="rejected", body="No.", by=people.erin)
    else:
        PromotionRequest.objects.update(expires_at=timezone.now())
        promotions.expire_due()
    who = {"withdraw": ["carol"], "reject": ["bob", "carol"], "expire": ["bob", "carol"]}[end]
    assert told() == [(name, subject) for name in who]


def test_owners_are_told_of_promotion_and_rollback(people, model):
    member(people, "olga", Role.OWNER)
    builders.promoted(model, by=people.bob, approver=people.carol)
    builders.promoted(model, by=people.bob, approver=people.carol)
    lifecycle.rollback(model, by=people.alice, reason="Misses.")
    first = "Promoted by carol: risk/fraud v1 is in production"
    second = "Promoted by carol: risk/fraud v2 is in production instead of v1"
    back = "Rolled back by alice: risk/fraud v1 is in production again, v2 is not"
    found = [row for row in told() if "wanted" not in row[1]]
    assert found == [("alice", first), ("olga", first), ("alice", second), ("olga", second), ("olga", back)]


def test_an_emergency_is_shouted_at_once_and_its_review_asked_for_again(people, model, monkeypatch):
    verbs.update_profile(people.alice.user, by=people.alice, notice_mode="digest")
    version = builders.version(model, by=people.bob)
    promotions.break_glass(version, to="production", by=people.erin, reason="It burns.")
    dispatch()
    rows = Notice.objects.order_by("user__username").values_list("user__username", "is_urgent", "body")
    assert {row[1:] for row in rows} == {(True, rows[0][2])}
    assert [row[0] for row in rows] == ["alice", "root"]
    assert rows[0][2].startswith("It burns.\n\nSkipped: ")
    assert not Notice.objects.filter(due_at__gt=timezone.now()).exists()
    told()
    keep_up()
    assert told() == []
    PromotionRequest.objects.update(created_at=timezone.now() - timedelta(days=2))
    keep_up()
    keep_up()
    assert told() == [("carol", f"An emergency still waits for its review: {WHAT}")]


def test_some_are_told_nothing(people, model):
    member(people, "left", Role.APPROVER, is_active=False)
    member(people, "bot", Role.APPROVER, is_service=True)
    member(people, "mute", Role.APPROVER, notice_mode="none")
    member(people, "nomail", Role.APPROVER, email="")
    own = builders.complete_version(model, by=people.erin)
    promotions.ask(own, to="production", by=people.bob)
    assert [name for name, _ in told()] == ["carol"]


def test_of_a_private_model_nobody_else_is_told(people):
    private = builders.model("risk/secret", by=people.alice, visibility=Visibility.TEAM)
    rules = {"approvals": {"count": 1, "roles": ["owner", "approver"], "teams": ["vision", "risk"]}}
    policies.set_policy(stage="production", team=people.risk, rules=rules, by=people.erin)
    promotions.ask(builders.complete_version(private, by=people.bob), to="production", by=people.bob)
    assert [name for name, _ in told()] == ["alice", "carol"]


def test_an_event_is_told_once_in_as_many_statements_however_many_people(
    people, request_, django_assert_max_num_queries
):
    users = [User(username=f"u{n}", email=f"u{n}@example.com") for n in range(300)]
    User.objects.bulk_create(users)
    Membership.objects.bulk_create(
        [Membership(team=people.risk, user=user, role=Role.APPROVER) for user in users]
    )
    event = OutboxEvent.objects.get(name="promotion.requested")
    with django_assert_max_num_queries(12):
        assert notices.write(event) == 302
    notices.write(event)
    dispatch()
    assert Notice.objects.filter(event=event).count() == 302


def test_names_cannot_write_headers(people, request_):
    bob = people.bob.user
    bob.first_name = "Bob\r\nBcc: all@example.com"
    bob.save()
    subjects = {subject for _, subject in told()}
    assert subjects == {f"Review wanted by Bob Bcc: all@example.com: {WHAT}"}


def test_without_mail_nothing_is_written(settings, people, request_):
    settings.MAIL_IS_ON = False
    assert told() == []
