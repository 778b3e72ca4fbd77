"""Where a version came from, as a picture and as a table."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse

from models_app.registry import lineage as core
from models_app.registry.access import get_model, get_version, parse_revision
from models_app.registry.errors import NotFound

from .door import PageRequest, page
from .models import frame

DEPTHS = {"1": 1, "2": 2, "all": 20}
KINDS = {
    "version": "Version",
    "dataset": "Dataset",
    "run": "Run",
    "code": "Code",
    "upstream": "Model elsewhere",
}


@page()
def model(request: PageRequest, name: str) -> HttpResponse:
    """The picture around one version: the one in production, else the newest, or `?v=`."""
    shown = get_model(name, by=request.actor)
    context = frame(request, shown, "lineage")
    wanted = request.GET.get("v", "")
    depth = request.GET.get("depth", "2")
    depth = depth if depth in DEPTHS else "2"
    if wanted or shown.newest:
        revision = wanted or ("production" if shown.newest_production_id else "latest")
        version = get_version(shown.name, revision, by=request.actor)
        context |= {
            "version": version,
            "graph": picture(core.graph(version, by=request.actor, depth=DEPTHS[depth])),
        }
    context |= {"depth": depth, "depths": [("1", "Nearest"), ("2", "Two away"), ("all", "All")]}
    return render(request, "lineage/lineage.html", context)


def picture(graph: core.Graph) -> dict[str, Any]:
    """The graph with addresses, for the drawing and for its table."""
    nodes = [
        {
            "id": node.id,
            "kind": KINDS[node.kind],
            "label": node.label,
            "detail": node.detail,
            "url": _address(node),
            "current": node.current,
        }
        for node in graph.nodes.values()
    ]
    by_id = {node["id"]: node for node in nodes}
    edges = [{"source": edge.source, "target": edge.target, "label": edge.label} for edge in graph.edges]
    rows = [
        {"source": by_id[edge.source], "target": by_id[edge.target], "label": edge.label}
        for edge in graph.edges
        if edge.source in by_id and edge.target in by_id
    ]
    return {"data": {"nodes": nodes, "edges": edges}, "rows": rows, "is_cut": graph.is_cut}


def _address(node: core.Node) -> str:
    if node.kind == "version" and node.ref:
        name, revision = parse_revision(node.ref)
        if revision is None:
            raise NotFound(node.ref)
        return reverse("web:version", args=[name, revision])
    if node.kind == "run" and node.ref:
        return reverse("web:run", args=[node.ref])
    if node.kind in ("upstream", "code") and node.detail.startswith("https://"):
        return node.detail
    return node.ref if node.kind == "upstream" and node.ref.startswith("https://") else ""
