"""Promotion requests on pages: asked for, read, reviewed, decided; emergencies; and what must not work."""

import pytest

from models_app.models import AuditEvent, ModelVersion, PromotionRequest, RequestEntry, Review, Stage
from models_app.registry import catalog, checks, policies, promotions, reviews
from models_app.registry.access import get_version
from tests import builders
from tests.web.hostile import MARKDOWN, MARKUP
from tests.web.reading import page

V3 = "/models/risk/fraud-detector@3/"
TWO = {"approvals": {"count": 2}}


@pytest.fixture
def asked(people, model):
    """bob asks to promote v3, which alice registered."""
    v3 = get_version(model.name, 3, by=people.bob)
    return promotions.ask(v3, to=Stage.PRODUCTION, by=people.bob, reason="Better on *small* shops.")


def here(asked, rest=""):
    return f"/approvals/{asked.pk}/{rest}"


def seen(browser, asked):
    """The digest that the page holds for this person."""
    shown = page(browser.get(here(asked)))
    return next(
        attrs["value"]
        for tag, attrs, _ in shown.elements
        if tag == "input" and attrs.get("name") == "evidence"
    )


def say(browser, asked, verdict, body="", **more):
    return browser.post(
        here(asked, "review/"), {"verdict": verdict, "body": body, "evidence": seen(browser, asked), **more}
    )


def stage_of(number):
    return ModelVersion.objects.get(model__name="risk/fraud-detector", number=number).stage


def told(answer):
    return page(answer.client.get(answer["Location"])).text("messages")


def test_asking_leads_to_the_request_and_an_approval_promotes(pages, model):
    assert "Request promotion" in page(pages.bob.get(V3)).text()
    answer = pages.bob.post(V3 + "request/", {"reason": "Better."})
    asked = PromotionRequest.objects.get()
    assert answer["Location"] == here(asked)
    shown = page(pages.carol.get(here(asked)))
    text = shown.text()
    assert text.startswith("risk/fraud-detector v3 to production Waiting for review")
    assert "v2 is archived and becomes the rollback target" in text
    assert "Waits for 1 approval (0 of 1 from approver or admin). All else is met." in shown.text("sentence")
    assert "/models/risk/fraud-detector/compare/2...3/" in shown.links()
    answer = say(pages.carol, asked, "approved", "Looks right.")
    assert "v3 is in production now." in told(answer)
    assert (stage_of(2), stage_of(3)) == ("archived", "production")
    text = page(pages.dave.get(here(asked))).text()
    assert "Looks right." in text
    assert "Promoted just now by carol." in text
    assert "v2 before" in text


def test_moving_without_the_role_asks_instead(pages, model):
    answer = pages.bob.post(V3 + "move/", {"to": "production", "reason": "Now."})
    asked = PromotionRequest.objects.get()
    assert answer["Location"] == here(asked)
    assert f"Request #{asked.pk} waits for it." in told(answer)
    assert stage_of(3) == "dev"


@pytest.mark.sqlite_is_enough
def test_promoting_where_a_policy_wants_approvals_opens_a_request(pages, people, model):
    policies.set_policy(stage="production", rules=TWO, team=people.risk, by=people.erin)
    shown = page(pages.carol.get(V3))
    assert "2 approvals team risk0 of 2 from approver or admin" in shown.text("ready_list")
    assert "Request promotion" in shown.text()
    assert "Promote to production" not in shown.text()
    answer = pages.carol.post(V3 + "move/", {"to": "production"})
    asked = PromotionRequest.objects.get()
    assert answer["Location"] == here(asked)
    assert f"request #{asked.pk}" in page(pages.dave.get(V3)).text()
    assert "Request promotion" not in page(pages.bob.get(V3)).text()
    say(pages.erin, asked, "approved")
    assert stage_of(3) == "dev"
    assert "1 of 2 approvals" in page(pages.root.get("/approvals/")).text()
    say(pages.root, asked, "approved")
    assert stage_of(3) == "production"


