"""Single sign-on: who comes from the identity provider, and which roles the groups there give.

A person is known by the provider's subject, which never changes hands. Names and addresses do, so an existing account
is taken by a verified e-mail address only where the site says so, and never by its name.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from models_app.models import Membership, Role, Team, User

from . import audit, logins
from .access import Actor
from .errors import Forbidden

log = logging.getLogger(__name__)

SITE_ADMIN = "site-admin"
# Of several groups the one that gives most counts; an owner changes models, an approver only says yes to them.
RANK = (Role.VIEWER, Role.CONTRIBUTOR, Role.APPROVER, Role.OWNER, Role.ADMIN)
MOST_GROUPS = 5000


def mapping(text: str) -> dict[str, list[str]]:
    """Group → what it gives (`team:role` or `site-admin`), from JSON or from `group=team:role,group=site-admin`.

    Raises ValueError with what is wrong.
    """
    if text.lstrip().startswith("{"):
        read = json.loads(text)
        pairs = [
            (group, one)
            for group, all_ in read.items()
            for one in ([all_] if isinstance(all_, str) else all_)
        ]
    else:
        pairs = []
        for item in filter(None, map(str.strip, text.split(","))):
            group, equals, gives = item.rpartition("=")
            if not equals or not group:
                raise ValueError(f"“{item}” is not group=team:role")
            pairs.append((group.strip(), gives.strip()))
    found: dict[str, list[str]] = {}
    for group, gives in pairs:
        if gives != SITE_ADMIN and str(gives).rpartition(":")[2] not in Role.values:
            raise ValueError(
                f"“{gives}” is neither team:role nor {SITE_ADMIN}; roles are {', '.join(Role.values)}"
            )
        found.setdefault(group, []).append(gives)
    return found


@transaction.atomic
def arrive(user: User | None, *, claims: dict[str, Any], by: Actor) -> User:
    """The person whom the provider has just let in: known, matched or new; her roles are what her groups say now.

    Raises Forbidden for who left, and for strangers where the site makes no accounts.
    """
    if user is None:
        user = _matched(claims, by=by) or _new(claims, by=by)
    logins.require_may_log_in(user)
    if settings.OIDC_GROUPS:
        _give(user, groups_in(claims), by=by)
    return user


def groups_in(claims: dict[str, Any]) -> list[str]:
    """The groups that a provider tells of; one alone may come as a text."""
    told = claims.get(settings.OIDC_GROUPS_CLAIM) or []
    told = [told] if isinstance(told, str) else told
    return [group for group in told if isinstance(group, str)][:MOST_GROUPS] if isinstance(told, list) else []


def _is_verified(claims: dict[str, Any]) -> bool:
    # Some providers send a text.
    return claims.get("email_verified") in (True, "true")


def _matched(claims: dict[str, Any], *, by: Actor) -> User | None:
    email = _email(claims)
    if not (settings.OIDC_MATCH_EMAIL and email and _is_verified(claims)):
        return None
    found = list(User.objects.filter(email__iexact=email, is_service=False)[:2])
    if len(found) != 1:
        return None
    audit.record("user.sso_linked", by=by, subject=found[0].username, after={"email": email})
    return found[0]


def _new(claims: dict[str, Any], *, by: Actor) -> User:
    if not settings.OIDC_CREATE:
        raise Forbidden(
            "You have no account here.", next_step="Ask a site admin to make one with your e-mail address."
        )
    user = User(
        username=_free_name(claims),
        email=_email(claims),
        first_name=_text(claims, "given_name"),
        last_name=_text(claims, "family_name"),
    )
    user.set_unusable_password()
    user.save(force_insert=True)
    audit.record("user.created", by=by, subject=user.username, after={"email": user.email, "through": "sso"})
    return user


def _text(claims: dict[str, Any], name: str, *, most: int = 150) -> str:
    value = claims.get(name)
    return value.replace("\0", "")[:most] if isinstance(value, str) else ""


def _email(claims: dict[str, Any]) -> str:
    email = _text(claims, "email", most=254)
    try:
        validate_email(email)
    except ValidationError:
        return ""
    return email


def _free_name(claims: dict[str, Any]) -> str:
    wanted = _text(claims, "preferred_username") or _email(claims).partition("@")[0] or "person"
    name = re.sub(r"[^\w.@+-]", "-", wanted)[:140]
    taken = set(User.objects.filter(username__istartswith=name).values_list("username", flat=True))
    taken = {one.lower() for one in taken}
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return next(one for one in (name, *numbered) if one.lower() not in taken)


def _give(user: User, groups: list[str], *, by: Actor) -> None:
    table = mapping(settings.OIDC_GROUPS)
    gives = {one for group in groups for one in table.get(group, ())}
    wanted: dict[str, str] = {}
    for slug, _, role in (one.rpartition(":") for one in gives - {SITE_ADMIN}):
        if slug not in wanted or RANK.index(Role(role)) > RANK.index(Role(wanted[slug])):
            wanted[slug] = role
    teams = {team.slug: team for team in Team.objects.filter(slug__in=wanted)}
    for slug in sorted(wanted.keys() - teams.keys()):
        log.warning("A group gives a role in team “%s”, which does not exist.", slug)
    there = {row.team.slug: row for row in user.memberships.select_related("team")}
    why = f"Groups: {', '.join(sorted(set(groups) & table.keys())) or 'none that count'}"[:2000]
    for slug, team in teams.items():
        _set(user, team, wanted[slug], there.get(slug), by=by, why=why)
    for slug, row in there.items():
        if row.from_sso and slug not in teams:
            row.delete()
            audit.record(
                "team.member_removed",
                by=by,
                subject=f"{slug}/{user.username}",
                before={"role": row.role},
                reason=why,
            )
    if any(SITE_ADMIN in all_ for all_ in table.values()):
        _set_site_admin(user, SITE_ADMIN in gives, by=by, why=why)


def _set(user: User, team: Team, role: str, former: Membership | None, *, by: Actor, why: str) -> None:
    if former is not None and (not former.from_sso or former.role == role):
        return
    before = {"role": former.role if former else None}
    Membership.objects.update_or_create(team=team, user=user, defaults={"role": role, "from_sso": True})
    subject = f"{team.slug}/{user.username}"
    audit.record("team.role_set", by=by, subject=subject, before=before, after={"role": role}, reason=why)


def _set_site_admin(user: User, wanted: bool, *, by: Actor, why: str) -> None:
    if wanted == user.is_superuser or (not wanted and not user.admin_from_sso):
        return
    if not wanted:
        admins = User.objects.select_for_update().filter(is_superuser=True, is_active=True)
        if not [one for one in admins.order_by("pk") if one.pk != user.pk]:
            log.warning("%s stays site admin: nobody else would be left.", user)
            return
    user.is_superuser = user.is_staff = user.admin_from_sso = wanted
    user.save(update_fields=["is_superuser", "is_staff", "admin_from_sso"])
    before, after = {"is_superuser": not wanted}, {"is_superuser": wanted}
    audit.record("user.account_set", by=by, subject=user.username, before=before, after=after, reason=why)
