"""The protocol, line by line: every case against Modelry, and the same table against MLflow's own server.

What the table says of the original is checked, not believed: where both differ, the case says why (`differs`), and
docs/mlflow.md lists it.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.db import transaction
from django.test import Client

from tests import people

from . import (
    artifacts,
    experiments,
    filters,
    logged_models,
    metrics,
    model_versions,
    moves,
    pages,
    registered_models,
    run_searches,
    runs,
    searches,
    webhooks,
)
from .case import Answer, Case, Send, Worlds
from .differences import DIFFERENCES

MODULES = (
    artifacts,
    experiments,
    filters,
    logged_models,
    metrics,
    model_versions,
    moves,
    pages,
    registered_models,
    run_searches,
    runs,
    searches,
    webhooks,
)
CASES = [(module.__name__.rpartition(".")[2], case) for module in MODULES for case in module.CASES]
PAPER = Path(__file__).resolve().parents[4] / "docs/mlflow.md"


def ids(value: object) -> str:
    return value.name[:80] if isinstance(value, Case) else str(value)


@pytest.fixture(scope="module")
def token(django_db_setup, django_db_blocker) -> Iterator[str]:
    """A token of somebody who may everything in a team, for all cases; nothing stays in the database."""
    with django_db_blocker.unblock(), suppress(_Undo), transaction.atomic():
        yield people.token(people.build().erin)
        raise _Undo


class _Undo(Exception):
    pass


@pytest.fixture
def send(token, django_db_blocker) -> Iterator[Send]:
    """Calls Modelry within this process; what the case does is undone afterwards."""
    client = Client(headers={"Authorization": f"Bearer {token}"})

    def call(method: str, path: str, content: bytes | None, headers: dict[str, str]) -> Answer:
        answer = client.generic(method, path, content or b"", headers.get("Content-Type", ""))
        body = answer.getvalue()
        return Answer(answer.status_code, _read(body), dict(answer.headers))

    with django_db_blocker.unblock(), suppress(_Undo), transaction.atomic():
        yield call
        raise _Undo


def _read(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


@pytest.mark.django_db
@pytest.mark.parametrize("noun, case", CASES, ids=ids)
def test_modelry(noun, case, send):
    problem = case.play(send, secrets.token_hex(4), case.ours or case.expected)
    assert not problem, f"{case.call}\n{problem}"


@pytest.mark.original
def test_the_original(original_server):
    """All in one test, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", original_server.port, timeout=60)

    def call(method: str, path: str, content: bytes | None, headers: dict[str, str]) -> Answer:
        connection.request(method, path, content, headers)
        answer = connection.getresponse()
        return Answer(answer.status, _read(answer.read()), dict(answer.headers))

    worlds: Worlds = {}
    problems = {
        f"{noun}: {case.name}": problem
        for noun, case in CASES
        if (problem := case.play(call, secrets.token_hex(4), case.expected, worlds))
    }
    connection.close()
    assert not problems


def test_names_tell_cases_apart():
    names = [(noun, case.name) for noun, case in CASES]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_differences_are_declared_with_both_answers():
    assert {case.name for _, case in CASES if bool(case.differs) != (case.ours is not None)} == set()
    assert {case.differs for _, case in CASES if case.differs} <= DIFFERENCES.keys()


def test_differences_are_written_down():
    """WRITE=1 writes the table in docs/mlflow.md anew."""
    begin, end = "<!-- differences: written by WRITE=1 -->\n", "<!-- /differences -->\n"
    used = {case.differs for _, case in CASES}
    rows = "".join(f"| {what} | {why} |\n" for key, (what, why) in DIFFERENCES.items() if key in used)
    text = f"{begin}\n| what is different | why |\n| --- | --- |\n{rows}\n{end}"
    paper = PAPER.read_text()
    before, _, rest = paper.partition(begin)
    if os.environ.get("WRITE"):
        PAPER.write_text(before + text + rest.partition(end)[2])
    assert text in PAPER.read_text(), f"Write it anew: WRITE=1 script/test {Path(__file__).name}"
    assert set(DIFFERENCES) == used - {""}
