"""Promotion requests: where one stands, whose yes counts, and what waits for whom. What happens to them: promotions.py
(ask, move, break glass, withdraw) and reviews.py (review, comment).

Reviews count as long as what they were made on (`requirements.Case.evidence`) has not changed, and never for the
version's author or whoever asked.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.models import (
    OPEN_STATES,
    AskedReviewer,
    EntryKind,
    Membership,
    ModelVersion,
    Policy,
    PromotionRequest,
    RegisteredModel,
    RequestEntry,
    RequestState,
    Review,
    Role,
    StageTransition,
    Team,
    User,
    Verdict,
)

from . import audit, events, lifecycle, policy_rules, requirements
from .access import RIGHTS, Actor, Right, may, models_for, require_login
from .errors import Conflict, Forbidden, NotFound, Requirement
from .requirements import Applied, Case

MAX_BODY = 20_000
MAX_REASON = lifecycle.MAX_REASON


@dataclass(frozen=True, slots=True)
class Judgement:
    """Where a request stands: every demand, approvals among them, and who said what that still counts."""

    case: Case
    demands: list[Requirement]
    standing: list[Review]

    @property
    def missing(self) -> list[Requirement]:
        return [demand for demand in self.demands if not demand.met]


def judge(
    version: ModelVersion, *, to: str, request: PromotionRequest | None = None, asked: bool = True
) -> Judgement:
    """All that the stage demands of a version, with the approvals that its open request has collected.

    `asked` False is for who may promote and does so: where no policy wants more, that is the approval.
    """
    case = Case.of(version, to=to)
    standing: list[Review] = []
    if request is not None:
        evidence = case.evidence()
        reviews = request.reviews.filter(dismissed_at=None).select_related("reviewer")
        standing = [review for review in reviews if review.evidence == evidence]
    demands = [*case.requirements(), *_approval_demands(case, request, standing, asked)]
    return Judgement(case, demands, standing)


def _approval_demands(
    case: Case, request: PromotionRequest | None, standing: list[Review], asked: bool
) -> list[Requirement]:
    yes = [review.reviewer for review in standing if review.verdict == Verdict.APPROVED and review.reviewer]
    roles = roles_of(yes)
    found = []
    for one in case.policies:
        wanted = one.rules.approvals.count
        if not wanted:
            continue
        given = [
            person
            for person in yes
            if not is_own(person, case.version, request)
            and counts(person, one, case.version.model, roles[person.pk])
        ]
        key = f"approvals:{one.scope}"
        who = " or ".join(one.rules.approvals.roles)
        where = f" of {', '.join(one.rules.approvals.teams)}" if one.rules.approvals.teams else ""
        told = f"{len(given)} of {wanted} from {who}{where}"
        label = f"{wanted} approval{'s' if wanted > 1 else ''}"
        found.append(Requirement(key, label, "", len(given) >= wanted, told, one.scope, "review"))
    if asked and request is not None and not found:
        # Whoever asks instead of promoting needs somebody who may promote to say yes.
        team = case.version.model.team.slug
        given = [person for person in yes if _may_promote(person, roles[person.pk].get(team))]
        found.append(
            Requirement(
                "approvals:site",
                "1 approval",
                "",
                bool(given),
                f"{min(len(given), 1)} of 1 from approver or admin",
                "site",
                "review",
            )
        )
    return found


def roles_of(people: Iterable[User]) -> dict[int, dict[str, str]]:
    """Of each person: slug of a team → role there. One query, whoever they are."""
    found: dict[int, dict[str, str]] = {person.pk: {} for person in people}
    if found:
        rows = Membership.objects.filter(user__in=found).values_list("user", "team__slug", "role")
        for user, team, role in rows:
            found[user][team] = role
    return found


def counts(person: User, one: Applied, model: RegisteredModel, roles: Mapping[str, str]) -> bool:
    """Whether this person's yes counts under a policy: has one of the roles, where the policy asks for it."""
    wanted = one.rules.approvals
    if not person.is_active or person.is_service:
        return False
    if person.is_superuser and Role.ADMIN in wanted.roles:
        return True
    return any(roles.get(team) in wanted.roles for team in wanted.teams or [model.team.slug])


