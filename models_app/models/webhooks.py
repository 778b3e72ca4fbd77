"""Who outside is told of what happens, and every attempt to tell."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone


class WebhookStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    PAUSED = "paused", "Paused"
    DISABLED = "disabled", "Disabled"


class WebhookScheme(models.TextChoices):
    """In whose words a hook is told: payload, headers and signature."""

    MLFLOW = "mlflow", "MLflow"
    STANDARD = "standard", "Standard Webhooks"


class WebhookKind(models.TextChoices):
    """What receives, and so how a message is put."""

    GENERIC = "generic", "Any receiver (JSON)"
    GITHUB = "github", "GitHub workflow (repository_dispatch)"
    GITLAB = "gitlab", "GitLab pipeline (trigger)"
    SLACK = "slack", "Chat message (Slack and compatible)"


class Webhook(models.Model):
    """An address that wants to know. Without a team it hears of every model, else of the team's.

    `events` are names in the words of its scheme (`model_version.created`). `model_patterns` are globs of names,
    `stages` what an event's stages must be among, `environments` what its environment must be among; empty ones let
    everything through. Secrets are kept encrypted; a
    former one signs too until its time is over. A paused hook is told nothing, but what happens waits for it.
    """

    uid = models.CharField(max_length=36, unique=True, editable=False)
    name = models.CharField(max_length=63)
    description = models.TextField(blank=True)
    url = models.URLField(max_length=2000)
    host = models.CharField(
        max_length=300, blank=True, editable=False, help_text="Of the address, with its port."
    )
    scheme = models.CharField(max_length=16, choices=WebhookScheme.choices, default=WebhookScheme.MLFLOW)
    kind = models.CharField(max_length=16, choices=WebhookKind.choices, default=WebhookKind.GENERIC)
    ref = models.CharField(max_length=255, blank=True, help_text="The branch or tag that GitLab runs.")
    events = models.JSONField(default=list)
    model_patterns = models.JSONField(default=list, blank=True)
    stages = models.JSONField(default=list, blank=True)
    environments = models.JSONField(default=list, blank=True)
    secret = models.TextField(blank=True, editable=False, help_text="Encrypted.")
    former_secret = models.TextField(blank=True, editable=False, help_text="Encrypted.")
    former_secret_until = models.DateTimeField(null=True, editable=False)
    status = models.CharField(max_length=16, choices=WebhookStatus.choices, default=WebhookStatus.ACTIVE)
    pause_reason = models.CharField(max_length=300, blank=True, editable=False)
    failures = models.IntegerField(
        default=0, editable=False, help_text="In a row, without a success between."
    )
    failing_since = models.DateTimeField(null=True, editable=False)
    hold_until = models.DateTimeField(null=True, editable=False, help_text="Nothing is sent before.")
    team = models.ForeignKey("Team", null=True, blank=True, on_delete=models.CASCADE, related_name="webhooks")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=WebhookStatus.values), name="webhook_status_known"),
            models.CheckConstraint(condition=Q(kind__in=WebhookKind.values), name="webhook_kind_known"),
        ]

    def __str__(self) -> str:
        return self.name


class DeliveryState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Given up"


class Delivery(models.Model):
    """One message to one webhook: its exact body, and how its last attempt went. `uid` and body never change.

    Messages of one model (`model_ref`; 0: of none) to one webhook go out in the order of their ids.
    """

    uid = models.CharField(max_length=36, unique=True, editable=False)
    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="deliveries")
    event = models.ForeignKey("OutboxEvent", null=True, on_delete=models.SET_NULL, related_name="deliveries")
    model_ref = models.BigIntegerField(default=0, editable=False)
    name = models.CharField(max_length=64)
    body = models.TextField()
    state = models.CharField(max_length=16, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    attempts = models.IntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    queued_at = models.DateTimeField(
        default=timezone.now, editable=False, help_text="From when the time counts in which it is tried."
    )
    last_attempt_at = models.DateTimeField(null=True)
    response_status = models.IntegerField(null=True)
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
            models.Index(
                fields=["webhook", "model_ref", "id"], condition=Q(state="waiting"), name="delivery_in_line"
            ),
            models.Index(fields=["webhook", "state", "-id"], name="delivery_by_state"),
            models.Index(fields=["webhook", "-id"], name="delivery_of_webhook"),
            models.Index(fields=["created_at"], name="delivery_made"),
        ]

    def __str__(self) -> str:
        return f"{self.name} to {self.webhook}"


class DeliveryLane(models.Model):
    """A queue of messages to one webhook about one model: there is a row exactly as long as something waits in it.

    Whoever sends takes a lane with all its messages, so that they stay in order: `claim` says who has it, and
    `not_before` is moved on by a lease, after a failure by a pause. `mark` changes with every message that is added.
    """

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="lanes")
    model_ref = models.BigIntegerField(default=0)
    not_before = models.DateTimeField()
    claim = models.CharField(max_length=36, blank=True)
    mark = models.CharField(max_length=36)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["webhook", "model_ref"], name="lane_once")]
        indexes = [models.Index(fields=["not_before"], name="lane_due")]

    def __str__(self) -> str:
        return f"{self.webhook_id}/{self.model_ref}"


class DeliveryAttempt(models.Model):
    """One time that a message was sent: what went out (no secret in it), what came back and how long it took."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="log")
    at = models.DateTimeField()
    url = models.CharField(max_length=2000)
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True, help_text="Where it is not the message's own: its beginning.")
    status = models.IntegerField(null=True)
    answer = models.TextField(blank=True, help_text="Its beginning.")
    error = models.CharField(max_length=500, blank=True)
    duration_ms = models.IntegerField(default=0)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.delivery_id} at {self.at}"
