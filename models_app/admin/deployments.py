"""What runs where, what was observed there, and incidents: to look at. Pages and verbs change them."""

from __future__ import annotations

from django.contrib import admin

from models_app.models import Deployment, Environment, Incident, Running, Threshold

from .base import RegistryAdmin


@admin.register(Environment)
class EnvironmentAdmin(RegistryAdmin):
    visible_through = "*"
    list_display = ("name", "site", "team", "follows", "followed", "kind", "start", "deleted_at")
    list_filter = ("kind", "follows", "start", "team", ("deleted_at", admin.EmptyFieldListFilter))
    list_select_related = ("team",)
    search_fields = ("name", "site")
    ordering = ("name", "-id")


@admin.register(Deployment)
class DeploymentAdmin(RegistryAdmin):
    visible_through = "model"
    list_display = ("id", "version", "environment", "state", "kind", "rollback_target", "by", "queued_at")
    list_filter = ("state", "kind", "environment")
    list_select_related = ("version__model", "environment", "rollback_target__model", "by")
    search_fields = ("model__name", "environment__name", "reason", "failure")
    raw_id_fields = ("model", "version", "rollback_target", "undoes", "transition", "alias_was", "by")
    ordering = ("-id",)


@admin.register(Running)
class RunningAdmin(RegistryAdmin):
    visible_through = "model"
    list_display = ("model", "environment", "version_number", "digest", "at", "by")
    list_filter = ("environment",)
    list_select_related = ("model", "environment", "by")
    search_fields = ("model__name", "environment__name")
    ordering = ("-at", "-id")


@admin.register(Threshold)
class ThresholdAdmin(RegistryAdmin):
    list_display = ("__str__", "model", "environment", "in_a_row", "resolves", "created_by", "created_at")
    list_filter = ("environment",)
    list_select_related = ("model", "environment", "created_by")
    search_fields = ("model__name", "environment__name", "name_pattern")
    ordering = ("-id",)


@admin.register(Incident)
class IncidentAdmin(RegistryAdmin):
    visible_through = "model"
    list_display = ("id", "model", "state", "resolution", "opened_at", "acknowledged_by", "resolved_at")
    list_filter = ("state", "resolution")
    list_select_related = ("model", "acknowledged_by")
    search_fields = ("model__name", "reason")
    ordering = ("-id",)
