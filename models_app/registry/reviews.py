"""What people say of a promotion request. The yes that completes what is demanded promotes, in the same transaction."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from django.db import transaction
from django.utils import timezone

from models_app.models import (
    OPEN_STATES,
    AskedReviewer,
    EntryKind,
    ModelVersion,
    PromotionRequest,
    RequestEntry,
    RequestState,
    Review,
    User,
    Verdict,
)

from . import lifecycle
from .access import Actor, Right, may, require, require_login, require_scope
from .approvals import (
    MAX_BODY,
    Judgement,
    close,
    held,
    is_own,
    judge,
    may_review,
    names,
    on_record,
    reviewers_among,
    tell,
)
from .errors import Conflict, Forbidden, Invalid, NotFound, Requirement
from .metadata import clean_text


def review(
    request: PromotionRequest, *, verdict: str, by: Actor, body: str = "", evidence: str = ""
) -> PromotionRequest:
    """Say yes, no, or what has to change. The yes that completes what is demanded promotes, in the same transaction.

    `evidence` is what the reviewer saw: raises Conflict when it has changed since. Raises Invalid, Forbidden, Conflict.
    """
    if verdict not in Verdict.values:
        raise Invalid("verdict", f"One of {', '.join(Verdict.values)}.")
    body = clean_text("body", body, limit=MAX_BODY, lines=True)
    if verdict != Verdict.APPROVED and not body:
        raise Invalid("body", "Say why: whoever asked has to know what to do.")
    with held(request) as current:
        _require_review(by, current)
        found = refreshed(current)
        if evidence and evidence != current.evidence:
            raise Conflict(
                "What you looked at has changed since.", next_step="Look at the request again, then decide."
            )
        _stand(current, verdict, by, body)
        if verdict == Verdict.REJECTED:
            close(current, RequestState.REJECTED, EntryKind.REJECTED, by=by, body=body)
            return current
        state = RequestState.CHANGES_REQUESTED if _changes_wanted(current) else RequestState.OPEN
        current.state, current.updated_at = state, timezone.now()
        current.save(update_fields=["state", "updated_at"])
        label = Verdict(verdict).label.lower()
        tell(
            current,
            EntryKind.REVIEWED,
            by=by,
            body=f"{label}: {body}" if body else label,
            name="promotion.reviewed",
            verdict=verdict,
        )
        if verdict == Verdict.APPROVED:
            found = judge(found.case.version, to=current.to_stage, request=current)
            _promote_if_ready(current, found, by=by)
        return current


def _require_review(by: Actor, request: PromotionRequest) -> None:
    require_login(by)
    require_scope(by, Right.PROMOTE)
    if by.user is not None and by.user.is_service:
        raise Forbidden("A service account cannot review.", next_step="A person has to say yes.")
    if by.user is not None and by.user.pk == request.version.created_by_id:
        raise Forbidden(f"You registered v{request.version.number}; somebody else has to approve.")
    if by.user is not None and by.user.pk == request.requested_by_id:
        raise Forbidden("You asked for this promotion; somebody else has to approve.")
    if not may_review(by, request):
        require(by, Right.PROMOTE, request.model.team)


def _stand(request: PromotionRequest, verdict: str, by: Actor, body: str) -> None:
    """The reviewer's newest verdict stands, earlier ones of hers do not."""
    assert by.user is not None
    now = timezone.now()
    Review.objects.filter(request=request, reviewer=by.user, dismissed_at=None).update(
        dismissed_at=now, dismissed_why="Reviewed again."
    )
    role = by.roles.get(request.model.team_id) or ("admin" if by.is_site_admin else "")
    Review.objects.create(
        request=request,
        reviewer=by.user,
        role=role,
        verdict=verdict,
        body=body,
        evidence=request.evidence,
        created_at=now,
    )


def _changes_wanted(request: PromotionRequest) -> bool:
    return request.reviews.filter(dismissed_at=None, verdict=Verdict.CHANGES_REQUESTED).exists()


def changes_awaited(found: Judgement) -> list[Requirement]:
    """What reviewers want changed before: whoever may promote cannot go past them; a new word of theirs, another state
    of things, or taking the request back ends it.
    """
    unhappy = [one.reviewer for one in found.standing if one.verdict == Verdict.CHANGES_REQUESTED]
    return [
        Requirement("changes", "the changes", "", False, f"asked for by {person}", "", "review")
        for person in unhappy
    ]


def refreshed(request: PromotionRequest) -> Judgement:
    """Judge a locked request; when its evidence is another than it was, reviews made on the former are dismissed."""
    found = judge(request.version, to=request.to_stage, request=request)
    evidence = found.case.evidence()
    if evidence == request.evidence:
        return found
    stale = Review.objects.filter(request=request, dismissed_at=None).exclude(evidence=evidence)
    count = stale.update(dismissed_at=timezone.now(), dismissed_why="What was reviewed has changed.")
    request.evidence, request.updated_at = evidence, timezone.now()
    request.policies = [one.reference for one in found.case.policies]
    request.state = RequestState.OPEN
    request.save(update_fields=["evidence", "policies", "state", "updated_at"])
    if count:
        told = f"What was reviewed has changed; {count} review{'s' if count > 1 else ''} no longer count."
        tell(request, EntryKind.DISMISSED, by=Actor.system(), body=told, name="promotion.dismissed")
    return found


