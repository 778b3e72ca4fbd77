"""Every refusal has one shape, whoever raised it."""

import json

import pytest

from models_app.registry import catalog, errors
from tests.api.asking import V1, refused


@pytest.mark.parametrize(
    "path",
    ["/api/v1/nothing", "/api/v1/", "/api/", "/api/v2/models", "/api/v1/models/", "/api/v1/models/a/b/c"],
)
def test_unknown_addresses(api, path):
    refused(api.bob.get(path), 404)
    refused(api.bob.post(path, {}), 404)
    refused(api.anonymous.get(path), 404)


def test_other_methods_and_what_is_allowed(api):
    answer = api.bob.put(f"{V1}/models", {})
    refused(answer, 405)
    assert "POST" in answer["Allow"]
    refused(api.bob.delete(f"{V1}/me"), 405)
    refused(api.bob.options(f"{V1}/models"), 405)


def test_other_formats(api):
    refused(api.bob.get(f"{V1}/models", headers={"Accept": "application/xml"}), 406)
    refused(api.bob.post(f"{V1}/models", "name=x", "application/x-www-form-urlencoded"), 415)
    refused(api.bob.post(f"{V1}/models", "name: x", "text/yaml"), 415)


def test_what_nobody_expected_is_told_without_details(api, monkeypatch):
    def explode(*args, **kwargs):
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(catalog, "register_model", explode)
    client = api.bob
    client.raise_request_exception = False
    answer = client.post(f"{V1}/models", {"name": "risk/x"})
    problem = refused(answer, 500)
    assert "hunter2" not in json.dumps(problem)
    assert "RuntimeError" not in json.dumps(problem)


@pytest.mark.parametrize(
    "error,status",
    [
        (errors.Unauthenticated("x"), 401),
        (errors.Forbidden("x"), 403),
        (errors.NotFound("x"), 404),
        (errors.Conflict("x"), 409),
        (errors.AlreadyExists("x"), 409),
        (errors.PolicyUnmet("x", subject="a@1", missing=[]), 409),
        (errors.Invalid("f", "x"), 400),
        (errors.Mismatch("f", "x"), 422),
        (errors.TooLarge("x", limit=3), 413),
        (errors.Damaged("x"), 500),
    ],
)
def test_every_error_of_the_core_has_its_status(api, monkeypatch, error, status):
    def refuse(*args, **kwargs):
        raise error

    monkeypatch.setattr(catalog, "register_model", refuse)
    problem = refused(api.bob.post(f"{V1}/models", {"name": "risk/x"}), status)
    assert problem["type"] == f"urn:modelry:problem:{error.code.replace('_', '-')}"


def test_every_class_of_the_core_is_in_the_table():
    from models_app.api.errors import STATUS

    def below(kind):
        return {kind, *(one for child in kind.__subclasses__() for one in below(child))}

    known = tuple(kind for kind, _ in STATUS)
    assert [
        kind for kind in below(errors.RegistryError) - {errors.RegistryError} if not issubclass(kind, known)
    ] == []


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"null",
        b'"risk/x"',
        b"[1]",
        b"\xff\xfe",
        b'{"name": "risk/x", "name": "risk/y"}',
        b'{"name": "risk/\\u0000x"}',
        b'{"name": "risk/\\ud800x"}',
        b'{"name": NaN}',
        b'{"name": ' + b"9" * 5000 + b"}",
        b"[" * 50_000 + b"]" * 50_000,
        b'{"name": "risk/x", "tags": ' + b'{"a":' * 40 + b"1" + b"}" * 41,
    ],
)
def test_bodies_that_are_no_objects_of_ours(api, body):
    refused(api.bob.post(f"{V1}/models", body), 400)


def test_bodies_that_are_too_long(api, settings):
    body = b'{"name": "risk/x", "card": "' + b"x" * settings.MAX_JSON_BYTES + b'"}'
    problem = refused(api.bob.post(f"{V1}/models", body), 413)
    assert problem["limit"] == settings.MAX_JSON_BYTES


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
@pytest.mark.parametrize("name", ["risk/%00", "..", "%2e%2e/x", "a@b", "risk/x%2Fy", "x" * 2000, "%E2%80%AE"])
def test_names_that_no_model_has(api, method, name):
    answer = getattr(api.alice, method)(f"{V1}/models/{name}")
    refused(answer, 404)


def test_answers_may_be_kept_by_their_reader_only(api):
    answer = api.bob.get(f"{V1}/models")
    assert answer["Cache-Control"] == "private, no-cache"
    assert {"Authorization", "Cookie"} <= set(answer["Vary"].split(", "))
    assert answer["X-Content-Type-Options"] == "nosniff"
