"""What hangs on a version: metrics, reports, risk flags, tags, aliases. Written for the verbs of catalog.py."""

from __future__ import annotations

from typing import Any

from models_app.models import EvaluationReport, ModelVersion, RiskFlag, VersionMetric, VersionTag

from . import retraining
from .access import Actor
from .errors import Conflict
from .lifecycle import point_alias
from .metadata import MetricInput, ReportInput, brief_tags
from .tags import tell_replaced


def add(version: ModelVersion, collections: dict[str, Any], by: Actor) -> None:
    """Write the collections of a new version. The model is locked."""
    _insert_metrics(version, collections.get("metrics", []), by)
    _insert_reports(version, collections.get("reports", []))
    RiskFlag.objects.bulk_create(
        [RiskFlag(version=version, name=name) for name in collections.get("risk_flags", [])]
    )
    tags = collections.get("tags", {})
    VersionTag.objects.bulk_create(
        [VersionTag(version=version, key=key, value=value) for key, value in tags.items()]
    )
    retraining.link_by_tags(version, tags, by=by)
    for alias in dict.fromkeys(collections.get("aliases", [])):
        point_alias(version, alias, by)


def change(version: ModelVersion, collections: dict[str, Any], by: Actor) -> dict[str, Any]:
    """Write the collections that differ; returns what changed, for the audit."""
    after: dict[str, Any] = {}
    if added := _new_metrics(version, collections.get("metrics", [])):
        _insert_metrics(version, added, by)
        after["metrics"] = {metric.name: metric.value for metric in added}
    if "reports" in collections:
        wanted = {report.url: report.title for report in collections["reports"]}
        if dict(version.reports.values_list("url", "title")) != wanted:
            version.reports.all().delete()
            _insert_reports(version, collections["reports"])
            after["reports"] = sorted(wanted)
    if "risk_flags" in collections:
        flags = collections["risk_flags"]
        if list(version.risk_flags.values_list("name", flat=True)) != flags:
            version.risk_flags.all().delete()
            RiskFlag.objects.bulk_create([RiskFlag(version=version, name=name) for name in flags])
            after["risk_flags"] = flags
    if "tags" in collections:
        tags = collections["tags"]
        before = dict(version.tags.values_list("key", "value"))
        if before != tags:
            retraining.link_by_tags(version, tags, by=by)
            version.tags.all().delete()
            VersionTag.objects.bulk_create(
                [VersionTag(version=version, key=key, value=value) for key, value in tags.items()]
            )
            after["tags"] = brief_tags(tags)
            tell_replaced(version.model, version, before=before, after=tags)
    return after


def _new_metrics(version: ModelVersion, metrics: list[MetricInput]) -> list[MetricInput]:
    """Those not there yet. A measured number is evidence: raises Conflict for another value of one that is there."""
    if not metrics:
        return []
    known = {(row.name, row.dataset, row.split): row.value for row in version.metrics.all()}
    for metric in metrics:
        value = known.get((metric.name, metric.dataset, metric.split))
        if value is not None and value != metric.value:
            raise Conflict(
                f"The metric “{metric.name}” of {version} is already recorded as {value:g}.",
                next_step="Give the new measurement its own dataset or split, or register a new version.",
            )
    return [metric for metric in metrics if (metric.name, metric.dataset, metric.split) not in known]


def _insert_metrics(version: ModelVersion, metrics: list[MetricInput], by: Actor) -> None:
    VersionMetric.objects.bulk_create(
        [
            VersionMetric(
                version=version,
                name=metric.name,
                value=metric.value,
                dataset=metric.dataset,
                split=metric.split,
                higher_is_better=metric.higher_is_better,
                created_by=by.user,
            )
            for metric in metrics
        ]
    )


def _insert_reports(version: ModelVersion, reports: list[ReportInput]) -> None:
    EvaluationReport.objects.bulk_create(
        [EvaluationReport(version=version, title=report.title, url=report.url) for report in reports]
    )
