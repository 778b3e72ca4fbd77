"""What a stage demands of a version: the policies that apply, and each demand met or not.

How policies are written: policy_rules.py. Who changes them: policies.py. Who says yes: promotions.py.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any

from django.db.models import Q
from django.utils import timezone

from models_app.formats import licenses
from models_app.models import (
    Check,
    CheckState,
    EvaluationReport,
    ManifestEntry,
    ModelVersion,
    Policy,
    RegisteredModel,
    RiskFlag,
    Stage,
    VersionMetric,
    VersionTag,
)

from . import expressions, policy_rules, policy_words, upstream_licenses
from .access import Actor, Right, may
from .errors import PolicyUnmet, Requirement
from .metadata import VERSION_FIELDS
from .policy_rules import Rules
from .prepared import Prepared, PreparedInstances
from .search.index import leading

# The widest first.
SCOPES = ("site", "risk", "team", "model")
LICENSES = (
    ("license", "its license"),
    ("base_model_license", "the base model's"),
    ("dataset_license", "the data's"),
)
# Changes of these after a review are no news to a reviewer.
_NO_EVIDENCE = frozenset({"serving_endpoint"})


_POLICIES = PreparedInstances(
    lambda stage, risk, team, model: (
        Policy.objects.filter(stage=stage, is_active=True)
        .filter(Q(team=None, model=None, risk_level__in=["", risk]) | Q(team=team) | Q(model=model))
        .order_by("id")
    ),
    str,
    str,
    int,
    int,
)
_METRICS = PreparedInstances(
    lambda version: VersionMetric.objects.filter(version=version).order_by("name", "dataset", "split"),
    int,
)
_CHECKS = PreparedInstances(lambda version: Check.objects.filter(version=version), int)
_PRODUCTION = PreparedInstances(
    lambda model, other: (
        ModelVersion.objects.filter(model=model)
        .in_stage(Stage.PRODUCTION)
        .exclude(pk=other)
        .order_by("-last_promoted_at", "-number")[:1]
    ),
    int,
    int,
)
_FLAGS = Prepared(lambda version: RiskFlag.objects.filter(version=version).values_list("name"), int)
_REPORTS = Prepared(lambda version: EvaluationReport.objects.filter(version=version).values_list("url"), int)
_DAMAGED = Prepared(
    lambda manifest: (
        ManifestEntry.objects.filter(manifest=manifest, blob__damaged_at__isnull=False)
        .order_by("path")
        .values_list("path")[:3]
    ),
    int,
)
_TAGS = Prepared(lambda version: VersionTag.objects.filter(version=version).values_list("key", "value"), int)


@dataclass(frozen=True, slots=True)
class Applied:
    """A policy that a version falls under. `number` 0 is the default that nobody changed yet."""

    policy_id: int | None
    number: int
    scope: str
    rules: Rules

    @property
    def reference(self) -> dict[str, Any]:
        """What a decision remembers: which text it was made under, and the text."""
        return {
            "policy": self.policy_id,
            "number": self.number,
            "scope": self.scope,
            "rules": policy_rules.write(self.rules),
        }


def scope_name(kind: str, model: RegisteredModel) -> str:
    """What the policy of this kind that a model falls under is called in checklists."""
    return {
        "site": "site",
        "risk": f"{model.risk_level or 'unrated'} risk",
        "team": f"team {model.team.slug}",
        "model": f"model {model.name}",
    }[kind]


def applied(model: RegisteredModel, *, to: str) -> list[Applied]:
    """The policies of a stage that a model's versions fall under: the site's, its risk's, its team's, its own."""
    found = []
    for row in _POLICIES(to, model.risk_level, model.team_id, model.pk):
        kind = "team" if row.team_id else "model" if row.model_id else "risk" if row.risk_level else "site"
        rank, scope = SCOPES.index(kind), scope_name(kind, model)
        found.append((rank, Applied(row.pk, row.number, scope, policy_rules.read(row.rules))))
    found.sort(key=lambda pair: pair[0])
    result = [one for _, one in found]
    if not any(one.scope == "site" for one in result) and to in policy_rules.DEFAULTS:
        result.insert(0, Applied(None, 0, "site", policy_rules.read(policy_rules.DEFAULTS[to])))
    return result


def _now() -> datetime:
    """The one clock by which times in stages and freezes are judged: the server's."""
    return timezone.now()


def _damaged(paths: list[str]) -> Requirement:
    told = f"Damaged in storage: {', '.join(paths)}. Whoever has them sends the same files again."
    return Requirement("damaged", "Files as they were registered", "", False, told, "site")


