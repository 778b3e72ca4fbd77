"""Into production: what policies demand, who says yes, and what that yes is worth."""

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from models_app.models import AuditEvent, PromotionRequest, RequestState, Role
from models_app.registry import approvals, catalog, checks, policies, promotions, reviews
from models_app.registry import people as verbs
from models_app.registry.access import Actor
from models_app.registry.errors import (
    ApprovalNeeded,
    AskedInstead,
    Conflict,
    Forbidden,
    Invalid,
    PolicyUnmet,
)
from models_app.tasks import dispatcher
from tests import builders


@pytest.fixture
def model(people):
    return builders.model("risk/fraud", by=people.alice, owner="alice", purpose="Finds fraud.")


@pytest.fixture
def version(people, model):
    return builders.complete_version(model, by=people.bob)


@pytest.fixture
def second_approver(people):
    """zoe, approver of risk beside carol."""
    user = verbs.create_user("zoe", email="zoe@example.com", password="correct horse battery", by=people.root)
    verbs.set_role(people.risk, user=user, role=Role.APPROVER, by=people.root)
    return Actor.of(user, door="shell")


def demand(people, **rules):
    return policies.set_policy(stage="production", team=people.risk, rules=rules, by=people.erin)


def stage_of(version) -> str:
    version.refresh_from_db()
    return version.stage


def test_who_may_not_promote_asks_instead(people, version):
    with pytest.raises(AskedInstead) as asked:
        promotions.move(version, to="production", by=people.bob, reason="Better.")
    request = PromotionRequest.objects.get(pk=asked.value.request)
    assert (request.requested_by, request.reason, stage_of(version)) == (people.bob.user, "Better.", "dev")
    with pytest.raises(AskedInstead) as again:
        promotions.move(version, to="production", by=people.alice)
    assert again.value.request == request.pk
    reviews.review(request, verdict="approved", by=people.carol)
    assert stage_of(version) == "production"
    request.refresh_from_db()
    assert request.state == RequestState.PROMOTED
    assert request.transition.by == people.carol.user
    assert request.transition.reason == "Better."


def test_nobody_asks_for_what_lacks_facts(people, model):
    bare = builders.version(model, by=people.bob)
    # Who may ask is told what has to be there first; who may not, that.
    for person in (people.bob, people.carol):
        with pytest.raises(PolicyUnmet):
            promotions.move(bare, to="production", by=person)
    with pytest.raises(Forbidden):
        promotions.move(bare, to="production", by=people.charlie)
    assert not PromotionRequest.objects.exists()


def test_two_approvals_from_others(people, version, second_approver):
    demand(people, approvals={"count": 2})
    with pytest.raises(ApprovalNeeded) as needed:
        promotions.move(version, to="production", by=people.carol)
    request = PromotionRequest.objects.get(pk=needed.value.request)
    with pytest.raises(Forbidden, match="asked"):
        reviews.review(request, verdict="approved", by=people.carol)
    reviews.review(request, verdict="approved", by=second_approver)
    assert stage_of(version) == "dev"
    with pytest.raises(ApprovalNeeded):
        promotions.move(version, to="production", by=second_approver)
    reviews.review(request, verdict="approved", by=people.erin)
    assert stage_of(version) == "production"
    assert AuditEvent.objects.filter(verb="version.moved", policy__contains="team risk #1").exists()


def test_the_author_never_approves(people, model):
    own = builders.complete_version(model, by=people.erin)
    request = promotions.ask(own, to="production", by=people.alice)
    with pytest.raises(Forbidden, match="registered"):
        reviews.review(request, verdict="approved", by=people.erin)


@pytest.mark.parametrize("who", ["alice", "dave", "charlie"])
def test_only_some_may_review(people, version, who):
    request = promotions.ask(version, to="production", by=people.bob)
    with pytest.raises(Forbidden):
        reviews.review(request, verdict="approved", by=getattr(people, who))
    assert not request.reviews.exists()


def test_a_change_dismisses_what_was_said(people, version, second_approver):
    demand(people, approvals={"count": 2})
    request = promotions.ask(version, to="production", by=people.alice)
    reviews.review(request, verdict="approved", by=people.carol)
    catalog.update_version(version, by=people.bob, metadata={"license": "MIT"})
    assert request.reviews.get().dismissed_at is not None
    with pytest.raises(Conflict, match="changed"):
        reviews.review(request, verdict="approved", by=second_approver, evidence=request.evidence)
    reviews.review(request, verdict="approved", by=second_approver)
    assert stage_of(version) == "dev"
    reviews.review(request, verdict="approved", by=people.carol)
    assert stage_of(version) == "production"


