"""Environments and deployments."""

from __future__ import annotations

from .sending import Call, deployed, drifting, form, handed_out, quiet, replaced, rest, see, with_

E, D = "environments/eu", "deployments/{deployment}"

DEPLOYMENTS: dict[str, dict[str, list[Call]]] = {
    "read environments": {
        "REST": with_(
            deployed,
            *see(f"/api/v1/{E}", f"/api/v1/{E}/running", "/api/v1/environments", "/api/v1/deployments"),
            # What is listed there is of models that one may read.
            *see("/api/v1/incidents", "/api/v1/thresholds"),
        )
    },
    "read a deployment": {"REST": with_(deployed, *see(f"/api/v1/{D}", f"/api/v1/{D}/lines"))},
    "set up an environment of the site": {"REST": [rest("POST", "environments", name="new")]},
    "set up an environment of a team": {"REST": [rest("POST", "environments", name="new", team="risk")]},
    "change and delete an environment": {
        "REST": with_(deployed, rest("PATCH", E, site="Here"), rest("DELETE", E, reason="It is gone."))
    },
    "order a deployment": {
        "REST": with_(deployed, rest("POST", "deployments", model="{model}", version="2", environment="eu"))
    },
    "start and call off deployments": {
        "REST": with_(
            deployed,
            rest("POST", "deployments/{waiting}/start"),
            rest("POST", "deployments/{waiting}/call-off"),
        )
    },
    "roll back an environment": {
        "REST": with_(
            replaced, rest("POST", "deployments/rollback", model="{model}", environment="eu", reason="Slow.")
        )
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
    "take deployments": {"REST": with_(deployed, rest("POST", f"{E}/claim", agent="a"))},
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
        "REST": with_(
            drifting,
            rest("POST", "thresholds", model="{model}", name_pattern="ks", value=1),
            rest("PATCH", "thresholds/{threshold}", value=2),
            rest("DELETE", "thresholds/{threshold}"),
        )
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
