"""Who did what to what, when, from where."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class AuditEvent(models.Model):
    """One state change. Rows name their subjects in words and plain ids, so that they outlive what they speak of."""

    at = models.DateTimeField(default=timezone.now, editable=False)
    verb = models.CharField(max_length=64, editable=False)
    actor = models.ForeignKey("User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    actor_name = models.CharField(max_length=150, editable=False)
    token_prefix = models.CharField(max_length=12, blank=True, editable=False)
    door = models.CharField(max_length=16, blank=True, editable=False)
    address = models.CharField(max_length=64, blank=True, editable=False)
    request_id = models.CharField(max_length=64, blank=True, editable=False)
    subject = models.CharField(max_length=300, editable=False)
    model_ref = models.BigIntegerField(null=True, editable=False)
    before = models.JSONField(default=dict, editable=False)
    after = models.JSONField(default=dict, editable=False)
    reason = models.TextField(blank=True, editable=False)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["model_ref", "-id"], name="audit_of_model")]

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}"
