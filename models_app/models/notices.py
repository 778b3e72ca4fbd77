"""What people are told by mail."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone


class Notice(models.Model):
    """One thing one person is told. Sent at once or with the day's digest, as the person chose."""

    user = models.ForeignKey("User", on_delete=models.CASCADE, related_name="notices")
    event = models.ForeignKey("OutboxEvent", null=True, on_delete=models.SET_NULL, related_name="+")
    name = models.CharField(max_length=64)
    subject = models.CharField(max_length=300)
    body = models.TextField()
    path = models.CharField(max_length=500, help_text="The page it is about.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    sent_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # The outbox hands out events at least once; a person is told once.
            models.UniqueConstraint(fields=["user", "event"], name="notice_once")
        ]
        indexes = [models.Index(fields=["user", "id"], condition=Q(sent_at=None), name="notice_unsent")]

    def __str__(self) -> str:
        return self.subject