def test_a_stricter_policy_dismisses_too(people, version, second_approver):
    demand(people, approvals={"count": 2})
    request = promotions.ask(version, to="production", by=people.alice)
    reviews.review(request, verdict="approved", by=people.carol)
    demand(people, approvals={"count": 2}, metrics=[{"name": "f1", "at_least": 0.5}])
    reviews.review(request, verdict="approved", by=second_approver)
    assert stage_of(version) == "dev"


def test_ci_has_the_last_word(people, version):
    demand(people, approvals={"count": 1}, checks=["integration"])
    request = promotions.ask(version, to="production", by=people.alice)
    reviews.review(request, verdict="approved", by=people.carol)
    assert stage_of(version) == "dev"
    checks.report(version, name="integration", state="failure", by=people.bob)
    assert stage_of(version) == "dev"
    checks.report(version, name="integration", state="success", by=people.bob)
    assert stage_of(version) == "production"
    request.refresh_from_db()
    assert request.transition.by == people.carol.user


def test_changes_are_asked_for_and_made(people, version):
    request = promotions.ask(version, to="production", by=people.bob)
    with pytest.raises(Invalid):
        reviews.review(request, verdict="changes_requested", by=people.carol)
    asked = reviews.review(request, verdict="changes_requested", body="Which bias?", by=people.carol)
    assert asked.state == RequestState.CHANGES_REQUESTED
    catalog.update_version(version, by=people.bob, metadata={"bias_fairness_notes": "None found."})
    request.refresh_from_db()
    assert request.state == RequestState.OPEN


def test_rejected_withdrawn_and_expired_requests_are_over(people, model):
    one, two, three = (builders.complete_version(model, by=people.bob) for _ in range(3))
    rejected = promotions.ask(one, to="production", by=people.bob)
    reviews.review(rejected, verdict="rejected", body="No.", by=people.carol)
    with pytest.raises(Conflict, match="rejected"):
        reviews.review(rejected, verdict="approved", by=people.carol)
    withdrawn = promotions.ask(two, to="production", by=people.bob)
    with pytest.raises(Forbidden):
        promotions.withdraw(withdrawn, by=people.dave)
    promotions.withdraw(withdrawn, by=people.bob)
    late = promotions.ask(three, to="production", by=people.bob)
    PromotionRequest.objects.filter(pk=late.pk).update(expires_at=timezone.now() - timedelta(days=1))
    assert promotions.expire_due() == 1
    late.refresh_from_db()
    assert late.state == RequestState.EXPIRED
    assert {stage_of(version) for version in (one, two, three)} == {"dev"}


def test_one_open_request_per_version(people, version):
    promotions.ask(version, to="production", by=people.bob)
    with pytest.raises(Conflict):
        promotions.ask(version, to="production", by=people.alice)


def test_an_emergency_works_at_once_and_is_reviewed_later(people, model):
    demand(people, approvals={"count": 2}, checks=["integration"])
    bare = builders.version(model, by=people.bob)
    with pytest.raises(Forbidden):
        promotions.break_glass(bare, to="production", by=people.carol, reason="Outage")
    with pytest.raises(Invalid):
        promotions.break_glass(bare, to="production", by=people.erin, reason=" ")
    request = promotions.break_glass(bare, to="production", by=people.erin, reason="Outage")
    assert stage_of(bare) == "production"
    assert "Skipped" in request.entries.get().body
    assert AuditEvent.objects.filter(verb="promotion.emergency").exists()
    assert list(approvals.waiting_for(people.carol)) == [request]
    with pytest.raises(Forbidden):
        promotions.review_after(request, by=people.erin, body="Fine.")
    promotions.review_after(request, by=people.carol, body="Fine.")
    assert not approvals.waiting_for(people.carol).exists()


def test_the_inbox_shows_what_one_can_decide(people, model):
    by_bob, by_erin = (builders.complete_version(model, by=by) for by in (people.bob, people.erin))
    one = promotions.ask(by_bob, to="production", by=people.bob)
    two = promotions.ask(by_erin, to="production", by=people.alice)
    assert list(approvals.waiting_for(people.carol)) == [two, one]
    assert list(approvals.waiting_for(people.erin)) == [one]
    for other in (people.bob, people.dave, people.charlie):
        assert not approvals.waiting_for(other).exists()
    reviews.review(two, verdict="changes_requested", body="Why?", by=people.carol)
    assert list(approvals.waiting_for(people.carol)) == [one]


