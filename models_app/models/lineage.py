"""What a version came from."""

from __future__ import annotations

from django.db import models
from django.db.models import Q


class Relation(models.TextChoices):
    TRAINED_ON = "trained_on", "Trained on"
    EVALUATED_ON = "evaluated_on", "Evaluated on"
    FINE_TUNED = "fine_tuned", "Fine-tuned from"
    QUANTIZED = "quantized", "Quantized from"
    ADAPTER = "adapter", "Adapter of"
    MERGED = "merged", "Merged from"


class LineageEdge(models.Model):
    """From a version up to one dataset, one base version here, or an upstream model elsewhere (`upstream`, a
    URL or name).
    """

    version = models.ForeignKey("ModelVersion", on_delete=models.CASCADE, related_name="upstream_edges")
    relation = models.CharField(max_length=16, choices=Relation.choices)
    dataset = models.ForeignKey(
        "Dataset", null=True, blank=True, on_delete=models.CASCADE, related_name="downstream_edges"
    )
    base_version = models.ForeignKey(
        "ModelVersion", null=True, blank=True, on_delete=models.CASCADE, related_name="downstream_edges"
    )
    upstream = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=(
                    Q(dataset__isnull=False, base_version=None, upstream="")
                    | Q(dataset=None, base_version__isnull=False, upstream="")
                    | (Q(dataset=None, base_version=None) & ~Q(upstream=""))
                ),
                name="lineage_edge_one_end",
            )
        ]

    def __str__(self) -> str:
        return f"{self.relation} {self.dataset or self.base_version or self.upstream}"
