"""What this server is: version, health, and what it offers beyond the basics."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.http import require_GET

from models_app.registry.artifacts import arrivals

from .wire import ok

# The MLflow release whose protocol is spoken; clients and deployment tools ask for it.
SPOKEN = "3.17.2"


@require_GET
def version(request: HttpRequest) -> HttpResponse:
    return HttpResponse(SPOKEN, content_type="text/plain")


@require_GET
def health(request: HttpRequest) -> HttpResponse:
    return HttpResponse("OK", content_type="text/plain")


@require_GET
def server_info(request: HttpRequest) -> HttpResponse:
    """What the 3.x client asks before it moves large files. Nothing in it is secret."""
    parts: dict[str, Any] = {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": arrivals.takes_unknown_parts(),
        "multipart_downloads_enabled": True,
        "presigned_upload_run_id_supported": False,
        "presigned_upload_model_id_supported": False,
        "features_enabled": {"gateway": False},
    }
    return ok(parts)


routes = [path("server-info", server_info)]