@dataclass
class Case:
    """One version before one stage: what is known of it, read once however many policies ask."""

    version: ModelVersion
    to: str
    policies: list[Applied]
    now: datetime = field(default_factory=_now)

    @classmethod
    def of(cls, version: ModelVersion, *, to: str) -> Case:
        return cls(version, to, applied(version.model, to=to))

    @cached_property
    def metrics(self) -> list[VersionMetric]:
        return _METRICS(self.version.pk)

    @cached_property
    def checks(self) -> dict[str, Check]:
        return {check.name: check for check in _CHECKS(self.version.pk)}

    @cached_property
    def production(self) -> ModelVersion | None:
        """What stands in production now, other than this version."""
        return _PRODUCTION.one(self.version.model_id, self.version.pk)

    @cached_property
    def production_metrics(self) -> list[VersionMetric]:
        return _METRICS(self.production.pk) if self.production else []

    @cached_property
    def flags(self) -> list[str]:
        return [name for (name,) in _FLAGS(self.version.pk)]

    @cached_property
    def reports(self) -> list[str]:
        return [url for (url,) in _REPORTS(self.version.pk)]

    @cached_property
    def tags(self) -> dict[str, str]:
        return dict(_TAGS(self.version.pk))

    @cached_property
    def ingredients(self) -> list[upstream_licenses.Ingredient]:
        return upstream_licenses.of(self.version)

    @cached_property
    def facts(self) -> dict[str, Any]:
        """What expressions see. Lists are cut: an expression's cost is bounded."""
        version, model, most = self.version, self.version.model, expressions.MAX_SEEN
        since = version.stage_changed_at or version.created_at
        return {
            "version": {
                **{name: _plain(getattr(version, name)) for name in VERSION_FIELDS},
                "number": version.number,
                "stage": version.stage,
                "tags": dict(list(self.tags.items())[:most]),
                "risk_flags": self.flags[:most],
                "reports": self.reports[:most],
                "hours_in_stage": (self.now - since) / timedelta(hours=1),
                "sealed": version.manifest_id is not None,
                "registered_by": version.created_by.username if version.created_by else "",
            },
            "model": {
                "name": model.name,
                "team": model.team.slug,
                "purpose": model.purpose,
                "task": model.task,
                "library": model.library,
                "risk_level": model.risk_level,
            },
            "metrics": _values(self.metrics[:most]),
            "production": {
                "exists": self.production is not None,
                "number": self.production.number if self.production else 0,
                "metrics": _values(self.production_metrics[:most]),
            },
            "checks": {name: check.state for name, check in list(self.checks.items())[:most]},
        }

    @cached_property
    def seen(self) -> Any:
        """`facts` as the interpreter takes them."""
        return expressions.context(self.facts)

    def evidence(self) -> str:
        """SHA-256 of what a reviewer decides on. When it changes, what was said of it no longer counts."""
        version = self.version
        facts = {
            "content": version.manifest.digest if version.manifest else version.source,
            "fields": {
                name: _plain(getattr(version, name)) for name in VERSION_FIELDS if name not in _NO_EVIDENCE
            },
            "metrics": [[m.name, m.dataset, m.split, m.value] for m in self.metrics],
            "flags": self.flags,
            "reports": sorted(self.reports),
            "risk": version.model.risk_level,
            "against": self.production.number if self.production else None,
            "policies": [one.reference for one in self.policies],
        }
        text = json.dumps(facts, sort_keys=True, ensure_ascii=False, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def requirements(self) -> list[Requirement]:
        """Every demand but approvals, met or not; what two policies demand alike is told once."""
        found: dict[str, Requirement] = {}
        manifest = self.version.manifest_id
        if self.policies and manifest is None:
            found["content"] = self._content()
        if self.policies and manifest and (paths := [path for (path,) in _DAMAGED(manifest)]):
            found["damaged"] = _damaged(paths)
        for one in self.policies:
            for demand in self._demands(one):
                former = found.get(demand.key)
                if former is None or (former.met and not demand.met):
                    found[demand.key] = demand
        return list(found.values())

    def _demands(self, one: Applied) -> Iterable[Requirement]:
        rules, scope = one.rules, one.scope
        yield from (self._field(name, scope) for name in rules.fields)
        yield from (self._metric(rule, scope) for rule in rules.metrics)
        yield from self._licenses(rules.licenses, scope)
        if rules.report:
            told = f"{len(self.reports)} linked" if self.reports else "Link an evaluation report."
            yield Requirement("report", "Evaluation report", "reports", bool(self.reports), told, scope)
        if rules.from_stage:
            yield Requirement(
                "from_stage",
                f"Comes from {rules.from_stage}",
                "",
                self.version.stage == rules.from_stage,
                f"It is in {self.version.stage}.",
                scope,
            )
        if rules.hours_in_stage:
            yield self._age(rules, scope)
        yield from (self._freeze(freeze, scope) for freeze in rules.freezes)
        yield from (self._check(name, scope) for name in rules.checks)
        yield from (self._expression(rule, scope) for rule in rules.expressions)

    def _content(self) -> Requirement:
        told = f"It only points to {self.version.source or 'nothing'}; register a version with its files."
        return Requirement("content", "Files held by the registry", "", False, told, "site")

    def _field(self, name: str, scope: str) -> Requirement:
        if name == "metrics":
            count = len(self.metrics)
            told = f"{count} recorded" if count else "How good is it?"
            return Requirement(name, policy_rules.COLLECTIONS[name], name, count > 0, told, scope)
        if name == "risk_flags":
            told = ", ".join(self.flags) or "Which risks does it have?"
            return Requirement(name, policy_rules.COLLECTIONS[name], name, bool(self.flags), told, scope)
        if name in ("purpose", "card"):
            met = bool(getattr(self.version.model, name).strip())
            told = "Given" if met else f"The model has no {name} yet."
            return Requirement(f"model.{name}", policy_rules.COLLECTIONS[name], name, met, told, scope)
        known = VERSION_FIELDS[name]
        value = self.version.owner if name == "owner" else getattr(self.version, name)
        if name == "owner":
            told = value.display_name if value else "Who answers for it?"
        else:
            told = _short(value) if value else known.help or "Not given."
        return Requirement(name, known.label, name, bool(value), told, scope)

    def _metric(self, rule: policy_rules.MetricRule, scope: str) -> Requirement:
        of = "".join(f", {part}" for part in (rule.dataset, rule.split) if part)
        bounds = [
            *([f"at least {rule.at_least:g}"] if rule.at_least is not None else []),
            *([f"at most {rule.at_most:g}"] if rule.at_most is not None else []),
            *(
                [f"not worse than production by more than {rule.not_worse_by:g}"]
                if rule.not_worse_by is not None
                else []
            ),
        ]
        label = f"{rule.name}{of}: {' and '.join(bounds)}"
        key = f"metric:{rule.name}:{rule.dataset}:{rule.split}:{'|'.join(bounds)}"
        found = _measured(self.metrics, rule)
        if found is None:
            return Requirement(key, label, "metrics", False, "It was not measured.", scope)
        problems = []
        if rule.at_least is not None and found.value < rule.at_least:
            problems.append(f"{found.value:g} is below {rule.at_least:g}")
        if rule.at_most is not None and found.value > rule.at_most:
            problems.append(f"{found.value:g} is above {rule.at_most:g}")
        former = _measured(self.production_metrics, rule) if rule.not_worse_by is not None else None
        if former is not None and _loss(former, found) > Decimal(repr(rule.not_worse_by)):
            problems.append(f"{found.value:g} is worse than {former.value:g} in production")
        return Requirement(
            key, label, "metrics", not problems, "; ".join(problems) or f"{found.value:g}", scope
        )

    def _licenses(self, rule: policy_rules.Licenses, scope: str) -> Iterable[Requirement]:
        if not rule.allowed and not rule.forbidden:
            return
        for column, whose in LICENSES:
            expression = getattr(self.version, column)
            if not expression:
                continue
            label = f"Acceptable: {whose} license".replace(" license license", " license")
            yield _acceptable(rule, expression, f"license:{column}", label, column, scope)
        for one in self.ingredients:
            key, label = f"license:{one.key}", f"Acceptable: license of {one.what}"
            yield _acceptable(rule, one.license, key, label, "", scope)

    def _age(self, rules: Rules, scope: str) -> Requirement:
        since = self.version.stage_changed_at or self.version.created_at
        wanted = timedelta(hours=rules.hours_in_stage)
        left = wanted - (self.now - since)
        met = left <= timedelta(0)
        told = "Long enough" if met else f"{_hours(left)} to go"
        label = f"At least {_hours(wanted)} in {self.version.stage}"
        return Requirement("hours_in_stage", label, "", met, told, scope, "time")

    def _freeze(self, freeze: policy_rules.Freeze, scope: str) -> Requirement:
        inside = freeze.start <= self.now < freeze.end
        until = f"{freeze.end:%Y-%m-%d %H:%M} UTC"
        told = f"Nothing enters until {until}. {freeze.reason}".strip() if inside else "Not now"
        key = f"freeze:{freeze.start.isoformat()}"
        return Requirement(key, f"No freeze until {until}", "", not inside, told, scope, "time")

    def _check(self, name: str, scope: str) -> Requirement:
        check = self.checks.get(name)
        met = check is not None and check.state == CheckState.SUCCESS
        told = "Not reported yet." if check is None else check.summary or CheckState(check.state).label
        return Requirement(f"check:{name}", f"Check “{name}”", "", met, told, scope, "check")

    def _expression(self, rule: policy_rules.Expression, scope: str) -> Requirement:
        met, why = expressions.is_true(rule.cel, self.seen)
        told = "Holds" if met else why or rule.message or f"Demanded: {rule.cel}"
        return Requirement(f"rule:{rule.name}", rule.name, "", met, told, scope)


def _acceptable(
    rule: policy_rules.Licenses, expression: str, key: str, label: str, column: str, scope: str
) -> Requirement:
    bad = licenses.in_the_way(expression, allowed=rule.allowed, forbidden=rule.forbidden)
    told = f"{', '.join(bad)} is not acceptable" if bad else expression
    return Requirement(key, label, column, not bad, told, scope)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str | dict | list):
        return "" if value is None else value
    return str(value)


