"""The outbox, what people are told, and the memory of retried requests: for operators."""

from __future__ import annotations

from django.contrib import admin

from models_app.models import IdempotencyRecord, Notice, OutboxEvent

from .base import RegistryAdmin


@admin.register(OutboxEvent)
class OutboxEventAdmin(RegistryAdmin):
    list_display = ("id", "name", "model_ref", "created_at", "done_at")
    list_filter = (("done_at", admin.EmptyFieldListFilter),)
    search_fields = ("name",)
    ordering = ("-id",)


@admin.register(Notice)
class NoticeAdmin(RegistryAdmin):
    list_display = ("subject", "user", "is_urgent", "created_at", "due_at", "sent_at", "error")
    list_filter = ("name", ("sent_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("user__username", "subject")
    raw_id_fields = ("user", "event", "model", "request")
    ordering = ("-id",)


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(RegistryAdmin):
    list_display = ("key", "user", "status", "created_at")
    list_select_related = ("user",)
    search_fields = ("key", "user__username")
    ordering = ("-id",)
