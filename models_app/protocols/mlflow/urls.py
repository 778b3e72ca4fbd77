"""Every address of the protocol. No trailing slashes; what is not here is refused in the protocol's own shape."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path
from django.views.decorators.csrf import csrf_exempt

from . import (
    artifacts,
    errors,
    experiments,
    logged_models,
    model_versions,
    registered_models,
    runs,
    server,
    webhooks,
)

app_name = "mlflow"


@csrf_exempt
def not_spoken(request: HttpRequest) -> HttpResponse:
    """The rest of the original's calls (traces, gateway, …): newer clients fall back or warn, and go on."""
    return errors.answer(404, "ENDPOINT_NOT_FOUND", f"There is no call {request.path} here.")


api = [
    *registered_models.routes,
    *model_versions.routes,
    *experiments.routes,
    *runs.routes,
    *logged_models.routes,
    *webhooks.routes,
    *artifacts.routes,
    re_path("", not_spoken),
]
proxied = [*artifacts.proxied, re_path("", not_spoken)]

# Clients use /api; /ajax-api is what browsers and some other languages use.
urlpatterns = (
    [path(f"{root}/2.0/mlflow/", include(api)) for root in ("api", "ajax-api")]
    + [path(f"{root}/2.0/mlflow-artifacts/", include(proxied)) for root in ("api", "ajax-api")]
    + [
        path(f"{root}/3.0/mlflow/", include([*server.routes, re_path("", not_spoken)]))
        for root in ("api", "ajax-api")
    ]
    + [
        path("version", server.version),
        path("health", server.health),
        *artifacts.direct,
    ]
)
