"""The whole URL map, door by door. Order matters: fixed words first, model names last."""

from django.contrib import admin
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path


def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return HttpResponse("ok", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """The process answers and reaches its database."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception:
        return JsonResponse({"database": "unreachable"}, status=503)
    return JsonResponse({"database": "ok"})


urlpatterns = [
    path("healthz", healthz),
    path("readyz", readyz),
    path("admin/", admin.site.urls),
    path("", include("models_app.web.login_urls")),
    path("", include("models_app.protocols.mlflow.urls")),
    path("api/", include("models_app.api.urls")),
    path("", include("models_app.web.urls")),
]

handler400 = "models_app.web.errors.bad_request"
handler403 = "models_app.web.errors.permission_denied"
handler404 = "models_app.web.errors.not_found"
handler500 = "models_app.web.errors.server_error"