def _short(value: Any) -> str:
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _values(metrics: list[VersionMetric]) -> dict[str, float]:
    return {name: metric.value for name, metric in leading(metrics).items()}


def _measured(metrics: list[VersionMetric], rule: policy_rules.MetricRule) -> VersionMetric | None:
    fitting = [
        metric
        for metric in metrics
        if metric.name == rule.name
        and rule.dataset in ("", metric.dataset)
        and rule.split in ("", metric.split)
    ]
    return leading(fitting).get(rule.name)


def _loss(former: VersionMetric, found: VersionMetric) -> Decimal:
    """By how much a metric is worse than in production; below zero when it is better.

    Which direction is better is for what stands in production to say: a candidate must not turn its own measure
    round. Told in decimals, as people write bounds: from 0.9 to 0.89 it is 0.01, and no hair more.
    """
    known = former.higher_is_better
    down = (found.higher_is_better if known is None else known) is False
    gain = Decimal(repr(found.value)) - Decimal(repr(former.value))
    return gain if down else -gain


def _hours(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    if hours < 1:
        return f"{max(int(hours * 60), 1)} minutes"
    return f"{hours:.0f} hours" if hours < 72 else f"{hours / 24:.0f} days"


def requirements(version: ModelVersion, *, to: str) -> list[Requirement]:
    """What the stage demands beside approvals, each met or not; empty when it demands nothing."""
    return Case.of(version, to=to).requirements()


def trial(version: ModelVersion, *, to: str, rules: Any, scope: str) -> list[Requirement]:
    """What the stage would demand of a version if the policy of this scope had these rules, beside the others that
    apply; nothing is saved. `scope` is named as in Applied. Raises Invalid when the rules are not well-formed.
    """
    typed = policy_rules.check(rules)
    applying = applied(version.model, to=to)
    former = next((one for one in applying if one.scope == scope), Applied(None, 0, scope, typed))
    case = Case(version, to, [*(one for one in applying if one.scope != scope), replace(former, rules=typed)])
    waits = [
        Requirement(
            f"approvals:{one.scope}",
            policy_words.approvals_told(one.rules),
            "",
            False,
            "Asked for once there is a request",
            one.scope,
            "review",
        )
        for one in case.policies
        if one.rules.approvals.count
    ]
    return [*case.requirements(), *waits]


def unmet(version: ModelVersion, *, to: str, missing: list[Requirement], by: Actor) -> PolicyUnmet:
    """The refusal that names what is missing, and who can fill it in where that is not who asked."""
    labels = ", ".join(_lowered(requirement.label) for requirement in missing)
    return PolicyUnmet(
        f"{version} cannot go to {to}: it lacks {labels}.",
        subject=str(version),
        missing=missing,
        next_step=_next_step(version, missing, by),
    )


def who_fills_in(version: ModelVersion) -> str:
    """Who can be asked to fill in what is missing: the version's owner, else who registered it, else the team."""
    person = version.owner or version.created_by or version.model.owner
    if person is None:
        return f"team {version.model.team.slug}"
    name = person.display_name
    return name if name == person.username else f"{name} ({person.username})"


def _next_step(version: ModelVersion, missing: list[Requirement], by: Actor) -> str:
    if any(requirement.field for requirement in missing):
        if not may(by, Right.EDIT_VERSION, version.model.team_id):
            return f"Ask {who_fills_in(version)} to fill in what is missing, then try again."
        return "Fill in what is missing on the version's page, then ask again."
    return " ".join(requirement.detail for requirement in missing)


def _lowered(label: str) -> str:
    return label[:1].lower() + label[1:]
