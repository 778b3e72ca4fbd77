"""People, teams, roles and tokens."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from models_app.models import ApiToken, Membership, Role, Scope, Team, User

from . import audit, sessions
from .access import Actor, Right, manages_account, require, require_login, require_reading, require_scope
from .errors import AlreadyExists, Conflict, FieldProblem, Forbidden, Invalid, NotFound, Unauthenticated
from .names import check_team_slug
from .prepared import PreparedInstances

# A marker that secret scanners can look for.
TOKEN_PREFIX = "mdl_"
# An automation asks for promotions and never says yes to one.
SERVICE_ROLES = (Role.VIEWER, Role.CONTRIBUTOR, Role.OWNER)
LAST_USED_EVERY = timedelta(minutes=1)


@transaction.atomic
def create_user(
    username: str,
    *,
    by: Actor,
    email: str = "",
    password: str | None = None,
    first_name: str = "",
    last_name: str = "",
    is_staff: bool = False,
    is_site_admin: bool = False,
) -> User:
    """Make a person. Site admins only. Raises Invalid for a bad name, address or password, AlreadyExists."""
    require(by, Right.MANAGE_TEAM, None)
    user = User(
        username=username,
        email=email,
        first_name=first_name,
        last_name=last_name,
        is_staff=is_staff or is_site_admin,
        is_superuser=is_site_admin,
    )
    insert_user(user, password=password)
    audit.record("user.created", by=by, subject=username, after={"email": email, "site_admin": is_site_admin})
    return user


def insert_user(user: User, *, password: str | None) -> None:
    """A part of the verbs that make accounts. Raises Invalid, AlreadyExists."""
    username = user.username
    if User.objects.filter(username=username).exists():
        raise AlreadyExists(f"There is already a person “{username}”.")
    if password is not None:
        _check_password(password, user)
    user.set_password(password)
    _full_clean(user, exclude=["password"])
    user.save()


def _check_password(password: str, user: User) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid("password", " ".join(error.messages)) from error


def _full_clean(instance: User | Team, *, exclude: list[str] | None = None) -> None:
    try:
        instance.full_clean(exclude=exclude, validate_unique=False)
    except ValidationError as error:
        raise Invalid.many(
            [FieldProblem(field, " ".join(messages)) for field, messages in error.message_dict.items()]
        ) from error


@transaction.atomic
def update_profile(user: User, *, by: Actor, **fields: Any) -> User:
    """Change one's own name, e-mail, how often mail comes, theme, hotkeys or default team (site admins: anyone's).

    Raises Invalid, Forbidden.
    """
    require_login(by)
    if by.user != user and not by.is_site_admin:
        raise Forbidden("You may change your own profile only.")
    require_scope(by, Right.ACCOUNT)
    allowed = {"first_name", "last_name", "email", "theme", "hotkeys", "default_team", "notice_mode"}
    if unknown := sorted(fields.keys() - allowed):
        raise Invalid(unknown[0], "There is no such field in a profile.")
    if fields.get("email"):
        try:
            validate_email(fields["email"])
        except ValidationError as error:
            raise Invalid("email", "This is not an e-mail address.") from error
    before = {name: str(getattr(user, name)) for name in fields}
    for name, value in fields.items():
        setattr(user, name, value)
    _full_clean(user, exclude=["password"])
    user.save(update_fields=list(fields))
    after = {name: str(getattr(user, name)) for name in fields}
    audit.record("user.updated", by=by, subject=user.username, before=before, after=after)
    return user


@transaction.atomic
def set_password(user: User, *, password: str, by: Actor) -> None:
    """Change one's own password (site admins: anyone's), and end all sessions. Raises Invalid, Forbidden.

    Whoever calls this for somebody's own has asked for the former one.
    """
    require_login(by)
    if by.scopes is not None or (by.user != user and not by.is_site_admin):
        raise Forbidden("You may change your own password only.")
    if user.is_service:
        raise Invalid("password", "A service account has tokens, no password.")
    _check_password(password, user)
    user.set_password(password)
    user.save(update_fields=["password"])
    audit.record("user.password_set", by=by, subject=user.username)
    sessions.end_all(user, by=by)


@transaction.atomic
def create_team(slug: str, *, by: Actor, name: str = "", description: str = "") -> Team:
    """Make a team. Site admins only. Raises Invalid("slug"), AlreadyExists."""
    require(by, Right.MANAGE_TEAM, None)
    check_team_slug(slug)
    team = Team(slug=slug, name=name or slug, description=description)
    _full_clean(team)
    try:
        with transaction.atomic():
            team.save(force_insert=True)
    except IntegrityError as error:
        raise AlreadyExists(f"There is already a team “{slug}”.") from error
    audit.record("team.created", by=by, subject=slug, after={"name": team.name})
    return team


@transaction.atomic
def update_team(team: Team, *, by: Actor, name: str, description: str = "") -> Team:
    """Change a team's name and description. Its slug stays: it is part of model names."""
    require(by, Right.MANAGE_TEAM, team)
    before = {"name": team.name, "description": team.description}
    team.name, team.description = name, description
    _full_clean(team)
    team.save(update_fields=["name", "description"])
    audit.record(
        "team.updated",
        by=by,
        subject=team.slug,
        before=before,
        after={"name": name, "description": description},
    )
    return team


