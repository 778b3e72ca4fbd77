"""Who may do what. Fetching a thing and the right to it are one call, so that nobody forgets to ask."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import QuerySet, Subquery

from models_app.models import (
    Membership,
    ModelVersion,
    RegisteredModel,
    Role,
    Scope,
    Stage,
    Team,
    User,
    Visibility,
)

from .errors import Forbidden, Invalid, NotFound, TeamUnclear, Unauthenticated
from .names import split_name
from .prepared import Prepared, PreparedInstances

if TYPE_CHECKING:
    from models_app.models.catalog import ModelVersionQuerySet, RegisteredModelQuerySet
    from models_app.models.people import ApiToken


class Right(StrEnum):
    """What can be done in a team: the table of roles below says who may. One's account is one's own."""

    READ = "read"
    REGISTER = "register"
    EDIT_VERSION = "edit versions"
    EDIT_MODEL = "edit models"
    DELETE = "delete"
    MOVE = "move versions between stages"
    RETIRE = "take versions out of production"
    PROMOTE = "promote to production"
    ROLLBACK = "roll back"
    DEPLOY = "deploy"
    REPORT = "report deployments"
    HOLD = "place and lift legal holds"
    MANAGE_TEAM = "manage the team"
    ACCOUNT = "change your account"


# Which of them in an environment, it says itself: registry/environments.py.
_DEPLOYING = frozenset({Right.DEPLOY, Right.REPORT})
_CONTRIBUTOR = frozenset({Right.READ, Right.REGISTER, Right.EDIT_VERSION, Right.MOVE}) | _DEPLOYING
RIGHTS: dict[str, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.READ}),
    Role.CONTRIBUTOR: _CONTRIBUTOR,
    Role.OWNER: _CONTRIBUTOR | {Right.EDIT_MODEL, Right.DELETE, Right.RETIRE, Right.ROLLBACK},
    Role.APPROVER: frozenset({Right.READ, Right.MOVE, Right.RETIRE, Right.PROMOTE, Right.ROLLBACK})
    | _DEPLOYING,
    Role.ADMIN: frozenset(Right) - {Right.ACCOUNT},
}
_SCOPES: dict[Right, frozenset[str]] = {
    Right.READ: frozenset({Scope.READ, Scope.WRITE, Scope.PROMOTE}),
    Right.REGISTER: frozenset({Scope.WRITE}),
    Right.EDIT_VERSION: frozenset({Scope.WRITE}),
    Right.EDIT_MODEL: frozenset({Scope.WRITE}),
    Right.DELETE: frozenset({Scope.WRITE}),
    Right.HOLD: frozenset({Scope.WRITE}),
    Right.MANAGE_TEAM: frozenset({Scope.WRITE}),
    Right.ACCOUNT: frozenset({Scope.WRITE}),
    Right.MOVE: frozenset({Scope.WRITE, Scope.PROMOTE}),
    Right.RETIRE: frozenset({Scope.PROMOTE}),
    Right.PROMOTE: frozenset({Scope.PROMOTE}),
    Right.ROLLBACK: frozenset({Scope.PROMOTE}),
    Right.DEPLOY: frozenset({Scope.PROMOTE}),
    Right.REPORT: frozenset({Scope.WRITE}),
}


_ROLES = Prepared(
    lambda user: Membership.objects.filter(user=user).order_by().values_list("team_id", "role"), int
)


@dataclass(frozen=True, eq=False)
class Actor:
    """Who acts, and through what. `scopes` None means no token narrows what the person may do."""

    user: User | None
    scopes: frozenset[str] | None = None
    token_prefix: str = ""
    door: str = ""
    address: str = ""
    request_id: str = ""
    is_system: bool = False

    @classmethod
    def of(
        cls,
        user: User | None,
        *,
        door: str,
        address: str = "",
        request_id: str = "",
        token: ApiToken | None = None,
    ) -> Actor:
        """The actor behind a request; an anonymous or inactive user is nobody."""
        known = user if user is not None and user.is_authenticated and user.is_active else None
        return cls(
            user=known,
            scopes=frozenset(token.scopes) if token else None,
            token_prefix=token.prefix if token else "",
            door=door,
            address=address,
            request_id=request_id,
        )

    @classmethod
    def system(cls, *, door: str = "task") -> Actor:
        """The registry itself: may do everything, recorded as “system”."""
        return cls(user=None, door=door, is_system=True)

    @property
    def is_known(self) -> bool:
        return self.user is not None or self.is_system

    @property
    def is_site_admin(self) -> bool:
        return self.is_system or (self.user is not None and self.user.is_superuser)

    @property
    def name(self) -> str:
        if self.is_system:
            return "system"
        return self.user.username if self.user else "anonymous"

    @cached_property
    def roles(self) -> dict[int, str]:
        """Team id → role of the person there."""
        if self.user is None:
            return {}
        return dict(_ROLES(self.user.pk))

    @property
    def readable_teams(self) -> Iterable[int] | None:
        """Teams whose private models may be read; None means all."""
        return None if self.is_site_admin else self.roles.keys()


def _has_scope(actor: Actor, right: Right) -> bool:
    return actor.scopes is None or bool(actor.scopes & _SCOPES[right])


def may(actor: Actor, right: Right, team: Team | int | None) -> bool:
    """Whether role and token allow this in the team (site admins: everywhere). Says nothing of reading
    internal models.
    """
    if actor.is_system:
        return True
    if not actor.is_known or not _has_scope(actor, right):
        return False
    if actor.is_site_admin:
        return True
    if team is None:
        return False
    role = actor.roles.get(team if isinstance(team, int) else team.pk)
    return role is not None and right in RIGHTS[role]


def has_role(actor: Actor, right: Right, team_id: int) -> bool:
    """Whether the person's role allows this in the team, whatever the token at hand may do."""
    role = actor.roles.get(team_id)
    return actor.is_site_admin or (role is not None and right in RIGHTS[role])


