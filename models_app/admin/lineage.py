"""What versions came from."""

from __future__ import annotations

from django.contrib import admin

from models_app.models import LineageEdge

from .base import RegistryAdmin


@admin.register(LineageEdge)
class LineageEdgeAdmin(RegistryAdmin):
    visible_through = "version__model"
    list_display = ("version", "relation", "dataset", "base_version", "upstream")
    list_filter = ("relation",)
    list_select_related = ("version__model", "dataset", "base_version__model")
    search_fields = ("version__model__name", "dataset__name", "upstream")
    ordering = ("-id",)
