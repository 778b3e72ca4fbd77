"""What deployments do once they serve: observations, the limits set on them, incidents of what went beyond, and the
versions that were trained because of it.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone


class ObservationSeries(models.Model):
    """One number of a deployment over time, with a `feature` where it is of one: ("psi", "amount").

    The newest of its observations stands here, so that tables need not look for it.
    """

    deployment = models.ForeignKey("Deployment", on_delete=models.CASCADE, related_name="series")
    name = models.CharField(max_length=100)
    feature = models.CharField(max_length=200, blank=True)
    count = models.IntegerField(default=0)
    last_at = models.DateTimeField(null=True)
    last_value = models.FloatField(null=True)

    class Meta:
        ordering = ["name", "feature"]
        verbose_name_plural = "observation series"
        constraints = [
            models.UniqueConstraint(fields=["deployment", "name", "feature"], name="series_once"),
        ]

    def __str__(self) -> str:
        return f"{self.name} of {self.feature}" if self.feature else self.name


class Observation(models.Model):
    """One point of a series. What is read and judged is the newest of a series, or a span of it: the constraint's
    index has both.
    """

    series = models.ForeignKey(
        ObservationSeries, on_delete=models.CASCADE, related_name="observations", db_index=False
    )
    at = models.DateTimeField()
    value = models.FloatField()

    class Meta:
        ordering = ["at"]
        constraints = [models.UniqueConstraint(fields=["series", "at"], name="observation_once")]
        indexes = [models.Index(fields=["at"], name="observation_age")]

    def __str__(self) -> str:
        return f"{self.value:g}"


class Comparison(models.TextChoices):
    ABOVE = "above", "Above"
    BELOW = "below", "Below"


class Threshold(models.Model):
    """A limit on observations: of a model, of an environment (all models there), or of a model in an environment.

    Patterns are as in shells. An observation beyond `value` counts; `in_a_row` of them in one series open an incident.
    """

    model = models.ForeignKey(
        "RegisteredModel", null=True, blank=True, on_delete=models.CASCADE, related_name="thresholds"
    )
    environment = models.ForeignKey(
        "Environment", null=True, blank=True, on_delete=models.CASCADE, related_name="thresholds"
    )
    name_pattern = models.CharField(max_length=100)
    feature_pattern = models.CharField(max_length=200, default="*")
    comparison = models.CharField(max_length=5, choices=Comparison.choices, default=Comparison.ABOVE)
    value = models.FloatField()
    in_a_row = models.IntegerField(default=3)
    resolves = models.BooleanField(
        default=False, help_text="An incident that nobody took up ends by itself when all is within again."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(comparison__in=Comparison.values), name="threshold_comparison_known"
            ),
            models.CheckConstraint(
                condition=Q(in_a_row__gte=1, in_a_row__lte=100), name="threshold_in_a_row"
            ),
            models.CheckConstraint(
                condition=Q(model__isnull=False) | Q(environment__isnull=False), name="threshold_of_something"
            ),
        ]

    def __str__(self) -> str:
        of = "" if self.feature_pattern in ("", "*") else f" of {self.feature_pattern}"
        return f"{self.name_pattern}{of} {self.comparison} {self.value:g}"

    def is_beyond(self, value: float) -> bool:
        return value > self.value if self.comparison == Comparison.ABOVE else value < self.value


class IncidentState(models.TextChoices):
    OPEN = "open", "Open"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    RESOLVED = "resolved", "Resolved"


class Resolution(models.TextChoices):
    """What ended an incident."""

    PERSON = "person", "Resolved by hand"
    RECOVERED = "recovered", "Within the limits again"
    RETRAINED = "retrained", "A retrained version serves"


class Incident(models.Model):
    """A model whose observations went beyond a limit. The primary key is the number people see.

    A model has at most one that is not resolved: what goes beyond a limit meanwhile is added to it. One that a
    retrained version ended is open again when what drifted serves again.
    """

    model = models.ForeignKey("RegisteredModel", on_delete=models.CASCADE, related_name="incidents")
    state = models.CharField(
        max_length=12, choices=IncidentState.choices, default=IncidentState.OPEN, editable=False
    )
    opened_at = models.DateTimeField(default=timezone.now, editable=False)
    acknowledged_at = models.DateTimeField(null=True, editable=False)
    acknowledged_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    acknowledgement = models.TextField(blank=True, editable=False)
    resolved_at = models.DateTimeField(null=True, editable=False)
    resolved_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    resolution = models.CharField(max_length=10, choices=Resolution.choices, blank=True, editable=False)
    reason = models.TextField(blank=True, editable=False, help_text="Why it was resolved.")
    transition = models.ForeignKey(
        "StageTransition", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    reopened_at = models.DateTimeField(null=True, editable=False, help_text="The last time.")
    reopened_because = models.TextField(blank=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=IncidentState.values), name="incident_state_known"),
            models.CheckConstraint(
                condition=Q(state="resolved", resolved_at__isnull=False)
                | (~Q(state="resolved") & Q(resolved_at=None)),
                name="incident_resolved_at",
            ),
            models.UniqueConstraint(
                fields=["model"], condition=~Q(state="resolved"), name="incident_one_open"
            ),
        ]
        indexes = [
            models.Index(fields=["model", "-id"], name="incident_of_model"),
            models.Index(fields=["state", "-id"], name="incident_by_state"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def is_over(self) -> bool:
        return self.state == IncidentState.RESOLVED


class Breach(models.Model):
    """A series beyond a limit, within an incident. The limit is kept as it was when it was first crossed."""

    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="breaches", db_index=False)
    series = models.ForeignKey(ObservationSeries, on_delete=models.CASCADE, related_name="breaches")
    threshold = models.ForeignKey(Threshold, null=True, on_delete=models.SET_NULL, related_name="breaches")
    comparison = models.CharField(max_length=5, choices=Comparison.choices)
    limit = models.FloatField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    last_value = models.FloatField()
    worst_value = models.FloatField()
    count = models.IntegerField(default=0, help_text="Observations beyond the limit.")
    within_since = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "breaches"
        constraints = [
            models.UniqueConstraint(fields=["incident", "series", "threshold"], name="breach_once"),
        ]

    def __str__(self) -> str:
        return f"{self.series} {self.comparison} {self.limit:g}"


class Retraining(models.Model):
    """A version was trained because of an incident."""

    version = models.OneToOneField("ModelVersion", on_delete=models.CASCADE, related_name="retraining")
    incident = models.ForeignKey(Incident, on_delete=models.CASCADE, related_name="retrainings")
    at = models.DateTimeField(default=timezone.now, editable=False)
    by = models.ForeignKey("User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.version} for incident {self.incident_id}"
