"""Who is told what by mail. What is written here is sent by tasks/notices.py, when mailing.py says it is due.

Nobody is told of a model she may not read, nor of what she did herself; who left and automations are told nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.models import (
    AskedReviewer,
    DeploymentKind,
    Membership,
    Notice,
    NoticeMode,
    OutboxEvent,
    PromotionRequest,
    RegisteredModel,
    RequestEntry,
    RequestState,
    Review,
    Role,
    User,
    Verdict,
    Visibility,
)

from . import addresses, drift_events, requirements, standard_events
from .access import RIGHTS, Right
from .names import one_line

MAX_SUBJECT = 200
AT_ONCE = 500
PROMOTERS = [role for role, rights in RIGHTS.items() if Right.PROMOTE in rights]


@dataclass(frozen=True)
class Happening:
    """An event with what is needed to tell of it, read when first asked for."""

    event: OutboxEvent
    model: RegisteredModel
    request: PromotionRequest | None

    @property
    def facts(self) -> dict[str, Any]:
        found: dict[str, Any] = self.event.payload
        return found

    @cached_property
    def who(self) -> str:
        """The one who did it, in words."""
        by = User.objects.filter(pk=self.facts.get("by_id") or 0).first()
        return by.display_name if by else self.facts.get("by") or "somebody"

    @property
    def what(self) -> str:
        """`vision/defects v13 to production`."""
        return f"{self.model.name} v{self.facts['version']} to {self.facts['to']}"


Who = Callable[[Happening], Q]


# --- who ------------------------------------------------------------------------------------------------------


def _members(**of: Any) -> Q:
    return Q(pk__in=Membership.objects.filter(**of).values("user"))


def _approvers(case: Happening) -> Q:
    """Whose yes is wanted: the roles and teams that policies name, else who may promote there. Never the author's or
    who asked; those asked by name are told so (`_asked`). Where that is nobody, site admins.
    """
    request = case.request
    assert request is not None
    wanted = None
    for one in requirements.applied(case.model, to=request.to_stage):
        rule = one.rules.approvals
        if rule.count:
            where = {"team__slug__in": rule.teams} if rule.teams else {"team": case.model.team_id}
            named = _members(role__in=rule.roles, **where)
            wanted = named if wanted is None else wanted | named
    if wanted is None:
        wanted = _members(role__in=PROMOTERS, team=case.model.team_id)
    asked = AskedReviewer.objects.filter(request=request).values("user")
    others = ~Q(pk__in=[pk for pk in (request.version.created_by_id, request.requested_by_id) if pk])
    return _or_site_admins(wanted & others, others, case) & ~Q(pk__in=asked)


def _or_site_admins(who: Q, others: Q, case: Happening) -> Q:
    """These people; site admins where there is nobody, so that no request waits for no one."""
    there = User.objects.filter(who, may_read(case.model), is_active=True, is_service=False)
    return who if there.exists() else Q(is_superuser=True) & others


def _asked(case: Happening) -> Q:
    return Q(pk__in=case.facts.get("reviewer_ids") or [])


def _heir(case: Happening) -> Q:
    return Q(pk=case.facts.get("heir_id") or 0)


def _taking_part(case: Happening) -> Q:
    """Who asked, who was asked, and whoever said something."""
    request = case.request
    if request is None:
        return Q(pk__in=[])
    rows: list[QuerySet[Any]] = [
        Review.objects.filter(request=request).values("reviewer"),
        RequestEntry.objects.filter(request=request, by__isnull=False).values("by"),
        AskedReviewer.objects.filter(request=request).values("user"),
    ]
    found = Q(pk=request.requested_by_id or 0)
    for row in rows:
        found |= Q(pk__in=row)
    return found


def _owners(case: Happening) -> Q:
    """Who answers for the model, and the owners in its team."""
    return Q(pk=case.model.owner_id or 0) | _members(role=Role.OWNER, team=case.model.team_id)


def _concerned(case: Happening) -> Q:
    return _owners(case) | _taking_part(case)


def _deploying(case: Happening) -> Q:
    """Who answers for the model, and whose deployment it was."""
    return _owners(case) | Q(pk=case.facts.get("ordered_by_id") or 0)


def _everybody_in_charge(case: Happening) -> Q:
    admins = _members(role=Role.ADMIN, team=case.model.team_id) | Q(is_superuser=True)
    return _concerned(case) | admins


def _later_reviewers(case: Happening) -> Q:
    assert case.request is not None
    others = ~Q(pk=case.request.requested_by_id or 0)
    return _or_site_admins(_members(role__in=PROMOTERS, team=case.model.team_id) & others, others, case)


def told(who: Q, case: Happening) -> QuerySet[User]:
    """Those among them who read mail, may read the model, and did not do it themselves."""
    people = reading_mail().filter(who).exclude(pk=case.facts.get("by_id") or 0)
    return people.filter(may_read(case.model))


def reading_mail() -> QuerySet[User]:
    """People whom mail reaches, and who want it."""
    people = User.objects.filter(is_active=True, is_service=False)
    return people.exclude(email="").exclude(notice_mode=NoticeMode.NONE)


def may_read(model: RegisteredModel) -> Q:
    """Those who may read a model, as access.may_read says of one."""
    if model.visibility == Visibility.INTERNAL:
        return Q()
    return Q(is_superuser=True) | _members(team=model.team_id)


# --- what -----------------------------------------------------------------------------------------------------


def _reviewed(case: Happening) -> str:
    verdict = case.facts.get("verdict")
    if verdict == Verdict.CHANGES_REQUESTED:
        return f"Changes wanted by {case.who}: {case.what}"
    # The mail of the promotion says it.
    request = case.request
    assert request is not None
    promoted = request.state == RequestState.PROMOTED
    if promoted and request.decided_by_id == case.facts.get("by_id"):
        return ""
    return f"Approved by {case.who}: {case.what}"


def _in_production(case: Happening) -> str:
    if case.request is not None and case.request.is_emergency:
        return ""
    former = case.facts.get("former")
    instead = f" instead of v{former}" if former else ""
    name, number = case.model.name, case.facts["version"]
    return f"Promoted by {case.who}: {name} v{number} is in production{instead}"


def _moved(case: Happening) -> str:
    if standard_events.is_rollback(case.facts):
        facts = case.facts
        back, out = facts["restored"], facts["taken_out"]
        return f"Rolled back by {case.who}: {case.model.name} v{back} is in production again, v{out} is not"
    return _in_production(case) if standard_events.is_promotion(case.facts) else ""


def _deployment_failed(case: Happening) -> str:
    facts = case.facts
    where, what = facts["environment"], f"{case.model.name} v{facts['version']}"
    if facts["kind"] == DeploymentKind.ROLLBACK:
        return f"ROLLBACK FAILED in {where}: {what} does not run there, and nothing else is tried"
    return f"Failed in {where}: {what}"


def _deployment_held(case: Happening) -> str:
    facts = case.facts
    if not facts.get("held"):
        return ""
    return f"Waits to be started in {facts['environment']}: {case.model.name} v{facts['version']}, {facts['held']}"


def _deployment_back(case: Happening) -> str:
    facts = case.facts
    target = facts["rollback_target"]
    again = f", v{target} serves again" if target else ""
    return f"Rolled back in {facts['environment']}: {case.model.name} v{facts['version']}{again}"


def _drifted(case: Happening) -> str:
    facts = case.facts
    return f"Drift of {case.model.name} v{facts['version']}: {facts['text']}"


def _drift_resolved(case: Happening) -> str:
    return f"Resolved: incident #{case.facts['incident']} on {case.model.name}"


def _drift_reopened(case: Happening) -> str:
    return f"Open again: incident #{case.facts['incident']} on {case.model.name}, {case.facts['text']}"


def _promoted(case: Happening) -> str:
    # Into production the move itself is told of, also to those who took part.
    return "" if case.facts["to"] == "production" else f"Promoted by {case.who}: {case.what}"


def _line(template: str) -> Callable[[Happening], str]:
    return lambda case: template.format(who=case.who, what=case.what)


HANDED_OVER = "model.handed_over"
# Outbox event → who is told, and the subject; an empty one tells nobody.
RULES: dict[str, tuple[Who, Callable[[Happening], str]]] = {
    "promotion.requested": (_approvers, _line("Review wanted by {who}: {what}")),
    "promotion.review_requested": (_asked, _line("Your review is wanted by {who}: {what}")),
    "promotion.reviewed": (_taking_part, _reviewed),
    "promotion.commented": (_taking_part, _line("Comment by {who}: {what}")),
    "promotion.dismissed": (_taking_part, _line("Reviews no longer count, something changed: {what}")),
    "promotion.rejected": (_taking_part, _line("Rejected by {who}: {what}")),
    "promotion.withdrawn": (_taking_part, _line("Withdrawn by {who}: {what}")),
    "promotion.expired": (_taking_part, _line("Expired without a decision: {what}")),
    "promotion.promoted": (_taking_part, _promoted),
    "promotion.emergency": (
        _everybody_in_charge,
        _line("EMERGENCY: promoted past approvals by {who}: {what}"),
    ),
    "promotion.review_due": (_later_reviewers, _line("An emergency still waits for its review: {what}")),
    "promotion.reviewed_after": (_taking_part, _line("Emergency reviewed by {who}: {what}")),
    "deployment.queued": (_deploying, _deployment_held),
    "deployment.failed": (_deploying, _deployment_failed),
    "deployment.rolled_back": (_deploying, _deployment_back),
    drift_events.DRIFTED: (_owners, _drifted),
    drift_events.RESOLVED: (_owners, _drift_resolved),
    drift_events.REOPENED: (_owners, _drift_reopened),
    HANDED_OVER: (_heir, lambda case: f"You answer for {case.model.name} now, says {case.who}"),
    standard_events.MOVED: (_concerned, _moved),
}
URGENT = frozenset({"promotion.emergency", "deployment.failed", drift_events.DRIFTED, drift_events.REOPENED})


# --- writing --------------------------------------------------------------------------------------------------


def write(event: OutboxEvent) -> int:
    """Write what people are told of an event; returns how many are. Again does no harm.

    Constant in statements, however many people. Where the site sends no mail, nothing is written.
    """
    if event.name not in RULES or not settings.MAIL_IS_ON:
        return 0
    if event.name == standard_events.MOVED and not _is_news(event.payload):
        return 0
    case = _read(event)
    if case is None:
        return 0
    who, say = RULES[event.name]
    subject = one_line(say(case))[:MAX_SUBJECT]
    if not subject:
        return 0
    like = Notice(
        event=event,
        model=case.model,
        request=case.request,
        name=event.name,
        subject=subject,
        body=case.facts.get("text") or "",
        path=_path(case),
        is_urgent=event.name in URGENT,
    )
    return write_for(told(who(case), case), like)


def write_for(people: QuerySet[User], like: Notice) -> int:
    """Write a notice like this one for each of these people; returns how many. Again does no harm."""
    now = timezone.now()
    later = next_digest(now)
    same = {
        name: getattr(like, name)
        for name in ("event", "model", "request", "name", "subject", "body", "path", "is_urgent")
    }
    notices = [
        Notice(
            user_id=pk,
            created_at=now,
            due_at=later if mode == NoticeMode.DIGEST and not like.is_urgent else now,
            **same,
        )
        for pk, mode in people.order_by("pk").values_list("pk", "notice_mode")
    ]
    Notice.objects.bulk_create(notices, ignore_conflicts=True, batch_size=AT_ONCE)
    return len(notices)


def _is_news(payload: dict[str, Any]) -> bool:
    return standard_events.is_promotion(payload) or standard_events.is_rollback(payload)


def _read(event: OutboxEvent) -> Happening | None:
    model = RegisteredModel.objects.select_related("team").filter(pk=event.model_ref or 0).first()
    if model is None:
        return None
    if event.name in (HANDED_OVER, *drift_events.NAMES):
        return Happening(event, model, None)
    requests = PromotionRequest.objects.select_related("version")
    if "request" in event.payload:
        request = requests.filter(pk=event.payload["request"]).first()
        return Happening(event, model, request) if request else None
    return Happening(event, model, requests.filter(transition=event.payload.get("transition")).first())


def _path(case: Happening) -> str:
    if case.request is not None and not case.event.name.startswith("deployment."):
        return addresses.of_request(case.request.pk)
    if case.event.name in drift_events.NAMES:
        return addresses.of_incident(case.facts["incident"])
    if case.event.name == HANDED_OVER:
        return addresses.of_model(case.model.name)
    number = case.facts.get("restored") or case.facts["version"]
    return addresses.of_version(case.model.name, number)


def next_digest(now: datetime) -> datetime:
    """When the next digest goes out."""
    today = now.replace(hour=settings.DIGEST_HOUR, minute=0, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)
