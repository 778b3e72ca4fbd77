"""The OpenAPI document: complete, served here, and true."""

import re
import traceback
from dataclasses import dataclass
from functools import cache

import pytest
import schemathesis
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import booleans
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from models_app.api.schema import document
from models_app.registry import people as verbs
from models_app.registry import runs
from tests import builders
from tests.people import token

pytestmark = pytest.mark.long

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@cache
def operations():
    return [
        (path, method, operation)
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
    ]


def test_it_is_written_without_a_warning(tmp_path):
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema.yaml"))


def test_every_operation_says_what_it_does_and_how_it_fails():
    assert len(operations()) > 40
    for path, method, operation in operations():
        where = f"{method} {path}"
        assert operation.get("summary"), where
        # What carries its right in its address asks for nothing else.
        assert operation.get("security") or path.endswith("/{token}"), where
        wanted = {"401", "403", "404"} | ({"409", "422", "413"} if "requestBody" in operation else set())
        assert wanted <= set(operation["responses"]), where
        for status, answer in operation["responses"].items():
            if status >= "400":
                assert list(answer["content"]) == ["application/problem+json"], where


def test_names_of_operations_are_given_once():
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(names) == len(set(names))


def test_the_pages_about_it_load_nothing_from_elsewhere_and_no_inline_script(client, db):
    page = client.get("/api/docs/")
    assert page.status_code == 200
    text = page.content.decode()
    assert re.findall(r"<script(?![^>]*\bsrc=)", text) == []
    assert [
        link for link in re.findall(r'(?:src|href)="([^"]+)"', text) if link.startswith(("http", "//"))
    ] == []
    script = client.get("/api/docs/?script=")
    assert script["Content-Type"].startswith("application/javascript")
    answer = client.get("/api/v1/schema", headers={"Accept": "application/json"})
    assert answer.status_code == 200


@dataclass
class Registry:
    """Who asks, and path parameters behind which there is something."""

    secret: str
    addresses: dict[str, object]


@pytest.fixture
def registry(people):
    model = builders.model("risk/fraud", by=people.alice, tags={"domain": "payments"})
    run = runs.create_run(by=people.alice, metrics={"loss": 0.1}, params={"lr": 1}, datasets=[{"name": "tx"}])
    builders.promoted(model, by=people.alice, approver=people.carol, aliases=["champion"], run=run.uid)
    builders.complete_version(
        model, by=people.alice, tags={"a": "b"}, reports=[{"url": "https://example.com/"}], risk_flags=["pii"]
    )
    made, _ = verbs.create_token(user=people.erin.user, name="x", scopes=["read"], by=people.erin)
    return Registry(
        token(people.erin),
        {
            "name": "risk/fraud",
            "revision": "2",
            "path": "model.bin",
            "uid": run.uid,
            "slug": "risk",
            "alias": "champion",
            "id": made.pk,
        },
    )


@cache
def trials():
    trial = schemathesis.openapi.from_wsgi("/api/v1/schema?format=json", get_wsgi_application())
    return {found.ok().definition.raw["operationId"]: found.ok() for found in trial.get_all_operations()}


@pytest.mark.postgres_is_enough
def test_answers_are_as_the_document_says(registry):
    """Every operation in one test, each undone: what they ask about takes longer to make than to ask."""
    problems = {}
    for name in sorted(operation["operationId"] for _, _, operation in operations()):
        try:
            with transaction.atomic():
                ask(trials()[name], registry)
                transaction.set_rollback(True)
        except Exception as error:
            problems[name] = "".join(traceback.format_exception(error))[-3000:]
    assert not problems, "\n\n".join(f"{name}: {problem}" for name, problem in problems.items())


def ask(trial, registry):
    """Six requests that the document allows."""

    @settings(
        max_examples=6,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=trial.as_strategy(), is_there=booleans())
    def one(case, is_there):
        if is_there:
            known = registry.addresses.items()
            case.path_parameters.update({key: value for key, value in known if key in case.path_parameters})
        case.call_and_validate(headers={"Authorization": f"Bearer {registry.secret}"}, checks=CHECKS)

    one()
