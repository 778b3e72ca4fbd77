"""The unmodified MLflow clients, against a live Modelry: what people have in their code works as it stands."""

from __future__ import annotations

import json
import time

import pytest
from django.db import connection

from tests import live as live_servers
from tests.agents import Team

API = "/api/2.0/mlflow"
# The dataset came with the run; this nobody could know but a person.
LEFT = {"license": "Apache-2.0", "owner": "alice"}

# On PostgreSQL test_real_run is the client, and the protocol's own tests ask every call.
pytestmark = [pytest.mark.client, pytest.mark.sqlite_is_enough]


@pytest.fixture(scope="module", params=["mlflow3", "mlflow2"])
def journey(request, mlflow_client, live_template, tmp_path_factory):
    """A server that a client's whole journey went to, and what the client saw."""
    with live_servers.serve(live_template, tmp_path_factory.mktemp("home")) as server:
        server.client("erin").post(
            "/api/v1/models/risk/by-rest/versions",
            data={"metadata": json.dumps({"create_model": True})},
            files=[("file", ("weights/model.bin", b"by rest", "application/octet-stream"))],
        ).raise_for_status()
        # Once is enough for what the client does by itself.
        infer = ["--infer"] if request.param == "mlflow3" and connection.vendor == "sqlite" else []
        seen = mlflow_client(request.param).run(
            "mlflow_journey.py",
            str(tmp_path_factory.mktemp("files")),
            *infer,
            url=server.url,
            token=server.tokens["erin"],
        )
        yield server, seen


def test_a_model_is_the_same_however_it_is_named(journey):
    _, seen = journey
    assert seen["status"] == "READY"
    assert set(seen["same"].values()) == {True}, seen["same"]
    assert len(seen["same"]) == (6 if seen["version"].startswith("3.") else 5)
    assert seen["copy"]


def test_what_was_logged_is_found_again(journey):
    _, seen = journey
    assert seen["children"] == ["2", "3"]
    assert seen["points"] == [40, 40, 40, 40]
    # At the last step the later time wins: threads 4 to 7.
    assert seen["last"] == {f"m{index}": index + 4.19 for index in range(4)}
    assert seen["automatic"] == ["FINISHED", "4", True]
    assert seen["files"] == ["config.json", "notes"]
    assert seen["text"] == "größer"
    assert seen["search"] == ["fraud_detector"]
    assert seen["versions"] == [seen["number"]]
    assert seen["by_alias"] == seen["number"]


def test_the_command_line(journey):
    _, seen = journey
    for name, (code, output, error) in seen["cli"].items():
        assert code == 0, f"{name}: {output} {error}"
    assert "fraud" in seen["cli"]["experiments"][1]
    assert seen["run_id"] in seen["cli"]["runs"][1]
    assert "config.json" in seen["cli"]["artifacts"][1]
    assert "MLmodel" in seen["cli_files"]
    assert seen.get("cli_predictions", True)


def test_what_was_registered_over_rest_is_loaded_by_mlflow(journey):
    _, seen = journey
    assert seen["by_rest"] == "by rest"


def test_production_says_in_one_line_what_it_lacks_and_takes_it_then(journey):
    server, seen = journey
    message = seen["refused"]["message"]
    assert seen["refused"]["code"] == "RESOURCE_CONFLICT"
    assert "\n" not in message
    assert "license" in message
    page = f"/models/fraud_detector@{seen['number']}/edit"
    assert f"{server.url}{page}" in message
    client = server.client("erin")
    answer = client.patch(f"/api/v1/models/fraud_detector/versions/{seen['number']}", json=LEFT)
    assert answer.status_code == 200, answer.text
    moved = client.post(
        f"{API}/model-versions/transition-stage",
        json={
            "name": "fraud_detector",
            "version": seen["number"],
            "stage": "Production",
            "archive_existing_versions": True,
        },
    )
    assert moved.status_code == 200, moved.text
    assert moved.json()["model_version"]["current_stage"] == "Production"
    listed = client.get("/api/v1/stages/production", params={"model": "fraud_detector"}).json()["items"]
    assert [row["version"] for row in listed] == [int(seen["number"])]


