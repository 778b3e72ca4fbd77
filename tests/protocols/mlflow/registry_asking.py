"""Calls of the registry half of the protocol, as the tests make them."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

API = "/api/2.0/mlflow"


def ask(client, call: str, method: str = "POST", **message: Any):
    """The answer to one call."""
    if method == "GET":
        return client.get(f"{API}/{call}?{urlencode(message, doseq=True)}")
    send = getattr(client, method.lower())
    if method == "DELETE":
        return send(f"{API}/{call}", json.dumps(message), content_type="application/json")
    return send(f"{API}/{call}", message)


def good(client, call: str, method: str = "POST", **message: Any) -> dict[str, Any]:
    """What a call answers that must succeed."""
    answer = ask(client, call, method, **message)
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "application/json"
    return answer.json()


def refused(answer, status: int = 400, code: str = "INVALID_PARAMETER_VALUE") -> str:
    """The message of a refusal."""
    assert (answer.status_code, answer.json().get("error_code")) == (status, code), answer.content
    return answer.json()["message"]


def make_model(client, name: str = "fraud", **fields: Any) -> dict[str, Any]:
    return good(client, "registered-models/create", name=name, **fields)["registered_model"]


def make_version(
    client, name: str = "fraud", source: str = "s3://bucket/model", **fields: Any
) -> dict[str, Any]:
    """A version that points elsewhere: what needs no files."""
    return good(client, "model-versions/create", name=name, source=source, **fields)["model_version"]


def get_model(client, name: str = "fraud") -> dict[str, Any]:
    return good(client, "registered-models/get", "GET", name=name)["registered_model"]


def get_version(client, name: str = "fraud", version: str = "1") -> dict[str, Any]:
    return good(client, "model-versions/get", "GET", name=name, version=version)["model_version"]


def tags(*pairs: tuple[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in pairs]
