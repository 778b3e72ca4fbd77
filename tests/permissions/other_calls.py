"""Runs and experiments, teams and people, webhooks, the audit's chain."""

from __future__ import annotations

from dataclasses import replace

from .sending import (
    ADMIN,
    MODEL_JSON,
    PROFILE,
    Call,
    act,
    files,
    form,
    locked,
    logged_in,
    mlflow,
    quiet,
    rest,
    see,
    with_,
    with_second_factor,
)

SERVICE = "/teams/risk/service-accounts/bot/"

KEEP = {"stage": "dev", "keep_last": "3", "then": "delete"}


def keeping(page: str, policy: str, **scope: str) -> dict[str, list[Call]]:
    """Set and remove a retention policy."""
    slug = {"team": "risk"} if scope else {}
    return {
        "pages": [form(page, action="save", **KEEP), form(page, action="remove", stage="staging")],
        "REST": [
            rest("PUT", "retention", stage="dev", keep_last=3, then="delete", **slug),
            rest("DELETE", f"retention/{policy}"),
        ],
        "admin": [
            form(ADMIN + "retentionpolicy/add/", **KEEP, **scope),
            form(f"{ADMIN}retentionpolicy/{policy}/change/", keep_last="4", then="archive"),
            form(f"{ADMIN}retentionpolicy/{policy}/delete/", post="yes"),
        ],
    }


def allowing(page: str, quota: str, **scope: str) -> dict[str, list[Call]]:
    """Set and remove a storage quota."""
    slug = {"team": "risk"} if scope else {}
    ask = f"?team={slug['team']}" if slug else ""
    return {
        "pages": [form(page, action="save", hard="5 GiB"), form(page, action="drop")],
        "REST": [rest("PUT", "storage/quota", hard=7 << 30, **slug), rest("DELETE", f"storage/quota{ask}")],
        "admin": [
            form(ADMIN + "storagequota/add/", hard="5 GiB", **scope),
            form(f"{ADMIN}storagequota/{quota}/change/", hard="6 GiB"),
            form(f"{ADMIN}storagequota/{quota}/delete/", post="yes"),
        ],
    }


