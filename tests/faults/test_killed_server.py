"""SIGKILL at bad moments: what was acknowledged is there afterwards, what was not is nowhere."""

import json
import random
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

# PostgreSQL is killed around in test_killed_promotions.py.
pytestmark = pytest.mark.sqlite_is_enough

COMPLETE = {
    "dataset_name": "tx",
    "dataset_version": "1",
    "license": "MIT",
    "owner": "bob",
    "metrics": {"f1": 0.9},
}

# Everything that must hold of a database and its storage, whenever the server died.
CONSISTENT = """
from django.db.models import Count
from models_app.models import *
from models_app.registry.artifacts import storage
import hashlib, json
for model in RegisteredModel.objects.all():
    numbers = sorted(model.versions.values_list("number", flat=True))
    assert numbers == list(range(1, len(numbers) + 1)), numbers
    assert model.last_number == len(numbers) == model.version_count, model.last_number
    assert (model.newest.number if numbers else 0) == len(numbers)
    live = list(model.versions.filter(stage="production"))
    assert len(live) <= 1, live
    assert model.newest_production == (live[0] if live else None)
    assert model.document.in_production == bool(live)
for version in ModelVersion.objects.select_related("manifest"):
    entries = list(version.manifest.entries.all())
    assert len(entries) == version.manifest.file_count
    for entry in entries:
        with storage.open_blob(entry.blob_id) as blob:
            assert hashlib.sha256(blob.read()).hexdigest() == entry.blob_id
    last = version.transitions.order_by("-at", "-id").first()
    assert version.stage == (last.to_stage if last else "dev")
moves = AuditEvent.objects.filter(verb__in=["version.moved", "version.rolled_back"]).count()
assert StageTransition.objects.count() == moves == OutboxEvent.objects.filter(name="version.moved").count()
registered = AuditEvent.objects.filter(verb="version.registered").count()
assert ModelVersion.objects.count() == registered == OutboxEvent.objects.filter(name="version.registered").count()
print(json.dumps({
    "versions": sorted(ModelVersion.objects.values_list("number", flat=True)),
    "production": list(ModelVersion.objects.filter(stage="production").values_list("number", flat=True)),
}))
"""


def consistent(live) -> dict:
    return json.loads(live.python(source=CONSISTENT).strip().splitlines()[-1])


def register(client: httpx.Client, content: bytes, **metadata) -> httpx.Response:
    return client.post(
        "/api/v1/models/risk/killed/versions",
        data={"metadata": json.dumps({"create_model": True, **metadata})},
        files=[("file", ("model.bin", content, "application/octet-stream"))],
    )


def test_in_the_middle_of_an_upload(live):
    with live.client("bob") as client:
        assert register(client, b"first").status_code == 201
    for moment in (0.02, 0.3):
        killed_while_uploading(live, moment)
        assert consistent(live)["versions"] == [1]
    with live.client("bob") as client:
        assert register(client, b"second").json()["version"] == 2
    # What is left lies in incoming/, where the worker's sweep looks; it is nobody's blob.
    blobs = [path for path in Path(live.home, "artifacts", "blobs").rglob("*") if path.is_file()]
    assert len(blobs) == 2


def killed_while_uploading(live, moment: float) -> None:
    head = (
        b'--xx\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{}\r\n'
        b'--xx\r\nContent-Disposition: form-data; name="file"; filename="big.bin"\r\n\r\n'
    )
    body_length = 64 << 20
    with socket.create_connection(("127.0.0.1", live.port)) as connection:
        connection.sendall(
            b"POST /api/v1/models/risk/killed/versions HTTP/1.1\r\nHost: localhost\r\n"
            + f"Authorization: Bearer {live.tokens['bob']}\r\nContent-Length: {body_length}\r\n".encode()
            + b"Content-Type: multipart/form-data; boundary=xx\r\n\r\n"
            + head
        )
        connection.settimeout(5)
        with suppress(OSError):
            for _ in range(8):
                connection.sendall(b"x" * (1 << 20))
            time.sleep(moment)
        live.kill()
    live.start()


