"""Into a stage: the one way every door takes, and the requests it opens where somebody has to say yes first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.models import (
    OPEN_STATES,
    EntryKind,
    ModelVersion,
    PromotionRequest,
    RequestState,
    Stage,
    StageTransition,
    User,
)

from . import lifecycle, requirements, reviews
from .access import Actor, Right, has_role, require, require_login, require_on, require_scope
from .approvals import MAX_BODY, close, emit, held, judge, names, on_record, open_request, tell
from .errors import ApprovalNeeded, AskedInstead, Conflict, Forbidden, Invalid, Requirement
from .metadata import clean_text
from .requirements import Case

EXPIRES = timedelta(days=14)
REVIEW_WITHIN = timedelta(days=1)
REMIND_EVERY = timedelta(days=7)


def move(
    version: ModelVersion,
    *,
    to: str,
    by: Actor,
    reason: str = "",
    keep_former: bool = False,
    archive_former: bool = False,
) -> StageTransition:
    """Move a version to a stage, if its policies let it in; `keep_former` and `archive_former` as in change_stage.

    Where only approvals (or CI, or time) are still awaited, a promotion request is opened, or the open one found, and
    ApprovalNeeded names it. Raises Invalid, NothingToDo, Forbidden, PolicyUnmet; nothing moves then.
    """
    try:
        return _move(
            version, to=to, by=by, reason=reason, keep_former=keep_former, archive_former=archive_former
        )
    except (ApprovalNeeded, AskedInstead) as error:
        request = _find_or_open(version, to=to, by=by, reason=reason, keep_former=keep_former)
        error.request, error.next_step = request.pk, f"Request #{request.pk} waits for it."
        raise


def _move(
    version: ModelVersion, *, to: str, by: Actor, reason: str, keep_former: bool, archive_former: bool
) -> StageTransition:
    with lifecycle.locked(version, to=to) as current:
        request = open_request(current, to=to)
        found = judge(current, to=to, request=request, asked=False)
        hard = [demand for demand in found.missing if not demand.waits_for]
        _require_role(current, to=to, by=by, lacks=bool(hard))
        if hard:
            raise requirements.unmet(current, to=to, missing=hard, by=by)
        if awaited := [*found.missing, *reviews.changes_awaited(found)]:
            raise _approval_needed(current, to=to, awaited=awaited)
        transition = lifecycle.change_stage(
            current,
            to=to,
            by=by,
            reason=reason,
            keep_former=keep_former,
            archive_former=archive_former,
            policy=names(found.case),
        )
        if request is not None:
            close(request, RequestState.PROMOTED, EntryKind.PROMOTED, by=by, transition=transition)
        return transition


def _require_role(version: ModelVersion, *, to: str, by: Actor, lacks: bool) -> None:
    """Raises Forbidden; AskedInstead where the person lacks the role to promote but may ask. Where the version `lacks`
    what has to be there first, who may ask is told that instead.
    """
    try:
        lifecycle.require_move(version, to=to, by=by)
    except Forbidden as error:
        asks = to == Stage.PRODUCTION and reviews.may_ask(version, by)
        if not asks or has_role(by, Right.PROMOTE, version.model.team_id):
            raise
        if not lacks:
            raise AskedInstead(error.why) from None


def _approval_needed(version: ModelVersion, *, to: str, awaited: list[Requirement]) -> ApprovalNeeded:
    waits = ", ".join(f"{demand.label} ({demand.detail})" for demand in awaited)
    return ApprovalNeeded(
        f"{version} cannot go to {to} yet: it waits for {waits}.", subject=str(version), missing=awaited
    )


def _find_or_open(
    version: ModelVersion, *, to: str, by: Actor, reason: str, keep_former: bool
) -> PromotionRequest:
    found = open_request(version, to=to)
    if found is not None:
        return found
    try:
        return ask(version, to=to, by=by, reason=reason, keep_former=keep_former)
    except Conflict:
        found = open_request(version, to=to)
        if found is None:
            raise
        return found


@transaction.atomic
def ask(
    version: ModelVersion,
    *,
    to: str,
    by: Actor,
    reason: str = "",
    keep_former: bool = False,
    reviewers: Iterable[User] = (),
) -> PromotionRequest:
    """Open a promotion request. What is missing may be filled in while it is open.

    Raises Invalid, Forbidden, Conflict when one is open already or the version is there.
    """
    reason = lifecycle.clean_reason(reason)
    with lifecycle.locked(version, to=to) as current:
        reviews.require_asking(current, by)
        if open_request(current, to=to) is not None:
            raise Conflict(f"A request for {current} to {to} is open already.")
        case = Case.of(current, to=to)
        now = timezone.now()
        try:
            with transaction.atomic():
                request = PromotionRequest.objects.create(
                    model=current.model,
                    version=current,
                    to_stage=to,
                    keep_former=keep_former,
                    reason=reason,
                    requested_by=by.user,
                    created_at=now,
                    updated_at=now,
                    expires_at=now + EXPIRES,
                    evidence=case.evidence(),
                    policies=[one.reference for one in case.policies],
                )
        except IntegrityError as error:
            raise Conflict(f"A request for {current} to {to} is open already.") from error
        tell(request, EntryKind.REQUESTED, by=by, body=reason, name="promotion.requested")
        reviews.add_reviewers(request, reviewers, by=by)
        return request


def withdraw(request: PromotionRequest, *, by: Actor, reason: str = "") -> PromotionRequest:
    """Take a request back: its author, or who may edit the model. Raises Forbidden, Conflict."""
    reason = lifecycle.clean_reason(reason)
    with held(request) as current:
        require_login(by)
        require_scope(by, Right.REGISTER)
        if by.user is None or by.user.pk != current.requested_by_id:
            require_on(by, Right.EDIT_MODEL, current.model)
        close(current, RequestState.WITHDRAWN, EntryKind.WITHDRAWN, by=by, body=reason)
        return current


def expire_due() -> int:
    """Close requests whose time is over; returns how many."""
    count = 0
    for due in PromotionRequest.objects.filter(state__in=OPEN_STATES, expires_at__lte=timezone.now())[:500]:
        with transaction.atomic():
            try:
                with held(due) as current:
                    close(current, RequestState.EXPIRED, EntryKind.EXPIRED, by=Actor.system())
                    count += 1
            except Conflict:
                continue
    return count


@transaction.atomic
def break_glass(
    version: ModelVersion, *, to: str, by: Actor, reason: str, keep_former: bool = False
) -> PromotionRequest:
    """Promote at once, past policies and approvals: admins, with a reason, to be reviewed by somebody else later.

    Raises Invalid without a reason, Forbidden, Conflict.
    """
    reason = lifecycle.clean_reason(reason)
    if not reason:
        raise Invalid("reason", "Say what the emergency is: it will be read.")
    with lifecycle.locked(version, to=to) as current:
        require(by, Right.MANAGE_TEAM, current.model.team)
        require_scope(by, Right.PROMOTE)
        waiting = open_request(current, to=to)
        found = judge(current, to=to, request=waiting)
        skipped = [demand.label for demand in found.missing]
        now = timezone.now()
        transition = lifecycle.change_stage(
            current,
            to=to,
            by=by,
            reason=f"Emergency: {reason}",
            keep_former=keep_former,
            policy=names(found.case),
        )
        if waiting is not None:
            close(
                waiting, RequestState.WITHDRAWN, EntryKind.WITHDRAWN, by=by, body="Overtaken by an emergency."
            )
        request = PromotionRequest.objects.create(
            model=current.model,
            version=current,
            to_stage=to,
            keep_former=keep_former,
            reason=reason,
            requested_by=by.user,
            state=RequestState.PROMOTED,
            is_emergency=True,
            created_at=now,
            updated_at=now,
            expires_at=now,
            decided_at=now,
            decided_by=by.user,
            evidence=found.case.evidence(),
            policies=[one.reference for one in found.case.policies],
            transition=transition,
        )
        told = f"{reason}\n\nSkipped: {', '.join(skipped) or 'nothing'}."
        tell(request, EntryKind.EMERGENCY, by=by, body=told, name="promotion.emergency")
        return request


def remind_due() -> int:
    """Remind people, once a week, of emergencies that nobody reviewed within a day; returns how many."""
    now = timezone.now()
    waiting = PromotionRequest.objects.filter(
        is_emergency=True, reviewed_after_at=None, created_at__lte=now - REVIEW_WITHIN
    ).exclude(reminded_at__gt=now - REMIND_EVERY)
    count = 0
    for request in waiting.select_related("model__team", "version")[:500]:
        with transaction.atomic():
            same = PromotionRequest.objects.filter(
                pk=request.pk, reviewed_after_at=None, reminded_at=request.reminded_at
            )
            if same.update(reminded_at=now):
                emit("promotion.review_due", request, by=Actor.system(), body=request.reason)
                count += 1
    return count


def review_after(request: PromotionRequest, *, by: Actor, body: str) -> PromotionRequest:
    """Look at an emergency afterwards: somebody else who may promote. Raises Invalid, Forbidden, Conflict."""
    body = clean_text("body", body, limit=MAX_BODY, lines=True)
    if not body:
        raise Invalid("body", "Say what you found.")
    with on_record(request), transaction.atomic():
        current = (
            PromotionRequest.objects.select_for_update(of=("self",))
            .select_related("model__team", "version")
            .get(pk=request.pk)
        )
        if not current.is_emergency or current.reviewed_after_at is not None:
            raise Conflict("There is no emergency to review here.")
        if by.user is not None and by.user.pk == current.requested_by_id:
            raise Forbidden("It was your emergency; somebody else has to review it.")
        require(by, Right.PROMOTE, current.model.team)
        current.reviewed_after_at, current.reviewed_after_by = timezone.now(), by.user
        current.save(update_fields=["reviewed_after_at", "reviewed_after_by"])
        tell(current, EntryKind.REVIEWED_AFTER, by=by, body=body, name="promotion.reviewed_after")
        return current