@transaction.atomic
def set_role(team: Team, *, user: User, role: str, by: Actor) -> Membership:
    """Give a person a role in a team, new or changed. Raises Invalid("role"), Conflict for the last admin."""
    require(by, Right.MANAGE_TEAM, team)
    if role not in Role.values:
        raise Invalid("role", f"One of {', '.join(Role.values)}.")
    if user.is_service:
        _check_service(user, role, by=by)
    Team.objects.select_for_update().get(pk=team.pk)
    former = Membership.objects.filter(team=team, user=user).first()
    if former is not None and former.role == Role.ADMIN and role != Role.ADMIN:
        _keep_one_admin(team, leaving=user, by=by)
    membership, _ = Membership.objects.update_or_create(
        team=team, user=user, defaults={"role": role, "from_sso": False}
    )
    audit.record(
        "team.role_set",
        by=by,
        subject=f"{team.slug}/{user.username}",
        before={"role": former.role if former else None},
        after={"role": role},
    )
    return membership


def _check_service(user: User, role: str, *, by: Actor) -> None:
    if role not in SERVICE_ROLES:
        raise Invalid("role", f"A service account is {', '.join(SERVICE_ROLES[:-1])} or {SERVICE_ROLES[-1]}.")
    if user.memberships.exists() and not manages_account(by, user):
        # Else one team could take the account of another out of its hands.
        raise Forbidden(
            f"The service account {user} belongs to other teams too.",
            next_step="Ask a site admin, or make an account of your own.",
        )


@transaction.atomic
def remove_member(team: Team, *, user: User, by: Actor) -> None:
    """Take a person out of a team. Raises Conflict for the last admin; nothing happens for a stranger."""
    require(by, Right.MANAGE_TEAM, team)
    Team.objects.select_for_update().get(pk=team.pk)
    membership = Membership.objects.filter(team=team, user=user).first()
    if membership is None:
        return
    if membership.role == Role.ADMIN:
        _keep_one_admin(team, leaving=user, by=by)
    membership.delete()
    audit.record(
        "team.member_removed", by=by, subject=f"{team.slug}/{user.username}", before={"role": membership.role}
    )


def _keep_one_admin(team: Team, *, leaving: User, by: Actor) -> None:
    others = Membership.objects.filter(team=team, role=Role.ADMIN).exclude(user=leaving)
    if not by.is_site_admin and not others.exists():
        raise Conflict(
            f"{leaving} is the last admin of {team.slug}.", next_step="Make somebody else admin first."
        )


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@transaction.atomic
def create_token(
    *, user: User, name: str, scopes: Iterable[str], by: Actor, expires_at: datetime | None = None
) -> tuple[ApiToken, str]:
    """Make a token for oneself, or for a service account whose teams one manages (site admins: for anyone).

    The secret is returned once and kept only as a SHA-256.

    256 random bits need no slow hash. A call made with a token cannot make one with more scopes than its own.
    """
    require_login(by)
    if user.is_service and not manages_account(by, user):
        raise Forbidden(
            "Who manages every team of a service account makes its tokens.", next_step="Ask a site admin."
        )
    if by.user != user and not (user.is_service or by.is_site_admin):
        raise Forbidden("You may make tokens for yourself only.", next_step="Ask a site admin.")
    require_scope(by, Right.ACCOUNT)
    if not user.is_active:
        raise Conflict(f"The account of {user} is not active.")
    chosen = sorted(set(scopes))
    if not name or not name.strip() or len(name) > 100:
        raise Invalid("name", "1 to 100 characters that say what the token is for.")
    if not chosen or set(chosen) - set(Scope.values):
        raise Invalid("scopes", f"One or more of {', '.join(Scope.values)}.")
    if by.scopes is not None and set(chosen) - by.scopes:
        raise Forbidden("A token cannot make a token with more scopes than its own.")
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid("expires_at", "Must be in the future.")
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    token = ApiToken.objects.create(
        user=user,
        name=name.strip(),
        prefix=secret[:10],
        digest=_digest(secret),
        scopes=chosen,
        expires_at=expires_at,
    )
    audit.record("token.created", by=by, subject=f"{user.username}/{token.prefix}", after={"scopes": chosen})
    return token, secret


