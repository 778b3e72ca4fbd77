"""The protocol, line by line: every case against Modelry, and the same table against MLflow's own server.

What the table says of the original is checked, not believed: where both differ, the case says why (`differs`), and
docs/mlflow.md lists it.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
from pathlib import Path

import pytest
from django.db import transaction
from django.test import Client

from tests.people import token

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
from .case import Answer, Worlds
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
NOUNS = {module.__name__.rpartition(".")[2]: module.CASES for module in MODULES}
CASES = [(noun, case) for noun, cases in NOUNS.items() for case in cases]
PAPER = Path(__file__).resolve().parents[4] / "docs/mlflow.md"


def _read(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


@pytest.mark.django_db
@pytest.mark.parametrize("noun", NOUNS)
def test_modelry(noun, people):
    """All cases of a noun in one test, within this process. What a case changes is undone; what was prepared stays for
    those that change nothing.
    """
    client = Client(headers={"Authorization": f"Bearer {token(people.erin)}"})

    def call(method: str, path: str, content: bytes | None, headers: dict[str, str]) -> Answer:
        answer = client.generic(method, path, content or b"", headers.get("Content-Type", ""))
        body = answer.getvalue()
        return Answer(answer.status_code, _read(body), dict(answer.headers))

    worlds: Worlds = {}
    problems = {}
    for case in NOUNS[noun]:
        with transaction.atomic():
            problem = case.play(call, secrets.token_hex(4), case.ours or case.expected, worlds)
            transaction.set_rollback(not case.changes_nothing)
        if problem:
            problems[case.name] = f"{case.call}\n{problem}"
    assert not problems, "\n\n".join(f"{name}: {problem}" for name, problem in problems.items())


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
