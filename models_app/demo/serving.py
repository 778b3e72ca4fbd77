"""Where the demo company's models serve: the environments, what its deployer reports, and how things stand today."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any

from models_app.models import Deployment, DeploymentLine, DeploymentState, ModelVersion, RegisteredModel, Team
from models_app.registry import access, deployment_reports, deployments, environments
from models_app.registry.access import Actor

At = Callable[[datetime], AbstractContextManager[None]]
DEPLOYER = "rollout"
DAY = 86_400
# name: team (the company's without one), its fields. Nothing of it answers, so nobody is asked whether it is healthy.
ENVIRONMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "risk-frankfurt": (
        "risk",
        {
            "site": "Frankfurt",
            "serving_address": "https://{name}.fra.serving.acme.example/v{version}",
            "timeout": DAY,
        },
    ),
    "plant-7": (
        "vision",
        {
            "site": "Plant 7, Brno",
            "kind": "agent",
            "serving_address": "http://edge.plant-7.acme.example/{name}",
            "timeout": DAY,
        },
    ),
    "plant-12": (
        "vision",
        {"site": "Plant 12, Győr", "kind": "agent", "name_pattern": "vision/defects*", "timeout": DAY},
    ),
    "shop": (
        "discovery",
        {
            "site": "Frankfurt",
            "kind": "ci",
            "serving_address": "https://{name}.shop.acme.example/v{version}",
            "deploy_role": "approver",
            "timeout": DAY,
        },
    ),
    "forecasts": (
        "growth",
        {"site": "Warehouse database", "follows": "alias", "followed": "champion", "timeout": DAY},
    ),
    "shared": (
        "platform",
        {
            "site": "Frankfurt and Virginia",
            "serving_address": "https://{name}.shared.acme.example/v{version}",
            "timeout": DAY,
        },
    ),
    "shadow": (
        "",
        {"site": "Frankfurt", "followed": "staging", "tag": "real-time", "kind": "ci", "timeout": DAY},
    ),
}
# A new region, which takes over what is in production step by step.
NEW_REGION = ("risk-virginia", {"site": "Virginia", "kind": "ci", "start": "manual", "timeout": DAY})


def set_up(actors: dict[str, Actor]) -> None:
    """The environments as they were from the beginning."""
    for name, (team, fields) in ENVIRONMENTS.items():
        if team:
            environments.set_up(name, team=Team.objects.get(slug=team), by=actors["admin"], **fields)
        else:
            shared = Team.objects.get(slug="platform")
            environments.set_up(name, deploy_team=shared, by=actors["admin"], **fields)


def rolled_out(model: RegisteredModel, moment: datetime, by: Actor) -> Iterator[datetime]:
    """The deployer does what is to be done for a model since a moment; yields as a life does."""
    yield moment + timedelta(minutes=6)
    for one in _to_do(model):
        digest = one.version.manifest.digest if one.version.manifest else ""
        lines = [_pipeline(one), "Downloaded and verified.", "3 of 3 replicas ready.", "Traffic switched."]
        report(one, by, "live", digest=digest, lines=lines)


def not_rolled_out(model: RegisteredModel, moment: datetime, by: Actor, why: str) -> Iterator[datetime]:
    """The deployer fails, so that all goes back."""
    yield moment + timedelta(minutes=9)
    for one in _to_do(model):
        lines = [
            _pipeline(one),
            "3 of 3 replicas ready.",
            "10% of the traffic.",
            "Over the limit: switched back.",
        ]
        report(one, by, "failed", lines=lines, reason=why)
    yield from rolled_out(model, moment + timedelta(minutes=9), by)


def _to_do(model: RegisteredModel) -> list[Deployment]:
    waiting = Deployment.objects.current().filter(model=model).exclude(state=DeploymentState.LIVE)
    return list(waiting.select_related("version__manifest", "environment").order_by("pk"))


def _pipeline(deployment: Deployment) -> dict[str, str]:
    url = f"https://ci.acme.example/{deployment.environment.name}/{400 + deployment.pk}"
    return {"text": f"Pipeline {400 + deployment.pk}", "url": url}


def report(deployment: Deployment, by: Actor, state: str, **more: Any) -> None:
    deployment_reports.report(deployment, by=by, state=state, **more)


def _in_production(name: str, by: Actor) -> ModelVersion:
    return access.get_version(name, "production", by=by)


def tell(actors: dict[str, Actor], *, at: At, now: datetime) -> None:
    """What stands out today. `at` sets the clock."""
    _new_region(actors, at, now)
    _order_waits_for_its_agent(actors, at, now)
    _drift(actors, at, now)
    _told_as_it_went()


def _told_as_it_went() -> None:
    """Deployers here report once, when all is done; their logs tell when each of it was."""
    logs: dict[Deployment, list[DeploymentLine]] = {}
    for line in DeploymentLine.objects.select_related("deployment").order_by("id"):
        logs.setdefault(line.deployment, []).append(line)
    for deployment, lines in logs.items():
        ended = lines[-1].at
        took = (ended - deployment.queued_at) * 0.8
        deployment.started_at = ended - took
        for number, line in enumerate(lines):
            line.at = ended - took * (1 - number / max(len(lines) - 1, 1)) ** 2
    Deployment.objects.bulk_update(logs, ["started_at"], batch_size=100)
    DeploymentLine.objects.bulk_update(
        [line for log in logs.values() for line in log], ["at"], batch_size=100
    )


def freeze(actors: dict[str, Actor], *, at: At, now: datetime) -> None:
    """Nothing new in the days of the sale; what comes now has to wait."""
    begins = (now - timedelta(hours=26)).replace(minute=0, second=0, microsecond=0)
    days = {
        "from": begins.isoformat(),
        "until": (begins + timedelta(days=7)).isoformat(),
        "reason": "Days of the sale: nothing but emergencies, by an admin.",
    }
    with at(begins):
        shared = environments.get_environment("shared", by=actors["hanna"])
        environments.change(shared, freezes=[days], by=actors["hanna"], reason="As every year.")


def _new_region(actors: dict[str, Actor], at: At, now: datetime) -> None:
    """One is there already, one does not fit in."""
    admin, robot, owner = actors["li.wei"], actors[DEPLOYER], actors["owner"]
    name, fields = NEW_REGION
    with at(now - timedelta(days=4)):
        region = environments.set_up(name, team=Team.objects.get(slug="risk"), by=admin, **fields)

    def order(model: str, reason: str) -> Deployment:
        return deployments.deploy(_in_production(model, admin), region, by=owner, reason=reason)

    with at(now - timedelta(days=3, hours=3)):
        order("risk/credit-default", "First of the new region.")
    with at(now - timedelta(days=3, hours=2, minutes=50)):
        (first,) = _to_do(access.get_model("risk/credit-default", by=admin))
        report(first, robot, "live", lines=[_pipeline(first), "2 of 2 replicas ready."])
    with at(now - timedelta(days=1, hours=5)):
        second = order("risk/fraud-detector", "Second of the new region.")
    with at(now - timedelta(days=1, hours=4, minutes=40)):
        why = "No node with enough memory: 24 GB asked for, 16 GB there."
        report(second, robot, "failed", lines=[_pipeline(second), "0 of 3 replicas ready."], reason=why)


def _order_waits_for_its_agent(actors: dict[str, Actor], at: At, now: datetime) -> None:
    jonas = actors["jonas"]
    plant = environments.get_environment("plant-12", by=jonas)
    with at(now - timedelta(minutes=25)):
        reason = "Camera 9 was replaced: put the model on it again."
        deployments.deploy(_in_production("vision/defects-edge", jonas), plant, by=jonas, reason=reason)


def _drift(actors: dict[str, Actor], at: At, now: datetime) -> None:
    robot = actors[DEPLOYER]
    plant = environments.get_environment("plant-7", by=robot)
    declared = _in_production("vision/pallet-counter", robot)
    with at(now - timedelta(minutes=50)):
        deployment_reports.observed(
            declared.model,
            plant,
            version=declared.number - 1,
            detail="Line 4 came back from maintenance with its old image.",
            by=robot,
        )
