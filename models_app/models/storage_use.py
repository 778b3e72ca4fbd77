"""How many bytes teams and models hold, over time, and how many they may."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone


class StorageQuota(models.Model):
    """What a team may hold; the row without a team stands for all that have none of their own. None is no limit."""

    team = models.OneToOneField(
        "Team",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="storage_quota",
        help_text="Empty: every team without a quota of its own.",
    )
    soft = models.BigIntegerField(null=True, blank=True, help_text="Bytes from where on people are warned.")
    hard = models.BigIntegerField(null=True, blank=True, help_text="Bytes past which nothing is registered.")
    changed_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )

    class Meta:
        constraints = [
            # One row without a team, too.
            models.UniqueConstraint(Coalesce("team", 0), name="storage_quota_once"),
            models.CheckConstraint(
                condition=Q(soft__isnull=True) | Q(hard__isnull=True) | Q(soft__lte=F("hard")),
                name="storage_quota_soft_first",
            ),
        ]

    def __str__(self) -> str:
        return str(self.team) if self.team_id else "every other team"


class StorageUse(models.Model):
    """What a team holds. `size` is what its versions say together, but for the changes that wait to be added.

    The rest is counted by the clock: `run_size` is what only its runs and logged models hold, `stored` its distinct
    bytes, `only_here` those of them that no other team has; `largest` are its largest versions then.
    """

    team = models.OneToOneField("Team", on_delete=models.CASCADE, related_name="storage_use", editable=False)
    size = models.BigIntegerField(default=0, editable=False)
    run_size = models.BigIntegerField(default=0, editable=False)
    stored = models.BigIntegerField(default=0, editable=False)
    only_here = models.BigIntegerField(default=0, editable=False)
    largest = models.JSONField(default=list, editable=False)
    counted_at = models.DateTimeField(null=True, editable=False)
    # When its people were told that they come near their quota; None again when there is room.
    warned_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name_plural = "storage use"

    def __str__(self) -> str:
        return str(self.team)


class StorageChange(models.Model):
    """So many bytes more or less in a team's versions, not yet added to its sum.

    Registrations only append here, so that they do not wait for each other at one row; the worker adds up.
    """

    team = models.ForeignKey("Team", on_delete=models.CASCADE, related_name="+", editable=False)
    size = models.BigIntegerField(editable=False)

    def __str__(self) -> str:
        return f"{self.size:+}"


class ModelStorage(models.Model):
    """What was last counted of a model: its distinct bytes, and those that nothing else holds."""

    model = models.OneToOneField(
        "RegisteredModel", on_delete=models.CASCADE, related_name="storage", editable=False
    )
    stored = models.BigIntegerField(default=0, editable=False)
    only_here = models.BigIntegerField(default=0, editable=False)
    counted_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return str(self.model)


class StorageDay(models.Model):
    """What a team held on a day, as it was counted last that day; without a team, all teams together."""

    team = models.ForeignKey(
        "Team", null=True, on_delete=models.CASCADE, related_name="storage_days", editable=False
    )
    day = models.DateField(editable=False)
    size = models.BigIntegerField(default=0, editable=False)
    run_size = models.BigIntegerField(default=0, editable=False)
    stored = models.BigIntegerField(default=0, editable=False)

    class Meta:
        ordering = ["day"]
        constraints = [
            models.UniqueConstraint(Coalesce("team", 0), "day", name="storage_day_once"),
        ]

    def __str__(self) -> str:
        return f"{self.day}"

    @property
    def used(self) -> int:
        """As a quota counts."""
        return self.size + self.run_size