def home_teams(actor: Actor) -> QuerySet[Team]:
    """The teams that can be somebody's default: where she registers; all for site admins."""
    if actor.is_site_admin:
        return Team.objects.all()
    return Team.objects.filter(pk__in=_registers_in(actor))


def _registers_in(actor: Actor) -> list[int]:
    return [team for team, role in actor.roles.items() if Right.REGISTER in RIGHTS[role]]


def home_team(actor: Actor) -> Team | None:
    """Whose a thing is that somebody makes without saying: her default team's, or the only one's in which she
    registers. None, where that leaves a choice.
    """
    teams = _registers_in(actor)
    default = actor.user.default_team_id if actor.user else None
    if default is not None and has_role(actor, Right.REGISTER, default):
        teams = [default]
    return Team.objects.get(pk=teams[0]) if len(teams) == 1 else None


def team_of_new(name: str, team: Team | None, by: Actor) -> Team:
    """The team of a new name: its namespace's, the one given, the person's default, or the only one she
    registers in.
    """
    require_login(by)
    namespace, _ = split_name(name)
    if namespace:
        owner = Team.objects.filter(slug=namespace).first()
        if owner is None:
            raise Invalid("name", f"“{namespace}/…” belongs to a team of that name, and there is none.")
        if team is not None and team != owner:
            raise Invalid("team", f"“{name}” belongs to team {namespace}.")
        return owner
    if team is not None:
        return team
    home = home_team(by)
    if home is None and len(by.roles) == 1:
        # She only looks on there: the refusal says who could give her the role.
        home = Team.objects.get(pk__in=by.roles.keys())
    if home is None:
        raise TeamUnclear(
            "team", "Say which team owns it: write team/name, or choose a default team in your profile."
        )
    return home


