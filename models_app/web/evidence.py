"""What a promotion would change: what stands in production beside what is proposed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from models_app.models import ModelVersion, PromotionRequest, RequestState, Stage
from models_app.registry import comparing, lifecycle, metadata, metrics
from models_app.registry.metadata import VERSION_FIELDS

from .compare import dots

METRICS = 12
# What a decision is about, whether it differs or not; the comparison has the rest.
TOLD = (
    "dataset_name",
    "dataset_version",
    "code_commit",
    "base_model",
    "license",
    "base_model_license",
    "dataset_license",
    "pii_usage",
)
FLAGS = "Risk flags"
COMMIT = VERSION_FIELDS["code_commit"].label


def changes(asked: PromotionRequest, production: ModelVersion | None) -> dict[str, Any]:
    """Both sides in a constant number of queries. Without anything in production there is one side only."""
    if asked.state == RequestState.PROMOTED:
        base_id = asked.version.rollback_target_id
    elif production is None and asked.decided_at is not None:
        now = lifecycle.current_production(asked.model)
        base_id = now.pk if now is not None else None
    else:
        base_id = production.pk if production is not None else None
    wanted = [pk for pk in (base_id, asked.version_id) if pk is not None]
    rows = (
        ModelVersion.objects.filter(pk__in=wanted)
        .select_related("owner", "manifest", "run")
        .prefetch_related("metrics", "risk_flags")
    )
    found = {version.pk: version for version in rows}
    for version in found.values():
        version.model = asked.model
    proposed = found[asked.version_id]
    base = found.get(base_id) if base_id != asked.version_id else None
    if base is None:
        return {
            "proposed": proposed,
            "metrics": metrics.against(proposed, None)[:METRICS],
            **_alone(proposed),
        }
    result = comparing.compare([base, proposed])
    lines = _headline_first(result.metrics.lines, asked.model.headline_metric)
    result = replace(result, metrics=replace(result.metrics, lines=tuple(lines)))
    counted = Counter(line.detail for line in result.files.lines)
    return {
        "base": base,
        "base_was": asked.state == RequestState.PROMOTED,
        "proposed": proposed,
        "result": result,
        "metric_lines": lines[:METRICS],
        "more_metrics": max(len(lines) - METRICS, 0),
        "dots": dots(result),
        "rows": _rows(result),
        "code_link": result.code_link,
        "files": [
            {"word": word, "count": counted[word]}
            for word in ("changed", "added", "removed", "same")
            if counted[word]
        ],
        "files_same": result.files.same,
        "compare": f"{base.number}...{proposed.number}",
        "to_production": asked.to_stage == Stage.PRODUCTION,
    }


def _headline_first(lines: tuple[comparing.Line, ...], headline: str) -> list[comparing.Line]:
    return sorted(lines, key=lambda line: line.label != headline)


def _rows(result: comparing.Comparison) -> list[dict[str, Any]]:
    by_label = {line.label: line for section in result.sections for line in section.lines}
    rows = []
    for label in [*(VERSION_FIELDS[name].label for name in TOLD), FLAGS]:
        line = by_label[label]
        before, after = line.cells[0].text, line.cells[-1].text
        if label == COMMIT:
            before, after = before[:12], after[:12]
        if before or after:
            rows.append({"label": label, "before": before, "after": after, "differs": not line.same})
    return rows


def _alone(proposed: ModelVersion) -> dict[str, Any]:
    """The same facts of one version."""
    shown = {row.field.name: row.display for group in metadata.grouped(proposed) for row in group.rows}
    rows = [
        {"label": VERSION_FIELDS[name].label, "after": shown[name], "before": "", "differs": False}
        for name in TOLD
        if shown[name]
    ]
    flags = ", ".join(flag.name for flag in proposed.risk_flags.all())
    if flags:
        rows.append({"label": FLAGS, "after": flags, "before": "", "differs": False})
    return {"rows": rows}
