"""The whole way once, with a real model: train elsewhere, register, promote, download by stage, predict, roll back."""

import hashlib
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

TRAIN = Path(__file__).with_name("train_and_register.py")
MODEL = "/api/v1/models/risk/tumour"


def train(live, *, trees: int) -> dict:
    """Train and register in a process of its own."""
    environment = {**os.environ, "MODELRY_URL": live.url, "MODELRY_TOKEN": live.tokens["bob"]}
    done = subprocess.run(
        [sys.executable, str(TRAIN), str(trees)], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def promote(client, number: int, *stages: str) -> None:
    for stage in stages:
        answer = client.post(f"{MODEL}/versions/{number}/stage", json={"to": stage, "reason": "as planned"})
        assert answer.is_success, answer.text


def download(client, revision: str) -> bytes:
    answer = client.get(f"{MODEL}/versions/{revision}/files/model.pkl")
    assert answer.status_code == 200
    return answer.content


def predictions(content: bytes) -> list[int]:
    """Loaded by whoever downloads: here the test itself."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    data = load_breast_cancer()
    _, test_x, _, _ = train_test_split(data.data, data.target, random_state=0)
    return [int(value) for value in pickle.loads(content).predict(test_x)]


def test_from_training_to_production_and_back(live):
    first = train(live, trees=5)
    with live.client("carol") as approver, live.client("dave") as viewer:
        promote(approver, first["version"], "staging", "production")
        in_production = download(viewer, "production")
        assert predictions(in_production) == first["predictions"]

        second = train(live, trees=25)
        assert second["version"] == first["version"] + 1
        promote(approver, second["version"], "staging", "production")
        newer = download(viewer, "production")
        assert newer != in_production
        assert predictions(newer) == second["predictions"]
        listed = viewer.get("/api/v1/stages/production", params={"model": "risk/tumour"}).json()["items"]
        assert [(row["version"], row["rollback_target"]) for row in listed] == [(2, 1)]

        answer = approver.post(f"{MODEL}/rollback", json={"reason": "More trees, more latency."})
        assert answer.is_success, answer.text
        assert download(viewer, "production") == in_production

        archive = viewer.get(f"{MODEL}/versions/production/archive.zip").content
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            assert files.read("model.pkl") == in_production
        entries = viewer.get(f"{MODEL}/versions/production/files").json()["items"]
        digests = {row["path"]: row["sha256"] for row in entries}
        assert digests["model.pkl"] == hashlib.sha256(in_production).hexdigest()