def _promote_if_ready(request: PromotionRequest, found: Judgement, *, by: Actor) -> None:
    if found.missing or _changes_wanted(request):
        return
    transition = lifecycle.change_stage(
        found.case.version,
        to=request.to_stage,
        by=by,
        reason=request.reason,
        keep_former=request.keep_former,
        policy=names(found.case),
    )
    close(request, RequestState.PROMOTED, EntryKind.PROMOTED, by=by, transition=transition)


def evidence_changed(version: ModelVersion) -> None:
    """Called by the verbs that changed a version whose model they hold: its open requests are judged anew."""
    for request in PromotionRequest.objects.filter(version=version, state__in=OPEN_STATES):
        # The row the caller changed is the one to judge.
        request.version, request.model = version, version.model
        refreshed(request)


def settle(request: PromotionRequest) -> PromotionRequest:
    """Promote a request whose last demand was met by CI or by time, in the name of who approved last."""
    with held(request) as current:
        found = refreshed(current)
        approvals = [review for review in found.standing if review.verdict == Verdict.APPROVED]
        if approvals and not found.missing:
            last = approvals[-1].reviewer
            _promote_if_ready(current, found, by=Actor.of(last, door="task") if last else Actor.system())
        return current


def may_ask(version: ModelVersion, by: Actor) -> bool:
    """Whether the actor may ask for promotions: who registers or moves versions in the team."""
    team = version.model.team_id
    return may(by, Right.REGISTER, team) or may(by, Right.MOVE, team)


def require_asking(version: ModelVersion, by: Actor) -> None:
    """Raises Forbidden unless `may_ask`."""
    if not may_ask(version, by):
        require(by, Right.MOVE, version.model.team)


def ask_reviewers(request: PromotionRequest, *, reviewers: Iterable[User], by: Actor) -> PromotionRequest:
    """Ask these people for a review, instead of those asked before. Raises Forbidden, Conflict, Invalid."""
    with held(request) as current:
        if by.user is None or by.user.pk != current.requested_by_id:
            require_asking(current.version, by)
        add_reviewers(current, reviewers, by=by, replace=True)
        return current


def add_reviewers(
    request: PromotionRequest, reviewers: Iterable[User], *, by: Actor, replace: bool = False
) -> None:
    wanted = list(dict.fromkeys(reviewers))
    able = reviewers_among(wanted, request) if wanted else []
    for person in wanted:
        if is_own(person, request.version, request):
            raise Invalid("reviewers", f"{person.username} cannot review: it is their own work or request.")
        if person not in able:
            raise Invalid("reviewers", f"{person.username} may not review this.")
    if replace:
        AskedReviewer.objects.filter(request=request).exclude(user__in=wanted).delete()
    known = set(AskedReviewer.objects.filter(request=request).values_list("user_id", flat=True))
    new = [person for person in wanted if person.pk not in known]
    AskedReviewer.objects.bulk_create(
        [AskedReviewer(request=request, user=person, asked_by=by.user) for person in new]
    )
    if new:
        names = ", ".join(person.username for person in new)
        tell(
            request,
            EntryKind.ASKED,
            by=by,
            body=names,
            name="promotion.review_requested",
            reviewers=[person.username for person in new],
            reviewer_ids=[person.pk for person in new],
        )


def comment(request: PromotionRequest, *, body: str, by: Actor) -> RequestEntry:
    """Say something. Whoever is logged in and may read the model. Raises Invalid, Forbidden."""
    require_login(by)
    if by.scopes is not None and not by.scopes & {"write", "promote"}:
        with on_record(request):
            require_scope(by, Right.EDIT_VERSION)
    body = clean_text("body", body, limit=MAX_BODY, lines=True)
    if not body:
        raise Invalid("body", "Say something.")
    with transaction.atomic():
        return tell(request, EntryKind.COMMENT, by=by, body=body, name="promotion.commented")


def settle_quietly(request: PromotionRequest) -> bool:
    """Settle a request that may have been decided meanwhile; says whether it is promoted now."""
    try:
        return settle(request).state == RequestState.PROMOTED
    except (Conflict, NotFound):
        return False


def dismiss_stale(*, model: int | None, to: str | None = None, limit: int = 500) -> int:
    """Judge anew the open requests that a change of policy or of production concerns (of one model, or of all), so
    that reviews of what was before are dismissed for everybody to see; returns how many requests were looked at.

    Nothing waits for it: a review counts only while its evidence is that of the moment (`approvals.judge`).
    """
    waiting = PromotionRequest.objects.filter(state__in=OPEN_STATES)
    if to is not None:
        waiting = waiting.filter(to_stage=to)
    if model is not None:
        waiting = waiting.filter(model=model)
    found = list(waiting.select_related("model__team").order_by("-id")[:limit])
    for request in found:
        with suppress(Conflict, NotFound), held(request) as current:
            refreshed(current)
    return len(found)


def settle_waiting() -> int:
    """Look at approved requests that waited for CI or for time; returns how many were promoted."""
    waiting = PromotionRequest.objects.filter(
        state=RequestState.OPEN, reviews__dismissed_at=None, reviews__verdict=Verdict.APPROVED
    ).distinct()
    return sum(settle_quietly(request) for request in waiting.select_related("model__team")[:500])
