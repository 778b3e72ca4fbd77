"""Registered models, their versions, and what is known about each."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import models
from django.db.models import Q
from django.db.models.functions import Left
from django.utils import timezone

from .lifecycle import Stage

# Tag values are found through an index by this many first characters.
TAG_PREFIX = 100


class Visibility(models.TextChoices):
    INTERNAL = "internal", "Everyone who is logged in"
    TEAM = "team", "Members of the team only"


class Risk(models.TextChoices):
    UNRATED = "", "Not rated"
    LOW = "low", "Low"
    MEDIUM = "medium", "Medium"
    HIGH = "high", "High"


class RegisteredModelQuerySet(models.QuerySet["RegisteredModel"]):
    def readable_in(self, team_ids: Iterable[int] | None) -> RegisteredModelQuerySet:
        """Models that members of these teams may read; None means every model."""
        if team_ids is None:
            return self
        return self.filter(Q(visibility=Visibility.INTERNAL) | Q(team__in=list(team_ids)))

    def without_prompts(self) -> RegisteredModelQuerySet:
        """What people mean by models."""
        return self.filter(is_prompt=False)


class RegisteredModel(models.Model):
    """A named line of versions. `name` is `team/name` or a plain name, unique, compared exactly."""

    name = models.CharField(max_length=256, unique=True)
    team = models.ForeignKey("Team", on_delete=models.PROTECT, related_name="models")
    owner = models.ForeignKey(
        "User", null=True, blank=True, on_delete=models.SET_NULL, related_name="owned_models"
    )
    visibility = models.CharField(max_length=16, choices=Visibility.choices, default=Visibility.INTERNAL)
    purpose = models.CharField(max_length=500, blank=True, help_text="One line: what it is for.")
    card = models.TextField(blank=True, help_text="Markdown.")
    task = models.CharField(max_length=64, blank=True)
    library = models.CharField(max_length=64, blank=True)
    license = models.CharField(max_length=200, blank=True, help_text="SPDX expression.")
    risk_level = models.CharField(max_length=8, choices=Risk.choices, blank=True, default=Risk.UNRATED)
    headline_metric = models.CharField(max_length=250, blank=True, help_text="The metric one judges it by.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    # Numbers are given out under a lock on this row and never reused.
    last_number = models.IntegerField(default=0, editable=False)
    # Newest version of each stage, kept by the verbs so that no read has to look through all versions.
    newest = models.ForeignKey(
        "ModelVersion", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    newest_dev = models.ForeignKey(
        "ModelVersion", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    newest_staging = models.ForeignKey(
        "ModelVersion", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    newest_archived = models.ForeignKey(
        "ModelVersion", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    newest_production = models.ForeignKey(
        "ModelVersion", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    version_count = models.IntegerField(default=0, editable=False)
    # Bytes that its versions name, each version's counted in full; kept by the verbs (registry/storage_use.py).
    size = models.BigIntegerField(default=0, editable=False)
    # A prompt of the MLflow client: kept like a model, left out of every search that does not ask for prompts.
    is_prompt = models.BooleanField(default=False, editable=False)
    # What the verb that made this object left out of what a card said, in words; not stored.
    notices: tuple[str, ...] = ()

    objects = RegisteredModelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        indexes = [
            models.Index(fields=["-updated_at", "-id"], name="model_by_update"),
            models.Index(fields=["team", "-updated_at", "-id"], name="model_of_team"),
            models.Index(fields=["-created_at", "-id"], name="model_by_creation"),
            models.Index(fields=["-size"], name="model_by_size"),
            models.Index(fields=["team", "-size"], name="model_of_team_by_size"),
        ]

    def __str__(self) -> str:
        return self.name


class ModelTag(models.Model):
    """A tag of a model: a bare word (empty value) or key and value."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["model", "key"], name="model_tag_once")]
        # By the value's beginning: an index entry must not be as long as a prompt.
        indexes = [models.Index("key", Left("value", TAG_PREFIX), "model", name="model_tag_value")]

    def __str__(self) -> str:
        return f"{self.key}={self.value}" if self.value else self.key


class ModelRedirect(models.Model):
    """A former name of a model."""

    name = models.CharField(max_length=256, unique=True)
    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="former_names")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return self.name


class PiiUsage(models.TextChoices):
    UNKNOWN = "", "Not stated"
    NONE = "none", "No personal data"
    PSEUDONYMOUS = "pseudonymous", "Pseudonymous data"
    PERSONAL = "personal", "Personal data"
    SENSITIVE = "sensitive", "Sensitive personal data"


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    def in_stage(self, stage: str) -> ModelVersionQuerySet:
        return self.filter(stage=stage)

    def newest_first(self) -> ModelVersionQuerySet:
        return self.order_by("-number")

    def readable_in(self, team_ids: Iterable[int] | None) -> ModelVersionQuerySet:
        """Versions of models that members of these teams may read; None means every version."""
        if team_ids is None:
            return self
        return self.filter(Q(model__visibility=Visibility.INTERNAL) | Q(model__team__in=list(team_ids)))