def test_two_cannot_be_open_at_once(pages, asked):
    shown = page(pages.alice.post(V3 + "request/", {"reason": "Me too."}), 409)
    assert "is open already" in shown.text("refused")


def test_changes_rejection_and_withdrawal(pages, asked):
    assert "Say why" in page(say(pages.carol, asked, "changes_requested"), 422).text("refused")
    say(pages.carol, asked, "changes_requested", "Why is recall lower?")
    shown = page(pages.bob.get(here(asked)))
    assert "Changes requested" in shown.text()
    assert "carol asked for changes and has to look again." in shown.text("sentence")
    pages.bob.post(here(asked, "review/"), {"verdict": "comment", "body": "Fewer shops."})
    assert "Fewer shops." in page(pages.carol.get(here(asked))).text()
    pages.bob.post(here(asked, "withdraw/"), {"body": "Another version comes."})
    asked.refresh_from_db()
    assert asked.state == "withdrawn"
    answer = pages.carol.post(here(asked, "review/"), {"verdict": "approved", "body": "Yes", "evidence": "x"})
    assert "is withdrawn already" in page(answer, 409).text("refused")
    assert page(answer, 409).value("body") == "Yes"


def test_rejecting_closes(pages, asked):
    answer = say(pages.erin, asked, "rejected", "Not in December.")
    assert "is rejected" in told(answer)
    assert (
        "Not in December."
        in page(pages.bob.get("/approvals/?tab=done")).text() + page(pages.bob.get(here(asked))).text()
    )
    assert stage_of(3) == "dev"


@pytest.mark.sqlite_is_enough
def test_nobody_approves_her_own(pages, people, asked):
    for who, why in (
        ("alice", "You registered v3; somebody else has to approve."),
        ("bob", "You asked for this promotion; somebody else has to approve."),
        ("dave", "Approvers and admins of Risk decide."),
    ):
        browser = getattr(pages, who)
        shown = page(browser.get(here(asked)))
        assert why in shown.text("sentence")
        assert "Approve" not in shown.text("decide").replace(why, "")
        assert say(browser, asked, "approved").status_code == 403, who
    v4 = builders.complete_version(asked.model, by=people.erin)
    own = promotions.ask(v4, to=Stage.PRODUCTION, by=people.bob)
    assert say(pages.erin, own, "approved").status_code == 403
    assert not Review.objects.exists()
    assert AuditEvent.objects.filter(verb="promotion.promoted").count() == 0


@pytest.mark.sqlite_is_enough
def test_what_changed_meanwhile_is_not_approved(pages, people, asked):
    old = seen(pages.carol, asked)
    catalog.update_version(asked.version, metadata={"license": "MIT"}, by=people.alice)
    answer = pages.carol.post(
        here(asked, "review/"), {"verdict": "approved", "body": "Fine.", "evidence": old}
    )
    shown = page(answer, 409)
    assert "What you looked at has changed since." in shown.text("refused")
    assert shown.value("body") == "Fine."
    assert stage_of(3) == "dev"
    for forged in ("", "0" * 64, "nothing"):
        answer = pages.carol.post(here(asked, "review/"), {"verdict": "approved", "evidence": forged})
        assert answer.status_code == 409
    assert not Review.objects.filter(dismissed_at=None).exists()


@pytest.mark.sqlite_is_enough
def test_an_approval_falls_with_what_it_was_given_for(pages, people, asked):
    policies.set_policy(stage="production", rules=TWO, team=people.risk, by=people.erin)
    say(pages.carol, asked, "approved", "Good.")
    version = get_version("risk/fraud-detector", 3, by=people.alice)
    catalog.update_version(version, metadata={"license": "MIT"}, by=people.alice)
    text = page(pages.erin.get(here(asked))).text()
    assert "no longer counts: What was reviewed has changed." in text
    assert "0 of 2" in text
    say(pages.erin, asked, "approved")
    assert stage_of(3) == "dev"


