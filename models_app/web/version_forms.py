"""The metadata of a version as a form, and back."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from models_app.models import ModelVersion
from models_app.registry.errors import Invalid
from models_app.registry.metadata import GROUPS, VERSION_FIELDS

from .forms import TAGS_HELP, Lines, PageForm, tags_from, tags_to, version_fields

# What the next version most likely shares with the last one.
_CARRIED = (
    "owner",
    "framework",
    "framework_version",
    "dataset_name",
    "dataset_path",
    "feature_pipeline_version",
    "code_repository",
    "base_model",
    "license",
    "base_model_license",
    "dataset_license",
    "pii_usage",
    "pii_notes",
)


def _lines(label: str, help: str, rows: int = 3) -> Lines:
    return Lines(label=label, help_text=help, required=False, widget=forms.Textarea(attrs={"rows": rows}))


class VersionForm(PageForm):
    """All that may be said of a version, in its groups."""

    metrics = _lines(
        "Metrics",
        "One per line: name = number, then @dataset/split if you like. Example: f1 = 0.91 @tx/test",
        4,
    )
    reports = _lines("Evaluation reports", "One per line: address, then a title.")
    risk_flags = forms.CharField(
        label="Risk flags", help_text="Separated by commas, e.g. minors, no-fairness-review.", required=False
    )
    tags = _lines("Tags", TAGS_HELP, 2)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields = {**version_fields(), **self.fields}
        from .forms import dress

        dress(self)

    def groups(self) -> list[tuple[str, str, list[forms.BoundField]]]:
        """(key, label, fields) of each group, in reading order."""
        extra = {"metrics": ["metrics", "reports"], "compliance": ["risk_flags"], "identity": ["tags"]}
        return [
            (
                group.key,
                group.label,
                [
                    self[name]
                    for name in [*(field.name for field in group.fields), *extra.get(group.key, [])]
                    if name in self.fields
                ],
            )
            for group in GROUPS
        ]


class UploadForm(VersionForm):
    """A new version: files come beside the form."""


def prefilled(version: ModelVersion | None) -> dict[str, Any]:
    """Initial values taken over from a version."""
    if version is None:
        return {}
    values = {name: getattr(version, name) for name in _CARRIED}
    values["owner"] = version.owner.username if version.owner else ""
    return values


def initial_of(version: ModelVersion) -> dict[str, Any]:
    """A version's values as the form shows them. Metrics start empty: they are added, never rewritten."""
    values = {name: getattr(version, name) for name in VERSION_FIELDS}
    values["owner"] = version.owner.username if version.owner else ""
    values["signature"] = (
        json.dumps(version.signature, indent=2, ensure_ascii=False) if version.signature else ""
    )
    values["reports"] = "\n".join(f"{report.url} {report.title}" for report in version.reports.all())
    values["risk_flags"] = ", ".join(flag.name for flag in version.risk_flags.all())
    values["tags"] = tags_to({tag.key: tag.value for tag in version.tags.all()})
    return values


def metadata_from(form: VersionForm) -> dict[str, Any]:
    """What the verbs take. Raises Invalid for lines that cannot be read."""
    values = {name: form.cleaned_data.get(name, "") for name in VERSION_FIELDS if name in form.fields}
    values["signature"] = _json(values["signature"]) if values.get("signature") else {}
    values["reports"] = [_report(line) for line in _rows(form.cleaned_data.get("reports", ""))]
    values["risk_flags"] = [
        flag.strip() for flag in form.cleaned_data.get("risk_flags", "").split(",") if flag.strip()
    ]
    values["tags"] = tags_from(form.cleaned_data.get("tags", ""))
    values["metrics"] = [_metric(line) for line in _rows(form.cleaned_data.get("metrics", ""))]
    return values


def changes_from(form: VersionForm) -> dict[str, Any]:
    """What the verbs take, only where something else was typed than was there."""
    return {name: value for name, value in metadata_from(form).items() if name in form.changed_data}


def _rows(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid("signature", "Must be JSON.") from error


def _report(line: str) -> dict[str, str]:
    url, _, title = line.partition(" ")
    return {"url": url, "title": title.strip() or url}


def _metric(line: str) -> dict[str, Any]:
    name, equals, rest = line.partition("=")
    number, _, where = rest.partition("@")
    dataset, _, split = where.strip().partition("/")
    try:
        value = float(number)
    except ValueError:
        equals, value = "", 0.0
    if not equals:
        raise Invalid("metrics", f"“{line[:60]}” is not like: f1 = 0.91")
    return {"name": name.strip(), "value": value, "dataset": dataset.strip(), "split": split.strip()}
