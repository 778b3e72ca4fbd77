"""A card to start from: the sections people ask for, and front matter with what the policies that apply demand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from models_app.formats import model_card
from models_app.models import ManifestEntry, ModelVersion, RegisteredModel, Stage

from . import policy_rules, requirements
from .artifacts import storage
from .card_facts import MODEL_KEYS
from .card_sync import license_for_hub
from .errors import Damaged, Unavailable
from .metadata import VERSION_FIELDS
from .model_fields import MAX_CARD
from .policy_words import metric_bounds
from .requirements import Applied, Case

STAGES = (Stage.STAGING, Stage.PRODUCTION)
README = "README.md"
# Field of a version → the key of the front matter that fills it in.
KEYS = {
    "license": "license",
    "dataset_name": "datasets",
    "dataset_version": "datasets",
    "base_model": "base_model",
    "metrics": "model-index",
    "reports": "model-index",
}
OF_MODEL = ("purpose", "card")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something a stage demands that people fill in. `where` is card, model or version."""

    field: str
    label: str
    met: bool
    detail: str
    stage: str
    policy: str
    where: str


def wanted(model: RegisteredModel) -> list[Wanted]:
    """What the policies of staging and production demand to be filled in, met by the newest version or not."""
    found: dict[str, Wanted] = {}
    newest = model.newest
    for stage in STAGES:
        policies = requirements.applied(model, to=stage)
        if newest is not None:
            newest.model = model
            demands = [
                (one.key, one.field, one.label, one.met, one.detail, one.policy)
                for one in Case(newest, stage, policies).requirements()
                if one.field
            ]
        else:
            demands = [demand for one in policies for demand in _before(model, one)]
        for key, name, label, met, detail, policy in demands:
            if key not in found:
                where = "card" if name in KEYS else "model" if name in OF_MODEL else "version"
                found[key] = Wanted(name, label, met, detail, stage, policy, where)
    return list(found.values())


def _before(model: RegisteredModel, one: Applied) -> Iterable[tuple[str, str, str, bool, str, str]]:
    """The demands of a policy where there is no version yet: what the model has, its versions take over."""
    for name in one.rules.fields:
        label = policy_rules.COLLECTIONS.get(name) or VERSION_FIELDS[name].label
        met = bool(name in ("license", "owner", *OF_MODEL) and getattr(model, name))
        yield name, name, label, met, "" if met else "There is no version yet.", one.scope
    for rule in one.rules.metrics:
        label = f"{rule.name}: {metric_bounds(rule)}"
        yield label, "metrics", label, False, "There is no version yet.", one.scope
    if one.rules.report:
        yield "report", "reports", "Evaluation report", False, "There is no version yet.", one.scope


def template(model: RegisteredModel) -> str:
    """A card to fill in. What is known already stands there; what is demanded and missing is an empty key."""
    policies = [(stage, one) for stage in STAGES for one in requirements.applied(model, to=stage)]
    return f"---\n{_front_matter(model, policies)}---\n{_body(model, policies)}"


def readme(version: ModelVersion | None) -> str:
    """The README.md beside a version's files, "" where there is none that is text."""
    entry = _readme_of(version)
    if entry is None:
        return ""
    try:
        return storage.read(entry.blob_id, limit=MAX_CARD).decode().replace("\0", "")
    except (UnicodeDecodeError, Damaged, Unavailable):
        return ""


def has_readme(version: ModelVersion | None) -> bool:
    """Whether there is one that could be a card, without reading it."""
    return _readme_of(version) is not None


def _readme_of(version: ModelVersion | None) -> ManifestEntry | None:
    if version is None or version.manifest_id is None:
        return None
    return ManifestEntry.objects.filter(manifest=version.manifest_id, path=README, size__lte=MAX_CARD).first()


def _front_matter(model: RegisteredModel, policies: list[tuple[Stage, Applied]]) -> str:
    asked: dict[str, list[str]] = {}
    for stage, one in policies:
        names = [*one.rules.fields, *(["metrics"] if one.rules.metrics else [])]
        for name in [*names, *(["reports"] if one.rules.report else [])]:
            asked.setdefault(name, []).append(f"{stage.value} ({one.scope})")
    blocks = []
    for key, known in _known(model).items():
        why = list(
            dict.fromkeys(by for name, by_key in KEYS.items() if by_key == key for by in asked.get(name, []))
        )
        if why or known not in (None, "", []):
            told = f"# Demanded for {', '.join(why)}.\n" if why else ""
            blocks.append(f"{told}{_notes(key, policies)}{_block(model, key, known, policies)}")
    elsewhere = [name for name in asked if name not in KEYS and name != "card"]
    if elsewhere:
        labels = [policy_rules.COLLECTIONS.get(name) or VERSION_FIELDS[name].label for name in elsewhere]
        blocks.append(f"# Demanded too, filled in on the pages of model and version: {', '.join(labels)}.\n")
    return "".join(blocks) or "license:\n"


