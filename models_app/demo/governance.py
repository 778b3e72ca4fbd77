"""What the demo company decided on lately: stricter policies, and requests in every state. Told after the stories."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta

from models_app.models import ModelVersion, PromotionRequest, Stage, Team, Verdict
from models_app.registry import (
    access,
    checks,
    holds,
    policies,
    promotions,
    quotas,
    retention,
    retention_work,
    reviews,
)
from models_app.registry.access import Actor

At = Callable[[datetime], AbstractContextManager[None]]
REPLAY = "line-replay"


def tell(actors: dict[str, Actor], *, at: At, now: datetime) -> None:
    """Policies a week old, then requests of the last days. `at` sets the clock."""
    with at(now - timedelta(days=7)):
        _policies(actors)
    _two_wanted(actors, at, now)
    _waiting_for_ci(actors, at, now)
    _changes_wanted(actors, at, now)
    _simple(actors, at, now)
    _rejected(actors, at, now)
    _emergency(actors, at, now)
    _held(actors, at, now)
    _retention(actors, at, now)
    _quotas(actors, at, now)


def _policies(actors: dict[str, Actor]) -> None:
    policies.set_policy(
        stage=Stage.PRODUCTION,
        rules={"fields": ["pii_usage"], "approvals": {"count": 1}},
        team=Team.objects.get(slug="risk"),
        by=actors["li.wei"],
        reason="Finding 7 of the internal audit: nobody of risk promotes alone any more.",
    )
    policies.set_policy(
        stage=Stage.PRODUCTION,
        rules={
            "report": True,
            "approvals": {"count": 2},
            "expressions": [
                {
                    "name": "risks are named",
                    "cel": "size(version.risk_flags) > 0",
                    "message": "Set at least one risk flag.",
                }
            ],
        },
        risk_level="high",
        by=actors["admin"],
        reason="High-risk systems: two people, and an evaluation one can read.",
    )
    defects = access.get_model("vision/defects", by=actors["jonas"])
    current = defects.newest_production
    assert current is not None
    checks.report(
        current,
        name=REPLAY,
        state="success",
        summary="5 of 5 nights replayed",
        url="https://ci.acme.example/line-replay/418",
        by=actors["nightly-training"],
    )
    policies.set_policy(
        stage=Stage.PRODUCTION,
        rules={
            "metrics": [{"name": "recall", "at_least": 0.9, "not_worse_by": 0.02}],
            "licenses": {"forbidden": ["AGPL-3.0-only"]},
            "checks": [REPLAY],
        },
        model=defects,
        by=actors["jonas"],
        reason="The night of the dust on the camera.",
    )


def _newest(name: str, by: Actor) -> ModelVersion:
    return access.get_version(name, "latest", by=by)


def _ask(name: str, reason: str, by: Actor, *reviewers: Actor) -> PromotionRequest:
    return promotions.ask(
        _newest(name, by),
        to=Stage.PRODUCTION,
        by=by,
        reason=reason,
        reviewers=[one.user for one in reviewers if one.user],
    )


def _two_wanted(actors: dict[str, Actor], at: At, now: datetime) -> None:
    owner, approver = actors["owner"], actors["approver"]
    with at(now - timedelta(days=3, hours=4)):
        asked = _ask(
            "risk/fraud-detector",
            "Fewer held payments at the same recall. Shadow traffic for a week:\n\n"
            "| | now | proposed |\n|---|---|---|\n| held per day | 4 180 | 3 720 |\n| fraud let through | 31 | 29 |",
            owner,
            approver,
            actors["li.wei"],
        )
    with at(now - timedelta(days=2, hours=22)):
        reviews.comment(
            asked,
            body="Are shops without a risk score in the test data this time? **Incident 2117** was about them.",
            by=actors["li.wei"],
        )
    with at(now - timedelta(days=2, hours=20)):
        reviews.comment(
            asked,
            body="Yes, 6% of the test split; `auc` there is 0.97. See the evaluation report.",
            by=owner,
        )
    with at(now - timedelta(days=1, hours=2)):
        reviews.review(asked, verdict=Verdict.APPROVED, body="Report read; fine for me.", by=approver)


def _waiting_for_ci(actors: dict[str, Actor], at: At, now: datetime) -> None:
    with at(now - timedelta(hours=9)):
        asked = _ask("vision/defects", "Dust on the camera glass is a class of its own now.", actors["hanna"])
        checks.report(
            asked.version,
            name=REPLAY,
            state="pending",
            summary="3 of 5 nights replayed",
            url="https://ci.acme.example/line-replay/431",
            by=actors["nightly-training"],
        )


def _changes_wanted(actors: dict[str, Actor], at: At, now: datetime) -> None:
    with at(now - timedelta(days=5)):
        asked = _ask("risk/credit-default", "New bureau features.", actors["contributor"], actors["approver"])
    with at(now - timedelta(days=4, hours=3)):
        reviews.review(
            asked,
            verdict=Verdict.CHANGES_REQUESTED,
            body="- the fairness notes are those of the former version\n- which bureau features exactly?",
            by=actors["approver"],
        )


def _simple(actors: dict[str, Actor], at: At, now: datetime) -> None:
    with at(now - timedelta(hours=3)):
        _ask("discovery/query-intent", "Two new intents: returns, gift cards.", actors["contributor"])


def _rejected(actors: dict[str, Actor], at: At, now: datetime) -> None:
    with at(now - timedelta(days=6)):
        asked = _ask("discovery/product-ranker", "Longer history.", actors["contributor"])
    with at(now - timedelta(days=5, hours=20)):
        reviews.review(
            asked,
            verdict=Verdict.REJECTED,
            body="16 ms at the evening peak is over the budget of 15 ms. Prune it, then ask again.",
            by=actors["priya"],
        )


def _emergency(actors: dict[str, Actor], at: At, now: datetime) -> None:
    with at(now - timedelta(hours=16)):
        promotions.break_glass(
            _newest("platform/pii-redactor", actors["hanna"]),
            to=Stage.PRODUCTION,
            by=actors["hanna"],
            reason="Names with apostrophes reach the ticket system unmasked since tonight's change there.",
        )


def _held(actors: dict[str, Actor], at: At, now: datetime) -> None:
    with at(now - timedelta(days=12)):
        version = access.get_version("risk/credit-default", "1", by=actors["li.wei"])
        holds.place(
            version.model,
            version=version,
            by=actors["li.wei"],
            reason="Complaint 2026-118 to the supervisor: which model declined the loan. Asked for by Legal.",
        )


def _retention(actors: dict[str, Actor], at: At, now: datetime) -> None:
    """What the company keeps, where a team keeps more, and what was announced yesterday."""
    reason = "Decision 12 of the platform board."
    with at(now - timedelta(days=20)):
        retention.set_policy(stage=Stage.PRODUCTION, by=actors["admin"], reason=reason)
        retention.set_policy(
            stage=Stage.ARCHIVED,
            keep_days=365,
            then="delete",
            cold_days=90,
            by=actors["admin"],
            reason=reason,
        )
        retention.set_policy(
            stage=Stage.DEV, keep_last=2, keep_days=120, then="delete", by=actors["admin"], reason=reason
        )
        retention.set_policy(
            stage=Stage.DEV,
            team=Team.objects.get(slug="risk"),
            keep_days=730,
            then="archive",
            by=actors["owner"],
            reason="The supervisor asks for two years.",
        )
    with at(now - timedelta(days=1)):
        retention_work.run()


def _quotas(actors: dict[str, Actor], at: At, now: datetime) -> None:
    """Room for everybody, and a team that comes near what it was given."""
    with at(now - timedelta(days=15)):
        quotas.set_quota(None, soft=200 << 30, hard=250 << 30, by=actors["admin"])
        vision = Team.objects.get(slug="vision")
        given = quotas.standing_of(vision.pk).used * 9 // 10
        quotas.set_quota(vision, soft=max(1, given >> 10) << 10, hard=None, by=actors["admin"])