_OF_DIGEST = PreparedInstances(
    lambda digest: ApiToken.objects.filter(digest=digest).order_by().select_related("user"), str
)


def find_token(secret: str) -> ApiToken:
    """The usable token behind a secret, its last use noted at most once a minute. Raises Unauthenticated."""
    now = timezone.now()
    token = _OF_DIGEST.one(_digest(secret))
    if token is None or not token.is_usable(at=now):
        raise Unauthenticated(
            "The token is unknown, expired or revoked.", next_step="Make a new one under Account → Tokens."
        )
    if token.last_used_at is None or now - token.last_used_at > LAST_USED_EVERY:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


@transaction.atomic
def revoke_token(token: ApiToken, *, by: Actor) -> ApiToken:
    """Make a token useless from now on. One's own, that of a service account whose teams one manages, or any for site
    admins. Repeating it changes nothing.
    """
    require_login(by)
    own = by.user is not None and by.user.pk == token.user_id
    if not (own or by.is_site_admin or manages_account(by, token.user)):
        raise Forbidden("You may revoke your own tokens only.")
    if by.token_prefix != token.prefix:
        # The token at hand may always be given up.
        require_scope(by, Right.ACCOUNT)
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])
        audit.record("token.revoked", by=by, subject=f"{token.user.username}/{token.prefix}")
    return token


def revoke_all(user: User, *, by: Actor) -> None:
    """A part of verbs that asked for their right. For good: an account that is active again starts without tokens."""
    rows = ApiToken.objects.filter(user=user, revoked_at=None)
    if prefixes := sorted(rows.values_list("prefix", flat=True)):
        rows.update(revoked_at=timezone.now())
        audit.record("token.all_revoked", by=by, subject=user.username, before={"tokens": prefixes})


def tokens_of(actor: Actor) -> QuerySet[ApiToken]:
    """The actor's own tokens, revoked ones too. Raises Unauthenticated."""
    require_login(actor)
    return ApiToken.objects.filter(user=actor.user)


def get_token(number: int, *, by: Actor) -> ApiToken:
    """One's own token, or any for site admins. Raises NotFound."""
    require_login(by)
    tokens = ApiToken.objects.select_related("user") if by.is_site_admin else tokens_of(by)
    token = tokens.filter(pk=number).first()
    if token is None:
        raise NotFound("You have no such token.")
    return token


def teams_for(actor: Actor) -> QuerySet[Team]:
    """Every team: whoever may read models sees whose they are. Raises Unauthenticated."""
    require_reading(actor)
    return Team.objects.all()


def get_team(slug: str, *, by: Actor, right: Right = Right.READ) -> Team:
    """A team by its slug. Raises NotFound, Forbidden without the right."""
    team = teams_for(by).filter(slug=slug).first()
    if team is None:
        raise NotFound(f"There is no team “{slug[:64]}”.")
    if right is not Right.READ:
        require(by, right, team)
    return team


@transaction.atomic
def set_account(
    user: User, *, by: Actor, is_active: bool, is_staff: bool, is_site_admin: bool, **profile: Any
) -> User:
    """Change what a person may be on the site, and her profile. Site admins only. Deactivation ends her sessions and
    revokes her tokens.

    Raises Forbidden, Invalid, Conflict when nobody would be left as site admin.
    """
    require(by, Right.MANAGE_TEAM, None)
    if user.is_service and (is_staff or is_site_admin):
        raise Invalid("is_staff", "A service account has roles in teams, and none on the site.")
    if user.is_superuser and not (is_site_admin and is_active):
        # Locked, so that two admins cannot take the right from each other at once.
        admins = list(
            User.objects.select_for_update().filter(is_superuser=True, is_active=True).order_by("pk")
        )
        if not [other for other in admins if other.pk != user.pk]:
            raise Conflict(
                "Nobody would be left as site admin.", next_step="Make somebody else site admin first."
            )
    update_profile(user, by=by, **profile)
    wanted = {"is_active": is_active, "is_staff": is_staff or is_site_admin, "is_superuser": is_site_admin}
    before = {name: getattr(user, name) for name, value in wanted.items() if getattr(user, name) != value}
    if before:
        for name in before:
            setattr(user, name, wanted[name])
        user.save(update_fields=list(before))
        if not is_active:
            sessions.end_all(user, by=by)
            revoke_all(user, by=by)
        after = {name: wanted[name] for name in before}
        audit.record("user.account_set", by=by, subject=user.username, before=before, after=after)
    return user