def test_comments(people, version):
    request = promotions.ask(version, to="production", by=people.bob)
    reviews.comment(request, body="Looks good <script>alert(1)</script>", by=people.dave)
    with pytest.raises(Invalid):
        reviews.comment(request, body="  ", by=people.dave)
    assert request.entries.count() == 2


def test_asking_certain_people(people, version, second_approver):
    request = promotions.ask(version, to="production", by=people.bob, reviewers=[second_approver.user])
    assert [asked.user.username for asked in request.asked.all()] == ["zoe"]
    reviews.ask_reviewers(request, reviewers=[people.carol.user], by=people.bob)
    assert [asked.user.username for asked in request.asked.all()] == ["carol"]
    with pytest.raises(Invalid, match="may not review"):
        reviews.ask_reviewers(request, reviewers=[people.dave.user], by=people.bob)


def test_what_went_stale_cannot_promote_and_the_worker_says_so(people, version, second_approver):
    """A policy changes after the first of two yeses: nothing dismisses that review yet, and still it does not count."""
    demand(people, approvals={"count": 2})
    request = promotions.ask(version, to="production", by=people.alice)
    reviews.review(request, verdict="approved", by=people.carol)
    demand(people, approvals={"count": 1}, fields=["owner"])
    assert request.reviews.get().dismissed_at is None
    assert reviews.settle(request).state == RequestState.OPEN
    assert approvals.judge(version, to="production", request=request).missing
    with pytest.raises(ApprovalNeeded):
        promotions.move(version, to="production", by=second_approver)
    assert stage_of(version) == "dev"
    demand(people, approvals={"count": 2})
    reviews.review(request, verdict="approved", by=people.carol)
    demand(people, approvals={"count": 3})
    dispatcher.dispatch(limit=1000)
    assert not request.reviews.filter(dismissed_at=None).exists()
    assert request.entries.filter(kind="dismissed").exists()


def test_an_approval_said_twice_counts_once(people, version):
    demand(people, approvals={"count": 2})
    request = promotions.ask(version, to="production", by=people.alice)
    for _ in range(2):
        reviews.review(request, verdict="approved", by=people.carol)
    assert stage_of(version) == "dev"
    reviews.review(request, verdict="approved", by=people.erin)
    assert stage_of(version) == "production"
    with pytest.raises(Conflict):
        reviews.review(request, verdict="approved", by=people.carol)


def test_who_lost_the_role_or_left_no_longer_counts(people, version, second_approver):
    demand(people, approvals={"count": 2})
    request = promotions.ask(version, to="production", by=people.alice)
    reviews.review(request, verdict="approved", by=second_approver)
    verbs.set_role(people.risk, user=second_approver.user, role=Role.VIEWER, by=people.root)
    reviews.review(request, verdict="approved", by=people.carol)
    assert stage_of(version) == "dev"


def test_judging_costs_the_same_for_many_reviews(people, version, django_assert_num_queries):
    demand(people, approvals={"count": 20})
    policies.set_policy(stage="production", rules={"approvals": {"count": 20}}, by=people.root)
    request = promotions.ask(version, to="production", by=people.alice)
    judged = lambda: approvals.judge(version, to="production", request=request)  # noqa: E731
    reviews.review(request, verdict="approved", by=people.carol)
    with CaptureQueriesContext(connection) as one:
        judged()
    for name in ("x", "y", "z"):
        user = verbs.create_user(
            name, email=f"{name}@example.com", password="correct horse battery", by=people.root
        )
        verbs.set_role(people.risk, user=user, role=Role.APPROVER, by=people.root)
        reviews.review(request, verdict="approved", by=Actor.of(user, door="shell"))
    with django_assert_num_queries(len(one)):
        judged()


def test_the_server_clock_decides(people, version, monkeypatch):
    """Time in stage, freezes and expiry are judged by one clock, whatever a caller says of the time."""
    now = timezone.now()
    frozen = {"start": (now + timedelta(days=1)).isoformat(), "end": (now + timedelta(days=2)).isoformat()}
    demand(people, approvals={"count": 1}, hours_in_stage=2, freezes=[frozen])
    request = promotions.ask(version, to="production", by=people.alice)
    reviews.review(request, verdict="approved", by=people.carol)
    for hours, promoted in ((1, False), (30, False), (49, True)):
        monkeypatch.setattr(timezone, "now", lambda hours=hours: now + timedelta(hours=hours))
        reviews.settle_waiting()
        assert (stage_of(version) == "production") is promoted, hours
