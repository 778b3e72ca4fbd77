"""The people every test knows. Roles are what they are named for here; nobody else has any.

team risk: alice (owner), bob (contributor), carol (approver), dave (viewer), erin (admin)
team vision: charlie (owner), who is a stranger to risk
root: site admin
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.apps import apps
from django.db import connection, transaction
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
    """The same people for test after test: what the verbs wrote the first time is written again.

    The verbs take 20 ms, and Django 10 to put the statements together, for which nearly every test would wait.
    """

    def __init__(self) -> None:
        self._rows: dict[type[Model], list[Model]] = {}
        self._statements: list[tuple[str, list[Any]]] = []

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
        if not self._statements:
            self._statements = _statements(self._rows)
        adapted = connection.ops.adapt_datetimefield_value(now)
        with transaction.atomic(savepoint=False), connection.cursor() as cursor:
            for sql, values in self._statements:
                cursor.execute(sql, _at(adapted, values))
        users = {user.username: user for user in self._fresh(User, now)}
        teams = {team.slug: team for team in self._fresh(Team, now)}
        return _known({name: users[name] for name in NAMES}, teams["risk"], teams["vision"], door="shell")

    def _fresh(self, table: type[Model], now: datetime) -> list[Model]:
        rows = [_as_made(row, now) for row in self._rows[table]]
        for row in rows:
            row._state.adding, row._state.db = False, connection.alias
        return rows


# Stands for the time in what is written again.
NOW = datetime(1999, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def _statements(rows: dict[type[Model], list[Model]]) -> list[tuple[str, list[Any]]]:
    """What Django tells the database to write such rows, which is not done."""
    found: list[tuple[str, list[Any]]] = []

    def kept(execute, sql, values, many, context):
        if sql.startswith("INSERT"):
            found.append((sql, list(values)))
        return execute(sql, values, many, context)

    with transaction.atomic():
        with connection.execute_wrapper(kept):
            for table, some in rows.items():
                table._base_manager.bulk_create(_as_made(row, NOW) for row in some)
        transaction.set_rollback(True)
    return found


def _at(now: Any, values: list[Any]) -> list[Any]:
    """Values of a statement, with the time they are written at. (PostgreSQL is given a list per column.)"""
    stands_for_it = connection.ops.adapt_datetimefield_value(NOW)
    return [
        _at(now, one) if isinstance(one, list) else now if one == stands_for_it else one for one in values
    ]


def tables() -> list[type[Model]]:
    """All of ours and of the libraries, also those that only join two others."""
    return [table for table in apps.get_models(include_auto_created=True) if table._meta.managed]


def _as_made(row: Model, now: datetime) -> Model:
    """That row, as if it were made now."""
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