def is_own(person: User, version: ModelVersion, request: PromotionRequest | None) -> bool:
    """Four eyes: the author and whoever asked do not decide."""
    return person.pk in (version.created_by_id, request.requested_by_id if request else None)


def _may_promote(person: User, role: str | None) -> bool:
    if not person.is_active or person.is_service:
        return False
    return person.is_superuser or (role is not None and Right.PROMOTE in RIGHTS[role])


def open_request(version: ModelVersion, *, to: str) -> PromotionRequest | None:
    """The request that waits for this version and stage."""
    return PromotionRequest.objects.filter(version=version, to_stage=to, state__in=OPEN_STATES).first()


def may_review(actor: Actor, request: PromotionRequest, policies: list[Applied] | None = None) -> bool:
    """Whether this actor's verdict would be taken: may promote there, or is who a policy asks for; never one's own.

    `policies` are those of the request, where they are known already.
    """
    if actor.user is None or actor.user.is_service or is_own(actor.user, request.version, request):
        return False
    if may(actor, Right.PROMOTE, request.model.team_id):
        return True
    if actor.scopes is not None and "promote" not in actor.scopes:
        return False
    return bool(reviewers_among([actor.user], request, policies))


def reviewers_among(
    people: list[User], request: PromotionRequest, policies: list[Applied] | None = None
) -> list[User]:
    """Those of these people whose verdict would be taken, in two queries."""
    if policies is None:
        policies = requirements.applied(request.model, to=request.to_stage)
    asking = [one for one in policies if one.rules.approvals.count]
    roles = roles_of(people)
    team = request.model.team.slug
    return [
        person
        for person in people
        if not is_own(person, request.version, request)
        and (
            _may_promote(person, roles[person.pk].get(team))
            or any(counts(person, one, request.model, roles[person.pk]) for one in asking)
        )
    ]


def requests_for(actor: Actor) -> QuerySet[PromotionRequest]:
    """The requests about models that the actor may read, newest first. Raises Unauthenticated: a public site shows its
    models, not what people say of them.
    """
    require_login(actor)
    rows = PromotionRequest.objects.filter(model__in=models_for(actor))
    return rows.select_related("model__team", "version__created_by", "requested_by").order_by("-id")


def get_request(number: int, *, by: Actor) -> PromotionRequest:
    """Raises NotFound."""
    found = requests_for(by).filter(pk=number)
    request = found.prefetch_related("entries__by", "reviews__reviewer").first()
    if request is None:
        raise NotFound(f"There is no request #{number} that you may see.")
    return request


def waiting_for(actor: Actor) -> QuerySet[PromotionRequest]:
    """Open requests that this person was asked to review, or could decide, and has not spoken on; emergencies that
    nobody reviewed yet. Raises Unauthenticated.
    """
    require_login(actor)
    if actor.user is None:
        return PromotionRequest.objects.none()
    mine = Q()
    if not actor.is_site_admin:
        teams = [team for team, role in actor.roles.items() if Right.PROMOTE in RIGHTS[role]]
        asked = AskedReviewer.objects.filter(user=actor.user).values("request")
        mine = Q(model__team__in=teams) | Q(pk__in=asked) | _wanted_by_policies(actor)
    spoken = Review.objects.filter(reviewer=actor.user, dismissed_at=None).values("request")
    is_open = Q(state__in=OPEN_STATES) & ~Q(pk__in=spoken) & ~Q(version__created_by=actor.user)
    later = Q(is_emergency=True, reviewed_after_at=None)
    return requests_for(actor).filter(mine, is_open | later).exclude(requested_by=actor.user)


