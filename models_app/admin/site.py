"""The admin site: one index, its tables grouped by noun."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

# Group → tables in it, in this order; what is not named goes last.
GROUPS = {
    "Catalog": [
        "RegisteredModel",
        "ModelVersion",
        "ModelTag",
        "ModelRedirect",
        "VersionMetric",
        "VersionTag",
    ],
    "Evidence": ["EvaluationReport", "RiskFlag", "LineageEdge", "Dataset"],
    "Lifecycle": ["StageTransition", "Alias", "LegalHold"],
    "Governance": ["Policy", "PromotionRequest", "Review", "Check", "RetentionPolicy", "RetentionMark"],
    "Deployments": ["Environment", "Deployment", "Running", "Threshold", "Incident"],
    "Runs": ["Experiment", "Run"],
    "Artifacts": ["Manifest", "ManifestEntry", "Blob", "StorageQuota", "StorageUse"],
    "People": ["Team", "Membership", "User", "ApiToken"],
    "Webhooks": ["Webhook", "Delivery"],
    "Records": ["AuditEvent", "OutboxEvent", "Notice", "IdempotencyRecord"],
}


class ModelrySite(admin.AdminSite):
    """Site admins see everything, staff who own a team see what is theirs."""

    site_title = "Modelry admin"
    site_header = "Modelry admin"
    index_title = "Tables"
    site_url = "/"
    # Lists need the width; the index is one click away.
    enable_nav_sidebar = False
    empty_value_display = "–"

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """One door for everybody: with the second factor, single sign-on and its locks."""
        if request.user.is_authenticated and not self.has_permission(request):
            raise PermissionDenied
        if self.has_permission(request):
            return redirect("admin:index")
        return redirect_to_login(request.GET.get("next") or reverse("admin:index"))

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """One block per group instead of one for the whole app."""
        apps = super().get_app_list(request, app_label)
        tables = {table["object_name"]: table for app in apps for table in app["models"]}
        blocks = []
        for group, names in GROUPS.items():
            found = [tables.pop(name) for name in names if name in tables]
            if found:
                blocks.append(
                    {
                        "name": group,
                        "app_label": "models_app",
                        "app_url": "",
                        "has_module_perms": True,
                        "models": found,
                    }
                )
        if tables:
            rest = list(tables.values())
            blocks.append(
                {
                    "name": "Other",
                    "app_label": "models_app",
                    "app_url": "",
                    "has_module_perms": True,
                    "models": rest,
                }
            )
        return blocks