def test_a_client_that_goes_away_leaves_no_version(live):
    with live.client("bob") as client:
        assert register(client, b"first").status_code == 201
    with socket.create_connection(("127.0.0.1", live.port)) as connection:
        connection.sendall(
            b"POST /api/v1/models/risk/killed/versions HTTP/1.1\r\nHost: localhost\r\n"
            + f"Authorization: Bearer {live.tokens['bob']}\r\nContent-Length: 1000000\r\n".encode()
            + b"Content-Type: multipart/form-data; boundary=xx\r\n\r\n"
            + b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a.bin"\r\n\r\nhalf of it'
        )
    time.sleep(0.5)
    assert consistent(live)["versions"] == [1]
    assert not list(Path(live.home, "artifacts", "incoming").glob("*.part"))


def test_while_registering(live):
    """Three times on one server, which has to live on with what it has."""
    acknowledged: list[int] = []
    for seed in (1, 2, 3):
        killed_while_registering(live, seed, acknowledged)
        state = consistent(live)
        assert set(acknowledged) <= set(state["versions"])
    with live.client("bob") as client:
        assert register(client, b"after").json()["version"] == len(state["versions"]) + 1


def killed_while_registering(live, seed: int, acknowledged: list[int]) -> None:
    already = len(acknowledged)
    stop = threading.Event()

    def keep_registering(worker: int) -> None:
        with live.client("bob") as client, suppress(httpx.HTTPError):
            turn = 0
            while not stop.is_set():
                turn += 1
                answer = register(
                    client, f"{seed} {worker} {turn}".encode() * 500, metrics={"f1": turn / 1000}
                )
                if answer.status_code == 201:
                    acknowledged.append(answer.json()["version"])

    threads = [threading.Thread(target=keep_registering, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(acknowledged) < already + 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0, 0.2))
    live.kill()
    stop.set()
    for thread in threads:
        thread.join()
    live.start()
    assert len(acknowledged) > already


def test_while_promoting(live):
    with live.client("bob") as client:
        for number in range(4):
            assert register(client, str(number).encode(), **COMPLETE).status_code == 201
    for seed in (1, 2, 3):
        killed_while_promoting(live, seed)
        assert len(consistent(live)["production"]) == 1


def killed_while_promoting(live, seed: int) -> None:
    acknowledged: list[int] = []
    stop = threading.Event()

    def keep_promoting(first: int) -> None:
        with live.client("carol") as client, suppress(httpx.HTTPError):
            number = first
            while not stop.is_set():
                answer = client.post(
                    f"/api/v1/models/risk/killed/versions/{number}/stage",
                    json={"to": "production", "reason": "next"},
                )
                assert answer.status_code in (200, 201, 409), answer.text
                if answer.status_code != 409:
                    acknowledged.append(number)
                number = number % 4 + 1

    threads = [threading.Thread(target=keep_promoting, args=(first,)) for first in (1, 3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while len(acknowledged) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.Random(seed).uniform(0, 0.1))
    live.kill()
    stop.set()
    for thread in threads:
        thread.join()
    live.start()
    assert acknowledged


def test_a_worker_killed_between_events_hands_every_one_on(live):
    with live.client("bob") as client:
        for number in range(5):
            register(client, str(number).encode())
    live.python(
        source="""
import os, signal
from models_app.tasks import dispatcher
seen = []
def die(event):
    seen.append(event)
    if len(seen) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
dispatcher.HANDLERS["*"] = [die]
pid = os.fork()
if pid == 0:
    dispatcher.dispatch()
os.waitpid(pid, 0)
"""
    )
    waiting = (
        "from models_app.models import OutboxEvent; print(OutboxEvent.objects.filter(done_at=None).count())"
    )
    assert int(live.python(source=waiting)) == 4
    live.manage("run_worker", "--once")
    assert int(live.python(source=waiting)) == 0
