"""How the tests ask the API and look at its answers."""

from __future__ import annotations

import json
from typing import Any

BOUNDARY = "a-boundary-of-the-tests"
V1 = "/api/v1"


def refused(response: Any, status: int, *, fields: set[str] | None = None) -> dict[str, Any]:
    """The problem in an answer that must be one: its status, shape, and the fields it names."""
    assert response.status_code == status, response.content[:1000]
    assert response["Content-Type"] == "application/problem+json"
    problem = json.loads(response.content)
    assert problem["status"] == status
    assert problem["type"].startswith("urn:modelry:problem:")
    assert problem["title"]
    assert problem["detail"]
    assert problem["instance"].startswith("/api/")
    assert problem["request_id"] == response["X-Request-Id"]
    if fields is not None:
        assert {error["field"] for error in problem["errors"]} == fields
    return problem


def form(
    *files: tuple[str, bytes], metadata: Any = None, digests: Any = None, after: bool = False
) -> dict[str, Any]:
    """Arguments of `client.post` that send a registration as a form; `after` puts the metadata behind the files."""
    texts = [
        (name, value) for name, value in (("metadata", metadata), ("digests", digests)) if value is not None
    ]
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        + (value if isinstance(value, str) else json.dumps(value)).encode()
        for name, value in texts
    ]
    blobs = [
        f'Content-Disposition: form-data; name="file"; filename="{path}"\r\n'.encode()
        + b"Content-Type: application/octet-stream\r\n\r\n"
        + content
        for path, content in files
    ]
    ordered = blobs + parts if after else parts + blobs
    body = b"".join(f"--{BOUNDARY}\r\n".encode() + part + b"\r\n" for part in ordered)
    return {
        "data": body + f"--{BOUNDARY}--\r\n".encode(),
        "content_type": f"multipart/form-data; boundary={BOUNDARY}",
    }


def items(response: Any) -> list[dict[str, Any]]:
    """The rows of a list."""
    assert response.status_code == 200, response.content[:1000]
    return response.json()["items"]


def content(response: Any) -> bytes:
    """The whole of a streamed answer, which closes its file at the end."""
    assert response.status_code in (200, 206), response.status_code
    return b"".join(response.streaming_content)
