"""The text of a policy: which rules there are, how they are written as JSON, and what makes one well-formed.

What an expression may cost: expressions.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from models_app.models import Role, Stage

from . import expressions
from .errors import FieldProblem, Invalid
from .metadata import VERSION_FIELDS, clean_license

MAX_RULES = 50
# Fields a policy may demand beside the plain ones of a version.
COLLECTIONS = {
    "metrics": "At least one metric",
    "risk_flags": "Risk flags",
    "purpose": "Purpose",
    "card": "Card",
}
APPROVING = frozenset({Role.APPROVER.value, Role.ADMIN.value, Role.OWNER.value})
# What checks and expressions may be called.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/-]{0,99}")


class _Rule(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Base: unknown keys are refused, what is not set is not written."""


class MetricRule(_Rule):
    """Bounds of one metric: absolute, and against what is in production now (`not_worse_by`, in the metric's unit)."""

    name: str
    dataset: str = ""
    split: str = ""
    at_least: float | None = None
    at_most: float | None = None
    not_worse_by: float | None = None


class Approvals(_Rule):
    """How many must say yes, with which role in the model's team. The author and whoever asked never count."""

    count: int = 0
    roles: list[str] = msgspec.field(default_factory=lambda: [Role.APPROVER.value, Role.ADMIN.value])
    teams: list[str] = msgspec.field(default_factory=list)


class Licenses(_Rule):
    """SPDX ids that may or must not stand in the licenses of version, base model and data. No `allowed` allows all."""

    allowed: list[str] = msgspec.field(default_factory=list)
    forbidden: list[str] = msgspec.field(default_factory=list)


class Freeze(_Rule):
    """A window in which nothing enters the stage. Times in UTC, the end is not part of it."""

    start: datetime
    end: datetime
    reason: str = ""


class Expression(_Rule):
    """A rule in CEL that must be true. `message` says what to do when it is not."""

    name: str
    cel: str
    message: str = ""


class Rules(_Rule):
    """All that a policy demands. Everything may be left out."""

    fields: list[str] = msgspec.field(default_factory=list)
    metrics: list[MetricRule] = msgspec.field(default_factory=list)
    licenses: Licenses = msgspec.field(default_factory=Licenses)
    approvals: Approvals = msgspec.field(default_factory=Approvals)
    from_stage: str = ""
    hours_in_stage: float = 0
    freezes: list[Freeze] = msgspec.field(default_factory=list)
    report: bool = False
    checks: list[str] = msgspec.field(default_factory=list)
    expressions: list[Expression] = msgspec.field(default_factory=list)


# What holds where nobody wrote another policy for the site.
DEFAULTS: dict[str, dict[str, Any]] = {
    Stage.PRODUCTION: {"fields": ["dataset_version", "metrics", "owner", "license"]},
}


def read(rules: Mapping[str, Any]) -> Rules:
    """Rules that were checked when they were written."""
    return msgspec.convert(rules, Rules)


def write(rules: Rules) -> dict[str, Any]:
    """As JSON: only what is set, always in the same order."""
    return {name: value for name, value in msgspec.to_builtins(rules).items() if value != _UNSET.get(name)}


_UNSET: dict[str, Any] = msgspec.to_builtins(Rules())


def check(rules: Any) -> Rules:
    """Well-formed rules from what a person or a program wrote. Raises Invalid listing every problem found."""
    try:
        found = msgspec.convert(rules, Rules)
    except msgspec.ValidationError as error:
        raise Invalid("rules", f"{error}.") from error
    problems = [*_field_problems(found), *_metric_problems(found), *_approval_problems(found)]
    problems += [*_time_problems(found), *_list_problems(found), *_expression_problems(found)]
    if problems:
        raise Invalid.many([FieldProblem(f"rules.{where}", why) for where, why in problems])
    return found


def _field_problems(rules: Rules) -> list[tuple[str, str]]:
    known = VERSION_FIELDS.keys() | COLLECTIONS.keys()
    return [
        ("fields", f"There is no field “{name[:60]}”. Fields: {', '.join(sorted(known))}.")
        for name in rules.fields
        if name not in known
    ]


def _metric_problems(rules: Rules) -> list[tuple[str, str]]:
    found = []
    for rule in rules.metrics:
        if not rule.name.strip():
            found.append(("metrics", "Each needs the name of a metric."))
        elif rule.at_least is None and rule.at_most is None and rule.not_worse_by is None:
            found.append(("metrics", f"“{rule.name}” has no bound: at_least, at_most or not_worse_by."))
        elif rule.not_worse_by is not None and rule.not_worse_by < 0:
            found.append(("metrics", f"not_worse_by of “{rule.name}” must not be negative."))
    return found


def _approval_problems(rules: Rules) -> list[tuple[str, str]]:
    found = []
    if not 0 <= rules.approvals.count <= 20:
        found.append(("approvals", "The count is a number from 0 to 20."))
    if bad := sorted(set(rules.approvals.roles) - APPROVING):
        found.append(("approvals", f"“{bad[0][:30]}” cannot approve; roles: {', '.join(sorted(APPROVING))}."))
    if rules.approvals.count and not rules.approvals.roles:
        found.append(("approvals", "Say which roles may approve."))
    return found


def _time_problems(rules: Rules) -> list[tuple[str, str]]:
    found = []
    if rules.from_stage and rules.from_stage not in Stage.values:
        found.append(("from_stage", f"One of {', '.join(Stage.values)}."))
    if not 0 <= rules.hours_in_stage <= 24 * 365:
        found.append(("hours_in_stage", "A number of hours from 0 to a year."))
    for freeze in rules.freezes:
        if freeze.start.tzinfo is None or freeze.end.tzinfo is None:
            found.append(("freezes", "Times need a zone, as in 2026-12-20T00:00:00Z."))
        elif freeze.start >= freeze.end:
            found.append(("freezes", "A freeze ends after its start."))
    return found


def _list_problems(rules: Rules) -> list[tuple[str, str]]:
    found = []
    for where in ("fields", "metrics", "freezes", "checks", "expressions"):
        if len(getattr(rules, where)) > MAX_RULES:
            found.append((where, f"At most {MAX_RULES}."))
    found += [
        ("checks", f"“{name[:60]}” is no name of a check.")
        for name in rules.checks
        if not NAME.fullmatch(name)
    ]
    for where, ids in (("allowed", rules.licenses.allowed), ("forbidden", rules.licenses.forbidden)):
        for name in ids[:200]:
            try:
                clean_license("licenses", name)
            except Invalid as error:
                found.append((f"licenses.{where}", error.problems[0].message))
    return found


def _expression_problems(rules: Rules) -> list[tuple[str, str]]:
    found = []
    for rule in rules.expressions:
        if not NAME.fullmatch(rule.name):
            found.append(
                ("expressions", "Each needs a name of letters, digits, spaces, “.”, “_”, “/” and “-”.")
            )
        elif why := expressions.why_not(rule.cel):
            found.append(("expressions", f"{rule.name}: {why}"))
    return found
