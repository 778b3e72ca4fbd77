"""What training reported: experiments, runs with params, metrics and tags, and the datasets they read."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from .catalog import Visibility


class Experiment(models.Model):
    """A named group of runs. Without a team everyone who may log somewhere may log here."""

    name = models.CharField(max_length=500, unique=True)
    team = models.ForeignKey(
        "Team", null=True, blank=True, on_delete=models.PROTECT, related_name="experiments"
    )
    visibility = models.CharField(max_length=16, choices=Visibility.choices, default=Visibility.INTERNAL)
    artifact_location = models.CharField(max_length=1000, blank=True, help_text="Where a client wanted it.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    # Deleted ones keep their name and can be restored.
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["name"]
        indexes = [models.Index(fields=["-updated_at", "-id"], name="experiment_by_update")]

    def __str__(self) -> str:
        return self.name


class ExperimentTag(models.Model):
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["experiment", "key"], name="experiment_tag_once")]

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class RunStatus(models.TextChoices):
    SCHEDULED = "scheduled", "Scheduled"
    RUNNING = "running", "Running"
    FINISHED = "finished", "Finished"
    FAILED = "failed", "Failed"
    KILLED = "killed", "Killed"


class Run(models.Model):
    """One execution of training code. `uid` is 32 hex digits, made by the registry."""

    uid = models.CharField(max_length=32, unique=True, editable=False)
    name = models.CharField(max_length=250, blank=True)
    experiment = models.ForeignKey(Experiment, on_delete=models.CASCADE, related_name="runs")
    status = models.CharField(max_length=16, choices=RunStatus.choices, default=RunStatus.RUNNING)
    created_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="runs", editable=False
    )
    started_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True, blank=True)
    deleted_at = models.DateTimeField(null=True, editable=False)
    user_name = models.CharField(max_length=256, blank=True, help_text="Who the client said it was.")
    code_repository = models.CharField(max_length=500, blank=True)
    code_commit = models.CharField(max_length=64, blank=True)
    tree = models.OneToOneField(
        "ArtifactTree", null=True, on_delete=models.SET_NULL, related_name="run", editable=False
    )

    class Meta:
        ordering = ["-started_at", "-id"]
        indexes = [
            models.Index(fields=["experiment", "-started_at", "-id"], name="run_of_experiment"),
            models.Index(fields=["-started_at", "-id"], name="run_by_start"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=RunStatus.values), name="run_status_known")
        ]

    def __str__(self) -> str:
        return self.name or self.uid


class RunParam(models.Model):
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="params")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="run_param_once")]

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class RunTag(models.Model):
    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="run_tag_once")]

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class RunMetric(models.Model):
    """One point of a metric's curve. `at` in UTC; `step` any whole number.

    No database keeps NaN everywhere: `is_nan` marks it, `value` is 0 then; infinities are the greatest finite numbers.
    """

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metric_points")
    key = models.CharField(max_length=250)
    step = models.BigIntegerField(default=0)
    at = models.DateTimeField(default=timezone.now)
    value = models.FloatField()
    is_nan = models.BooleanField(default=False)

    class Meta:
        ordering = ["key", "step", "at", "id"]
        constraints = [
            # A point that a client sends again is one point.
            models.UniqueConstraint(
                fields=["run", "key", "step", "at", "value", "is_nan"], name="run_metric_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.key}={'nan' if self.is_nan else f'{self.value:g}'}"


class RunLatestMetric(models.Model):
    """The last point of each metric: greatest step, then time, then value. Kept by the verbs that add points."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="latest_metrics")
    key = models.CharField(max_length=250)
    step = models.BigIntegerField(default=0)
    at = models.DateTimeField()
    value = models.FloatField()
    is_nan = models.BooleanField(default=False)

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["run", "key"], name="run_latest_metric_once")]
        indexes = [models.Index(fields=["key", "value", "run"], name="run_latest_metric_value")]

    def __str__(self) -> str:
        return f"{self.key}={'nan' if self.is_nan else f'{self.value:g}'}"


class Dataset(models.Model):
    """A version of a dataset, known by name, version and digest."""

    name = models.CharField(max_length=250)
    version = models.CharField(max_length=250, blank=True)
    digest = models.CharField(max_length=128, blank=True)
    path = models.CharField(max_length=2000, blank=True)
    source_type = models.CharField(max_length=64, blank=True)
    source = models.TextField(blank=True, help_text="Where it comes from, in the words of the client.")
    schema = models.TextField(blank=True, help_text="Columns, as the client wrote them.")
    profile = models.TextField(blank=True, help_text="Statistics, as the client wrote them.")
    license = models.CharField(max_length=200, blank=True, help_text="SPDX expression.")
    description = models.TextField(blank=True)
    team = models.ForeignKey(
        "Team", null=True, blank=True, on_delete=models.SET_NULL, related_name="datasets"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name", "version"]
        constraints = [models.UniqueConstraint(fields=["name", "version", "digest"], name="dataset_once")]
        indexes = [models.Index(fields=["-created_at", "-id"], name="dataset_by_creation")]

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.name


class RunInput(models.Model):
    """A dataset that a run read, and what for (`training`, `validation`, …)."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="inputs")
    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="run_inputs")
    context = models.CharField(max_length=64, blank=True)
    tags = models.JSONField(default=dict, blank=True, help_text="Other remarks on the input.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "dataset", "context"], name="run_input_once")]

    def __str__(self) -> str:
        return f"{self.dataset} ({self.context})" if self.context else str(self.dataset)