def require(actor: Actor, right: Right, team: Team | None) -> None:
    """Raises Unauthenticated or Forbidden unless `may`; the refusal says which role is missing and who can give it."""
    if may(actor, right, team):
        return
    require_login(actor)
    if actor.scopes is not None and not _has_scope(actor, right):
        need = " or ".join(sorted(_SCOPES[right]))
        raise Forbidden(
            f"This token may not {right}: it has the scopes {', '.join(sorted(actor.scopes)) or 'none'}.",
            next_step=f"Make a token with the scope {need} under Account → Tokens.",
        )
    if team is None:
        what = "see" if right is Right.READ else "do"
        raise Forbidden(f"Only a site admin may {what} that.", next_step="Ask a site admin.")
    roles = [Role(role).label.lower() for role, rights in RIGHTS.items() if right in rights]
    raise Forbidden(
        f"You may not {right} in team {team.slug}: that takes the role {', '.join(roles[:-1])} or {roles[-1]}."
        if len(roles) > 1
        else f"You may not {right} in team {team.slug}: that takes the role {roles[0]}.",
        next_step=f"Ask an admin of team {team.slug} for the role: {_admins_of(team)}.",
    )


def _admins_of(team: Team) -> str:
    names = Membership.objects.filter(team=team, role=Role.ADMIN).values_list("user__username", flat=True)[:5]
    return ", ".join(names) or "a site admin"


def may_on(actor: Actor, right: Right, model: RegisteredModel) -> bool:
    """`may` in the team of a model; whoever answers for the model, and registers in its team, has the rights of the
    role owner on it.
    """
    if may(actor, right, model.team_id):
        return True
    return _answers_for(actor, model) and right in RIGHTS[Role.OWNER] and _has_scope(actor, right)


def _answers_for(actor: Actor, model: RegisteredModel) -> bool:
    """Its owner; as long as nobody is named, who registered it."""
    if actor.user is None or actor.user.pk != (model.owner_id or model.created_by_id):
        return False
    role = actor.roles.get(model.team_id)
    return role is not None and Right.REGISTER in RIGHTS[role]


def require_on(actor: Actor, right: Right, model: RegisteredModel) -> None:
    """Raises Unauthenticated or Forbidden unless `may_on`; the team is read only for a refusal."""
    if not may_on(actor, right, model):
        require(actor, right, model.team)


def require_login(actor: Actor) -> None:
    """Raises Unauthenticated when nobody is known."""
    if not actor.is_known:
        raise Unauthenticated("Log in, or send a token.", next_step="Make a token under Account → Tokens.")


def require_reading(actor: Actor) -> None:
    """Raises Unauthenticated unless somebody is known or everyone may read; Forbidden when the token may not read."""
    if not actor.is_known and not settings.PUBLIC_READ:
        require_login(actor)
    require_scope(actor, Right.READ)


def require_scope(actor: Actor, right: Right) -> None:
    """Raises Forbidden when the call's token does not carry a scope for this right."""
    if not _has_scope(actor, right):
        need = " or ".join(sorted(_SCOPES[right]))
        raise Forbidden(f"This token may not {right}.", next_step=f"Make a token with the scope {need}.")


def require_logging(actor: Actor, team: Team | None) -> None:
    """Who may register models in an experiment's team may log there; without a team, who may register anywhere.

    Raises Unauthenticated or Forbidden.
    """
    if team is not None:
        require(actor, Right.REGISTER, team)
        return
    require_login(actor)
    require_scope(actor, Right.REGISTER)
    anywhere = any(Right.REGISTER in RIGHTS[role] for role in actor.roles.values())
    if not (actor.is_site_admin or anywhere):
        raise Forbidden("You may not log runs: that takes the role contributor in some team.")


def may_read(actor: Actor, visibility: str, team_id: int | None) -> bool:
    """Whether a model or experiment of this team may be read, by one for whom `require_reading` holds."""
    if visibility == Visibility.INTERNAL:
        return True
    teams = actor.readable_teams
    return teams is None or (team_id is not None and team_id in teams)


def manages_account(actor: Actor, user: User) -> bool:
    """Whether this is a service account of which the actor manages every team; site admins manage all of them."""
    if not user.is_service:
        return False
    if may(actor, Right.MANAGE_TEAM, None):
        return True
    teams = Membership.objects.filter(user=user).values_list("team_id", flat=True)
    return bool(teams) and all(may(actor, Right.MANAGE_TEAM, team) for team in teams)


