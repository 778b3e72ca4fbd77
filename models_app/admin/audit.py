"""The audit record: to read."""

from __future__ import annotations

from django.contrib import admin

from models_app.models import AuditEvent

from .base import RegistryAdmin


@admin.register(AuditEvent)
class AuditEventAdmin(RegistryAdmin):
    list_display = ("at", "actor_name", "verb", "subject", "reason", "door", "refused")
    list_filter = ("refused", "door")
    search_fields = ("subject", "actor_name", "verb", "request_id")
    ordering = ("-id",)
