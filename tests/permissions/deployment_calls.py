"""Environments and deployments."""

from __future__ import annotations

from .sending import Call, deployed, drifting, form, handed_out, quiet, replaced, rest, see, with_

E, D = "environments/eu", "deployments/{deployment}"
FORM = {
    "follows": "stage",
    "followed": "production",
    "kind": "agent",
    "health_window": "60",
    "timeout": "600",
    "start": "manual",
    "deploy_role": "owner",
}

OF_MODEL = see("/models/{model}/deployments/", "/models/{model}/deployments/eu/")

DEPLOYMENTS: dict[str, dict[str, list[Call]]] = {
    "read environments": {
        "pages": with_(deployed, *see("/environments/", f"/{E}/", "/deployments/")),
        "REST": with_(
            deployed,
            *see(f"/api/v1/{E}", f"/api/v1/{E}/running", "/api/v1/environments", "/api/v1/deployments"),
            # What is listed there is of models that one may read.
            *see("/api/v1/incidents", "/api/v1/thresholds"),
        ),
    },
    "read a deployment": {
        "pages": with_(deployed, *see(f"/{D}/", f"/{D}/progress/"), *OF_MODEL),
        "REST": with_(deployed, *see(f"/api/v1/{D}", f"/api/v1/{D}/lines")),
    },
    "set up an environment of the site": {
        "pages": [form("/environments/new/", name="another", **FORM)],
        "REST": [rest("POST", "environments", name="another")],
    },
    "set up an environment of a team": {
        "pages": [form("/environments/new/", name="another", team="{team}", **FORM)],
        "REST": [rest("POST", "environments", name="another", team="risk")],
    },
    "change and delete an environment": {
        "pages": with_(
            deployed,
            form(f"/{E}/", **FORM),
            form(f"/{E}/delete/", **{"delete-reason": "It is gone."}),
        ),
        "REST": with_(deployed, rest("PATCH", E, site="Here"), rest("DELETE", E, reason="It is gone.")),
    },
    "order a deployment": {
        "pages": with_(deployed, form("/models/{model}@2/deploy/", environment="eu")),
        "REST": with_(deployed, rest("POST", "deployments", model="{model}", version="2", environment="eu")),
    },
    "start and call off deployments": {
        "pages": with_(
            deployed,
            form("/deployments/{waiting}/start/"),
            form("/deployments/{waiting}/call-off/"),
        ),
        "REST": with_(
            deployed,
            rest("POST", "deployments/{waiting}/start"),
            rest("POST", "deployments/{waiting}/call-off"),
        ),
    },
    "roll back an environment": {
        "pages": with_(
            replaced, form("/models/{model}/deployments/rollback/?environment=eu", reason="Slow.")
        ),
        "REST": with_(
            replaced, rest("POST", "deployments/rollback", model="{model}", environment="eu", reason="Slow.")
        ),
    },
    "report on a deployment": {
        "REST": with_(
            handed_out,
            rest("POST", f"{D}/report", state="live", agent="a"),
            *quiet(
                rest("POST", f"{D}/renew", agent="a"),
                rest("PUT", f"{E}/running", model="{model}", version=2),
            ),
        )
    },
    "take deployments": {
        "REST": with_(deployed, rest("POST", f"{E}/claim", agent="a"), *see(f"/api/v1/{E}/declared"))
    },
    "read observations, thresholds and incidents": {
        "pages": with_(drifting, *see("/incidents/{incident}/", "/models/{model}/monitoring/")),
        "REST": with_(
            drifting,
            *see(
                f"/api/v1/{D}/observations",
                "/api/v1/incidents/{incident}",
                "/api/v1/thresholds/{threshold}",
            ),
        ),
    },
    "post observations": {
        "REST": with_(
            drifting, rest("POST", f"{D}/observations", observations=[{"name": "traffic", "value": 1}])
        )
    },
    "set thresholds of a model": {
        "pages": with_(
            drifting,
            form("/models/{model}/monitoring/", name_pattern="ks", comparison="above", value=1, in_a_row=3),
            form("/models/{model}/monitoring/", remove="{threshold}"),
        ),
        "REST": with_(
            drifting,
            rest("POST", "thresholds", model="{model}", name_pattern="ks", value=1),
            rest("PATCH", "thresholds/{threshold}", value=2),
            rest("DELETE", "thresholds/{threshold}"),
        ),
    },
    "set thresholds of an environment": {
        "REST": with_(drifting, rest("POST", "thresholds", environment="eu", name_pattern="ks", value=1))
    },
    "answer incidents": {
        "pages": with_(
            drifting,
            form("/incidents/{incident}/acknowledge/"),
            form("/incidents/{incident}/resolve/", reason="Known."),
        ),
        "REST": with_(
            drifting,
            rest("POST", "incidents/{incident}/acknowledge"),
            rest("POST", "incidents/{incident}/resolve", reason="Known."),
        ),
    },
}
