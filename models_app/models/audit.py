"""Who did what to what, when, from where."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.utils import timezone


class AuditEvent(models.Model):
    """One state change, or the refusal of one. The database refuses to change or delete it.

    Rows name their subjects in words and plain ids, so that they outlive what they speak of.
    """

    at = models.DateTimeField(default=timezone.now, editable=False)
    verb = models.CharField(max_length=64, editable=False)
    # No constraint: a row must not change when its actor is deleted.
    actor = models.ForeignKey(
        "User", null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+", editable=False
    )
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
    refused = models.BooleanField(default=False, editable=False)
    policy = models.CharField(
        max_length=300, blank=True, editable=False, help_text="The policy versions it was decided under."
    )

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["model_ref", "-id"], name="audit_of_model"),
            models.Index(fields=["actor_name", "-id"], name="audit_of_actor"),
            models.Index(fields=["verb", "-id"], name="audit_of_verb"),
            models.Index(fields=["-id"], condition=models.Q(refused=True), name="audit_refused"),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.subject}"


class AuditLink(models.Model):
    """A sealed record's place in the chain: `hash` is over its canonical JSON and the former link's hash.

    Links are written by the sealer, some time after the records, so that no writer waits for another.
    """

    position = models.BigIntegerField(primary_key=True, editable=False)
    event = models.OneToOneField(
        AuditEvent, on_delete=models.DO_NOTHING, db_constraint=False, related_name="link", editable=False
    )
    hash = models.CharField(max_length=64, editable=False)
    sealed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["position"]

    def __str__(self) -> str:
        return f"{self.position} {self.hash[:12]}"


class AuditCheckpoint(models.Model):
    """A signed statement that the chain was so long and ended so: kept elsewhere, it makes rewriting visible."""

    position = models.BigIntegerField(editable=False)
    hash = models.CharField(max_length=64, editable=False)
    public_key = models.CharField(max_length=64, editable=False, help_text="Ed25519, hex.")
    signature = models.CharField(max_length=128, editable=False, help_text="Ed25519, hex.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-position"]

    def __str__(self) -> str:
        return f"{self.position} at {self.created_at:%Y-%m-%d %H:%M}"

    def as_dict(self) -> dict[str, Any]:
        """What is exported, and what the signature is over."""
        return {
            "position": self.position,
            "hash": self.hash,
            "at": self.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "public_key": self.public_key,
            "signature": self.signature,
        }
