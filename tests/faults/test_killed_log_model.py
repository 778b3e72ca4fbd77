"""SIGKILL while a model is logged: nothing half-done is ready, what was sent goes on, what was left is swept."""

from __future__ import annotations

import hashlib
import socket
import time
from urllib.parse import urlsplit

import pytest

MODELS = "/api/2.0/mlflow/logged-models"
FILES = "/api/2.0/mlflow-artifacts"
PARTS = [b"a" * 500_000, b"b" * 500_000, b"the end"]

SWEPT = """
from datetime import timedelta
from models_app.registry import logged_models
from models_app.registry.artifacts import storage, uploads
now = timedelta(seconds=-1)
print(storage.sweep_incoming(now), uploads.sweep_abandoned(now), logged_models.fail_abandoned(now))
"""


def half_a_body(live, path: str) -> socket.socket:
    """A PUT that is still being sent."""
    connection = socket.create_connection(("127.0.0.1", live.port))
    head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {live.tokens['bob']}\r\n"
    connection.sendall(f"{head}Content-Length: 2000000\r\n\r\n".encode() + b"x" * 1_000_000)
    return connection


def send(client, credential, content: bytes) -> dict:
    answer = client.put(urlsplit(credential["url"]).path, content=content)
    assert answer.status_code == 200, answer.text
    return {"part_number": credential["part_number"], "etag": answer.headers["ETag"]}


@pytest.mark.sqlite_is_enough
def test_in_the_middle_of_log_model(live):
    bob = live.client("bob")
    info = bob.post(MODELS, json={"experiment_id": "0", "name": "model"}).json()["model"]["info"]
    root = info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    assert bob.put(f"{FILES}/artifacts/{root}/MLmodel", content=b"m").status_code == 200
    begin = {"path": "big.bin", "num_parts": 3}
    upload, lost = (bob.post(f"{FILES}/mpu/create/{root}", json=begin).json() for _ in range(2))
    parts = [send(bob, upload["credentials"][number], PARTS[number]) for number in (1, 0)]
    send(bob, lost["credentials"][0], b"nobody comes back")
    sending = [
        half_a_body(live, f"{FILES}/artifacts/{root}/half.bin"),
        half_a_body(live, urlsplit(upload["credentials"][2]["url"]).path),
    ]
    time.sleep(0.3)
    live.kill()
    for connection in sending:
        connection.close()
    live.start()

    bob = live.client("bob")
    assert bob.get(f"{MODELS}/{info['model_id']}").json()["model"]["info"]["status"] == "LOGGED_MODEL_PENDING"
    listed = bob.get(f"{FILES}/artifacts", params={"path": root}).json()["files"]
    assert [file["path"] for file in listed] == ["MLmodel"]
    # The parts that had arrived are there, so the upload goes on.
    parts.append(send(bob, upload["credentials"][2], PARTS[2]))
    body = {"path": "big.bin", "upload_id": upload["upload_id"], "parts": parts}
    assert bob.post(f"{FILES}/mpu/complete/{root}", json=body).status_code == 200
    got = bob.get(f"{FILES}/artifacts/{root}/big.bin")
    assert got.headers["ETag"] == f'"{hashlib.sha256(b"".join(PARTS)).hexdigest()}"'
    # What nobody comes back for: a half file, two uploads (one of them complete), the model.
    assert live.python(source=SWEPT).split() == ["1", "2", "1"]
    assert not list((live.home / "artifacts/incoming").iterdir())
    status = bob.get(f"{MODELS}/{info['model_id']}").json()["model"]["info"]["status"]
    assert status == "LOGGED_MODEL_UPLOAD_FAILED"
    assert bob.get(f"{FILES}/artifacts/{root}/big.bin").content == b"".join(PARTS)
