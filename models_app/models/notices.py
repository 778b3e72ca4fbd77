"""What people are told by mail."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone


class Notice(models.Model):
    """One thing one person is told. Sent at once or with the day's digest, as the person chose.

    It waits as long as `due_at` says when; a worker that takes it moves that on by a lease and marks it with its claim.
    """

    user = models.ForeignKey("User", on_delete=models.CASCADE, related_name="notices")
    event = models.ForeignKey("OutboxEvent", null=True, on_delete=models.SET_NULL, related_name="+")
    model = models.ForeignKey("RegisteredModel", null=True, on_delete=models.CASCADE, related_name="+")
    request = models.ForeignKey("PromotionRequest", null=True, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=64)
    subject = models.CharField(max_length=300)
    body = models.TextField()
    path = models.CharField(max_length=500, help_text="The page it is about.")
    is_urgent = models.BooleanField(default=False, help_text="Sent at once, whatever the person chose.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    due_at = models.DateTimeField(null=True, editable=False)
    sent_at = models.DateTimeField(null=True, editable=False)
    claim = models.CharField(max_length=36, blank=True, editable=False)
    attempts = models.IntegerField(default=0)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # The outbox hands out events at least once; a person is told once.
            models.UniqueConstraint(fields=["user", "event"], name="notice_once")
        ]
        indexes = [
            models.Index(fields=["due_at", "user"], condition=Q(due_at__isnull=False), name="notice_due"),
            models.Index(fields=["claim"], condition=~Q(claim=""), name="notice_claimed"),
            models.Index(fields=["created_at"], name="notice_made"),
        ]

    def __str__(self) -> str:
        return self.subject
