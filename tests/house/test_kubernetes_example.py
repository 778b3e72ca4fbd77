"""examples/kubernetes: what is rendered of a deployment is an InferenceService, whatever the names are."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import jsonschema
import pytest
import yaml

from models_app.registry.deployment_events import EVENTS
from tests.live import ROOT

pytestmark = pytest.mark.sqlite_is_enough

HERE = ROOT / "examples/kubernetes"
SCHEMA = json.loads((HERE / "inferenceservice.schema.json").read_text())
STARTED = next(event for event in EVENTS if event.name == "deployment.started").example_data()


def render(facts: dict, *, as_agent: bool = False) -> dict:
    """Its manifest, of a webhook's message or of what the agent tells its command."""
    renamed = {"url": "page", "text": "reason"}
    told = {
        f"MODELRY_{renamed.get(name, name).upper()}": "" if value is None else str(value)
        for name, value in facts.items()
    }
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(HERE / "render.py")],
        env={"PATH": os.environ["PATH"], **(told if as_agent else {})},
        input="" if as_agent else json.dumps({"type": "deployment.started", "version": 1, "data": facts}),
        capture_output=True,
        text=True,
        check=True,
    )
    return yaml.safe_load(done.stdout)


def test_a_webhooks_message_and_an_agents_facts_make_the_same_service():
    manifest = render(STARTED)
    jsonschema.validate(manifest, SCHEMA)
    assert manifest == render(STARTED, as_agent=True)
    assert manifest["spec"]["predictor"]["model"]["storageUri"] == STARTED["archive_url"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**manifest, "spec": {"predictor": {"modell": {}}}}, SCHEMA)


def test_hostile_names_stay_strings():
    hostile = '9/x"\n  evil: ${digest} # é' + "x" * 200
    manifest = render({**STARTED, "model": hostile, "rollback_target": None})
    jsonschema.validate(manifest, SCHEMA)
    assert manifest["metadata"]["annotations"]["modelry/model"] == hostile
    assert manifest["metadata"]["annotations"]["modelry/rollback-target"] == ""


def test_access_names_the_same_account():
    secret, account = yaml.safe_load_all((HERE / "registry-access.yaml").read_text())
    predictor = render(STARTED)["spec"]["predictor"]
    assert account["metadata"]["name"] == predictor["serviceAccountName"]
    assert [{"name": secret["metadata"]["name"]}] == account["secrets"]
    assert json.loads(secret["stringData"]["headers"])["Authorization"].startswith("Bearer ")
    assert subprocess.run(["/bin/sh", "-n", HERE / "deploy.sh"]).returncode == 0
