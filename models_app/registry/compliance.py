"""Everything an auditor asks about one model, on one page: who answers for it, what it was made of, what can go wrong,
what was demanded, who said yes, and when it was in production.

Whoever may read the model may read the report: requests and reviews are open to them anyway. What only the audit knows
(its records, and whether its chain holds) is for those who may read the audit of the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Prefetch, Q
from django.utils import timezone

from models_app.models import (
    OPEN_STATES,
    AuditEvent,
    LineageEdge,
    ModelVersion,
    PiiUsage,
    PolicyVersion,
    PromotionRequest,
    RegisteredModel,
    Relation,
    Stage,
    Visibility,
)

from . import audit, audit_chain, policy_words, production_periods, requirements
from .access import Actor, get_model
from .audit_chain import Standing
from .production_periods import LIMIT, Period, Periods
from .requirements import Applied, Case

STAGES = (Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED)
# Versions that are told in full: those of a page of periods, and what is in production.
MOST_VERSIONS = LIMIT + 10
_OWNED = ("model.registered", "model.updated", "model.imported", "model.renamed")


@dataclass(frozen=True, slots=True)
class Data:
    """A dataset that a version came from."""

    name: str
    version: str
    digest: str
    path: str
    license: str
    relation: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """A model that a version came from; without a name where the reader may not see it."""

    name: str
    relation: str
    license: str


@dataclass(frozen=True, slots=True)
class Told:
    """A version with what it was made of."""

    version: ModelVersion
    data: list[Data]
    upstream: list[Upstream]

    @property
    def licenses(self) -> list[tuple[str, str]]:
        """Whose license, and which."""
        rows = [("Model", self.version.license)]
        rows += [(f"Upstream {one.name}", one.license) for one in self.upstream]
        return [*rows, *((f"Data {one.name}", one.license) for one in self.data)]


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy that applies now: its text as sentences, since when and by whom."""

    stage: str
    scope: str
    number: int
    sentences: list[str]
    since: datetime | None
    by: str


@dataclass(frozen=True, slots=True)
class Record:
    """What the audit says of the model: how many records, and where the chain stands."""

    records: int
    refused: int
    first: datetime | None
    last: datetime | None
    standing: Standing


@dataclass(slots=True)
class Report:
    """The report. `record` is None for readers who may not read the audit."""

    model: RegisteredModel
    made_at: datetime
    made_by: str
    owner_since: datetime | None
    team_since: datetime | None
    periods: Periods
    versions: list[Told]
    current: list[Told]
    policies: list[InForce]
    open_requests: int
    record: Record | None
    findings: list[str] = field(default_factory=list)
    versions_cut: int = 0


def report(name: str, *, by: Actor, until: datetime | None = None, limit: int = LIMIT) -> Report:
    """The report about a model; of its production periods those that began before `until`, `limit` at most.

    A constant number of queries. Raises NotFound, Unauthenticated, Forbidden for a token that may not read.
    """
    model = get_model(name, by=by)
    periods = production_periods.of_model(model, until=until, limit=limit)
    current = _current(model)
    wanted = list(
        dict.fromkeys([*current, *_ids(periods.items), *([model.newest_id] if model.newest_id else [])])
    )
    told = {one.version.pk: one for one in _told(model, wanted[:MOST_VERSIONS], by)}
    since = _since(model)
    result = Report(
        model=model,
        made_at=timezone.now(),
        made_by=by.name,
        owner_since=since.get("owner"),
        team_since=since.get("team") or model.created_at,
        periods=periods,
        versions=sorted(told.values(), key=lambda one: -one.version.number),
        current=[told[pk] for pk in current if pk in told],
        policies=_in_force(model),
        open_requests=PromotionRequest.objects.filter(model=model, state__in=OPEN_STATES).count(),
        record=_record(model) if audit.may_read_about(model, by=by) else None,
        versions_cut=max(len(wanted) - MOST_VERSIONS, 0),
    )
    result.findings = _findings(result)
    return result


def _current(model: RegisteredModel) -> list[int]:
    rows = ModelVersion.objects.filter(model=model).in_stage(Stage.PRODUCTION)
    return list(rows.order_by("-last_promoted_at", "-number").values_list("pk", flat=True)[:MOST_VERSIONS])


def _ids(periods: list[Period]) -> list[int]:
    return [period.version.pk for period in periods if period.version is not None]


def _told(model: RegisteredModel, ids: list[int], by: Actor) -> list[Told]:
    edges = LineageEdge.objects.select_related("dataset", "base_version__model").order_by("id")
    rows = (
        ModelVersion.objects.filter(pk__in=ids)
        .select_related("owner", "created_by", "manifest", "run", "last_promoted_by")
        .prefetch_related(
            "metrics",
            "reports",
            "risk_flags",
            "checks__reported_by",
            "run__inputs__dataset",
            Prefetch("upstream_edges", edges),
        )
    )
    found = []
    for version in rows:
        version.model = model
        found.append(Told(version, _data(version), _upstream(version, by)))
    return found