def _known(model: RegisteredModel) -> dict[str, Any]:
    newest = model.newest
    trained_on = (newest.dataset_name, newest.dataset_version) if newest is not None else ("", "")
    return {
        "license": model.license or (newest.license if newest is not None else ""),
        **{key: getattr(model, name) for key, name in MODEL_KEYS.items() if key != "license"},
        "datasets": ["@".join(filter(None, trained_on))] if trained_on[0] else [],
        "base_model": newest.base_model if newest is not None else "",
        "model-index": None,
    }


def _notes(key: str, policies: list[tuple[Stage, Applied]]) -> str:
    """What policies say of the values."""
    lines = []
    if key == "license":
        for _, one in policies:
            rule = one.rules.licenses
            lines += [f"# Allowed: {', '.join(rule.allowed)}.\n"] if rule.allowed else []
            lines += [f"# Forbidden: {', '.join(rule.forbidden)}.\n"] if rule.forbidden else []
    elif key == "datasets":
        lines.append("# A line each: - name@version\n")
    elif key == "model-index" and any(one.rules.report for _, one in policies):
        lines.append("# The evaluation report is linked as source.\n")
    return "".join(dict.fromkeys(lines))


def _block(model: RegisteredModel, key: str, known: Any, policies: list[tuple[Stage, Applied]]) -> str:
    if key == "license" and known:
        return model_card.block(license_for_hub(known))
    if key != "model-index":
        return model_card.block({key: known}) if known else f"{key}:\n"
    return _index(model, policies)


def _index(model: RegisteredModel, policies: list[tuple[Stage, Applied]]) -> str:
    """Places for measurements; those that the newest version has are filled in."""
    newest = model.newest
    rows = list(newest.metrics.all()) if newest is not None else []
    bounds: dict[str, list[str]] = {}
    for _, one in policies:
        for rule in one.rules.metrics:
            bounds.setdefault(rule.name, []).append(metric_bounds(rule))
    names = list(bounds) or [model.headline_metric or "metric"]
    lines = [f"model-index:\n- {model_card.block({'name': model.name.rpartition('/')[2]})}  results:\n"]
    places: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        places.setdefault((row.dataset, row.split), []).append(_metric(row.name, repr(row.value), bounds))
    missing = [name for name in names if name not in {row.name for row in rows}]
    if missing and (bounds or not rows):
        open_place = next(iter(places), ("", "test"))
        places.setdefault(open_place, []).extend(_metric(name, "", bounds) for name in missing)
    report = newest.reports.first() if newest is not None else None
    for position, ((dataset, split), metrics) in enumerate(places.items()):
        lines.append(
            f"  - task:\n      type: {_inline(model.task)}\n    dataset:\n      name: {_inline(dataset)}\n"
        )
        lines.append(
            f"      type: {_inline(dataset)}\n      split: {_inline(split)}\n    metrics:\n{''.join(metrics)}"
        )
        if position == 0 and (report is not None or any(one.rules.report for _, one in policies)):
            lines.append(f"    source:\n      name: {_inline(report.title if report else '')}\n")
            lines.append(f"      url: {_inline(report.url if report else '')}\n")
    return "".join(lines).replace(": \n", ":\n")


def _metric(name: str, value: str, bounds: dict[str, list[str]]) -> str:
    told = f"  # {'; '.join(bounds[name])}" if name in bounds else ""
    return f"    - type: {_inline(name)}\n      value:{f' {value}' if value else ''}{told}\n"


def _inline(text: str) -> str:
    """A text as it stands behind a key."""
    return model_card.block({"x": text}).removeprefix("x:").strip() if text else ""


def _body(model: RegisteredModel, policies: list[tuple[Stage, Applied]]) -> str:
    asked = {name for _, one in policies for name in one.rules.fields}
    purpose = model.purpose or "One paragraph: what goes in, what comes out, who uses it."
    sections = [
        ("What it does", purpose),
        ("Intended use", "What it is for, and what it must not be used for."),
        ("Data", "Which dataset and version, where it comes from, under which license."),
        *(
            [
                (
                    "Personal data",
                    "Which personal data it was trained on, on what ground, and how it is protected.",
                )
            ]
            if asked & {"pii_usage", "pii_notes"}
            else []
        ),
        ("Evaluation", "Metrics with dataset and split, and where the evaluation report is."),
        *(
            [("Risks", "What can go wrong, for whom, and what is done against it.")]
            if "risk_flags" in asked or model.risk_level == "high"
            else []
        ),
        ("Limits, bias and fairness", "Where it fails, for whom it works worse, what was checked."),
        ("Maintenance", "Who answers for it, how often it is trained anew, how to report a problem."),
    ]
    return "\n".join(f"## {title}\n\n{text}\n" for title, text in sections)
