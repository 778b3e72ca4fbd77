"""The people every test knows. Roles are what they are named for here; nobody else has any.

team risk: alice (owner), bob (contributor), carol (approver), dave (viewer), erin (admin)
team vision: charlie (owner), who is a stranger to risk
root: site admin
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime

from django.apps import apps
from django.db import transaction
from django.db.models import Model
from django.utils import timezone

from models_app.models import Role, Team, User
from models_app.registry import people as verbs
from models_app.registry.access import Actor

PASSWORD = "correct horse battery"
RISK = {
    "alice": Role.OWNER,
    "bob": Role.CONTRIBUTOR,
    "carol": Role.APPROVER,
    "dave": Role.VIEWER,
    "erin": Role.ADMIN,
}
NAMES = [*RISK, "charlie", "root"]


@dataclass(frozen=True)
class People:
    """Each person as an Actor; the row is `.user`."""

    alice: Actor
    bob: Actor
    carol: Actor
    dave: Actor
    erin: Actor
    charlie: Actor
    root: Actor
    anonymous: Actor
    risk: Team
    vision: Team


def build(*, door: str = "shell") -> People:
    """Make them all, by the verbs."""
    system = Actor.system(door=door)
    users: dict[str, User] = {
        name: verbs.create_user(
            name, email=f"{name}@example.com", password=PASSWORD, is_site_admin=name == "root", by=system
        )
        for name in NAMES
    }
    risk = verbs.create_team("risk", name="Risk", by=system)
    vision = verbs.create_team("vision", name="Vision", by=system)
    for name, role in RISK.items():
        verbs.set_role(risk, user=users[name], role=role, by=system)
    verbs.set_role(vision, user=users["charlie"], role=Role.OWNER, by=system)
    return _known(users, risk, vision, door=door)


def _known(users: dict[str, User], risk: Team, vision: Team, *, door: str) -> People:
    actors = {name: Actor.of(user, door=door) for name, user in users.items()}
    return People(**actors, anonymous=Actor.of(None, door=door), risk=risk, vision=vision)


class Remembered:
    """The same people for test after test: what the verbs wrote the first time is written again, row by row.

    The verbs take 20 ms, which nearly every test would wait for.
    """

    def __init__(self) -> None:
        self._rows: dict[type[Model], list[Model]] = {}

    def build(self) -> People:
        """By the verbs the first time, and where others were made before: ids would be theirs."""
        others = User.objects.exists() or Team.objects.exists()
        if self._rows and not others:
            return self._again()
        if others:
            return build()
        before = {table: set(table._base_manager.values_list("pk", flat=True)) for table in tables()}
        people = build()
        for table, keys in before.items():
            if rows := list(table._base_manager.exclude(pk__in=keys).order_by("pk")):
                self._rows[table] = rows
        return people

    def _again(self) -> People:
        now = timezone.now()
        written = {table: [_fresh(row, now) for row in rows] for table, rows in self._rows.items()}
        with transaction.atomic():
            for table, rows in written.items():
                table._base_manager.bulk_create(rows)
        users = {user.username: user for user in written[User]}
        teams = {team.slug: team for team in written[Team]}
        return _known({name: users[name] for name in NAMES}, teams["risk"], teams["vision"], door="shell")


def tables() -> list[type[Model]]:
    """All of ours and of the libraries, also those that only join two others."""
    return [table for table in apps.get_models(include_auto_created=True) if table._meta.managed]


def _fresh(row: Model, now: datetime) -> Model:
    """That row to be written anew, as if it were made now."""
    values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    return type(row)(
        **{name: now if isinstance(value, datetime) else deepcopy(value) for name, value in values.items()}
    )


def token(actor: Actor, *scopes: str) -> str:
    """A new secret of that person; all scopes unless some are named."""
    _, secret = verbs.create_token(
        user=actor.user, name="tests", scopes=scopes or ("read", "write", "promote"), by=actor
    )
    return secret
