"""Who outside is told of what happens, and every attempt to tell."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone


class WebhookStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    DISABLED = "disabled", "Disabled"


class WebhookScheme(models.TextChoices):
    """In whose words a hook is told: payload, headers and signature."""

    MLFLOW = "mlflow", "MLflow"
    STANDARD = "standard", "Standard Webhooks"


class Webhook(models.Model):
    """An address that wants to know. Without a team it hears of every model, else of the team's.

    `events` are names in the words of its scheme (`model_version.created`); the secret is kept encrypted.
    """

    uid = models.CharField(max_length=36, unique=True, editable=False)
    name = models.CharField(max_length=63)
    description = models.TextField(blank=True)
    url = models.URLField(max_length=2000)
    scheme = models.CharField(max_length=16, choices=WebhookScheme.choices, default=WebhookScheme.MLFLOW)
    events = models.JSONField(default=list)
    secret = models.TextField(blank=True, editable=False, help_text="Encrypted.")
    status = models.CharField(max_length=16, choices=WebhookStatus.choices, default=WebhookStatus.ACTIVE)
    team = models.ForeignKey("Team", null=True, blank=True, on_delete=models.CASCADE, related_name="webhooks")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=WebhookStatus.values), name="webhook_status_known")
        ]

    def __str__(self) -> str:
        return self.name


class DeliveryState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Given up"


class Delivery(models.Model):
    """One message to one webhook: its exact body, and how the attempts went. `uid` and body never change."""

    uid = models.CharField(max_length=36, unique=True, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey("OutboxEvent", null=True, on_delete=models.SET_NULL, related_name="deliveries")
    name = models.CharField(max_length=64)
    body = models.TextField()
    state = models.CharField(max_length=16, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    attempts = models.IntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_attempt_at = models.DateTimeField(null=True)
    response_status = models.IntegerField(null=True)
    response_body = models.TextField(blank=True, help_text="Its first 1 000 characters.")
    error = models.CharField(max_length=500, blank=True)
    duration_ms = models.IntegerField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            # The outbox hands out events at least once; a hook gets each once.
            models.UniqueConstraint(fields=["webhook", "event", "name"], name="delivery_once"),
        ]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(state="waiting"), name="delivery_waiting"),
            models.Index(fields=["webhook", "-id"], name="delivery_of_webhook"),
        ]

    def __str__(self) -> str:
        return f"{self.name} to {self.webhook}"
