"""What deployers are told, by webhook and when an agent asks: the same facts, and all that they need to act on them."""

from __future__ import annotations

import shlex
from typing import Any

from models_app.models import DeployKind, Deployment, DeploymentKind, DeploymentState

from . import addresses, deployment_steps
from .event_schemas import Event, Fields, Payload, text, whole

_SITE = "https://models.example.com"
_API = f"{_SITE}/api/v1"

FIELDS: Fields = {
    "deployment": whole("Number of the deployment.", 77),
    "state": text("How it stands.", "deploying", enum=DeploymentState.values),
    "kind": text("What brought it about.", "followed", enum=DeploymentKind.values),
    "environment": text("Name of the environment.", "eu"),
    "site": text("Where that is; empty when nobody said.", "Frankfurt"),
    "deployer": text("How the environment deploys.", "webhook", enum=DeployKind.values),
    "model": text("Name of the model.", "vision/defects"),
    "version": whole("Number of the version to deploy.", 13),
    "digest": text("SHA-256 of its content; empty when it has none.", "9f" * 32),
    "total_size": whole("Bytes of all its files.", 104_857_600),
    "framework": text("What it was made with; empty when nobody said.", "pytorch"),
    "url": text("Its page.", f"{_SITE}/models/vision/defects@13/", format="uri"),
    "models_uri": text("What clients of MLflow load.", "models:/vision--defects/13"),
    "files_url": text(
        "Listing of its files with digests.",
        f"{_API}/models/vision/defects/versions/13/files",
        format="uri",
    ),
    "archive_url": text(
        "All its files as one tar.",
        f"{_API}/models/vision/defects/versions/13/archive.tar",
        format="uri",
    ),
    "pull": text(
        "The command that downloads and verifies it, quoted for a shell.", "modelry pull vision/defects@13"
    ),
    "serving_address": text(
        "Where it is to answer; empty when nobody said.", "https://defects.eu.example.com"
    ),
    "health_check": text(
        "What answers with 2xx when it is healthy; empty for none.", "https://defects.eu.example.com/health"
    ),
    "health_window": whole("Seconds in which it has to become healthy.", 300),
    "timeout": whole("Seconds that a deployer has.", 1800),
    "rollback_target": whole("Version to go back to, or null.", 12, null=True),
    "undoes": whole("Of a rollback: the deployment it takes back, or null.", None, null=True),
    "held": text(
        "Why it waits for somebody to start it; empty when it starts as its environment says.",
        "",
    ),
    "report_url": text(
        "POST what became of it here: state, lines, endpoint.",
        f"{_API}/deployments/77/report",
        format="uri",
    ),
    "by": text("Username of who brought it about, or “system”.", "li.wei"),
    "text": text("Why: the reason that was given, or why it failed.", "Fewer false alarms."),
}


def _pull(version: str) -> str:
    """The command for a shell: names may hold what shells act on, and begin like an option."""
    return shlex.join(["modelry", "pull", *(["--"] if version.startswith("-") else []), version])


def tell(payload: Payload, fields: Fields, *, site: str = "") -> dict[str, Any]:
    """The facts with the addresses that they are found under; `site` is where the site is, unless as it is set."""
    name, number = payload["name"], payload["version"]

    def whole_address(path: str) -> str:
        return site + path if site else addresses.absolute(path)

    made = {
        "model": name,
        "url": whole_address(addresses.of_version(name, number)),
        "models_uri": f"models:/{payload['flat_name']}/{number}",
        "files_url": whole_address(addresses.of_files_api(name, number)),
        "archive_url": whole_address(addresses.of_archive_api(name, number)),
        "pull": _pull(f"{name}@{number}"),
        "report_url": whole_address(addresses.of_report_api(payload["deployment"])),
    }
    return {field: made[field] if field in made else payload.get(field) for field in fields}


def handout(deployment: Deployment, *, site: str = "") -> dict[str, Any]:
    """What an agent gets: as the event `deployment.started` has it, in the name of who brought it about."""
    facts = deployment_steps.facts(deployment)
    by = deployment.by.username if deployment.by else "system"
    return tell({**facts, "by": by, "text": deployment.reason}, FIELDS, site=site)


def _event(name: str, when: str, **example: Any) -> Event:
    return Event(f"deployment.{name}", when, FIELDS, tell=tell, example=example)


EVENTS = (
    _event("queued", "a version is to be deployed; it may have to wait", state="queued"),
    _event("started", "a deployer has to act: deploy this version now"),
    _event(
        "verifying", "the deployer is done, and the version has to show that it is healthy", state="verifying"
    ),
    _event("live", "a version serves in an environment", state="live"),
    _event(
        "failed",
        "a deployment failed; where the environment goes back, a deployment of kind rollback follows",
        state="failed",
        by="system",
        text="Not healthy within 300 seconds.",
    ),
    _event(
        "rolled_back",
        "the version to go back to serves again, so that the deployment it undoes is rolled back",
        state="rolled_back",
        by="system",
    ),
    _event(
        "superseded",
        "a deployment is over without having failed: what waited was overtaken or called off, what was live was "
        "replaced, or the environment was deleted with all that ran there",
        state="superseded",
        text="Replaced by version 14.",
    ),
)
