"""The outbox and the memory of retried requests: for operators."""

from __future__ import annotations

from django.contrib import admin

from models_app.models import IdempotencyRecord, OutboxEvent

from .base import RegistryAdmin


@admin.register(OutboxEvent)
class OutboxEventAdmin(RegistryAdmin):
    list_display = ("id", "name", "model_ref", "created_at", "done_at")
    list_filter = (("done_at", admin.EmptyFieldListFilter),)
    search_fields = ("name",)
    ordering = ("-id",)


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(RegistryAdmin):
    list_display = ("key", "user", "status", "created_at")
    list_select_related = ("user",)
    search_fields = ("key", "user__username")
    ordering = ("-id",)
