"""Who leaves: what hangs on a person, who takes it over, and the end of the account, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Q

from models_app.models import (
    OPEN_STATES,
    ApiToken,
    AskedReviewer,
    Membership,
    ModelVersion,
    PromotionRequest,
    RegisteredModel,
    Role,
    Stage,
    User,
    UserSession,
    Webhook,
)

from . import approvals, audit, catalog, events, people, promotions, reviews, sessions
from .access import RIGHTS, Actor, Right, require
from .errors import Conflict, FieldProblem, Invalid, NotFound
from .lifecycle import lock

_IN_CHARGE = (Role.OWNER, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Holdings:
    """All that hangs on a person. Policies name roles and teams, never people, so none of them does."""

    models: list[RegisteredModel]
    versions: list[ModelVersion]
    requests: list[PromotionRequest]
    reviews: list[AskedReviewer]
    tokens: list[ApiToken]
    accounts: list[User]
    memberships: list[Membership]
    alone: list[Membership]
    sessions: list[UserSession]
    webhooks: list[Webhook]

    @property
    def to_hand_over(self) -> list[RegisteredModel]:
        """The models for which somebody else has to answer, wholly or for a version."""
        found = {model.pk: model for model in [*self.models, *(one.model for one in self.versions)]}
        return sorted(found.values(), key=lambda model: model.name)

    def told(self) -> dict[str, Any]:
        """As the audit keeps it; what is empty is left out."""
        everything = {
            "models": [model.name for model in self.models],
            "versions": [str(one) for one in self.versions],
            "requests": [one.pk for one in self.requests],
            "reviews": [one.request_id for one in self.reviews],
            "tokens": [one.prefix for one in self.tokens],
            "service_accounts": [one.username for one in self.accounts],
            "memberships": [f"{one.team.slug}: {one.role}" for one in self.memberships],
            "sessions": len(self.sessions),
            "webhooks": [one.name for one in self.webhooks],
        }
        return {name: value for name, value in everything.items() if value}


def get_person(username: str, *, by: Actor) -> User:
    """For site admins. Raises Forbidden, NotFound; service accounts are deactivated with their team."""
    require(by, Right.MANAGE_TEAM, None)
    user = User.objects.filter(username=username, is_service=False).first()
    if user is None:
        raise NotFound(f"There is no person “{username[:150]}”.")
    return user


def holdings(user: User, *, by: Actor) -> Holdings:
    """What hangs on a person. Site admins only; constant in queries."""
    require(by, Right.MANAGE_TEAM, None)
    memberships = list(Membership.objects.filter(user=user).select_related("team", "user"))
    admin_of = [one.team_id for one in memberships if one.role == Role.ADMIN]
    others = Membership.objects.filter(
        team__in=[one.team_id for one in memberships], user__is_active=True, user__is_service=False
    ).exclude(user=user)
    charge = set(others.filter(role__in=_IN_CHARGE).values_list("team_id", "role"))
    alone = [
        one
        for one in memberships
        if one.role in _IN_CHARGE
        and (one.team_id, Role.ADMIN.value) not in charge
        and (one.role == Role.ADMIN or (one.team_id, Role.OWNER.value) not in charge)
    ]
    unmanaged = set(admin_of) - {team for team, role in charge if role == Role.ADMIN}
    answered = Q(owner=user) | Q(owner=None, created_by=user)
    requests = PromotionRequest.objects.filter(state__in=OPEN_STATES)
    return Holdings(
        models=list(RegisteredModel.objects.filter(answered).select_related("team").order_by("name")),
        versions=list(
            ModelVersion.objects.filter(owner=user, stage__in=[Stage.STAGING, Stage.PRODUCTION])
            .select_related("model__team")
            .order_by("model__name", "number")
        ),
        requests=list(requests.filter(requested_by=user).select_related("model__team", "version__model")),
        reviews=list(
            AskedReviewer.objects.filter(user=user, request__state__in=OPEN_STATES).select_related(
                "request__model__team", "request__version__model"
            )
        ),
        tokens=list(ApiToken.objects.filter(user=user, revoked_at=None)),
        accounts=list(
            User.objects.filter(is_service=True, is_active=True, memberships__team__in=unmanaged).distinct()
        ),
        memberships=memberships,
        alone=alone,
        sessions=list(sessions.sessions_of(user, by=by)) if by.scopes is None else [],
        webhooks=list(Webhook.objects.filter(created_by=user)),
    )


@transaction.atomic
def leave(
    user: User,
    *,
    by: Actor,
    heir: User | None = None,
    heirs: Mapping[str, User] | None = None,
    take_over_roles: bool = False,
    reason: str = "",
) -> Holdings:
    """Deactivate a person and hand over what hangs on her; returns what that was. Again changes nothing.

    `heirs` says who takes a model (by name), else `heir` does. Open requests of hers are withdrawn; reviews asked of
    her are asked of the heir where he may give them. With `take_over_roles` the heir becomes what she alone was in a
    team.

    Raises Forbidden, Invalid for an heir who may not own there, Conflict while something would be left to nobody.
    """
    require(by, Right.MANAGE_TEAM, None)
    if by.user == user:
        raise Conflict("Somebody else has to see you off.", next_step="Ask another site admin.")
    if user.is_service:
        raise Invalid("username", "A service account is deactivated with its team.")
    # Whoever refers to the person meanwhile does not wait for this lock.
    user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
    admins = User.objects.filter(is_superuser=True, is_active=True)
    if user.is_superuser and user.is_active and not admins.exclude(pk=user.pk).exists():
        raise Conflict(
            "Nobody would be left as site admin.", next_step="Make somebody else site admin first."
        )
    there = holdings(user, by=by)
    if not user.is_active and not there.told():
        return there
    new_owners = _heirs_of(there, user, heir, heirs or {})
    _hand_over_teams(there, heir if take_over_roles else None, by=by)
    _hand_over_requests(there, user, heir, new_owners, by=by)
    _hand_over_models(there, user, new_owners, by=by)
    for one in there.memberships:
        people.remove_member(one.team, user=user, by=by)
    user.is_active = user.is_staff = user.is_superuser = False
    user.save(update_fields=["is_active", "is_staff", "is_superuser"])
    sessions.end_all(user, by=by)
    people.revoke_all(user, by=by)
    after = {model: one.username for model, one in new_owners.items()}
    audit.record(
        "person.left",
        by=by,
        subject=user.username,
        before=there.told(),
        after={"heirs": after, "heir": heir.username if heir else None},
        reason=reason[:2000],
    )
    return there


def _heirs_of(
    there: Holdings, leaving: User, heir: User | None, heirs: Mapping[str, User]
) -> dict[str, User]:
    """Who takes each model. Raises Conflict where nobody does, Invalid where somebody may not."""
    models = there.to_hand_over
    if unknown := sorted(set(heirs) - {model.name for model in models}):
        raise Invalid("heirs", f"{leaving} does not answer for {unknown[0][:256]}.")
    orphans = [model.name for model in models if not (heirs.get(model.name) or heir)]
    if orphans:
        raise Conflict(
            f"{leaving} still answers for {', '.join(orphans[:5])}{' and more' if len(orphans) > 5 else ''}.",
            next_step=f"Choose who takes over at /people/{leaving.username}/leaving/.",
        )
    found = {model.name: heirs.get(model.name) or heir for model in models}
    chosen = {one.pk: one for one in [*found.values(), heir] if one is not None}
    roles = approvals.roles_of(chosen.values())
    problems = []
    for one in chosen.values():
        if one.pk == leaving.pk or not one.is_active or one.is_service:
            problems.append(FieldProblem("heir", f"{one} cannot take over: it takes somebody who stays."))
    for model in models:
        taker = found[model.name]
        assert taker is not None
        role = roles[taker.pk].get(model.team.slug)
        if not taker.is_superuser and (role is None or Right.REGISTER not in RIGHTS[role]):
            problems.append(
                FieldProblem(
                    "heir", f"{taker} may not own {model.name}: that takes a role in {model.team.slug}."
                )
            )
    if problems:
        raise Invalid.many(problems)
    return {name: one for name, one in found.items() if one is not None}


def _hand_over_teams(there: Holdings, heir: User | None, *, by: Actor) -> None:
    for one in there.alone:
        if heir is None:
            raise Conflict(
                f"Team {one.team.slug} would be left without {Role(one.role).label.lower()}.",
                next_step="Give somebody the role first, or let the heir take it over.",
            )
        people.set_role(one.team, user=heir, role=one.role, by=by)


def _hand_over_requests(
    there: Holdings, leaving: User, heir: User | None, heirs: Mapping[str, User], *, by: Actor
) -> None:
    for request in sorted(there.requests, key=lambda one: (one.model_id, one.pk)):
        promotions.withdraw(request, by=by, reason=f"{leaving.username}, who asked, left.")
    withdrawn = {one.pk for one in there.requests}
    for asked in sorted(there.reviews, key=lambda one: (one.request.model_id, one.pk)):
        if asked.request_id in withdrawn:
            asked.delete()
            continue
        with approvals.held(asked.request) as current:
            asked.delete()
            taker = heirs.get(current.model.name) or heir
            if taker is not None and approvals.reviewers_among([taker], current):
                reviews.add_reviewers(current, [taker], by=by)


def _hand_over_models(there: Holdings, leaving: User, heirs: Mapping[str, User], *, by: Actor) -> None:
    mine = {model.pk for model in there.models}
    for model in sorted(there.to_hand_over, key=lambda one: one.pk):
        current, heir = lock(model), heirs[model.name]
        versions = [one for one in there.versions if one.model_id == model.pk]
        for version in versions:
            catalog.update_version(version, by=by, metadata={"owner": heir})
        if model.pk in mine:
            catalog.update_model(current, by=by, owner=heir)
        audit.record(
            "model.handed_over",
            by=by,
            subject=model.name,
            model=model,
            before={"owner": leaving.username},
            after={"owner": heir.username, "versions": [one.number for one in versions]},
        )
        events.emit(
            "model.handed_over",
            model=model,
            payload={
                "name": model.name,
                "by": by.name,
                "by_id": by.user.pk if by.user else None,
                "heir_id": heir.pk,
                "text": f"{leaving.username} left; you answer for {model.name} now.",
            },
        )


@transaction.atomic
def set_account(
    user: User, *, by: Actor, is_active: bool, is_staff: bool, is_site_admin: bool, **profile: Any
) -> User:
    """`people.set_account`; who is deactivated leaves, which is refused while somebody has to take over."""
    if user.is_active and not is_active and not user.is_service:
        leave(user, by=by)
        user.refresh_from_db()
        is_staff = is_site_admin = False
    return people.set_account(
        user, by=by, is_active=is_active, is_staff=is_staff, is_site_admin=is_site_admin, **profile
    )
