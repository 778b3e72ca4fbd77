"""Accounts of automations: they have roles and tokens, cannot log in, get no mail, and never review."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction
from django.db.models import Count, Max, Q, QuerySet
from django.utils import timezone

from models_app.models import ApiToken, Team, User

from . import audit, people, sessions
from .access import Actor, Right, manages_account, require
from .errors import Conflict, Forbidden, NotFound


@transaction.atomic
def create_account(username: str, *, roles: Mapping[Team, str], by: Actor, name: str = "") -> User:
    """Make one with a role in each of these teams, all of which the actor manages; without teams for site admins only.

    Raises Forbidden, Invalid for a bad name or role, AlreadyExists.
    """
    for team in roles:
        require(by, Right.MANAGE_TEAM, team)
    if not roles:
        require(by, Right.MANAGE_TEAM, None)
    user = User(username=username, first_name=name, is_service=True)
    people.insert_user(user, password=None)
    audit.record("service_account.created", by=by, subject=username, after={"teams": sorted(map(str, roles))})
    for team, role in roles.items():
        people.set_role(team, user=user, role=role, by=by)
    return user


def of_team(team: Team, *, by: Actor) -> QuerySet[User]:
    """Those of a team, each with `role`, `usable` tokens and when one was `last_used`. Raises Forbidden."""
    require(by, Right.MANAGE_TEAM, team)
    now = timezone.now()
    usable = Q(tokens__revoked_at=None) & (Q(tokens__expires_at=None) | Q(tokens__expires_at__gt=now))
    mine = User.objects.filter(is_service=True, memberships__team=team)
    return mine.annotate(
        role=Max("memberships__role"),
        usable=Count("tokens", filter=usable, distinct=True),
        last_used=Max("tokens__last_used_at"),
    ).order_by("username")


def get(team: Team, username: str, *, by: Actor) -> User:
    """One of a team, as in `of_team`. Raises NotFound, Forbidden."""
    user = of_team(team, by=by).filter(username=username).first()
    if user is None:
        raise NotFound(f"There is no service account “{username[:150]}” in team {team.slug}.")
    return user


def require_managing(user: User, *, by: Actor) -> None:
    """Raises Forbidden unless the actor manages every team of this account."""
    if not manages_account(by, user):
        raise Forbidden(
            f"Only who manages every team of {user} may do this.",
            next_step="Ask a site admin.",
        )


def tokens_of(user: User, *, by: Actor) -> QuerySet[ApiToken]:
    """All of them, revoked ones last. Raises Forbidden."""
    require_managing(user, by=by)
    return ApiToken.objects.filter(user=user).select_related("user").order_by("revoked_at", "-created_at")


def get_token(user: User, number: int, *, by: Actor) -> ApiToken:
    """Raises NotFound, Forbidden."""
    token = tokens_of(user, by=by).filter(pk=number).first()
    if token is None:
        raise NotFound(f"{user} has no such token.")
    return token


@transaction.atomic
def rotate_token(token: ApiToken, *, by: Actor) -> tuple[ApiToken, str]:
    """A new token with the name, scopes and length of life of this one, which is revoked.

    Raises Forbidden, Conflict.
    """
    require_managing(token.user, by=by)
    token = ApiToken.objects.select_for_update(of=("self",)).select_related("user").get(pk=token.pk)
    if token.revoked_at is not None:
        raise Conflict("The token is revoked already.", next_step="Make a new one.")
    lives = token.expires_at - token.created_at if token.expires_at else None
    made = people.create_token(
        user=token.user,
        name=token.name,
        scopes=token.scopes,
        expires_at=timezone.now() + lives if lives else None,
        by=by,
    )
    people.revoke_token(token, by=by)
    return made


@transaction.atomic
def deactivate(user: User, *, by: Actor) -> None:
    """Revoke its tokens for good and let it act no more. Again changes nothing. Raises Forbidden."""
    require_managing(user, by=by)
    was_active = User.objects.select_for_update().values_list("is_active", flat=True).get(pk=user.pk)
    user.is_active = False
    if not was_active:
        return
    user.save(update_fields=["is_active"])
    sessions.end_all(user, by=by)
    people.revoke_all(user, by=by)
    audit.record("service_account.deactivated", by=by, subject=user.username)
