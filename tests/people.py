"""The people every test knows. Roles are what they are named for here; nobody else has any.

team risk: alice (owner), bob (contributor), carol (approver), dave (viewer), erin (admin)
team vision: charlie (owner), who is a stranger to risk
root: site admin
"""

from __future__ import annotations

from dataclasses import dataclass

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
    actors = {name: Actor.of(user, door=door) for name, user in users.items()}
    return People(**actors, anonymous=Actor.of(None, door=door), risk=risk, vision=vision)


def token(actor: Actor, *scopes: str) -> str:
    """A new secret of that person; all scopes unless some are named."""
    _, secret = verbs.create_token(
        user=actor.user, name="tests", scopes=scopes or ("read", "write", "promote"), by=actor
    )
    return secret