def _data(version: ModelVersion) -> list[Data]:
    """The datasets of a version: what it says itself, its lineage, and what its run read; each once."""
    found: dict[tuple[str, str], Data] = {}
    if version.dataset_name:
        found[version.dataset_name, version.dataset_version] = Data(
            version.dataset_name,
            version.dataset_version,
            version.dataset_digest,
            version.dataset_path,
            version.dataset_license,
            "trained on",
        )
    rows = [
        (edge.dataset, Relation(edge.relation).label.lower())
        for edge in version.upstream_edges.all()
        if edge.dataset is not None
    ]
    if version.run is not None:
        rows += [(read.dataset, read.context or "read") for read in version.run.inputs.all()]
    for dataset, relation in rows:
        key = (dataset.name, dataset.version or dataset.digest)
        former = found.get(key)
        found[key] = Data(
            dataset.name,
            key[1],
            dataset.digest or (former.digest if former else ""),
            (former.path if former else "") or dataset.path,
            (former.license if former else "") or dataset.license,
            former.relation if former else relation,
        )
    return list(found.values())


def _upstream(version: ModelVersion, by: Actor) -> list[Upstream]:
    found = []
    for edge in version.upstream_edges.all():
        if edge.dataset is not None:
            continue
        relation = Relation(edge.relation).label.lower()
        base = edge.base_version
        if base is None:
            found.append(Upstream(edge.upstream, relation, version.base_model_license))
            continue
        teams = by.readable_teams
        readable = (
            teams is None or base.model.visibility == Visibility.INTERNAL or base.model.team_id in teams
        )
        found.append(
            Upstream(str(base), relation, base.license or version.base_model_license)
            if readable
            else Upstream("a private model", relation, version.base_model_license)
        )
    return found


def _since(model: RegisteredModel) -> dict[str, datetime]:
    """When the model got the owner and the team that it has, as far as the audit says."""
    named = Q(after__has_key="owner") | Q(before__has_key="owner")
    named |= Q(after__has_key="team") | Q(before__has_key="team")
    rows = AuditEvent.objects.filter(model_ref=model.pk, verb__in=_OWNED).filter(named).order_by("-id")
    found: dict[str, datetime] = {}
    for at, before, after in rows.values_list("at", "before", "after")[:200]:
        for name in ("owner", "team"):
            if name in before or name in after:
                found.setdefault(name, at)
    return found


def _in_force(model: RegisteredModel) -> list[InForce]:
    applied: list[tuple[Stage, Applied]] = [
        (stage, one) for stage in STAGES for one in requirements.applied(model, to=stage)
    ]
    ids = [one.policy_id for _, one in applied if one.policy_id]
    written = {
        (row.policy_id, row.number): row
        for row in PolicyVersion.objects.filter(policy__in=ids).select_related("created_by").defer("rules")
    }
    found = []
    for stage, one in applied:
        row = written.get((one.policy_id, one.number)) if one.policy_id else None
        by = row.created_by.username if row is not None and row.created_by else ""
        sentences = policy_words.sentences(one.rules)
        since = row.created_at if row is not None else None
        found.append(InForce(stage.value, one.scope, one.number, sentences, since, by))
    return found


def _record(model: RegisteredModel) -> Record:
    rows = AuditEvent.objects.filter(model_ref=model.pk)
    last = rows.order_by("-id").values_list("at", flat=True).first()
    first = rows.order_by("id").values_list("at", flat=True).first()
    return Record(rows.count(), rows.filter(refused=True).count(), first, last, audit_chain.standing())


def _findings(found: Report) -> list[str]:
    """What an auditor would remark."""
    told: list[str] = []
    model = found.model
    if model.owner is None:
        told.append("Nobody is named as the model's owner.")
    elif not model.owner.is_active:
        told.append(f"The model's owner, {model.owner.username}, is no longer active.")
    for one in found.current[:5]:
        name = f"v{one.version.number}, in production,"
        lacking = [
            demand for demand in _case(one, model).requirements() if not demand.met and not demand.waits_for
        ]
        told += [
            f"{name} lacks what {demand.policy} demands today: {demand.label}. {demand.detail}".strip()
            for demand in lacking
            # It came from there.
            if demand.key != "from_stage"
        ]
        if one.version.pii_usage == PiiUsage.UNKNOWN:
            told.append(f"{name} does not say whether it was trained on personal data.")
        if one.version.upstream_edges.all() and not all(license for _, license in one.licenses):
            told.append(
                f"{name} has parts without a license: {', '.join(w for w, x in one.licenses if not x)}."
            )
    burned = PromotionRequest.objects.filter(model=model, is_emergency=True, reviewed_after_at=None)
    told += [
        f"The emergency promotion of v{number} to {stage} was not reviewed yet (request #{pk})."
        for number, stage, pk in burned.order_by("-id").values_list("version__number", "to_stage", "pk")[:50]
    ]
    if found.record is not None:
        seen = found.record.standing.verification
        if seen is None:
            told.append("The audit's chain was never verified.")
        elif seen.problem:
            told.append(f"The audit's chain is broken at position {seen.links + 1}.")
    return told


def _case(one: Told, model: RegisteredModel) -> Case:
    one.version.model = model
    return Case.of(one.version, to=Stage.PRODUCTION)
