"""Reading, models, versions, stages, requests, policies."""

from __future__ import annotations

from dataclasses import replace

from .sending import (
    ADMIN,
    MODEL_FORM,
    POLICY_FORM,
    TEAM_POLICY,
    A,
    Call,
    M,
    Prepare,
    R,
    act,
    asked_by_them,
    finds,
    form,
    held,
    held_by_site,
    made_by_them,
    mlflow,
    of,
    rest,
    retired,
    rv,
    see,
    stage,
    strict,
    theirs,
    v,
    with_,
)


def lifting(prepare: Prepare) -> dict[str, list[Call]]:
    return {
        "pages": with_(prepare, form(v(3) + "hold/", reason="Over.", lift="{hold}")),
        "REST": with_(prepare, rest("POST", "holds/{hold}/lift", reason="Over.")),
        "admin": with_(prepare, act("legalhold", "lift", "{hold}", reason="Over.")),
    }


REGISTRY: dict[str, dict[str, list[Call]]] = {
    # --- Reading
    "search": {
        "pages": see("/"),
        "REST": see(
            "/api/v1/search", "/api/v1/search/facets", "/api/v1/models", "/api/v1/versions", "/api/v1/holds"
        ),
        "MLflow": see(
            "/api/2.0/mlflow/registered-models/search",
            "/api/2.0/mlflow/model-versions/search",
        ),
    },
    "read a model": {
        "pages": see(
            M, M + "versions/", M + "lineage/", M + "activity/", M + "compare/?v=1&v=2", M + "compare/1...2/"
        ),
        "REST": see(
            "/api/v1/" + R,
            f"/api/v1/{R}/versions",
            f"/api/v1/{R}/transitions",
            f"/api/v1/{R}/card/template",
            "/api/v1/compare?model={model}&versions=1,2",
        ),
        "MLflow": [
            *see(
                "/api/2.0/mlflow/registered-models/get?name={flat}",
                "/api/2.0/mlflow/registered-models/get-latest-versions?name={flat}",
                "/api/2.0/mlflow/registered-models/alias?name={flat}&alias=there",
            ),
        ],
        "admin": see(ADMIN + "registeredmodel/{pk}/change/"),
    },
    "read a version": {
        "pages": see(v(3)),
        "REST": see(
            *(f"/api/v1/{rv(3)}{part}" for part in ("", "/requirements", "/explain", "/checks", "/lineage"))
        ),
        "MLflow": see("/api/2.0/mlflow/model-versions/get?name={flat}&version=3"),
        "admin": see(ADMIN + "modelversion/{v3}/change/"),
    },
    "download files": {
        "pages": see(*(v(3) + part for part in ("files/model.bin", "download.zip", "download.tar"))),
        "REST": see(*(f"/api/v1/{rv(3)}/{part}" for part in ("files", "files/model.bin", "archive.zip"))),
        "MLflow": see(
            "/api/2.0/mlflow/model-versions/get-download-uri?name={flat}&version=3",
            "/model-versions/get-artifact?name={flat}&version=3&path=model.bin",
        ),
    },
    "read the compliance report": {
        "pages": see(M + "compliance/"),
        "REST": see(f"/api/v1/{R}/compliance"),
    },
    "take a version's bundle": {
        "pages": see(v(3) + "bundle.zip"),
        "REST": see(f"/api/v1/{rv(3)}/bundle.zip"),
    },
    "read what is in a stage": {"REST": see("/api/v1/stages/production")},
    "read runs, experiments and datasets": {
        "pages": see("/runs/{run}/"),
        "REST": see(
            "/api/v1/runs",
            "/api/v1/runs/{run}",
            "/api/v1/runs/{run}/metrics",
            "/api/v1/datasets",
            "/api/v1/datasets/{dataset}",
        ),
        "MLflow": [
            *see(
                "/api/2.0/mlflow/experiments/get?experiment_id={experiment}",
                "/api/2.0/mlflow/experiments/get-by-name?experiment_name=fraud",
                "/api/2.0/mlflow/experiments/search?max_results=5",
                "/api/2.0/mlflow/runs/get?run_id={run}",
                "/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=f1",
                "/api/2.0/mlflow/metrics/get-history-bulk?run_id={run}&metric_key=f1",
                "/api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={run}&metric_key=f1",
                "/api/2.0/mlflow/logged-models/{logged}",
                "/api/2.0/mlflow/logged-models/{logged}/artifacts/directories",
                "/api/2.0/mlflow/artifacts/list?run_id={run}",
                "/api/2.0/mlflow-artifacts/artifacts?path={experiment}/{run}/artifacts/model",
                "/api/2.0/mlflow-artifacts/artifacts/{experiment}/{run}/artifacts/model/model.bin",
                "/api/2.0/mlflow-artifacts/presigned/{experiment}/{run}/artifacts/model/model.bin",
                "/get-artifact?run_id={run}&path=model/model.bin",
            ),
        ],
    },
    "search runs": {
        "MLflow": [
            finds("runs/search", experiment_ids=["{experiment}"]),
            finds("logged-models/search", experiment_ids=["{experiment}"]),
            finds("experiments/search-datasets", experiment_ids=["{experiment}"]),
            finds("artifacts/presigned-download-url", run_id="{run}", path="model/model.bin"),
        ]
    },
    "read teams": {
        "pages": see("/teams/", "/teams/risk/"),
        "REST": see("/api/v1/teams"),
    },
    "read who is in a team": {"REST": see("/api/v1/teams/risk")},
    "read policies": {
        "pages": see("/policies/", "/teams/risk/policies/"),
        "REST": see("/api/v1/policies"),
    },
    "read a model's policy": {"REST": see("/api/v1/policies/{policy}")},
    "try rules": {
        "REST": [
            replace(rest("POST", "policies/dry-run", model="{model}", version="3", rules={}), reads=True)
        ],
    },
    "read requests": {
        "pages": see(A),
        "REST": see("/api/v1/requests/{request}"),
    },
    "read one's inbox": {
        "pages": see("/approvals/"),
        "REST": see("/api/v1/requests", "/api/v1/requests/waiting"),
    },
    "read the audit": {
        "pages": see("/audit/", "/audit/export.csv", "/audit/export.jsonl"),
        "REST": see("/api/v1/audit", "/api/v1/audit/export"),
    },
    "read checkpoints": {"REST": see("/api/v1/audit/checkpoint")},
    # --- Models
    "register a model": {
        "pages": [form("/register/", name="risk/new", visibility="internal")],
        "REST": [rest("POST", "models", name="risk/new")],
        "MLflow": [mlflow("POST", "registered-models/create", name="risk--new")],
    },
    "change a model": {
        "pages": [form(M + "settings/", **MODEL_FORM)],
        "REST": [rest("PATCH", R, purpose="Else.")],
        "MLflow": [mlflow("PATCH", "registered-models/update", name="{flat}", description="Else.")],
        "admin": [form(ADMIN + "registeredmodel/{pk}/change/", visibility="internal", purpose="Else.")],
    },
    "change a model that one answers for": {
        "pages": with_(theirs, form(M + "settings/", **MODEL_FORM)),
        "REST": with_(theirs, rest("PATCH", R, purpose="Else.")),
        "MLflow": with_(
            theirs, mlflow("PATCH", "registered-models/update", name="{flat}", description="Else.")
        ),
    },
    "tag a model": {
        "MLflow": [
            mlflow("POST", "registered-models/set-tag", name="{flat}", key="k", value="v"),
            mlflow("DELETE", "registered-models/delete-tag", name="{flat}", key="old"),
        ]
    },
    "rename a model": {
        "pages": [form(M + "rename/", **{"rename-to": "risk/other"})],
        "REST": [rest("POST", R + "/rename", to="risk/other")],
        "MLflow": [mlflow("POST", "registered-models/rename", name="{flat}", new_name="risk--other")],
    },
    "delete a model": {
        "pages": with_(retired, form(M + "delete/", **{"delete-confirm": "{model}"})),
        "REST": with_(retired, rest("DELETE", R)),
        "MLflow": with_(retired, mlflow("DELETE", "registered-models/delete", name="{flat}")),
        "admin": with_(retired, form(ADMIN + "registeredmodel/{pk}/delete/", post="yes")),
    },
    # --- Versions
    "register a version": {
        "pages": [form(M + "upload/", file=b"new weights")],
        "REST": [
            Call("POST", f"/api/v1/{R}/versions", {"metadata": "{{}}", "file": b"new weights"}, kind="form"),
            replace(rest("POST", "uploads", model="{model}"), audited=False),
        ],
        "MLflow": [mlflow("POST", "model-versions/create", name="{flat}", source="s3://bucket/model")],
    },
    "change a version": {
        "pages": [form(v(3) + "edit/", description="New.")],
        "REST": [
            rest("PATCH", rv(3), description="New."),
            rest("POST", rv(3) + "/metrics", metrics={"auc": 1}),
        ],
        "MLflow": [
            mlflow("PATCH", "model-versions/update", **of(description="New.")),
            mlflow("POST", "model-versions/set-tag", **of(key="k", value="v")),
            mlflow("DELETE", "model-versions/delete-tag", **of(key="old")),
        ],
        "admin": [form(ADMIN + "modelversion/{v3}/change/", description="New.", pii_usage="")],
    },
    "set and delete aliases": {
        "pages": [form(v(3) + "alias/", alias="champion"), form(v(3) + "alias/", alias="there", delete="1")],
        "REST": [rest("PUT", R + "/aliases/champion", version="3"), rest("DELETE", R + "/aliases/there")],
        "MLflow": [
            mlflow("POST", "registered-models/alias", **of(alias="champion")),
            mlflow("DELETE", "registered-models/alias", name="{flat}", alias="there"),
        ],
    },
    "link lineage": {
        "REST": [rest("POST", rv(3) + "/lineage", relation="trained_on", dataset="{dataset}")],
    },
    "report a check": {
        "REST": [rest("POST", rv(3) + "/checks", name="integration-tests", state="success")],
    },
    "delete a version": {
        "pages": [form(v(4) + "delete/")],
        "REST": [rest("DELETE", rv(4))],
        "MLflow": [mlflow("DELETE", "model-versions/delete", **of("4"))],
        "admin": [form(ADMIN + "modelversion/{v4}/delete/", post="yes")],
    },
    "read legal holds": {"REST": with_(held, *see("/api/v1/holds/{hold}"))},
    "place a legal hold": {
        "pages": [
            form(v(3) + "hold/", reason="Case 7."),
            form(M + "settings/hold/", **{"hold-reason": "Case 7."}),
        ],
        "REST": [
            rest("POST", "holds", model="{model}", version="3", reason="Case 7."),
            rest("POST", "holds", model="{model}", reason="Case 7."),
        ],
    },
    "lift a legal hold": lifting(held),
    "lift a site admin's legal hold": lifting(held_by_site),
    # --- Stages
    "move to dev": stage(5, "dev", "None"),
    "move to staging": stage(6, "staging", "Staging"),
    "move to archived": stage(6, "archived", "Archived"),
    "take out of production": stage(2, "archived", "Archived"),
    "move to production": stage(6, "production", "Production"),
    "move to production against a policy": {
        door: with_(strict, *calls) for door, calls in stage(6, "production", "Production").items()
    },
    "roll back": {
        "pages": [form(M + "rollback/", reason="Slow.")],
        "REST": [rest("POST", R + "/rollback", reason="Slow.")],
        "admin": [act("registeredmodel", "roll_back", "{pk}", reason="Slow.")],
    },
    "promote in an emergency": {
        "pages": [form(v(6) + "emergency/", reason="It burns.")],
        "REST": [rest("POST", rv(6) + "/emergency", reason="It burns.")],
    },
    # --- Requests
    "ask for a promotion": {
        "pages": [replace(form(v(6) + "request/", reason="Better."), asks=True)],
        "REST": [replace(rest("POST", rv(6) + "/requests", reason="Better."), asks=True)],
    },
    "review a request": {
        "pages": [
            form(A + "review/", verdict="approved", evidence="{evidence}"),
            form(A + "review/", verdict="rejected", body="No.", evidence="{evidence}"),
        ],
        "REST": [
            rest("POST", "requests/{request}/review", verdict="approved"),
            rest("POST", "requests/{request}/review", verdict="changes_requested", body="Hm."),
        ],
    },
    "review what one asked for": {
        "pages": with_(
            asked_by_them,
            form("/approvals/{erins}/review/", verdict="approved", evidence="{erins_evidence}"),
        ),
        "REST": with_(asked_by_them, rest("POST", "requests/{erins}/review", verdict="approved")),
    },
    "review what one registered": {
        "pages": with_(
            made_by_them,
            form("/approvals/{erins}/review/", verdict="approved", evidence="{erins_evidence}"),
        ),
        "REST": with_(made_by_them, rest("POST", "requests/{erins}/review", verdict="approved")),
    },
    "comment on a request": {
        "pages": [form(A + "review/", verdict="comment", body="Hm.")],
        "REST": [rest("POST", "requests/{request}/comments", body="Hm.")],
    },
    "ask others for a review": {
        "pages": [form(A + "reviewers/", reviewer="carol")],
        "REST": [rest("PUT", "requests/{request}/reviewers", reviewers=["carol"])],
    },
    "withdraw another's request": {
        "pages": [form("/approvals/{erins}/withdraw/")],
        "REST": [rest("POST", "requests/{erins}/withdraw")],
        "admin": [act("promotionrequest", "withdraw", "{erins}", reason="x")],
    },
    "withdraw one's own request": {
        "pages": with_(asked_by_them, form("/approvals/{erins}/withdraw/")),
        "REST": with_(asked_by_them, rest("POST", "requests/{erins}/withdraw")),
        "admin": with_(asked_by_them, act("promotionrequest", "withdraw", "{erins}", reason="x")),
    },
    "review an emergency": {
        "pages": [form("/approvals/{emergency}/review-after/", body="Right.")],
        "REST": [rest("POST", "requests/{emergency}/review-after", body="Right.")],
    },
    # --- Policies
    "write the site's policies": {
        "pages": [form("/policies/", **TEAM_POLICY)],
        "REST": [
            rest("PUT", "policies", stage="production", rules={}),
            rest("PUT", "policies", stage="production", rules={}, risk_level="high"),
        ],
        "admin": [form(ADMIN + "policy/add/", **POLICY_FORM)],
    },
    "write a team's policies": {
        "pages": [form("/teams/risk/policies/", **TEAM_POLICY)],
        "REST": [rest("PUT", "policies", stage="production", rules={}, team="risk")],
        "admin": [form(ADMIN + "policy/add/", team="{team}", **POLICY_FORM)],
    },
    "write a model's policies": {
        "pages": [form("/teams/risk/policies/", scope="model:{model}", **TEAM_POLICY)],
        "REST": [rest("PUT", "policies", stage="production", rules={}, model="{model}")],
        "admin": [form(ADMIN + "policy/{policy}/change/", is_active="on", text='{{"report": true}}')],
    },
}