@pytest.mark.sqlite_is_enough
def test_sent_twice_counts_once(pages, people, asked):
    policies.set_policy(stage="production", rules=TWO, team=people.risk, by=people.erin)
    for _ in range(2):
        say(pages.carol, asked, "approved", "Good.")
    assert Review.objects.filter(dismissed_at=None).count() == 1
    assert stage_of(3) == "dev"


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize("text", [MARKDOWN, MARKUP, "---\nx: 1\n---\nseen", "# One\n\n# One"])
def test_what_is_said_cannot_run(pages, asked, text):
    pages.carol.post(here(asked, "review/"), {"verdict": "comment", "body": text})
    say(pages.carol, asked, "changes_requested", text)
    answer = pages.bob.get(here(asked))
    shown = page(answer)
    assert shown.executable() == []
    ids = [attrs["id"] for _, attrs, _ in shown.elements if attrs.get("id")]
    assert sorted({one for one in ids if ids.count(one) > 1}) == []
    assert RequestEntry.objects.filter(kind="comment").count() == 1
    inbox = page(pages.erin.get("/approvals/"))
    assert inbox.executable() == []


@pytest.mark.sqlite_is_enough
def test_reasons_that_would_like_to_run(pages, people, model):
    v3 = get_version(model.name, 3, by=people.bob)
    asked = promotions.ask(v3, to=Stage.PRODUCTION, by=people.bob, reason=MARKUP)
    for path in (here(asked), "/approvals/", V3, "/"):
        assert page(pages.carol.get(path)).executable() == []


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "data,status",
    [
        ({"verdict": "comment", "body": "  "}, 422),
        ({"verdict": "comment", "body": "a\x00b"}, 422),
        ({"verdict": "comment", "body": "x" * 20_001}, 422),
        ({"verdict": "promote", "body": "x", "evidence": "x"}, 422),
        ({}, 422),
    ],
)
def test_reviews_that_make_no_sense(pages, asked, data, status):
    page(pages.carol.post(here(asked, "review/"), data), status)
    assert RequestEntry.objects.count() == 1


@pytest.mark.sqlite_is_enough
def test_another_site_cannot_send_a_review(pages, asked):
    strict = pages.strict("carol")
    answer = strict.post(here(asked, "review/"), {"verdict": "approved", "evidence": asked.evidence})
    assert answer.status_code == 403
    assert not Review.objects.exists()


@pytest.mark.sqlite_is_enough
def test_requests_of_private_models_do_not_exist_for_strangers(pages, people, private):
    v3 = get_version(private.name, 3, by=people.bob)
    asked = promotions.ask(v3, to=Stage.PRODUCTION, by=people.bob, reason="Hush")
    for path in ("review/", "withdraw/", "reviewers/", "review-after/"):
        assert pages.charlie.post(here(asked, path), {"verdict": "comment", "body": "x"}).status_code == 404
    for tab in ("", "?tab=asked", "?tab=done", "?tab=nonsense"):
        assert "secret" not in page(pages.charlie.get(f"/approvals/{tab}")).text()
    assert pages.root.get("/approvals/999999999999999999999/").status_code == 404


def test_an_emergency_works_at_once_and_is_reviewed_by_somebody_else(pages, people, model):
    assert "Emergency promotion" not in page(pages.carol.get(V3)).text()
    assert "Emergency promotion" in page(pages.erin.get(V3)).text()
    bare = builders.version(model, by=people.bob)
    path = f"/models/risk/fraud-detector@{bare.number}/emergency/"
    shown = page(pages.erin.post(path, {"reason": " "}), 422)
    assert "Say what the emergency is" in shown.text("refused")
    answer = pages.erin.post(path, {"reason": "v2 approves everything."})
    asked = PromotionRequest.objects.get()
    assert answer["Location"] == here(asked)
    assert stage_of(bare.number) == "production"
    assert "Emergency promoted in an emergency" in page(pages.erin.get("/audit/")).text()
    shown = page(pages.erin.get(here(asked)))
    assert "It was your emergency; somebody else has to review it." in shown.text("sentence")
    assert "Skipped: " in shown.text()
    assert page(pages.carol.get("/")).text().startswith("1 promotion request waits for you")
    assert "Emergency, to be reviewed" in page(pages.carol.get("/approvals/")).text()
    assert pages.erin.post(here(asked, "review-after/"), {"body": "Fine."}).status_code == 403
    assert page(pages.carol.post(here(asked, "review-after/"), {"body": ""}), 422)
    pages.carol.post(here(asked, "review-after/"), {"body": "It was right."})
    shown = page(pages.dave.get(here(asked)))
    assert "It was right." in shown.text()
    assert page(pages.carol.post(here(asked, "review-after/"), {"body": "Again."}), 409)
    assert "Nothing waits for you" in page(pages.carol.get("/approvals/")).text()


