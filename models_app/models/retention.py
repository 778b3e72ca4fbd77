"""What is kept and for how long: legal holds, retention policies, and the versions that a policy lets go."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone


class LegalHold(models.Model):
    """Nothing of a version, or of a whole model (no version named), may be deleted until this is lifted.

    Several may be in force at once, one per matter. `of_site`: a site admin placed it, so only one lifts it.
    """

    model = models.ForeignKey("RegisteredModel", on_delete=models.CASCADE, related_name="holds")
    version = models.ForeignKey("ModelVersion", null=True, on_delete=models.CASCADE, related_name="holds")
    reason = models.TextField(editable=False)
    of_site = models.BooleanField(default=False, editable=False)
    placed_at = models.DateTimeField(default=timezone.now, editable=False)
    placed_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    lifted_at = models.DateTimeField(null=True, editable=False)
    lifted_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    lift_reason = models.TextField(blank=True, editable=False)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["model", "version"], name="hold_in_force", condition=Q(lifted_at=None)),
        ]

    def __str__(self) -> str:
        return f"Legal hold {self.pk}"
