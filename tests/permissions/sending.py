"""What a call of the matrix is, how it is written down, and what has to be so before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from allauth.mfa.models import Authenticator
from axes.models import AccessAttempt

from models_app.models import Deployment, ModelVersion, PromotionRequest, RegisteredModel, Stage, User
from models_app.registry import (
    deployment_claims,
    deployment_reports,
    deployments,
    environments,
    holds,
    observations,
    policies,
    promotions,
    sessions,
    thresholds,
)
from models_app.registry.access import Actor

from .world import World

Prepare = Callable[[World, dict[str, Any], str], object]


@dataclass(frozen=True)
class Call:
    """One request. `reads`: nothing is changed, so nothing is recorded; `audited`: a change leaves a record; `asks`: to
    open a request is what it is for.
    """

    method: str
    path: str
    body: Any = None
    kind: str = "json"
    reads: bool = False
    audited: bool = True
    prepare: Prepare | None = None
    asks: bool = False


def see(*paths: str) -> list[Call]:
    return [Call("GET", path, reads=True) for path in paths]


def form(path: str, /, **fields: Any) -> Call:
    return Call("POST", path, fields, kind="form")


def rest(method: str, path: str, /, **body: Any) -> Call:
    return Call(method, f"/api/v1/{path}", body or None)


def mlflow(method: str, path: str, /, **body: Any) -> Call:
    return Call(method, f"/api/2.0/mlflow/{path}", body)


def finds(path: str, /, **body: Any) -> Call:
    return replace(mlflow("POST", path, **body), reads=True)


def files(method: str, path: str, body: Any = None, kind: str = "json") -> Call:
    return Call(method, f"/api/2.0/mlflow-artifacts/{path}", body, kind=kind)


def act(table: str, action: str, row: str, /, **more: Any) -> Call:
    return form(f"{ADMIN}{table}/", action=action, _selected_action=row, **more)


def quiet(*calls: Call) -> list[Call]:
    """Of what a run reports, not every point is recorded by itself."""
    return [replace(call, audited=False) for call in calls]


def with_(prepare: Prepare, *calls: Call) -> list[Call]:
    return [replace(call, prepare=prepare) for call in calls]


# --- What has to be so before ---------------------------------------------------------------------------------


def retired(world: World, ids: dict[str, Any], who: str) -> None:
    for version in world.registered(ids).versions.filter(stage__in=[Stage.PRODUCTION, Stage.STAGING]):
        promotions.move(version, to=Stage.ARCHIVED, by=world.root)


def strict(world: World, ids: dict[str, Any], who: str) -> None:
    policies.set_policy(
        stage=Stage.PRODUCTION,
        model=world.registered(ids),
        rules={"approvals": {"count": 1, "roles": ["approver", "admin"]}},
        by=world.root,
    )


def theirs(world: World, ids: dict[str, Any], who: str) -> None:
    RegisteredModel.objects.filter(pk=ids["pk"]).update(owner=None, created_by=_user(world, who))


def asked_by_them(world: World, ids: dict[str, Any], who: str) -> None:
    PromotionRequest.objects.filter(pk=ids["erins"]).update(requested_by=_user(world, who))


def made_by_them(world: World, ids: dict[str, Any], who: str) -> None:
    ModelVersion.objects.filter(pk=ids["v7"]).update(created_by=_user(world, who))


def held(world: World, ids: dict[str, Any], who: str) -> None:
    _hold(world, ids, world.people.erin)


def held_by_site(world: World, ids: dict[str, Any], who: str) -> None:
    _hold(world, ids, world.root)


def _hold(world: World, ids: dict[str, Any], by: Actor) -> None:
    version = ModelVersion.objects.select_related("model__team").get(pk=ids["v3"])
    ids["hold"] = holds.place(version.model, version=version, by=by, reason="Case 7.").pk


def deployed(world: World, ids: dict[str, Any], who: str) -> None:
    """v2 live in eu, where agents deploy; v6 waits in lab for somebody to start it."""
    team = world.people.risk
    eu = environments.set_up("eu", team=team, kind="agent", by=world.root)
    lab = environments.set_up("lab", team=team, followed="staging", start="manual", by=world.root)
    ids["deployment"] = deployments.deploy(ModelVersion.objects.get(pk=ids["v2"]), eu, by=world.root).pk
    promotions.move(ModelVersion.objects.get(pk=ids["v6"]), to=Stage.STAGING, by=world.root)
    ids["waiting"] = lab.deployments.get().pk


def handed_out(world: World, ids: dict[str, Any], who: str) -> None:
    deployed(world, ids, who)
    environment = environments.get_environment("eu", by=world.root)
    deployment_claims.claim(environment, agent="a", by=world.root)


def replaced(world: World, ids: dict[str, Any], who: str) -> None:
    """v2 live in eu, and v1 before."""
    eu = environments.set_up("eu", team=world.people.risk, by=world.root)
    for version in ("v1", "v2"):
        made = deployments.deploy(ModelVersion.objects.get(pk=ids[version]), eu, by=world.root)
        deployment_reports.report(made, state="live", by=world.root)


def drifting(world: World, ids: dict[str, Any], who: str) -> None:
    """v2 live in eu, with a threshold crossed and an incident open."""
    replaced(world, ids, who)
    deployment = Deployment.objects.latest("id")
    ids["deployment"] = deployment.pk
    limit = thresholds.add(deployment.model, name_pattern="psi", value=0.2, in_a_row=1, by=world.root)
    ids["threshold"] = limit.pk
    batch = [{"name": "psi", "value": 0.3}]
    observed = observations.observe(deployment, observations=batch, by=world.root)
    ids["incident"] = observed.incident.pk


def locked(world: World, ids: dict[str, Any], who: str) -> None:
    AccessAttempt.objects.create(username="dave", ip_address="10.0.0.1", failures_since_start=5)


def with_second_factor(world: World, ids: dict[str, Any], who: str) -> None:
    logged_in(world, ids, who)
    Authenticator.objects.create(user_id=ids["somebody"], type="totp", data={"secret": ""})


def logged_in(world: World, ids: dict[str, Any], who: str) -> None:
    somebody, _ = User.objects.get_or_create(username="somebody")
    ids["somebody"] = somebody.pk
    sessions.seen(somebody.pk, "0" * 32, address="10.0.0.1", agent="")


# About who tries it; everything else is so for all alike.
PERSONAL = {theirs, asked_by_them, made_by_them}


def _user(world: World, who: str) -> Any:
    return None if who == "anonymous" else world.user(who)


# --- Addresses ------------------------------------------------------------------------------------------------

M, V, A = "/models/{model}/", "/models/{model}@{number}/", "/approvals/{request}/"
R, ADMIN = "models/{model}", "/admin/models_app/"


def v(number: int) -> str:
    return f"/models/{{model}}@{number}/"


def rv(number: int) -> str:
    return f"models/{{model}}/versions/{number}"


def of(number: str = "3", **more: Any) -> dict[str, Any]:
    return {"name": "{flat}", "version": number, **more}


def stage(number: int, to: str, shown: str) -> dict[str, list[Call]]:
    return {
        "pages": [form(v(number) + "move/", to=to)],
        "REST": [rest("POST", rv(number) + "/stage", to=to)],
        "MLflow": [mlflow("POST", "model-versions/transition-stage", **of(str(number), stage=shown))],
        "admin": [act("modelversion", "move", f"{{v{number}}}", choice=to, reason="x")],
    }


MODEL_JSON = (
    '{{"run_id": "{run}", "artifact_path": "m", "utc_time_created": "2026-05-01 12:00:00", "flavors": {{}}}}'
)
PROFILE = {"first_name": "New", "hotkeys": "on", "notice_mode": "digest"}
MODEL_FORM = {"purpose": "Else.", "visibility": "internal", "owner": "alice"}
TEAM_POLICY = {"rules": "{{}}", "action": "save", "stage": "production"}
POLICY_FORM = {"stage": "production", "risk_level": "", "is_active": "on", "text": "{{}}"}
