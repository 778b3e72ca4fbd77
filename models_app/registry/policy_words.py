"""A policy's rules as sentences for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import policy_rules
from .metadata import VERSION_FIELDS
from .policy_rules import Rules


def told(rules: Mapping[str, Any]) -> list[str]:
    """Rules as a policy keeps them, a sentence each."""
    return sentences(policy_rules.read(rules))


def sentences(rules: Rules) -> list[str]:
    """Each rule as a sentence; one that says so when there is none."""
    found = []
    if rules.fields:
        labels = [_label(name) for name in rules.fields]
        found.append(f"These are given: {', '.join(labels)}.")
    found += [_metric(rule) for rule in rules.metrics]
    if rules.licenses.allowed:
        found.append(f"Licenses of version, base model and data: only {', '.join(rules.licenses.allowed)}.")
    if rules.licenses.forbidden:
        found.append(f"Never under {', '.join(rules.licenses.forbidden)}.")
    if rules.report:
        found.append("An evaluation report is linked.")
    if rules.checks:
        found.append(f"These checks passed: {', '.join(rules.checks)}.")
    if rules.from_stage:
        found.append(f"It comes from {rules.from_stage}.")
    if rules.hours_in_stage:
        found.append(f"It spent at least {rules.hours_in_stage:g} hours in its stage before.")
    for freeze in rules.freezes:
        why = f": {freeze.reason}" if freeze.reason else "."
        found.append(
            f"Nothing enters from {freeze.start:%Y-%m-%d %H:%M} to {freeze.end:%Y-%m-%d %H:%M} UTC{why}"
        )
    found += [f"{rule.name}: {rule.cel}" for rule in rules.expressions]
    if approvals := approvals_told(rules):
        found.append(f"{approvals}, never its author or whoever asked.")
    return found or ["Demands nothing."]


def approvals_told(rules: Rules) -> str:
    """How many have to say yes, and who; nothing when nobody has to."""
    wanted = rules.approvals
    if not wanted.count:
        return ""
    teams = f" of {', '.join(wanted.teams)}" if wanted.teams else " of the model's team"
    word = "approval" if wanted.count == 1 else "approvals"
    return f"{wanted.count} {word} from {' or '.join(wanted.roles)}{teams}"


def _label(name: str) -> str:
    label = policy_rules.COLLECTIONS.get(name) or VERSION_FIELDS[name].label
    return label[:1].lower() + label[1:]


def _metric(rule: policy_rules.MetricRule) -> str:
    of = ", ".join(part for part in (rule.dataset, rule.split) if part)
    return f"{rule.name}{f' on {of}' if of else ''} is {metric_bounds(rule)}."


def metric_bounds(rule: policy_rules.MetricRule) -> str:
    """What a metric has to be, behind its name."""
    bounds = []
    if rule.at_least is not None:
        bounds.append(f"at least {rule.at_least:g}")
    if rule.at_most is not None:
        bounds.append(f"at most {rule.at_most:g}")
    if rule.not_worse_by is not None:
        bounds.append(f"not worse than production by more than {rule.not_worse_by:g}")
    return " and ".join(bounds)
