"""Where a version came from and what came from it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from models_app.models import (
    Dataset,
    LineageEdge,
    ModelVersion,
    RegisteredModel,
    Relation,
    Run,
    RunInput,
    Visibility,
)

from . import audit
from .access import Actor, Right, find_revision, parse_revision, require, versions_for
from .errors import Conflict, Invalid, NotFound
from .metadata import clean_text
from .runs import get_run

# Columns of a version that lineage edges are made from.
COLUMNS = frozenset({"dataset_name", "dataset_version", "dataset_path", "dataset_digest", "base_model"})
BASE_RELATIONS = (Relation.FINE_TUNED, Relation.QUANTIZED, Relation.ADAPTER, Relation.MERGED)
MAX_NODES = 300


def find_run(uid: str | Run, *, by: Actor) -> Run | None:
    """The run a caller names at registration (or has found already); "" is none. Raises Invalid("run")."""
    if isinstance(uid, Run):
        return uid
    uid = clean_text("run", uid, limit=250)
    if not uid:
        return None
    try:
        return get_run(uid, by=by)
    except NotFound as error:
        raise Invalid("run", error.why) from error


def check_relation(value: str) -> str:
    """How a version relates to its base model; fine-tuned by default. Raises Invalid("base_relation")."""
    if value and value not in BASE_RELATIONS:
        raise Invalid("base_relation", f"One of {', '.join(BASE_RELATIONS)}.")
    return value or Relation.FINE_TUNED


def inherit_from_run(columns: dict[str, Any], run: Run | None) -> Dataset | None:
    """Fill in what the run knows and the caller did not say: run id, code and training dataset, which is returned.

    A dataset without a version is known by its digest.
    """
    if run is None:
        return None
    dataset = None
    known = {
        "training_run_id": run.uid,
        "code_repository": run.code_repository,
        "code_commit": run.code_commit,
    }
    trained_on = (
        run.inputs.select_related("dataset")
        .order_by("id")
        .filter(context__in=["", "training", "train"])
        .first()
    )
    if trained_on is not None and not columns.get("dataset_name"):
        dataset = trained_on.dataset
        known |= {
            "dataset_name": dataset.name,
            "dataset_version": dataset.version or dataset.digest,
            "dataset_path": dataset.path,
            "dataset_digest": dataset.digest,
            "dataset_license": dataset.license,
        }
    for name, value in known.items():
        columns[name] = columns.get(name) or value
    return dataset


def connect(version: ModelVersion, *, relation: str, by: Actor, dataset: Dataset | None = None) -> None:
    """Make the edges that a version's columns speak of, in the caller's transaction. `dataset` is the one that they
    name, where it is known.
    """
    if dataset is not None:
        _add_edge(version, Relation.TRAINED_ON, dataset=dataset)
    elif version.dataset_name:
        dataset, _ = Dataset.objects.get_or_create(
            name=version.dataset_name,
            version=version.dataset_version,
            digest=version.dataset_digest,
            defaults={
                "path": version.dataset_path,
                "license": version.dataset_license,
                "team": version.model.team,
            },
        )
        _add_edge(version, Relation.TRAINED_ON, dataset=dataset)
    if version.base_model:
        base = _base_version(version.base_model, by)
        if base is None:
            _add_edge(version, relation, upstream=version.base_model)
        else:
            _add_edge(version, relation, base_version=base)


def _base_version(text: str, by: Actor) -> ModelVersion | None:
    """The version here that `name@revision` names, if the actor may read it; anything else is an upstream
    model elsewhere.
    """
    name, revision = parse_revision(text)
    if revision is None:
        return None
    model = RegisteredModel.objects.readable_in(by.readable_teams).filter(name=name).first()
    return find_revision(model, revision) if model else None


def _add_edge(
    version: ModelVersion,
    relation: str,
    *,
    dataset: Dataset | None = None,
    base_version: ModelVersion | None = None,
    upstream: str = "",
) -> LineageEdge:
    # The model's row is locked by the verb, so two callers cannot both find the edge missing.
    edge, _ = LineageEdge.objects.get_or_create(
        version=version, relation=relation, dataset=dataset, base_version=base_version, upstream=upstream
    )
    return edge


@transaction.atomic
def link(
    version: ModelVersion,
    *,
    relation: str,
    by: Actor,
    dataset: Dataset | None = None,
    base_version: ModelVersion | None = None,
    upstream: str = "",
) -> LineageEdge:
    """Add one edge by hand: a dataset, a base version, or an upstream model elsewhere. Raises Invalid,
    Conflict, Forbidden.
    """
    require(by, Right.EDIT_VERSION, version.model.team)
    if relation not in Relation.values:
        raise Invalid("relation", f"One of {', '.join(Relation.values)}.")
    if sum([dataset is not None, base_version is not None, bool(upstream)]) != 1:
        raise Invalid("relation", "Give exactly one of dataset, base_version and upstream.")
    if (dataset is not None) != (relation in (Relation.TRAINED_ON, Relation.EVALUATED_ON)):
        raise Invalid("relation", "Datasets are trained or evaluated on; models are the base of others.")
    RegisteredModel.objects.select_for_update(no_key=True).get(pk=version.model_id)
    if base_version is not None and (base_version.pk == version.pk or _descends(base_version, version)):
        raise Conflict(f"{base_version} comes from {version}; it cannot be its base too.")
    edge = _add_edge(version, relation, dataset=dataset, base_version=base_version, upstream=upstream)
    end = str(dataset or base_version or upstream)
    audit.record("lineage.linked", by=by, subject=str(version), model=version.model, after={relation: end})
    return edge


def link_bases(version: ModelVersion, names: Iterable[str], *, relation: str, by: Actor) -> None:
    """Add an edge to each of these base models, named as in the column, that is not there yet. Raises as `link`."""
    for name in names:
        base = _base_version(name, by)
        end = {"upstream": name} if base is None else {"base_version": base}
        if not LineageEdge.objects.filter(version=version, **end).exists():
            link(version, relation=relation, base_version=base, upstream=name if base is None else "", by=by)


def _descends(version: ModelVersion, ancestor: ModelVersion) -> bool:
    seen: set[int] = set()
    frontier = {version.pk}
    while frontier:
        if ancestor.pk in frontier:
            return True
        seen |= frontier
        bases = LineageEdge.objects.filter(version__in=frontier, base_version__isnull=False)
        frontier = set(bases.values_list("base_version_id", flat=True)) - seen
    return False


def made_from(versions: QuerySet[ModelVersion], *, by: Actor, outside: RegisteredModel | None = None) -> str:
    """A sentence about another version (of another model, with `outside`) that was made from one of these, or "". It is
    named if the actor may see it.
    """
    edges = LineageEdge.objects.filter(base_version__in=versions).select_related(
        "version__model", "base_version__model"
    )
    if outside is not None:
        edges = edges.exclude(version__model=outside)
    edge = edges.first()
    if edge is None:
        return ""
    is_seen = versions_for(by).filter(pk=edge.version_id).exists()
    return (
        f"{edge.version if is_seen else 'A version that you may not see'} was made from {edge.base_version}."
    )


@dataclass(frozen=True, slots=True)
class Node:
    """One thing in the picture. `kind` is version, dataset, run, code or upstream; `ref` finds its page or record."""

    id: str
    kind: str
    label: str
    detail: str = ""
    ref: str = ""
    current: bool = False
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """From what was before to what came of it."""

    source: str
    target: str
    label: str


@dataclass(slots=True)
class Graph:
    """Nodes and edges around one version; `is_cut` when there was more than could be shown."""

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    is_cut: bool = False

    def add(self, node: Node) -> str:
        if node.id not in self.nodes and len(self.nodes) >= MAX_NODES:
            self.is_cut = True
            return ""
        self.nodes.setdefault(node.id, node)
        return node.id

    def join(self, source: str, target: str, label: str) -> None:
        edge = Edge(source, target, label)
        if source and target and edge not in self.edges:
            self.edges.append(edge)


def graph(version: ModelVersion, *, by: Actor, depth: int = 2) -> Graph:
    """What the version came from (data, code, run, base models) and what was derived from it, `depth` models away.

    Versions that the actor may not read are shown as “a private model”, without a name. A level costs a constant
    number of queries.
    """
    result = Graph()
    result.add(_version_node(version, current=True))
    _walk(result, [version], by=by, depth=depth, upward=True)
    _walk(result, [version], by=by, depth=depth, upward=False)
    return result


def _walk(result: Graph, start: list[ModelVersion], *, by: Actor, depth: int, upward: bool) -> None:
    level, seen = start, {version.pk for version in start}
    for _ in range(max(depth, 1)):
        if not level:
            return
        if upward:
            _add_sources(result, level)
        edges = _model_edges(level, upward=upward)
        following: deque[ModelVersion] = deque()
        for edge in edges:
            other = edge.base_version if upward else edge.version
            if other is None:
                continue
            node = _version_node(other) if _readable(other, by) else _hidden_node(other)
            ends = (node.id, f"v{edge.version_id}") if upward else (f"v{edge.base_version_id}", node.id)
            if result.add(node):
                result.join(*ends, Relation(edge.relation).label.lower())
            if other.pk not in seen and _readable(other, by):
                seen.add(other.pk)
                following.append(other)
        level = list(following)


def _model_edges(level: list[ModelVersion], *, upward: bool) -> QuerySet[LineageEdge]:
    ids = [version.pk for version in level]
    near = Q(version__in=ids, base_version__isnull=False) if upward else Q(base_version__in=ids)
    related = LineageEdge.objects.filter(near).select_related(
        "version__model__team", "version__run", "base_version__model__team", "base_version__run"
    )
    return related.order_by("id")[:MAX_NODES]


def _add_sources(result: Graph, level: list[ModelVersion]) -> None:
    """Data, code, runs and upstream models of these versions."""
    ids = [version.pk for version in level]
    for version in level:
        here = f"v{version.pk}"
        run = version.run
        if run is not None:
            result.join(
                result.add(Node(f"r{run.pk}", "run", run.name or run.uid[:8], run.uid, run.uid)),
                here,
                "trained",
            )
        elif version.training_run_id:
            node = Node(
                f"x{version.training_run_id}", "run", version.training_run_id[:40], version.training_run_id
            )
            result.join(result.add(node), here, "trained")
        if version.code_commit or version.code_repository:
            label = (
                f"{version.code_repository.rstrip('/').rsplit('/', 1)[-1]}@{version.code_commit[:8]}".strip(
                    "@"
                )
            )
            node = Node(
                f"c{version.code_repository}@{version.code_commit}", "code", label, version.code_repository
            )
            result.join(result.add(node), f"r{version.run_id}" if version.run_id else here, "code")
    inputs = RunInput.objects.filter(run__versions__in=ids).select_related("dataset", "run").distinct()
    covered = set()
    for row in inputs.order_by("id")[:MAX_NODES]:
        covered.add(row.dataset_id)
        result.join(result.add(_dataset_node(row.dataset)), f"r{row.run_id}", row.context or "read")
    sources = LineageEdge.objects.filter(version__in=ids, base_version=None).select_related("dataset")
    for edge in sources.order_by("id")[:MAX_NODES]:
        label = Relation(edge.relation).label.lower()
        if edge.dataset is None:
            node = Node(f"u{edge.upstream}", "upstream", edge.upstream, "Model elsewhere", edge.upstream)
            result.join(result.add(node), f"v{edge.version_id}", label)
        elif edge.dataset_id not in covered:
            result.join(result.add(_dataset_node(edge.dataset)), f"v{edge.version_id}", label)


def _readable(version: ModelVersion, by: Actor) -> bool:
    teams = by.readable_teams
    return teams is None or version.model.visibility == Visibility.INTERNAL or version.model.team_id in teams


def _version_node(version: ModelVersion, *, current: bool = False) -> Node:
    return Node(
        f"v{version.pk}", "version", str(version), version.model.purpose, str(version), current, version.stage
    )


def _hidden_node(version: ModelVersion) -> Node:
    return Node(f"v{version.pk}", "version", "a private model", "You may not see it.")


def _dataset_node(dataset: Dataset) -> Node:
    return Node(f"d{dataset.pk}", "dataset", str(dataset), dataset.path, str(dataset.pk))
