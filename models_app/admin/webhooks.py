"""Webhooks and what was sent to them: to look at, to switch off, to send again. For site admins."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from models_app.models import Delivery, Webhook, WebhookStatus
from models_app.registry import delivery_log, webhooks

from .base import RegistryAdmin, actor_of, each


@admin.register(Webhook)
class WebhookAdmin(RegistryAdmin):
    list_display = ("name", "url", "scheme", "team", "status", "created_by", "created_at")
    list_filter = ("status", "scheme", "team")
    list_select_related = ("team", "created_by")
    search_fields = ("name", "uid", "url")
    exclude = ("secret", "former_secret")
    ordering = ("-id",)
    actions = ("disable",)

    @admin.action(description="Disable")
    def disable(self, request: HttpRequest, rows: QuerySet[Webhook]) -> None:
        actor = actor_of(request)
        each(
            request,
            rows.select_related("team"),
            lambda hook: webhooks.update_webhook(hook, by=actor, status=WebhookStatus.DISABLED),
            done="disabled",
            admin_class=self,
        )


@admin.register(Delivery)
class DeliveryAdmin(RegistryAdmin):
    list_display = (
        "uid",
        "webhook",
        "name",
        "state",
        "attempts",
        "response_status",
        "duration_ms",
        "last_attempt_at",
    )
    list_filter = ("state", "name")
    list_select_related = ("webhook",)
    search_fields = ("uid", "webhook__name", "webhook__uid")
    raw_id_fields = ("webhook", "event")
    ordering = ("-id",)
    actions = ("redeliver",)

    @admin.action(description="Send again")
    def redeliver(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        actor = actor_of(request)
        each(
            request,
            rows.select_related("webhook__team"),
            lambda delivery: delivery_log.redeliver(delivery, by=actor),
            done="will be sent again",
            admin_class=self,
        )