HOOK = "/webhooks/{signed}/"
OTHER: dict[str, dict[str, list[Call]]] = {
    # --- Retention
    "read retention policies": {
        "pages": see("/retention/", "/teams/risk/retention/"),
        "REST": see("/api/v1/retention", "/api/v1/retention/{kept}"),
    },
    "see what retention would do": {
        "pages": [replace(form("/retention/", action="try", **KEEP), reads=True)],
        "REST": [replace(rest("POST", "retention/dry-run", team="risk"), reads=True)],
    },
    "say what every team keeps": keeping("/retention/", "{usual}"),
    "say what a team keeps": keeping("/teams/risk/retention/", "{kept}", team="{team}"),
    # --- Storage
    "see what a team holds": {
        "pages": see("/teams/risk/storage/"),
        "REST": see("/api/v1/storage/teams/risk"),
    },
    "see what everybody holds": {
        "pages": see("/storage/"),
        "REST": see("/api/v1/storage"),
        "admin": see(ADMIN + "storageuse/", ADMIN + "storagequota/"),
    },
    "see what a model holds": {
        "REST": see("/api/v1/storage/models/{model}", "/api/v1/storage/models/{model}/versions/1"),
    },
    "say what every team may hold": allowing("/storage/", "{quota}"),
    "say what a team may hold": allowing("/teams/risk/storage/", "{own_quota}", team="{team}"),
    # --- Runs
    "start a run": {
        "REST": [rest("POST", "runs", experiment="fraud")],
        "MLflow": [mlflow("POST", "runs/create", experiment_id="{experiment}")],
    },
    "end a run": {
        "REST": [rest("PATCH", "runs/{run}", status="finished")],
        "MLflow": [mlflow("POST", "runs/update", run_id="{run}", status="FINISHED")],
    },
    "log to a run": {
        "REST": quiet(rest("POST", "runs/{run}/log", params={"a": "1"})),
        "MLflow": quiet(
            mlflow("POST", "runs/log-metric", run_id="{run}", key="f1", value=0.6, timestamp=1),
            mlflow("POST", "runs/log-parameter", run_id="{run}", key="b", value="1"),
            mlflow("POST", "runs/set-tag", run_id="{run}", key="k", value="v"),
            mlflow("POST", "runs/delete-tag", run_id="{run}", key="old"),
            mlflow("POST", "runs/log-batch", run_id="{run}", params=[{"key": "c", "value": "1"}]),
            mlflow("POST", "runs/log-inputs", run_id="{run}", models=[{"model_id": "{logged}"}]),
            mlflow("POST", "runs/outputs", run_id="{run}", models=[{"model_id": "{logged}", "step": 1}]),
            mlflow("POST", "runs/log-model", run_id="{run}", model_json=MODEL_JSON),
            mlflow("PATCH", "logged-models/{logged}/tags", tags=[{"key": "k", "value": "v"}]),
            mlflow("DELETE", "logged-models/{logged}/tags/old"),
            mlflow("POST", "logged-models/{logged}/params", params=[{"key": "k", "value": "v"}]),
            files("PUT", "artifacts/{experiment}/{run}/artifacts/new.bin", b"bytes", kind="bytes"),
            files("POST", "mpu/create/{experiment}/{run}/artifacts", {"path": "big.bin", "num_parts": 1}),
        ),
    },
    "delete files of a run": {
        "MLflow": [files("DELETE", "artifacts/{experiment}/{run}/artifacts/model/model.bin")],
    },
    "log models": {
        "MLflow": [
            mlflow("POST", "logged-models", experiment_id="{experiment}"),
            mlflow("PATCH", "logged-models/{logged}", status="LOGGED_MODEL_READY"),
            mlflow("DELETE", "logged-models/{logged}"),
        ],
    },
    "delete and restore runs": {
        "MLflow": [
            mlflow("POST", "runs/delete", run_id="{run}"),
            mlflow("POST", "runs/restore", run_id="{lost}"),
        ],
    },
    "make an experiment": {"MLflow": [mlflow("POST", "experiments/create", name="new")]},
    "change an experiment": {
        "MLflow": [
            mlflow("POST", "experiments/update", experiment_id="{experiment}", new_name="other"),
            *quiet(
                mlflow(
                    "POST", "experiments/set-experiment-tag", experiment_id="{experiment}", key="k", value="v"
                ),
                mlflow("POST", "experiments/delete-experiment-tag", experiment_id="{experiment}", key="old"),
            ),
        ],
    },
    "delete and restore experiments": {
        "MLflow": [
            mlflow("POST", "experiments/delete", experiment_id="{experiment}"),
            mlflow("POST", "experiments/restore", experiment_id="{gone}"),
        ],
    },
    "register a dataset": {"REST": [rest("POST", "datasets", name="new", team="risk")]},
    # --- Teams and people
    "change a team": {
        "pages": [form("/teams/risk/", name="Risky")],
        "admin": [form(ADMIN + "team/{team}/change/", name="Risky", description="")],
    },
    "give roles": {
        "pages": [form("/teams/risk/members/", username="charlie", role="viewer")],
        "admin": [
            form(ADMIN + "membership/add/", team="{team}", user="{charlie}", role="viewer"),
            form(ADMIN + "membership/{daves}/change/", role="owner"),
        ],
    },
    "take roles away": {
        "pages": [form("/teams/risk/members/dave/remove/")],
        "admin": [form(ADMIN + "membership/{daves}/delete/", post="yes")],
    },
    "read service accounts": {
        "pages": see(SERVICE),
        "REST": see("/api/v1/teams/risk/service-accounts", f"/api/v1{SERVICE}tokens"),
    },
    "make a service account": {
        "pages": [form("/teams/risk/service-accounts/", name="new-bot", role="contributor")],
        "REST": [rest("POST", "teams/risk/service-accounts", username="new-bot", role="contributor")],
    },
    "make, rotate and revoke its tokens": {
        "pages": [
            form(SERVICE, action="make", name="x", scopes="read"),
            form(SERVICE, action="rotate", token="{bots_token}"),
            form(SERVICE, action="revoke", token="{bots_token}"),
        ],
        "REST": [
            rest("POST", f"{SERVICE[1:]}tokens", name="x", scopes=["write"]),
            rest("POST", SERVICE[1:] + "tokens/{bots_token}/rotate"),
            rest("DELETE", SERVICE[1:] + "tokens/{bots_token}"),
        ],
    },
    "deactivate a service account": {
        "pages": [form(SERVICE, action="deactivate")],
        "REST": [rest("DELETE", SERVICE[1:-1])],
    },
    "see somebody off": {"pages": [form("/people/dave/leaving/", heir="alice")]},
    "make a team": {"admin": [form(ADMIN + "team/add/", slug="new", name="New", description="")]},
    "make a person": {
        "admin": [
            form(
                ADMIN + "user/add/",
                username="newbie",
                usable_password="true",
                password1="long enough 123",
                password2="long enough 123",
            )
        ]
    },
    "change another's account": {
        "admin": [form(ADMIN + "user/{dave}/change/", first_name="New", is_active="on", is_staff="on")]
    },
    "release a locked login": {"admin": with_(locked, act("user", "release", "{dave}"))},
    "reset another's second factor": {
        "admin": with_(with_second_factor, act("user", "reset_second_factor", "{somebody}"))
    },
    "end another's sessions": {"admin": with_(logged_in, act("user", "end_sessions", "{somebody}"))},
    "change one's profile": {"pages": [form("/account/", **PROFILE)]},
    "read one's profile": {
        "pages": see("/account/", "/account/security/", "/account/tokens/"),
        "REST": see("/api/v1/me", "/api/v1/tokens"),
    },
    "make a token": {
        "pages": [form("/account/tokens/", name="ci", scopes="read")],
        "REST": [rest("POST", "tokens", name="ci", scopes=["write"])],
    },
    "revoke bob's token": {
        "pages": [form("/account/tokens/{token}/revoke/")],
        "REST": [rest("DELETE", "tokens/{token}")],
    },
    "revoke another's token": {"admin": [act("apitoken", "revoke", "{token}")]},
    # --- Webhooks
    "read webhooks": {
        "pages": see("/webhooks/", HOOK, f"{HOOK}deliveries/d-2/"),
        "REST": see(
            "/api/v1/webhooks",
            "/api/v1/webhooks/{signed}",
            "/api/v1/webhooks/{signed}/deliveries",
            "/api/v1/webhooks/{signed}/deliveries/d-2",
        ),
        "MLflow": see("/api/2.0/mlflow/webhooks", "/api/2.0/mlflow/webhooks/{hook}"),
    },
    "make a webhook": {
        "pages": [
            form(
                "/webhooks/new/",
                kind="generic",
                name="new",
                team="risk",
                url="https://93.184.215.14/",
                events="promotion.requested",
            )
        ],
        "REST": [
            rest("POST", "webhooks", name="new", url="https://93.184.215.14/", events=["promotion.requested"])
        ],
        "MLflow": [
            mlflow(
                "POST",
                "webhooks",
                name="new",
                url="https://93.184.215.14/",
                events=[{"entity": "REGISTERED_MODEL", "action": "CREATED"}],
            )
        ],
    },
    "change and delete webhooks": {
        "pages": [
            form(HOOK, action="pause"),
            form(HOOK, action="rotate", hours="24"),
            form(f"{HOOK}edit/", action="delete"),
            *quiet(form(HOOK, action="test")),
        ],
        "REST": [
            rest("PATCH", "webhooks/{signed}", name="other"),
            rest("DELETE", "webhooks/{signed}"),
            rest("POST", "webhooks/{signed}/rotate"),
            *quiet(rest("POST", "webhooks/{signed}/test")),
        ],
        "MLflow": [
            mlflow("PATCH", "webhooks/{hook}", name="other"),
            mlflow("DELETE", "webhooks/{hook}"),
            *quiet(mlflow("POST", "webhooks/{hook}/test")),
        ],
    },
    "send again what was sent to a webhook": {
        "pages": [form(HOOK, action="redeliver"), form(f"{HOOK}deliveries/d-2/")],
        "REST": [
            rest("POST", "webhooks/{signed}/redeliver"),
            rest("POST", "webhooks/{signed}/deliveries/d-2/redeliver"),
        ],
    },
    "pause webhooks and send again, any team's": {
        "admin": [
            act("webhook", "pause", "{hook_pk}"),
            act("webhook", "disable", "{hook_pk}"),
            act("webhook", "resume", "{paused_pk}"),
            act("webhook", "redeliver_dead", "{signed_pk}"),
            act("delivery", "redeliver", "{delivery}"),
        ],
    },
    # --- The rest
    "sign a checkpoint": {"REST": [rest("POST", "audit/checkpoint")]},
    "look at internal tables": {
        "admin": see(
            *(f"{ADMIN}{table}/" for table in ("auditevent", "apitoken", "blob", "webhook", "outboxevent"))
        ),
    },
}
