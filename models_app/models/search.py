"""What search looks at: one row per model, written by the verbs in their own transaction."""

from __future__ import annotations

from django.db import models

from .catalog import Visibility


class SearchDocument(models.Model):
    """A model as search sees it.

    The word index over `title`, `summary`, `keywords` and `body` (in falling weight) is made by a migration: a
    generated
    `tsvector` with a GIN index on PostgreSQL, an FTS5 table kept by triggers on SQLite.
    The version that counts (`metrics`, `framework`) is the one in production, else the newest.
    """

    model = models.OneToOneField(
        "RegisteredModel", primary_key=True, on_delete=models.CASCADE, related_name="document"
    )
    title = models.TextField(help_text="Name, split into words.")
    summary = models.TextField(blank=True, help_text="Purpose, task.")
    keywords = models.TextField(blank=True, help_text="Tags, library, dataset names, framework, team.")
    body = models.TextField(blank=True, help_text="Card as plain text, cut.")
    name = models.CharField(max_length=256)
    name_lower = models.CharField(max_length=256)
    team = models.ForeignKey("Team", on_delete=models.CASCADE, related_name="+")
    visibility = models.CharField(max_length=16, choices=Visibility.choices)
    task = models.CharField(max_length=64, blank=True)
    library = models.CharField(max_length=64, blank=True)
    license = models.CharField(max_length=200, blank=True)
    risk_level = models.CharField(max_length=8, blank=True)
    in_production = models.BooleanField(default=False)
    in_staging = models.BooleanField(default=False)
    version_count = models.IntegerField(default=0)
    updated_at = models.DateTimeField()
    created_at = models.DateTimeField()

    class Meta:
        indexes = [
            # Wide on purpose: lists by update, filters and facet counts are answered from this index alone.
            models.Index(
                fields=[
                    "-updated_at",
                    "-model",
                    "visibility",
                    "team",
                    "task",
                    "library",
                    "license",
                    "risk_level",
                    "in_production",
                    "in_staging",
                ],
                name="doc_by_update",
            ),
            models.Index(fields=["-created_at", "-model"], name="doc_by_creation"),
        ]

    def __str__(self) -> str:
        return self.name


class SearchMetric(models.Model):
    """A metric of the version that counts, for filters like `f1 > 0.9` and for sorting."""

    document = models.ForeignKey(SearchDocument, on_delete=models.CASCADE, related_name="metrics")
    name = models.CharField(max_length=250)
    value = models.FloatField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["document", "name"], name="search_metric_once")]
        indexes = [models.Index(fields=["name", "value", "document"], name="search_metric_value")]

    def __str__(self) -> str:
        return f"{self.name}={self.value:g}"
