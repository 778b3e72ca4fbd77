"""What is kept and for how long: legal holds, retention policies, and the versions that a policy lets go."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from .lifecycle import Stage


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


class Then(models.TextChoices):
    """What becomes of a version that no rule keeps."""

    ARCHIVE = "archive", "Archive"
    DELETE = "delete", "Delete"


class RetentionPolicy(models.Model):
    """Which versions of a stage are kept, for every team or for one: the newest `keep_last` of each model, and all that
    reached the stage within `keep_days`; neither is all of them, for ever. A version goes only if no policy keeps it.

    `production` means what is or ever was there, whatever its stage is now. `cold_days` after a version was archived
    its bytes move to the store's colder class.
    """

    team = models.ForeignKey(
        "Team", null=True, blank=True, on_delete=models.CASCADE, related_name="retention_policies"
    )
    stage = models.CharField(max_length=16, choices=Stage.choices)
    keep_last = models.PositiveIntegerField(null=True, blank=True, help_text="The newest of each model.")
    keep_days = models.PositiveIntegerField(null=True, blank=True, help_text="Since it reached its stage.")
    then = models.CharField(max_length=8, choices=Then.choices, blank=True)
    cold_days = models.PositiveIntegerField(
        null=True, blank=True, help_text="Since it was archived; then its bytes move to the colder class."
    )
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )

    class Meta:
        ordering = ["team", "stage"]
        verbose_name_plural = "retention policies"
        constraints = [
            models.UniqueConstraint(Coalesce("team", 0), "stage", name="retention_policy_once"),
            models.CheckConstraint(
                condition=Q(keep_last=None, keep_days=None, then="")
                | (~Q(then="") & (Q(keep_last__gt=0) | Q(keep_days__gt=0))),
                name="retention_policy_whole",
            ),
            models.CheckConstraint(
                condition=Q(cold_days=None) | Q(cold_days__gt=0, stage=Stage.ARCHIVED),
                name="retention_policy_cold",
            ),
        ]

    def __str__(self) -> str:
        return f"Retention of {self.stage} for {self.team or 'every team'}"

    @property
    def keeps_all(self) -> bool:
        return self.keep_last is None and self.keep_days is None


class RetentionMark(models.Model):
    """A version that no policy keeps, and since when that is known: it waits, is looked at again, and goes then."""

    version = models.OneToOneField("ModelVersion", on_delete=models.CASCADE, related_name="retention_mark")
    then = models.CharField(max_length=8, choices=Then.choices, editable=False)
    why = models.CharField(max_length=300, editable=False)
    marked_at = models.DateTimeField(default=timezone.now, editable=False, db_index=True)

    def __str__(self) -> str:
        return f"{self.then} version {self.version_id}"
