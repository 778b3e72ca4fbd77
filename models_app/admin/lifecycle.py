"""Stage moves and aliases: the record of them."""

from __future__ import annotations

from django.contrib import admin

from models_app.models import Alias, StageTransition

from .base import RegistryAdmin


@admin.register(StageTransition)
class StageTransitionAdmin(RegistryAdmin):
    visible_through = "model"
    list_display = ("version", "from_stage", "to_stage", "kind", "by", "at", "reason")
    list_filter = ("to_stage", "kind")
    list_select_related = ("version__model", "by")
    search_fields = ("model__name", "by__username", "reason")
    ordering = ("-id",)


@admin.register(Alias)
class AliasAdmin(RegistryAdmin):
    visible_through = "model"
    list_display = ("name", "model", "version", "updated_at")
    list_select_related = ("model", "version__model")
    search_fields = ("name", "model__name")
    ordering = ("-id",)
