"""Webhooks and what was sent to them: to look at, to switch off, to send again. For site admins."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from models_app.models import Delivery, DeliveryAttempt, Webhook, WebhookStatus
from models_app.registry import addresses, delivery_log, webhooks

from .base import RegistryAdmin, actor_of, each


@admin.register(Webhook)
class WebhookAdmin(RegistryAdmin):
    list_display = (
        "name",
        "url",
        "kind",
        "scheme",
        "team",
        "status",
        "failing_since",
        "created_by",
        "created_at",
    )
    list_filter = ("status", "kind", "scheme", "team")
    list_select_related = ("team", "created_by")
    search_fields = ("name", "uid", "url")
    exclude = ("secret", "former_secret")
    ordering = ("-id",)
    actions = ("resume", "pause", "disable", "redeliver_dead")

    def view_on_site(self, hook: Webhook) -> str:
        """Its page, where it is changed, tried and given a new secret."""
        return addresses.of_webhook(hook.uid)

    def _set(self, request: HttpRequest, rows: QuerySet[Webhook], status: WebhookStatus, done: str) -> None:
        actor = actor_of(request)
        each(
            request,
            rows.select_related("team"),
            lambda hook: webhooks.update_webhook(hook, by=actor, status=status),
            done=done,
            admin_class=self,
        )

    @admin.action(description="Resume: send what waited")
    def resume(self, request: HttpRequest, rows: QuerySet[Webhook]) -> None:
        self._set(request, rows, WebhookStatus.ACTIVE, "active")

    @admin.action(description="Pause: what happens waits")
    def pause(self, request: HttpRequest, rows: QuerySet[Webhook]) -> None:
        self._set(request, rows, WebhookStatus.PAUSED, "paused")

    @admin.action(description="Disable")
    def disable(self, request: HttpRequest, rows: QuerySet[Webhook]) -> None:
        self._set(request, rows, WebhookStatus.DISABLED, "disabled")

    @admin.action(description="Send again all that was given up")
    def redeliver_dead(self, request: HttpRequest, rows: QuerySet[Webhook]) -> None:
        actor = actor_of(request)
        each(
            request,
            rows.select_related("team"),
            lambda hook: delivery_log.redeliver_dead(hook, by=actor),
            done="served",
            admin_class=self,
        )


class AttemptInline(admin.TabularInline):
    model = DeliveryAttempt
    fields = ("at", "status", "duration_ms", "error", "answer", "headers", "body")
    readonly_fields = fields
    verbose_name_plural = "attempts"
    can_delete = False
    extra = 0

    def has_add_permission(self, *_: Any) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(getattr(request.user, "is_superuser", False))


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
    inlines = (AttemptInline,)
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