def models_for(actor: Actor) -> RegisteredModelQuerySet:
    """The models the actor may read."""
    require_reading(actor)
    return RegisteredModel.objects.readable_in(actor.readable_teams)


def versions_for(actor: Actor) -> ModelVersionQuerySet:
    """The versions the actor may read, with model and team."""
    require_reading(actor)
    return ModelVersion.objects.readable_in(actor.readable_teams).select_related("model__team")


def _whole_models() -> RegisteredModelQuerySet:
    return RegisteredModel.objects.order_by().select_related(
        "team", "owner", "newest", "newest_staging", "newest_production"
    )


_MODEL_NAMED = PreparedInstances(lambda name: _whole_models().filter(name=name), str)
_MODEL_ONCE_NAMED = PreparedInstances(lambda name: _whole_models().filter(former_names__name=name), str)


def get_model(name: str, *, by: Actor, right: Right = Right.READ) -> RegisteredModel:
    """The model of that name or former name. Raises NotFound when absent or unreadable, Forbidden without the right."""
    require_reading(by)
    for find in (_MODEL_NAMED, _MODEL_ONCE_NAMED):
        model = find.one(name)
        if model is not None and may_read(by, model.visibility, model.team_id):
            break
    else:
        raise NotFound(
            f"There is no model “{name}” that you may see.", next_step="Search for it, or ask its team."
        )
    if right is not Right.READ:
        require_on(by, right, model)
    return model


def unflat(name: str) -> str:
    """The name that `team--name` stands for in protocols without slashes; any other name is itself."""
    namespace, dashes, short = name.partition("--")
    if not dashes or not namespace or not short or "/" in name:
        return name
    return f"{namespace}/{short}" if Team.objects.filter(slug=namespace).exists() else name


def get_version(name: str, revision: str | int, *, by: Actor, right: Right = Right.READ) -> ModelVersion:
    """A version by number, stage (newest in it), alias or `latest`. Raises NotFound, Forbidden without the right."""
    model = get_model(name, by=by, right=right)
    version = find_revision(model, str(revision))
    if version is None:
        raise NotFound(
            f"{model.name} has no version “{revision}”.",
            next_step="A revision is a number, a stage, an alias or “latest”.",
        )
    return version


def _whole_versions() -> ModelVersionQuerySet:
    return ModelVersion.objects.order_by().select_related(
        "model__team",
        "model__owner",
        "owner",
        "created_by",
        "last_promoted_by",
        "manifest",
        "rollback_target",
        "run__experiment",
    )


def _newest(found: ModelVersionQuerySet) -> ModelVersionQuerySet:
    # Only the inner query is ordered: of wide rows that costs more than finding them.
    return _whole_versions().filter(pk=Subquery(found.newest_first().values("pk")[:1]))


_NUMBERED = PreparedInstances(
    lambda model, number: _whole_versions().filter(model=model, number=number), int, int
)
_NEWEST = PreparedInstances(lambda model: _newest(ModelVersion.objects.filter(model=model)), int)
_NEWEST_IN = PreparedInstances(
    lambda model, stage: _newest(ModelVersion.objects.filter(model=model).in_stage(stage)), int, str
)
_ALIASED = PreparedInstances(
    lambda model, alias: _whole_versions().filter(aliases__name=alias, aliases__model=model), int, str
)


def find_revision(model: RegisteredModel, revision: str) -> ModelVersion | None:
    """The version a revision names within a model, or None."""
    if revision.isascii() and revision.isdigit():
        # Python refuses to read thousands of digits.
        number = int(revision) if len(revision) <= 10 else 0
        return _NUMBERED.one(model.pk, number) if 0 < number < 2**31 else None
    if revision == "latest":
        return _NEWEST.one(model.pk)
    if revision in Stage.values:
        return _NEWEST_IN.one(model.pk, revision)
    return _ALIASED.one(model.pk, revision)


def parse_revision(text: str) -> tuple[str, str | None]:
    """`team/name@12` → ("team/name", "12"); without `@` the revision is None."""
    name, at, revision = text.partition("@")
    return (name, revision) if at else (name, None)
