"""Who a visitor of the demo company can be. The demo data makes these people; the start script prints them."""

from __future__ import annotations

from typing import TypedDict


class Login(TypedDict):
    username: str
    password: str
    role: str


PASSWORD = "modelry-demo"

LOGINS: tuple[Login, ...] = (
    {"username": "viewer", "password": PASSWORD, "role": "reads"},
    {"username": "contributor", "password": PASSWORD, "role": "registers and edits"},
    {"username": "owner", "password": PASSWORD, "role": "owns models, rolls back"},
    {"username": "approver", "password": PASSWORD, "role": "promotes to production"},
    {"username": "admin", "password": PASSWORD, "role": "site admin, also at /admin/"},
)
# Whose token the start script prints for scripts: may do everything a first try needs.
TOKEN_OWNER = "admin"
