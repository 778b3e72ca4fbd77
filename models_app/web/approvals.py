"""Promotion requests: the inbox, and the page on which one is read and decided."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.contrib import messages
from django.db.models import Prefetch, QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from models_app.http.paging import keyset_page
from models_app.models import (
    OPEN_STATES,
    EntryKind,
    Membership,
    PromotionRequest,
    RequestState,
    Review,
    Stage,
    Verdict,
)
from models_app.registry import approvals, cards, policy_words, promotions, requirements, reviews
from models_app.registry.access import RIGHTS, Right, get_version, may, may_on
from models_app.registry.approvals import Judgement
from models_app.registry.errors import Conflict, Invalid, PolicyUnmet, RegistryError, Requirement
from models_app.registry.metadata import find_person

from .door import PageRequest, Refused, page, status_of
from .evidence import changes
from .versions import refuse

PAGE = 25
# Of a long discussion the newest; `?all` shows the rest.
ENTRIES = 100
TABS = [("", "Waiting for me"), ("asked", "Asked by me"), ("done", "Done")]
# What people said in a review stands in the review itself.
_TOLD_BY_REVIEWS = (EntryKind.REVIEWED, EntryKind.REJECTED)
_ICONS = {
    Verdict.APPROVED.value: "circle-check",
    Verdict.CHANGES_REQUESTED.value: "edit",
    Verdict.REJECTED.value: "circle-x",
    EntryKind.PROMOTED.value: "rocket",
    EntryKind.EMERGENCY.value: "alert",
    EntryKind.DISMISSED.value: "rollback",
}
_ANCHOR = re.compile(r'<(h\d) id="[^"]*">')


@page(login=True)
def inbox(request: PageRequest) -> HttpResponse:
    """Requests by tab, newest first: what waits for this person, what she asked for, what is decided."""
    tab = request.GET.get("tab", "")
    tab = tab if tab in dict(TABS) else ""
    listed = keyset_page(
        _rows(_of_tab(request, tab)), order=[("id", "desc")], cursor=request.GET.get("cursor"), limit=PAGE
    )
    lately: Iterable[PromotionRequest] = ()
    if not listed.items and not tab:
        done = approvals.requests_for(request.actor).filter(state=RequestState.PROMOTED)
        lately = _rows(done.order_by("-decided_at", "-id"))[:5]
    context = {
        "section": "approvals",
        "tab": tab,
        "tabs": TABS,
        "rows": [_row(asked) for asked in listed.items],
        "next_cursor": listed.next_cursor,
        "lately": [_row(asked) for asked in lately],
    }
    return render(request, "approvals/inbox.html", context)


def _of_tab(request: PageRequest, tab: str) -> QuerySet[PromotionRequest]:
    if not tab:
        return approvals.waiting_for(request.actor)
    rows = approvals.requests_for(request.actor)
    if tab == "asked":
        return rows.filter(requested_by=request.actor.user)
    return rows.exclude(state__in=OPEN_STATES)


def _rows(rows: QuerySet[PromotionRequest]) -> QuerySet[PromotionRequest]:
    standing = Review.objects.filter(dismissed_at=None).select_related("reviewer")
    return rows.select_related("decided_by").prefetch_related(
        Prefetch("reviews", queryset=standing, to_attr="standing"), "version__checks"
    )


def _row(asked: PromotionRequest) -> dict[str, Any]:
    """A request in a list: counted from what it remembers, for judging each anew would cost too much there."""
    wanted = max((one["rules"].get("approvals", {}).get("count", 0) for one in asked.policies), default=0)
    yes = [
        review
        for review in asked.standing  # type: ignore[attr-defined]
        if review.verdict == Verdict.APPROVED and review.evidence == asked.evidence
    ]
    checks = list(asked.version.checks.all())
    return {
        "asked": asked,
        "is_open": asked.state in OPEN_STATES,
        "wanted": max(wanted, 1),
        "given": len(yes),
        "checks": len(checks),
        "checks_passed": sum(check.state == "success" for check in checks),
        "review_later": asked.is_emergency and asked.reviewed_after_at is None,
    }


@page(login=True)
def promotion(request: PageRequest, number: int) -> HttpResponse:
    """What would change, what is demanded, who said what, and the decision."""
    return show(request, approvals.get_request(number, by=request.actor))


def show(
    request: PageRequest, asked: PromotionRequest, *, refused: Refused | None = None, status: int = 200
) -> HttpResponse:
    """The page of a request; with `refused`, what stood in the way is told on top and what was typed is kept."""
    actor = request.actor
    is_open = asked.state in OPEN_STATES
    found = approvals.judge(asked.version, to=asked.to_stage, request=asked) if is_open else None
    said = list(asked.reviews.select_related("reviewer"))
    own = actor.user is not None and approvals.is_own(actor.user, asked.version, asked)
    may_edit = may_on(actor, Right.EDIT_MODEL, asked.model)
    is_mine = actor.user is not None and actor.user.pk == asked.requested_by_id
    may_ask = is_mine or reviews.may_ask(asked.version, actor)
    entries = _discussion(asked, said, everything="all" in request.GET)
    context: dict[str, Any] = {
        "section": "approvals",
        "asked": asked,
        "version": asked.version,
        "model": asked.model,
        "is_open": is_open,
        "to_production": asked.to_stage == Stage.PRODUCTION,
        "changes": changes(asked, found.case.production if found else None),
        "demands": [_demand(demand, asked, found) for demand in found.demands] if found else [],
        "fills_in": requirements.who_fills_in(asked.version),
        "sentence": _sentence(found),
        "evidence": found.case.evidence() if found else "",
        "entries": entries,
        "reviewers": _reviewers(asked, said, found),
        "policies": [
            {"scope": one["scope"], "number": one["number"], "sentences": policy_words.told(one["rules"])}
            for one in ([one.reference for one in found.case.policies] if found else asked.policies)
        ],
        "may_review": is_open and approvals.may_review(actor, asked, found.case.policies if found else None),
        "is_own": own,
        "mine": next((review for review in found.standing if review.reviewer == actor.user), None)
        if found
        else None,
        "may_withdraw": is_open and (is_mine or may_edit),
        "may_edit": may(actor, Right.EDIT_VERSION, asked.model.team),
        "may_break_glass": is_open and may(actor, Right.MANAGE_TEAM, asked.model.team),
        "candidates": _candidates(asked) if is_open and may_ask else [],
        "review_later": asked.is_emergency and asked.reviewed_after_at is None,
        "may_review_later": not is_mine and may(actor, Right.PROMOTE, asked.model.team),
        "refused": refused,
    }
    return render(request, "approvals/request.html", context, status=status)


def _demand(demand: Requirement, asked: PromotionRequest, found: Judgement) -> dict[str, Any]:
    edit = reverse("web:version_edit", args=[asked.model.name, asked.version.number])
    check = found.case.checks.get(demand.key.removeprefix("check:")) if demand.waits_for == "check" else None
    return {
        "demand": demand,
        "url": f"{edit}#id_{demand.field}" if demand.field and not demand.met else "",
        "report": check.url if check else "",
        "broken": check is not None and check.state in ("failure", "error"),
    }


def _sentence(found: Judgement | None) -> str:
    """What is missing, in one sentence."""
    if found is None:
        return ""
    parts = []
    lacking = [demand.label for demand in found.missing if not demand.waits_for]
    if lacking:
        parts.append(f"It lacks {', '.join(label[:1].lower() + label[1:] for label in lacking)}.")
    waiting = [f"{demand.label} ({demand.detail.rstrip('.')})" for demand in _awaited(found)]
    if waiting:
        parts.append(f"Waits for {', '.join(label[:1].lower() + label[1:] for label in waiting)}.")
    unhappy = [
        review.reviewer.display_name
        for review in found.standing
        if review.verdict == Verdict.CHANGES_REQUESTED and review.reviewer is not None
    ]
    if unhappy:
        again = "has" if len(unhappy) == 1 else "have"
        parts.append(f"{', '.join(unhappy)} asked for changes and {again} to look again.")
    if not parts:
        return "Everything that is demanded is met; an approval promotes it at once."
    if not lacking and not unhappy and len(found.demands) > len(found.missing):
        parts.append("All else is met.")
    return " ".join(parts)


def _awaited(found: Judgement) -> list[Requirement]:
    """What others or time have to meet; of several policies that ask the same people, the one that asks for most."""
    wanted = {one.scope: one.rules.approvals.count for one in found.case.policies}
    kept: dict[str, Requirement] = {}
    for demand in found.missing:
        if demand.waits_for:
            whose = demand.detail.partition(" from ")[2] if demand.waits_for == "review" else demand.key
            former = kept.get(whose)
            if former is None or wanted.get(demand.policy, 1) > wanted.get(former.policy, 1):
                kept[whose] = demand
    return list(kept.values())


def _prose(text: str) -> SafeString:
    """What somebody wrote, as HTML. Its headings get no ids: a page has many of these texts."""
    # The line in front keeps dashes at the start from being read as front matter.
    html = _ANCHOR.sub(r"<\1>", cards.render(f"\n{text}").html)
    return mark_safe(html)  # noqa: S308  (sanitised by registry/cards.py)


def _discussion(asked: PromotionRequest, said: list[Review], *, everything: bool) -> dict[str, Any]:
    """Entries and reviews in order of time, each with who, what and when."""
    rows = asked.entries.exclude(kind__in=_TOLD_BY_REVIEWS).select_related("by")
    newest = list(rows.order_by("-at", "-id")[: None if everything else ENTRIES + 1])
    cut = not everything and len(newest) > ENTRIES
    newest = newest[:ENTRIES] if cut else newest
    found = [
        {
            "by": entry.by,
            "what": entry.get_kind_display(),
            "kind": entry.kind,
            "at": entry.at,
            "body": entry.body,
            "place": (entry.at, 1, entry.pk),
        }
        for entry in newest
    ]
    found += [
        {
            "by": review.reviewer,
            "what": review.get_verdict_display().lower(),
            "kind": review.verdict,
            "role": review.role,
            "at": review.created_at,
            "body": review.body,
            "dismissed": review.dismissed_why if review.dismissed_at else "",
            "place": (review.created_at, 0, review.pk),
        }
        for review in said
        if not cut or review.created_at >= newest[-1].at
    ]
    found.sort(key=lambda item: item["place"])
    for item in found:
        item["icon"] = _ICONS.get(str(item["kind"]), "")
        item["prose"] = _prose(item["body"]) if item["body"] else ""
    return {"items": found, "cut": cut}


def _reviewers(asked: PromotionRequest, said: list[Review], found: Judgement | None) -> list[dict[str, Any]]:
    """Who reviewed and who was asked to: the last word of each, and whether it still counts."""
    people: dict[int, dict[str, Any]] = {}
    standing = {review.pk for review in found.standing} if found else None
    for review in said:
        if review.reviewer_id is not None:
            counts = review.pk in standing if standing is not None else review.dismissed_at is None
            people[review.reviewer_id] = {
                "user": review.reviewer,
                "review": review,
                "counts": counts,
                "why": "" if counts else review.dismissed_why or "What was reviewed has changed.",
            }
    for one in asked.asked.select_related("user"):
        people.setdefault(one.user_id, {"user": one.user})
    return list(people.values())


def _candidates(asked: PromotionRequest) -> list[dict[str, Any]]:
    """Whom one may ask for a review: who promotes in the team and did not make or ask for this."""
    roles = [role for role, rights in RIGHTS.items() if Right.PROMOTE in rights]
    members = Membership.objects.filter(team=asked.model.team_id, role__in=roles, user__is_active=True)
    members = members.exclude(user__in=[asked.requested_by_id, asked.version.created_by_id])
    already = {one.user_id for one in asked.asked.all()}
    return [
        {"user": member.user, "role": member.get_role_display(), "asked": member.user_id in already}
        for member in members.select_related("user").order_by("user__username")[:50]
    ]


def _refuse(request: PageRequest, asked: PromotionRequest, form: str, error: RegistryError) -> HttpResponse:
    status = 422 if isinstance(error, Invalid) else status_of(error)
    # As it is now: what stood in the way may have happened a moment ago.
    now = approvals.get_request(asked.pk, by=request.actor)
    return show(request, now, refused=Refused(form, error, request.POST.dict()), status=status)


@page("POST", login=True)
def review(request: PageRequest, number: int) -> HttpResponse:
    """Approve, reject, ask for changes, on what the page showed; or say something."""
    asked = approvals.get_request(number, by=request.actor)
    verdict, body = request.POST.get("verdict", ""), request.POST.get("body", "")
    try:
        if verdict == "comment":
            reviews.comment(asked, body=body, by=request.actor)
            done = "Your comment stands below the discussion."
        else:
            # A review always is of something: without a digest it is of nothing that we know.
            seen = request.POST.get("evidence", "") or "nothing"
            asked = reviews.review(asked, verdict=verdict, by=request.actor, body=body, evidence=seen)
            done = _told(asked, verdict)
    except (PolicyUnmet, Conflict, Invalid) as error:
        return _refuse(request, asked, "review", error)
    messages.success(request, done)
    return redirect("web:promotion", number)


def _told(asked: PromotionRequest, verdict: str) -> str:
    if asked.state == RequestState.PROMOTED:
        return f"v{asked.version.number} is in {asked.to_stage} now."
    return {
        Verdict.APPROVED: "Your approval is recorded. It is not all that is needed yet.",
        Verdict.CHANGES_REQUESTED: "Your wish for changes is recorded.",
        Verdict.REJECTED: f"Request #{asked.pk} is rejected.",
    }[Verdict(verdict)]


@page("POST", login=True)
def withdraw(request: PageRequest, number: int) -> HttpResponse:
    """Take a request back."""
    asked = approvals.get_request(number, by=request.actor)
    try:
        promotions.withdraw(asked, by=request.actor, reason=request.POST.get("body", ""))
    except (Conflict, Invalid) as error:
        return _refuse(request, asked, "review", error)
    messages.success(request, f"Request #{number} is withdrawn.")
    return redirect("web:promotion", number)


@page("POST", login=True)
def ask_reviewers(request: PageRequest, number: int) -> HttpResponse:
    """Ask these people for a review, instead of those asked before."""
    asked = approvals.get_request(number, by=request.actor)
    try:
        wanted = [find_person("reviewers", name) for name in request.POST.getlist("reviewer")]
        people = [person for person in wanted if person is not None]
        reviews.ask_reviewers(asked, reviewers=people, by=request.actor)
    except (Conflict, Invalid) as error:
        return _refuse(request, asked, "reviewers", error)
    messages.success(request, "They are asked for a review." if people else "Nobody is asked any more.")
    return redirect("web:promotion", number)


@page("POST", login=True)
def review_after(request: PageRequest, number: int) -> HttpResponse:
    """Say what one found when looking at an emergency afterwards."""
    asked = approvals.get_request(number, by=request.actor)
    try:
        promotions.review_after(asked, by=request.actor, body=request.POST.get("body", ""))
    except (Conflict, Invalid) as error:
        return _refuse(request, asked, "review", error)
    messages.success(request, "The emergency is reviewed.")
    return redirect("web:promotion", number)


@page("POST", login=True)
def ask(request: PageRequest, name: str, rev: str) -> HttpResponse:
    """Open a request for this version to go to production."""
    shown = get_version(name, rev, by=request.actor)
    try:
        asked = promotions.ask(
            shown,
            to=Stage.PRODUCTION,
            by=request.actor,
            reason=request.POST.get("reason", ""),
            keep_former=request.POST.get("keep_former") == "on",
        )
    except (Conflict, Invalid) as error:
        return refuse(request, shown, "request", error)
    messages.success(request, f"Request #{asked.pk} is open.")
    return redirect("web:promotion", asked.pk)


@page("POST", login=True)
def emergency(request: PageRequest, name: str, rev: str) -> HttpResponse:
    """Promote past policies and approvals, with a reason."""
    shown = get_version(name, rev, by=request.actor)
    try:
        asked = promotions.break_glass(
            shown, to=Stage.PRODUCTION, by=request.actor, reason=request.POST.get("reason", "")
        )
    except (PolicyUnmet, Conflict, Invalid) as error:
        return refuse(request, shown, "emergency", error)
    messages.warning(
        request, f"v{shown.number} is in production. Somebody else has to review this afterwards."
    )
    return redirect("web:promotion", asked.pk)