def test_a_version_is_sealed(journey):
    server, seen = journey
    client = server.client("erin")
    files = f"/api/v1/models/fraud_detector/versions/{seen['number']}/files"
    before = {row["path"]: row["sha256"] for row in client.get(files).json()["items"]}
    assert "MLmodel" in before
    run = client.get(f"{API}/runs/get", params={"run_id": seen["run_id"]}).json()["run"]
    folder = run["info"]["artifact_uri"].partition(":/")[2].lstrip("/") + "/model"
    if "logged" in seen:
        logged = client.get(f"{API}/logged-models/{seen['logged'][0]}").json()["model"]["info"]
        folder = logged["artifact_uri"].partition(":/")[2].lstrip("/")
    client.put(f"/api/2.0/mlflow-artifacts/artifacts/{folder}/MLmodel", content=b"flavors: {evil: {}}")
    client.delete(f"/api/2.0/mlflow-artifacts/artifacts/{folder}/MLmodel")
    assert {row["path"]: row["sha256"] for row in client.get(files).json()["items"]} == before
    assert client.get(f"{files}/MLmodel").status_code == 200


def test_it_is_found_on_the_pages_and_over_rest_with_its_origins(journey):
    server, seen = journey
    number = seen["number"]
    client = server.client("erin")
    names = [
        hit["model"]["name"]
        for hit in client.get("/api/v1/search", params={"q": "fraud_detector"}).json()["items"]
    ]
    assert "fraud_detector" in names
    version = client.get(f"/api/v1/models/fraud_detector/versions/{number}").json()
    text = json.dumps(version)
    assert seen["run_id"] in text
    assert "breast-cancer" in text
    browser = server.browser("erin")
    assert "fraud_detector" in browser.get("/", params={"q": "fraud_detector"}).text
    assert "breast-cancer" in browser.get(f"/models/fraud_detector@{number}/").text


def test_versions_tagged_with_an_incident_answer_it(journey, mlflow_client):
    server, seen = journey
    team = Team(server, "drifting", environment="eu")
    team.set_up(kind="webhook")
    team.promote(team.register("works"))
    incident = team.drift()
    client = mlflow_client("mlflow3" if seen["version"].startswith("3.") else "mlflow2")
    told = client.run("mlflow_retrains.py", str(incident), url=server.url, token=server.tokens["erin"])
    assert "an incident of" in told["refused"]
    assert told["tags"] == str(incident)
    retrained = team.fill_in(told["versions"][1])
    assert retrained["retrains"] == incident
    team.promote(retrained["version"])
    team.go_live()
    answered = server.client("dave").get(f"/api/v1/incidents/{incident}").json()
    assert [one["version"] for one in answered["retrained"]] == told["versions"]
    assert (answered["state"], answered["resolution"], answered["promoted"]) == (
        "resolved",
        "retrained",
        retrained["version"],
    )


def size_of(path):
    """Its size in bytes; none when it was moved into place meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def test_a_server_killed_in_the_middle_of_log_model_has_no_ready_model(mlflow_client, live):
    running = mlflow_client("mlflow3").start("mlflow_large.py", url=live.url, token=live.tokens["erin"])
    incoming = live.home / "artifacts" / "incoming"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and running.poll() is None:
        if incoming.is_dir() and any(size_of(path) > 1 << 20 for path in incoming.rglob("*.part")):
            break
        time.sleep(0.005)
    live.kill()
    _, complaints = running.wait(120)
    assert running.returncode != 0, complaints
    live.start()
    answer = live.client("erin").post(f"{API}/logged-models/search", json={"experiment_ids": ["0"]}).json()
    assert [model["info"]["status"] for model in answer["models"]] == ["LOGGED_MODEL_PENDING"]
    blobs = live.python(source="from models_app.models import Blob; print(Blob.objects.count())")
    listed = [path for path in (live.home / "artifacts" / "blobs").rglob("*") if path.is_file()]
    assert len(listed) >= int(blobs.strip().splitlines()[-1])