def _wanted_by_policies(actor: Actor) -> Q:
    """Requests on which a policy wants the yes of a role or team of the actor's that could not promote by itself."""
    if not actor.roles:
        return Q(pk__in=[])
    rows = Policy.objects.filter(is_active=True, rules__approvals__isnull=False).order_by("pk")
    slugs: dict[int, str] | None = None
    # Stage, what a policy is narrowed by, teams whose models only → what it is narrowed to. Together, since there may
    # be a policy per model.
    found: dict[tuple[str, str, tuple[int, ...]], set[Any]] = defaultdict(set)
    for stage, team, model, risk, rules in rows.values_list("stage", "team", "model", "risk_level", "rules"):
        wanted = policy_rules.read(rules).approvals
        fitting = [pk for pk, role in actor.roles.items() if role in wanted.roles]
        if wanted.teams:
            slugs = slugs or dict(Team.objects.filter(pk__in=actor.roles).values_list("pk", "slug"))
            fitting = [pk for pk in fitting if slugs[pk] in wanted.teams]
        elif Role.OWNER not in wanted.roles:
            continue
        if wanted.count and fitting:
            scopes = {"model__team": team, "model": model, "model__risk_level": risk}
            by = next((name for name, value in scopes.items() if value), "")
            found[stage, by, () if wanted.teams else tuple(fitting)].add(scopes.get(by))
    mine = Q(pk__in=[])
    for (stage, by, teams), to in found.items():
        narrowed = Q(**{f"{by}__in": to}) if by else Q()
        mine |= Q(to_stage=stage) & narrowed & (Q(model__team__in=teams) if teams else Q())
    return mine


@contextmanager
def on_record(request: PromotionRequest) -> Iterator[None]:
    """What is refused inside belongs to the history of the request's model."""
    try:
        yield
    except Forbidden as refused:
        refused.about = request.model_id
        raise


@contextmanager
def held(request: PromotionRequest) -> Iterator[PromotionRequest]:
    """An open request under the lock of its model. Raises Conflict when it was decided, NotFound when it is gone."""
    with on_record(request), transaction.atomic():
        model = lifecycle.lock(request.model)
        rows = PromotionRequest.objects.select_related(
            "version__owner", "version__manifest", "version__created_by"
        )
        current = rows.filter(pk=request.pk).first()
        if current is None:
            raise NotFound("The request is gone.")
        if current.state not in OPEN_STATES:
            raise Conflict(f"Request #{current.pk} is {RequestState(current.state).label.lower()} already.")
        current.model = current.version.model = model
        yield current


def close(
    request: PromotionRequest,
    state: RequestState,
    kind: EntryKind,
    *,
    by: Actor,
    body: str = "",
    transition: StageTransition | None = None,
) -> None:
    request.state = state
    request.decided_at = request.updated_at = timezone.now()
    request.decided_by, request.transition = by.user, transition
    request.save(update_fields=["state", "decided_at", "updated_at", "decided_by", "transition"])
    tell(request, kind, by=by, body=body, name=f"promotion.{state.value}")


def tell(
    request: PromotionRequest, kind: EntryKind, *, by: Actor, name: str, body: str = "", **facts: Any
) -> RequestEntry:
    """Into the discussion, the audit and the outbox, which also takes the facts."""
    entry = RequestEntry.objects.create(request=request, kind=kind, by=by.user, body=body, at=timezone.now())
    audit.record(
        name,
        by=by,
        subject=str(request.version),
        model=request.model,
        after={"request": request.pk, "to": request.to_stage, "state": request.state},
        reason=body[:MAX_REASON],
        policy=", ".join(f"{one['scope']} #{one['number']}" for one in request.policies)[:300],
    )
    emit(name, request, by=by, body=body, **facts)
    return entry


def emit(name: str, request: PromotionRequest, *, by: Actor, body: str = "", **facts: Any) -> None:
    """Into the outbox."""
    events.emit(
        name,
        model=request.model,
        payload={
            "request": request.pk,
            "name": request.model.name,
            "version": request.version.number,
            "to": request.to_stage,
            "state": request.state,
            "by": by.name,
            "by_id": by.user.pk if by.user else None,
            "text": body[:MAX_REASON],
            **facts,
        },
    )


def names(case: Case) -> str:
    """The policy versions of a decision, as the audit keeps them."""
    return ", ".join(f"{one.scope} #{one.number}" for one in case.policies)[:300]
