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
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class RunStatus(models.TextChoices):
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
    """One point of a metric's curve. `at` in UTC; `step` any whole number."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metric_points")
    key = models.CharField(max_length=250)
    step = models.BigIntegerField(default=0)
    at = models.DateTimeField(default=timezone.now)
    value = models.FloatField()

    class Meta:
        ordering = ["key", "step", "at", "id"]
        indexes = [models.Index(fields=["run", "key", "step"], name="run_metric_curve")]

    def __str__(self) -> str:
        return f"{self.key}={self.value:g}"


class Dataset(models.Model):
    """A version of a dataset, known by name, version and digest."""

    name = models.CharField(max_length=250)
    version = models.CharField(max_length=250, blank=True)
    digest = models.CharField(max_length=128, blank=True)
    path = models.CharField(max_length=2000, blank=True)
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

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "dataset", "context"], name="run_input_once")]

    def __str__(self) -> str:
        return f"{self.dataset} ({self.context})" if self.context else str(self.dataset)
