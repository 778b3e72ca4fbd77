"""Experiments, runs and datasets: what training reported."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from models_app.models import Dataset, Experiment, Run, RunInput, RunParam, RunTag

from .base import RegistryAdmin


class _Inline(admin.TabularInline):
    """Rows of a run, to look at."""

    extra = 0
    can_delete = False
    max_num = 0

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.is_staff

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class RunParamInline(_Inline):
    model = RunParam


class RunTagInline(_Inline):
    model = RunTag


class RunInputInline(_Inline):
    model = RunInput


@admin.register(Experiment)
class ExperimentAdmin(RegistryAdmin):
    visible_through = ""
    list_display = ("name", "team", "visibility", "created_at")
    list_filter = ("team",)
    list_select_related = ("team",)
    search_fields = ("name",)


@admin.register(Run)
class RunAdmin(RegistryAdmin):
    visible_through = "experiment"
    list_display = ("uid", "name", "experiment", "status", "created_by", "started_at", "ended_at")
    list_filter = ("status",)
    list_select_related = ("experiment", "created_by")
    search_fields = ("uid__startswith", "name", "experiment__name", "code_commit__startswith")
    ordering = ("-started_at", "-id")
    exclude = ("tree",)
    inlines = (RunParamInline, RunTagInline, RunInputInline)


@admin.register(Dataset)
class DatasetAdmin(RegistryAdmin):
    visible_through = "*"
    list_display = ("name", "version", "path", "license", "team", "created_at")
    list_select_related = ("team",)
    search_fields = ("name", "version", "path")
