"""Models that a run logged before anybody registered them (MLflow's logged models)."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone


class LoggedModelStatus(models.TextChoices):
    PENDING = "pending", "Being written"
    READY = "ready", "Ready"
    FAILED = "failed", "Upload failed"


class LoggedModel(models.Model):
    """Files that a run wrote as one model. `uid` is `m-` and 32 hex digits, made by the registry."""

    uid = models.CharField(max_length=40, unique=True, editable=False)
    name = models.CharField(max_length=250)
    experiment = models.ForeignKey("Experiment", on_delete=models.CASCADE, related_name="logged_models")
    source_run = models.ForeignKey(
        "Run", null=True, on_delete=models.SET_NULL, related_name="logged_models", editable=False
    )
    model_type = models.CharField(max_length=500, blank=True)
    status = models.CharField(
        max_length=16, choices=LoggedModelStatus.choices, default=LoggedModelStatus.PENDING
    )
    status_message = models.CharField(max_length=1000, blank=True)
    tree = models.OneToOneField(
        "ArtifactTree", null=True, on_delete=models.SET_NULL, related_name="logged_model", editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["experiment", "-created_at", "-id"], name="logged_model_of_experiment"),
            models.Index(fields=["experiment", "name", "-created_at"], name="logged_model_by_name"),
            models.Index(fields=["status", "updated_at"], name="logged_model_pending"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=LoggedModelStatus.values), name="logged_model_status_known"
            )
        ]

    def __str__(self) -> str:
        return self.uid


class LoggedModelParam(models.Model):
    logged_model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, related_name="params")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["logged_model", "key"], name="logged_param_once")]

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class LoggedModelTag(models.Model):
    logged_model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["logged_model", "key"], name="logged_tag_once")]

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class LoggedModelMetric(models.Model):
    """A point that a run measured on a logged model, on a dataset where given. NaN as in RunMetric."""

    logged_model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, related_name="metrics")
    run = models.ForeignKey("Run", on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=250)
    step = models.BigIntegerField(default=0)
    at = models.DateTimeField()
    value = models.FloatField()
    is_nan = models.BooleanField(default=False)
    dataset_name = models.CharField(max_length=500, blank=True)
    dataset_digest = models.CharField(max_length=128, blank=True)

    class Meta:
        ordering = ["key", "step", "at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["logged_model", "run", "key", "step", "at", "dataset_name", "dataset_digest"],
                name="logged_metric_once",
            )
        ]
        indexes = [models.Index(fields=["key", "value", "logged_model"], name="logged_metric_value")]

    def __str__(self) -> str:
        return f"{self.key}={'nan' if self.is_nan else f'{self.value:g}'}"


class RunModelKind(models.TextChoices):
    INPUT = "input", "Read by the run"
    OUTPUT = "output", "Written by the run"


class RunModel(models.Model):
    """A logged model that a run read or wrote, at which step."""

    run = models.ForeignKey("Run", on_delete=models.CASCADE, related_name="run_models")
    logged_model = models.ForeignKey(LoggedModel, on_delete=models.CASCADE, related_name="run_models")
    kind = models.CharField(max_length=8, choices=RunModelKind.choices)
    step = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["run", "logged_model", "kind"], name="run_model_once")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.kind} {self.logged_model_id}"
