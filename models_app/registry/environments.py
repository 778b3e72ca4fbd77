"""Environments: where models serve, what brings versions there, who may deploy, when nobody may."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from models_app.models import (
    DeployKind,
    Deployment,
    DeploymentState,
    Environment,
    Follows,
    ModelTag,
    RegisteredModel,
    Role,
    Stage,
    StartMode,
    Team,
)

from . import address_templates, audit, events
from .access import Actor, Right, may, require, require_login, require_reading, require_scope
from .errors import AlreadyExists, Conflict, FieldProblem, Forbidden, Invalid, NotFound
from .metadata import clean_text
from .names import check_alias, check_team_slug

# Least to most, where an environment asks for a least role.
RANKS = [Role.VIEWER, Role.CONTRIBUTOR, Role.OWNER, Role.APPROVER, Role.ADMIN]
DEPLOY_ROLES = [Role.CONTRIBUTOR, Role.OWNER, Role.APPROVER, Role.ADMIN]
MAX_FREEZES = 100
TIMES = {"health_window": (5, 86_400), "timeout": (10, 7 * 86_400)}
# Words of addresses in which the name of an environment may stand, too.
RESERVED = frozenset({"new", "rollback"})
FIELDS = (
    "site",
    "follows",
    "followed",
    "name_pattern",
    "for_team",
    "tag",
    "serving_address",
    "kind",
    "health_check",
    "health_window",
    "timeout",
    "start",
    "rolls_back",
    "deploy_role",
    "deploy_team",
    "freezes",
)


# --- reading --------------------------------------------------------------------------------------------------


def environments_for(actor: Actor) -> QuerySet[Environment]:
    """Every environment, by name: what runs where is for whoever reads models. Raises Unauthenticated, Forbidden."""
    require_reading(actor)
    return with_teams().order_by("name")


def with_teams() -> QuerySet[Environment]:
    """Those there are, with their teams."""
    return Environment.objects.filter(deleted_at=None).select_related("team", "for_team", "deploy_team")


def get_environment(name: str, *, by: Actor) -> Environment:
    """Raises NotFound."""
    found = environments_for(by).filter(name=name[:63]).first()
    if found is None:
        raise NotFound(
            f"There is no environment “{name[:63]}”.", next_step="See Deployments for those there are."
        )
    return found


def freezes_ahead(environment: Environment) -> list[dict[str, Any]]:
    """The freezes that are not over, the next one first: {from, until, reason} with moments."""
    now = timezone.now()
    known = [
        {
            **one,
            "from": datetime.fromisoformat(one["from"]),
            "until": datetime.fromisoformat(one["until"]),
        }
        for one in environment.freezes
    ]
    return sorted((one for one in known if one["until"] > now), key=lambda one: one["from"])


def taking(model: RegisteredModel, **which: Any) -> list[Environment]:
    """The environments that take this model, of those which are so: by name, team and tag. One query."""
    if model.is_prompt:
        return []
    tagged = ModelTag.objects.filter(model=model.pk, key=OuterRef("tag_key"))
    found = with_teams().filter(
        Q(for_team=None) | Q(for_team=model.team_id),
        Q(tag_key="")
        | Q(Exists(tagged), tag_value="")
        | Q(Exists(tagged.filter(value=OuterRef("tag_value")))),
        **which,
    )
    return [one for one in found.order_by("pk") if fnmatchcase(model.name, one.name_pattern)]


def following(model: RegisteredModel, follows: str, followed: str) -> list[Environment]:
    """The environments that take this model when something comes into a stage or an alias is set: one query."""
    return taking(model, follows=follows, followed=followed)


def takes(environment: Environment, model: RegisteredModel) -> bool:
    """Whether a model may come here at all."""
    return bool(taking(model, pk=environment.pk))


def require_taking(environment: Environment, model: RegisteredModel) -> None:
    """Raises Conflict unless it `takes` the model."""
    if takes(environment, model):
        return
    which = [
        f"of team {environment.for_team}" if environment.for_team else "",
        f"named {environment.name_pattern}" if environment.name_pattern != "*" else "",
        f"tagged {environment.tag_key}={environment.tag_value}".rstrip("=") if environment.tag_key else "",
    ]
    wanted = ", ".join(one for one in which if one)
    raise Conflict(
        f"{environment} does not take {model.name}: only models {wanted}."
        if wanted
        else f"{environment} does not take {model.name}.",
        next_step="See what each environment takes under Deployments → Environments.",
    )


def until(freeze: Mapping[str, Any]) -> str:
    """When a freeze ends, in words."""
    return f"{datetime.fromisoformat(freeze['until']):%Y-%m-%d %H:%M} UTC"


# --- who may --------------------------------------------------------------------------------------------------


def may_deploy(environment: Environment, model: RegisteredModel, *, by: Actor) -> bool:
    """Whether the actor may order, start and roll back here: by the role that the environment asks for in the model's
    team, or as one who registers in the team it names.
    """
    if by.is_system:
        return True
    if not may(by, Right.DEPLOY, model.team_id) and not _in_deploy_team(environment, by):
        return False
    return by.is_site_admin or _ranks(environment, model.team_id, by) or _in_deploy_team(environment, by)


def _ranks(environment: Environment, team_id: int | None, by: Actor) -> bool:
    role = by.roles.get(team_id) if team_id is not None else None
    return role is not None and RANKS.index(Role(role)) >= RANKS.index(Role(environment.deploy_role))


def _in_deploy_team(environment: Environment, by: Actor, right: Right = Right.DEPLOY) -> bool:
    return environment.deploy_team_id is not None and may(by, right, environment.deploy_team_id)


def require_deploying(environment: Environment, model: RegisteredModel, *, by: Actor) -> None:
    """Raises Unauthenticated, Forbidden unless `may_deploy`."""
    if may_deploy(environment, model, by=by):
        return
    require_login(by)
    require_scope(by, Right.DEPLOY)
    team = f", or membership in team {environment.deploy_team}" if environment.deploy_team else ""
    role = Role(environment.deploy_role).label.lower()
    raise Forbidden(
        f"You may not deploy to {environment}: that takes the role {role} in team {model.team.slug}{team}.",
        next_step=f"Ask an admin of team {model.team.slug}.",
    )


def may_report(environment: Environment, *, by: Actor) -> bool:
    """Whether the actor speaks for this environment: a service account with the role contributor in its team or in the
    team that deploys there, people by the role that the environment asks for; site admins.
    """
    if by.is_system:
        return True
    teams = [pk for pk in (environment.team_id, environment.deploy_team_id) if pk is not None]
    if not teams:
        return may(by, Right.REPORT, None)
    is_service = by.user is not None and by.user.is_service
    return any(
        may(by, Right.REPORT, team)
        and (
            is_service
            or by.is_site_admin
            or team == environment.deploy_team_id
            or _ranks(environment, team, by)
        )
        for team in teams
    )


def require_reporting(environment: Environment, *, by: Actor) -> None:
    """Raises Unauthenticated, Forbidden unless `may_report`."""
    if may_report(environment, by=by):
        return
    require_login(by)
    require_scope(by, Right.REPORT)
    raise Forbidden(
        f"You do not speak for {environment}.",
        next_step="Use a service account of its team, or of the team that it names to deploy; "
        "an environment without either is the site admins'.",
    )


# --- verbs ----------------------------------------------------------------------------------------------------


def set_up(name: str, *, by: Actor, team: Team | None = None, **fields: Any) -> Environment:
    """Make an environment, of FIELDS; the company's without a team. What is in the stage already is not deployed.

    Raises Invalid naming every wrong field, AlreadyExists, Forbidden for whoever is no admin of the team (or site).
    """
    require(by, Right.MANAGE_TEAM, team)
    now = timezone.now()
    environment = Environment(
        name=_clean_name(name), team=team, for_team=team, created_by=by.user, created_at=now, updated_at=now
    )
    _apply(environment, fields)
    _check_where(environment)
    try:
        with transaction.atomic():
            environment.save(force_insert=True)
            audit.record("environment.created", by=by, subject=environment.name, after=shown(environment))
            events.emit("environment.created", payload={"environment": environment.name})
    except IntegrityError as error:
        raise AlreadyExists(f"There is an environment “{environment.name}” already.") from error
    return environment


def change(environment: Environment, *, by: Actor, reason: str = "", **fields: Any) -> Environment:
    """Change some of FIELDS. What is under way goes on as it began. Raises Invalid, Forbidden, NotFound, and Conflict
    when who asks for health would change while a deployment waits for it.
    """
    require(by, Right.MANAGE_TEAM, environment.team)
    reason = clean_text("reason", reason, limit=2_000, lines=True)
    planned = copy.copy(environment)
    _apply(planned, fields)
    if any(getattr(planned, name) != getattr(environment, name) for name in _LEADING):
        # Looks names up, which may take a while: nothing is locked yet.
        _check_where(planned)
    with transaction.atomic():
        return _change(locked(environment), fields, by=by, reason=reason)


def _change(current: Environment, fields: Mapping[str, Any], *, by: Actor, reason: str) -> Environment:
    require(by, Right.MANAGE_TEAM, current.team)
    before = shown(current)
    _apply(current, fields)
    after = shown(current)
    changed = [name for name in after if after[name] != before[name]]
    if not changed:
        return current
    verifying = Deployment.objects.filter(environment=current.pk, state=DeploymentState.VERIFYING)
    if not {"health_check", "kind"}.isdisjoint(changed) and verifying.exists():
        raise Conflict(
            f"A deployment is being verified in {current.name}.",
            next_step="Change its health check when that has ended.",
        )
    current.updated_at = timezone.now()
    current.save()
    audit.record(
        "environment.changed",
        by=by,
        subject=current.name,
        before={name: before[name] for name in changed},
        after={name: after[name] for name in changed},
        reason=reason,
    )
    events.emit("environment.changed", payload={"environment": current.name})
    return current


def remove(environment: Environment, *, by: Actor, reason: str, deployments: int) -> None:
    """Mark a locked one as deleted; what was deployed there, deployments.py has ended."""
    environment.deleted_at = environment.updated_at = timezone.now()
    environment.save(update_fields=["deleted_at", "updated_at"])
    audit.record(
        "environment.deleted",
        by=by,
        subject=environment.name,
        before={**shown(environment), "deployments": deployments},
        reason=reason,
    )
    events.emit("environment.deleted", payload={"environment": environment.name})


def locked(environment: Environment) -> Environment:
    """It as it is now, its row held till the transaction ends. Raises NotFound."""
    found = (
        Environment.objects.select_for_update(of=("self",))
        .select_related("team", "for_team", "deploy_team")
        .filter(pk=environment.pk, deleted_at=None)
        .first()
    )
    if found is None:
        raise NotFound(f"The environment {environment} was deleted.")
    return found


def shown(environment: Environment) -> dict[str, Any]:
    """Its fields as the audit keeps them."""
    found = {
        name: getattr(environment, name) for name in FIELDS if name not in ("for_team", "deploy_team", "tag")
    }
    for name in ("team", "for_team", "deploy_team"):
        team = getattr(environment, name)
        found[name] = team.slug if team else None
    found["tag"] = f"{environment.tag_key}={environment.tag_value}".rstrip("=")
    return found


# --- fields ---------------------------------------------------------------------------------------------------


def _clean_name(name: Any) -> str:
    try:
        clean = check_team_slug(clean_text("name", name, limit=63))
    except Invalid as error:
        raise Invalid("name", error.problems[0].message) from error
    if clean in RESERVED:
        raise Invalid("name", f"“{clean}” is a word of this site's addresses; choose another.")
    return clean


def _apply(environment: Environment, fields: Mapping[str, Any]) -> None:
    """Set checked fields; raises Invalid listing every problem, and what does not go together."""
    problems: list[FieldProblem] = []
    for name, value in fields.items():
        try:
            for column, clean in _clean(name, value).items():
                setattr(environment, column, clean)
        except Invalid as error:
            problems.extend(error.problems)
    if not problems:
        problems = _together(environment)
    if problems:
        raise Invalid.many(problems)


def _together(environment: Environment) -> list[FieldProblem]:
    problems = []
    if environment.team_id is not None and environment.for_team_id != environment.team_id:
        problems.append(FieldProblem("for_team", "An environment of a team takes that team's models only."))
    if environment.follows == Follows.STAGE and environment.followed not in Stage.values:
        problems.append(FieldProblem("followed", f"One of {', '.join(Stage.values)}."))
    if environment.follows == Follows.ALIAS:
        try:
            check_alias(environment.followed, field="followed")
        except Invalid as error:
            problems.extend(error.problems)
    return problems


# What decides where addresses lead, and who calls them.
_LEADING = ("serving_address", "health_check", "kind")


def _check_where(environment: Environment) -> None:
    """Raises Invalid for addresses at which nothing may be called: an agent calls from where it is, else we do."""
    serving, health = environment.serving_address, environment.health_check
    asks_here = environment.kind != DeployKind.AGENT
    address_templates.check_where("serving_address", serving, is_called=False)
    follows = health.startswith(address_templates.ADDRESS)
    address_templates.check_where("health_check", serving if follows else health, is_called=asks_here)


_CHOICES: dict[str, list[str]] = {
    "follows": Follows.values,
    "kind": DeployKind.values,
    "start": StartMode.values,
    "deploy_role": [role.value for role in DEPLOY_ROLES],
}


def _clean(name: str, value: Any) -> dict[str, Any]:
    """A field as the columns that keep it. Raises Invalid."""
    if name in _CHOICES:
        if value not in _CHOICES[name]:
            raise Invalid(name, f"One of {', '.join(_CHOICES[name])}.")
        return {name: value}
    if name == "site":
        return {name: clean_text(name, value, limit=200)}
    if name == "followed":
        return {name: clean_text(name, value, limit=255)}
    if name == "name_pattern":
        return {name: clean_text(name, value, limit=256) or "*"}
    if name == "tag":
        key, _, wanted = clean_text(name, value, limit=501).partition("=")
        if len(key) > 250 or len(wanted) > 250 or (wanted and not key):
            raise Invalid(name, "Written as key or key=value, of at most 250 characters each.")
        return {"tag_key": key, "tag_value": wanted}
    if name in ("for_team", "deploy_team"):
        if value is not None and not isinstance(value, Team):
            raise Invalid(name, "A team, or nothing.")
        return {name: value}
    if name in ("serving_address", "health_check"):
        return {name: address_templates.check(name, value, may_follow=name == "health_check")}
    if name in TIMES:
        least, most = TIMES[name]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise Invalid(name, f"Whole seconds, {least} to {most}.")
        return {name: value}
    if name == "rolls_back":
        if not isinstance(value, bool):
            raise Invalid(name, "true or false.")
        return {name: value}
    if name == "freezes":
        return {name: _clean_freezes(value)}
    raise Invalid(str(name)[:100], "There is no such field.")


def _clean_freezes(value: Any) -> list[dict[str, str]]:
    """Freezes by their beginning, with times in UTC."""
    if not isinstance(value, list) or len(value) > MAX_FREEZES:
        raise Invalid("freezes", f"A list of at most {MAX_FREEZES} of from, until and reason.")
    clean = []
    for number, one in enumerate(value):
        where = f"freezes[{number}]"
        if not isinstance(one, Mapping) or not set(one) <= {"from", "until", "reason"}:
            raise Invalid(where, "Has from, until and reason.")
        begins, ends = (_moment(f"{where}.{name}", one.get(name)) for name in ("from", "until"))
        if ends <= begins:
            raise Invalid(f"{where}.until", "Must come after “from”.")
        if ends - begins > timedelta(days=366):
            raise Invalid(f"{where}.until", "At most a year.")
        reason = clean_text(f"{where}.reason", one.get("reason"), limit=300)
        if not reason:
            raise Invalid(f"{where}.reason", "Say why: whoever is held up will ask.")
        clean.append({"from": begins.isoformat(), "until": ends.isoformat(), "reason": reason})
    return sorted(clean, key=lambda freeze: (freeze["from"], freeze["until"]))


def _moment(field: str, value: Any) -> datetime:
    if isinstance(value, datetime):
        found: datetime | None = value
    else:
        try:
            found = parse_datetime(value) if isinstance(value, str) else None
        except ValueError:
            found = None
    if found is None or found.tzinfo is None:
        raise Invalid(field, "A moment with its time zone, as in 2026-12-20T18:00:00Z.")
    return found.astimezone(UTC)
