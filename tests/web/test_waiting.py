"""“Waiting for me” on every page, for whoever can decide, by role or because a policy names her."""

import pytest
from django.test import Client

from models_app.models import Risk
from models_app.registry import approvals, policies, promotions, reviews
from models_app.registry import people as verbs
from models_app.registry.access import Actor
from tests import builders


@pytest.fixture
def asked(people):
    model = builders.model("risk/fraud", by=people.alice, owner="alice", risk_level=Risk.HIGH)
    return promotions.ask(builders.complete_version(model, by=people.bob), to="production", by=people.bob)


def waiting(actor) -> int:
    return approvals.waiting_for(Actor.of(actor.user, door="web")).count()


@pytest.mark.sqlite_is_enough
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/models/risk/fraud/",
        "/account/",
        "/help/clients/",
        "/approvals/",
        "/audit/",
        "/no/such",
        "/teams/",
    ],
)
def test_every_page_says_so(people, pages, asked, path):
    shown = b'<span class="count-badge">1<span class="visually-hidden"> waiting for you</span></span>'
    assert shown in pages.erin.get(path).content


@pytest.mark.sqlite_is_enough
def test_the_admin_too(people, asked):
    verbs.set_account(people.carol.user, by=people.root, is_active=True, is_staff=True, is_site_admin=False)
    client = Client()
    client.force_login(people.carol.user)
    assert b'<a href="/approvals/">1 waiting for you</a>' in client.get("/admin/").content


@pytest.mark.parametrize("scope", ["site", "risk", "team", "model"])
def test_whom_a_policy_names_it_waits_for(people, asked, scope):
    assert [waiting(one) for one in (people.alice, people.charlie)] == [0, 0]
    where = {
        "site": {},
        "risk": {"risk_level": Risk.HIGH},
        "team": {"team": people.risk},
        "model": {"model": asked.model},
    }[scope]
    owners = {"count": 1, "roles": ["owner"]}
    theirs = {**owners, "teams": ["vision"]}
    for stage, wanted, who in (
        ("production", theirs, [0, 1]),
        ("production", owners, [1, 0]),
        ("staging", owners, [0, 0]),
    ):
        policies.set_policy(stage=stage, rules={"approvals": wanted}, by=people.root, **where)
        assert [waiting(one) for one in (people.alice, people.charlie)] == who
        policies.set_policy(stage="production", rules={}, by=people.root, **where)
    policies.set_policy(stage="production", rules={"approvals": theirs}, by=people.root, **where)
    reviews.review(asked, verdict="approved", by=people.charlie)
    assert waiting(people.charlie) == 0
