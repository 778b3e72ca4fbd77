"""Who did what to what, when, from where."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from .catalog import ModelRedirect, RegisteredModel


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    def of_teams(self, team_ids: Iterable[int]) -> AuditEventQuerySet:
        """What concerns models that these teams have now."""
        return self.filter(model_ref__in=RegisteredModel.objects.filter(team__in=list(team_ids)).values("pk"))

    def about_model(self, name: str) -> AuditEventQuerySet:
        """What concerns a model and its versions: whatever has this name, had it, or had it when it was deleted."""
        gone = AuditEvent.objects.filter(verb="model.deleted", subject=name).order_by()
        return self.filter(
            Q(model_ref__in=RegisteredModel.objects.filter(name=name).values("pk"))
            | Q(model_ref__in=ModelRedirect.objects.filter(name=name).values("model"))
            | Q(model_ref__in=gone.values("model_ref"))
        )

    def between(self, after: datetime | None, before: datetime | None) -> AuditEventQuerySet:
        """From the first moment on, up to and without the second."""
        rows = self if after is None else self.filter(at__gte=after)
        return rows if before is None else rows.filter(at__lt=before)

    def saying(self, words: Iterable[str]) -> AuditEventQuerySet:
        """Those whose subject holds every one of these words."""
        rows = self
        for word in words:
            rows = rows.filter(subject__icontains=word)
        return rows


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

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["model_ref", "-id"], name="audit_of_model"),
            models.Index(fields=["actor_name", "-id"], name="audit_of_actor"),
            models.Index(fields=["verb", "-id"], name="audit_of_verb"),
            models.Index(fields=["-id"], condition=models.Q(refused=True), name="audit_refused"),
            models.Index(fields=["at"], name="audit_by_time"),
            models.Index(fields=["request_id"], name="audit_of_request"),
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


class AuditVerification(models.Model):
    """One look at the whole chain, and what it found. `ended_at` is empty while it goes on, or when it was cut off."""

    started_at = models.DateTimeField(default=timezone.now, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)
    links = models.BigIntegerField(default=0, editable=False, help_text="How many links hold.")
    head = models.CharField(max_length=64, blank=True, editable=False, help_text="The last of their hashes.")
    problem = models.CharField(max_length=300, blank=True, editable=False, help_text="The first thing wrong.")
    event_ref = models.BigIntegerField(null=True, editable=False, help_text="The record it is wrong with.")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["-ended_at"], name="audit_verified")]

    def __str__(self) -> str:
        return self.problem or f"{self.links} links hold"
