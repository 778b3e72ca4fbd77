"""Stages, the record of every move between them, and aliases."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone


class Stage(models.TextChoices):
    DEV = "dev", "Dev"
    STAGING = "staging", "Staging"
    PRODUCTION = "production", "Production"
    ARCHIVED = "archived", "Archived"


class TransitionKind(models.TextChoices):
    MOVE = "move", "Moved"
    REPLACED = "replaced", "Replaced by another version"
    ROLLBACK = "rollback", "Rolled back"


class StageTransition(models.Model):
    """One version's move from one stage to another: who, when, why, and what caused it."""

    model = models.ForeignKey("RegisteredModel", on_delete=models.CASCADE, related_name="transitions")
    version = models.ForeignKey("ModelVersion", on_delete=models.CASCADE, related_name="transitions")
    from_stage = models.CharField(max_length=16, choices=Stage.choices)
    to_stage = models.CharField(max_length=16, choices=Stage.choices)
    kind = models.CharField(max_length=16, choices=TransitionKind.choices, default=TransitionKind.MOVE)
    reason = models.TextField(blank=True)
    by = models.ForeignKey("User", null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(default=timezone.now)
    caused_by = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="effects")

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [
            models.Index(fields=["model", "-at", "-id"], name="transition_of_model"),
            models.Index(fields=["version", "-at", "-id"], name="transition_of_version"),
            models.Index(fields=["to_stage", "-at"], name="transition_into_stage"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(to_stage__in=Stage.values), name="transition_to_known"),
            models.CheckConstraint(condition=Q(from_stage__in=Stage.values), name="transition_from_known"),
        ]

    def __str__(self) -> str:
        return f"{self.from_stage} → {self.to_stage}"


class Alias(models.Model):
    """A free name that points at one version of a model."""

    model = models.ForeignKey("RegisteredModel", on_delete=models.CASCADE, related_name="aliases")
    version = models.ForeignKey("ModelVersion", on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=255)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "aliases"
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["model", "name"], name="alias_once_per_model")]

    def __str__(self) -> str:
        return self.name