@pytest.mark.sqlite_is_enough
def test_the_inbox_tells_what_waits_for_whom(pages, people, asked):
    for who, waits in (("carol", 1), ("erin", 1), ("root", 1), ("alice", 0), ("bob", 0), ("charlie", 0)):
        shown = page(getattr(pages, who).get("/approvals/"))
        rows = [attrs for _, attrs, _ in shown.elements if attrs.get("class") == "result-row"]
        assert len(rows) == waits, who
        assert ("Nothing waits for you" in shown.text()) == (waits == 0)
    assert "v3 to production" in page(pages.bob.get("/approvals/?tab=asked")).text()
    assert "2 promotion" not in page(pages.carol.get("/")).text()
    say(pages.carol, asked, "approved")
    text = page(pages.carol.get("/approvals/")).text()
    assert "Nothing waits for you" in text
    assert "Promoted lately risk/fraud-detector v3 to production" in text


@pytest.mark.sqlite_is_enough
def test_reviewers_are_asked_and_checks_are_linked(pages, people, asked):
    shown = page(pages.bob.get(here(asked)))
    assert "carol approver" in shown.text("reviewers_panel")
    assert "alice" not in shown.text("reviewers_panel")
    pages.bob.post(here(asked, "reviewers/"), {"reviewer": ["carol", "erin"]})
    assert "asked, has not answered" in page(pages.bob.get(here(asked))).text("reviewers_panel")
    for wrong in ("alice", "nobody", "dave"):
        answer = pages.bob.post(here(asked, "reviewers/"), {"reviewer": wrong})
        assert page(answer, 422).text("refused"), wrong
    assert pages.dave.post(here(asked, "reviewers/"), {"reviewer": "carol"}).status_code == 403
    policies.set_policy(stage="production", rules={"checks": ["load"]}, team=people.risk, by=people.erin)
    v3 = get_version("risk/fraud-detector", 3, by=people.bob)
    checks.report(
        v3, name="load", state="failure", summary="Too slow", url="https://ci.example.com/1", by=people.bob
    )
    shown = page(pages.carol.get(here(asked)))
    assert "https://ci.example.com/1" in shown.links()
    assert "Check “load” team riskToo slow" in shown.text("checklist_list")


@pytest.mark.sqlite_is_enough
def test_the_first_version_has_nothing_to_be_compared_with(pages, people):
    new = builders.model("risk/new", by=people.bob)
    asked = promotions.ask(builders.version(new, by=people.bob), to=Stage.PRODUCTION, by=people.alice)
    shown = page(pages.carol.get(here(asked)))
    assert "Nothing else is in production" in shown.text()
    assert "It lacks dataset version, at least one metric, owner, license." in shown.text("sentence")
    assert "/models/risk/new@1/edit/#id_license" in page(pages.bob.get(here(asked))).links()
    say(pages.carol, asked, "approved")
    assert PromotionRequest.objects.get().state == "open"


@pytest.mark.sqlite_is_enough
def test_of_a_long_discussion_the_newest_is_shown(pages, people, asked):
    for number in range(103):
        reviews.comment(asked, body=f"Remark {number}.", by=people.alice)
    text = page(pages.bob.get(here(asked))).text("discussion_section")
    assert "Remark 102." in text
    assert "Remark 2." not in text
    assert "Remark 2." in page(pages.bob.get(here(asked, "?all"))).text()
