"""docs/permissions.md is true: every verb, tried as every role, through every door that offers it."""

from __future__ import annotations

import json
import logging
import os
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import cycle, product
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client, override_settings
from django.utils import timezone

from models_app.models import AuditEvent
from models_app.registry.hook_sending import Attempt

from . import table
from .calls import CALLS
from .sending import PERSONAL, Call
from .world import DOORS, MODEL, PRIVATE, World, fingerprint

# Rights are looked at by Python: another database could make no difference.
pytestmark = [pytest.mark.sqlite_is_enough, pytest.mark.long]

# Every call as every role, which takes longer and finds as much: set it after changing rights.
EVERY = bool(os.environ.get("EVERY"))


@pytest.fixture
def world(people, monkeypatch, settings) -> World:
    nothing = Attempt(timezone.now(), None, None, "", 0, may_retry=False)
    monkeypatch.setattr("models_app.registry.webhooks.send", lambda *_, **__: nothing)
    settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if "whitenoise" not in one]
    # A thousand refusals are meant.
    logging.disable(logging.WARNING)
    yield World(people)
    logging.disable(logging.NOTSET)


@contextmanager
def undone():
    """Whatever happens inside never happened."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def filled(value, ids):
    """What is sent, with the ids that it names."""
    if isinstance(value, str):
        return value.format(**ids)
    if isinstance(value, dict):
        return {key: filled(one, ids) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, ids) for one in value]
    return value


def send(client: Client, call, ids):
    path, body = filled(call.path, ids), filled(call.body, ids)
    if call.kind == "form":
        uploads = {
            key: SimpleUploadedFile("model.bin", value) if isinstance(value, bytes) else value
            for key, value in body.items()
        }
        return client.post(path, uploads)
    if call.kind == "bytes":
        return client.generic(call.method, path, body, content_type="application/octet-stream")
    text = "" if body is None else json.dumps(body)
    return client.generic(call.method, path, text, content_type="application/json")


def outcome(call, client, ids, *, hidden: bool) -> str:
    """yes, no or asks, as the answer and the audit tell alike; else what is wrong."""
    last = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
    response = send(client, call, ids)
    status, location = response.status_code, response.get("Location", "")
    if response.streaming:
        b"".join(response.streaming_content)
    told = list(AuditEvent.objects.filter(id__gt=last).values_list("verb", "refused"))
    done = [verb for verb, refused in told if not refused]
    refused = len(told) > len(done)
    if "promotion.requested" in done and "version.moved" not in done and not call.asks:
        return "asks"
    if status in (401, 403, 404) or "/login/" in location or refused:
        if done:
            return f"{status}, and did {done}"
        # What nobody known asked for, or what is not there to be seen, is no attempt of somebody.
        recorded = refused or call.reads or status != 403
        return "no" if recorded else f"{status}, not recorded"
    if status >= 400:
        return f"{status}: {response.content[:300]!r}"
    if hidden and client_is_led_away(call, status, location, told):
        return "no"
    return "yes" if done or call.reads or not call.audited else f"{status}, but nothing was recorded"


def client_is_led_away(call, status, location, told) -> bool:
    """How the admin says that there is no such row to be seen."""
    return call.path.startswith("/admin/") and status == 302 and not told


def tries(verb, row, door):
    """Role, cell and call, so that every role tries the verb and every call meets each kind of cell; all of them with
    EVERY.
    """
    calls = CALLS[verb][door]
    cells = {role: row[role].partition(" ")[0] for role in table.ROLES}
    if door == "admin":
        # A site may be open to everyone; its admin is not.
        cells["nobody, public site"] = "no"
    for wanted in ("yes", "no", "asks"):
        roles = [role for role, cell in cells.items() if cell == wanted]
        if EVERY:
            chosen = list(product(range(len(roles)), range(len(calls))))
        else:
            chosen = (
                [(at % len(roles), at % len(calls)) for at in range(max(len(roles), len(calls)))]
                if roles
                else []
            )
        for role, call in chosen:
            yield roles[role], wanted, calls[call]


@dataclass(frozen=True)
class Try:
    """One call by one role (or, with a scope, by a token of it that has this one), and what the table says of it."""

    verb: str
    door: str
    role: str
    cell: str
    call: Call
    scope: str = ""

    @property
    def who(self) -> str:
        return table.ROLES[self.role]

    @property
    def hidden(self) -> bool:
        return self.role.endswith("private")

    @property
    def before(self):
        """What has to be so: alike for all who try it, unless it is about who tries."""
        personal = self.who if self.call.prepare in PERSONAL else ""
        return self.call.prepare, self.hidden, personal

    def differs(self, world) -> str | None:
        """How the answer differs from the table."""
        ids = world.ids[PRIVATE if self.hidden else MODEL]
        client = world.narrow(self.who, self.scope) if self.scope else world.client(self.door, self.who)
        is_public = self.role.endswith("public site")
        # What a refusal leaves behind is looked for at the end.
        stays = self.cell == "no" and not self.call.prepare and not self.scope
        public = override_settings(PUBLIC_READ=True) if is_public else nullcontext()
        with public, nullcontext() if stays else undone():
            found = outcome(self.call, client, ids, hidden=self.hidden)
        if found == self.cell:
            return None
        return (
            f"{self.verb}, {self.door}, {self.scope or self.role}: {self.cell} in the table, "
            f"{found} by {self.call.method} {self.call.path}"
        )


def differences(world, tries) -> list[str]:
    """Where the table is wrong. What has to be so before is made once for all who try it, and undone."""
    groups: dict[Any, list[Try]] = {}
    for one in tries:
        groups.setdefault(one.before, []).append(one)
    found = []
    for (prepare, hidden, _), some in groups.items():
        with undone() if prepare else nullcontext():
            if prepare:
                prepare(world, world.ids[PRIVATE if hidden else MODEL], some[0].who)
            found += [one.differs(world) for one in some]
    return [one for one in found if one]


@pytest.mark.parametrize("door", DOORS)
def test_the_table_of_roles_holds(world, door):
    before = fingerprint()
    tries_of_all = [
        Try(verb, door, *one)
        for verb, row in table.roles().items()
        if door in table.doors(row)
        for one in tries(verb, row, door)
    ]
    found = differences(world, tries_of_all)
    assert not found, "\n".join(found)
    after = fingerprint()
    assert [name for name in before if after[name] != before[name]] == [], "changed by what was refused"


def test_the_table_of_tokens_holds(world):
    """A token of one scope, of somebody who may: what it lacks is refused, recorded, and changes nothing."""
    tries_of_all = []
    for verb, row in table.scopes().items():
        cells = table.roles()[verb]
        role = next(
            role for role in ("admin", "site admin", "approver", "contributor") if cells[role] == "yes"
        )
        for door in sorted({"REST", "MLflow"} & set(CALLS[verb])):
            calls = CALLS[verb][door]
            some = product(table.SCOPES, calls) if EVERY else zip(table.SCOPES, cycle(calls), strict=False)
            for scope, call in some:
                world.narrow(table.ROLES[role], scope)
                tries_of_all.append(Try(verb, door, role, row[scope], call, scope))
    found = differences(world, tries_of_all)
    assert not found, "\n".join(found)


def test_every_row_has_its_calls_and_every_call_its_row():
    rows = {verb: table.doors(row) for verb, row in table.roles().items()}
    assert rows == {verb: list(doors) for verb, doors in CALLS.items()}
    by_token = {verb for verb, doors in CALLS.items() if {"REST", "MLflow"} & set(doors)}
    never = {verb for verb, row in table.roles().items() if "yes" not in row.values()}
    assert set(table.scopes()) == by_token - never