class ModelVersion(models.Model):
    """A numbered, sealed state of a model. Content never changes; stage, aliases, tags and notes do."""

    # identity
    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="versions")
    number = models.IntegerField(editable=False)
    owner = models.ForeignKey(
        "User", null=True, blank=True, on_delete=models.SET_NULL, related_name="owned_versions"
    )
    description = models.TextField(blank=True)
    manifest = models.ForeignKey(
        "Manifest", null=True, on_delete=models.PROTECT, related_name="versions", editable=False
    )
    source = models.CharField(
        max_length=2000, blank=True, editable=False, help_text="Where a client said it is."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    # lineage
    dataset_name = models.CharField(max_length=250, blank=True)
    dataset_version = models.CharField(max_length=250, blank=True)
    dataset_path = models.CharField(max_length=2000, blank=True)
    dataset_digest = models.CharField(max_length=128, blank=True)
    feature_pipeline_version = models.CharField(max_length=250, blank=True)
    code_repository = models.CharField(max_length=500, blank=True)
    code_commit = models.CharField(max_length=64, blank=True)
    training_run_id = models.CharField(
        max_length=250, blank=True, help_text="The run's id where it was trained."
    )
    run = models.ForeignKey("Run", null=True, blank=True, on_delete=models.SET_NULL, related_name="versions")
    logged_model = models.ForeignKey(
        "LoggedModel", null=True, on_delete=models.SET_NULL, related_name="versions", editable=False
    )
    run_link = models.CharField(max_length=2000, blank=True, editable=False)
    base_model = models.CharField(
        max_length=500, blank=True, help_text="Upstream model, as name, name@version or URL."
    )
    framework = models.CharField(max_length=64, blank=True)
    framework_version = models.CharField(max_length=64, blank=True)
    signature = models.JSONField(default=dict, blank=True, help_text="Inputs and outputs.")

    # operational
    stage = models.CharField(max_length=16, choices=Stage.choices, default=Stage.DEV, editable=False)
    stage_changed_at = models.DateTimeField(null=True, editable=False)
    last_promoted_at = models.DateTimeField(null=True, editable=False)
    last_promoted_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    serving_endpoint = models.URLField(max_length=500, blank=True)
    rollback_target = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )

    # compliance
    license = models.CharField(max_length=200, blank=True, help_text="SPDX expression.")
    base_model_license = models.CharField(max_length=200, blank=True, help_text="SPDX expression.")
    dataset_license = models.CharField(max_length=200, blank=True, help_text="SPDX expression.")
    pii_usage = models.CharField(
        max_length=16, choices=PiiUsage.choices, blank=True, default=PiiUsage.UNKNOWN
    )
    pii_notes = models.TextField(blank=True)
    bias_fairness_notes = models.TextField(blank=True)

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        ordering = ["model", "-number"]
        constraints = [
            models.UniqueConstraint(fields=["model", "number"], name="version_number_once"),
            models.CheckConstraint(condition=Q(number__gt=0), name="version_number_positive"),
            models.CheckConstraint(condition=Q(stage__in=Stage.values), name="version_stage_known"),
        ]
        indexes = [
            models.Index(fields=["model", "stage", "-number"], name="version_of_stage"),
            models.Index(fields=["stage", "-stage_changed_at", "-id"], name="version_stage_recent"),
            models.Index(fields=["-created_at", "-id"], name="version_by_creation"),
            models.Index(fields=["-updated_at", "-id"], name="version_by_update"),
            models.Index(fields=["dataset_name", "dataset_version"], name="version_of_dataset"),
            models.Index(fields=["training_run_id", "-updated_at", "-id"], name="version_of_run_id"),
            models.Index(fields=["code_commit"], name="version_of_commit"),
        ]

    def __str__(self) -> str:
        return f"{self.model.name}@{self.number}"

    @property
    def size(self) -> int:
        """Bytes of its files; none where it only points."""
        return self.manifest.total_size if self.manifest else 0


class VersionTag(models.Model):
    """A tag of one version."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="tags")
    key = models.CharField(max_length=250)
    value = models.TextField(blank=True)

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["version", "key"], name="version_tag_once")]
        indexes = [models.Index("key", Left("value", TAG_PREFIX), "version", name="version_tag_value")]

    def __str__(self) -> str:
        return f"{self.key}={self.value}" if self.value else self.key


class RiskFlag(models.Model):
    """A named risk of a version (`pii`, `minors`, `no-fairness-review`), for people and policies."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="risk_flags")
    name = models.CharField(max_length=64)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["version", "name"], name="risk_flag_once")]
        indexes = [models.Index(fields=["name", "version"], name="risk_flag_name")]

    def __str__(self) -> str:
        return self.name


class VersionMetric(models.Model):
    """A named finite number measured on a version, on a dataset and split where given."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="metrics")
    name = models.CharField(max_length=250)
    value = models.FloatField()
    dataset = models.CharField(max_length=250, blank=True)
    split = models.CharField(max_length=64, blank=True)
    higher_is_better = models.BooleanField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )

    class Meta:
        ordering = ["name", "dataset", "split"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "name", "dataset", "split"], name="version_metric_once"
            )
        ]
        indexes = [models.Index(fields=["name", "value"], name="version_metric_value")]

    def __str__(self) -> str:
        return f"{self.name}={self.value:g}"


class EvaluationReport(models.Model):
    """A link to a report about a version."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="reports")
    title = models.CharField(max_length=200)
    url = models.URLField(max_length=1000)

    class Meta:
        ordering = ["title"]
        constraints = [models.UniqueConstraint(fields=["version", "url"], name="report_once")]

    def __str__(self) -> str:
        return self.title
