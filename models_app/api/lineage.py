"""Lineage: what a version came from and what came of it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import Relation
from models_app.registry import datasets, lineage
from models_app.registry.access import Right, get_version, parse_revision
from models_app.registry.errors import Invalid

from .base import Door
from .parsing import Strict, Text
from .schema import operation, query

TAG = "Lineage"
MAX_DEPTH = 5


class NodeSerializer(serializers.Serializer):
    """A version, dataset, run, code or upstream model."""

    id = serializers.CharField()
    kind = serializers.ChoiceField(["version", "dataset", "run", "code", "upstream"])
    label = serializers.CharField()
    detail = serializers.CharField()
    ref = serializers.CharField(help_text="name@number, uid, id or address; empty for what you may not see.")
    current = serializers.BooleanField(help_text="The version that was asked for.")
    stage = serializers.CharField()


class EdgeSerializer(serializers.Serializer):
    """From what was before to what came of it."""

    source = serializers.CharField()
    target = serializers.CharField()
    label = serializers.CharField()


class GraphSerializer(serializers.Serializer):
    """What stands around a version."""

    nodes = NodeSerializer(many=True)
    edges = EdgeSerializer(many=True)
    is_cut = serializers.BooleanField(help_text="There was more than is shown.")


class Link(Strict):
    relation = serializers.ChoiceField(Relation.choices)
    dataset = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1, help_text="Its id.")
    base_version = Text(required=False, max_length=600, help_text="A version here, as name@revision.")
    upstream = Text(required=False, max_length=500, help_text="A model elsewhere: name or address.")


class Lineage(Door):
    def _answer(self, version: Any, depth: int = 2) -> Response:
        graph = lineage.graph(version, by=self.actor, depth=depth)
        shown = {"nodes": list(graph.nodes.values()), "edges": graph.edges, "is_cut": graph.is_cut}
        return Response(self.show(GraphSerializer, shown))

    @operation(
        "See where a version came from",
        tag=TAG,
        name="lineage_read",
        answers=GraphSerializer,
        path="name revision",
        parameters=[
            query(
                "depth",
                {"type": "integer", "minimum": 1, "maximum": MAX_DEPTH, "default": 2},
                "How many models away.",
            )
        ],
    )
    def get(self, request: Any, name: str, revision: str) -> Response:
        depth = request.query_params.get("depth", "2")
        if depth not in map(str, range(1, MAX_DEPTH + 1)):
            raise Invalid("depth", f"A whole number from 1 to {MAX_DEPTH}.")
        return self._answer(get_version(name, revision, by=self.actor), int(depth))

    @operation(
        "Say where a version came from",
        tag=TAG,
        name="lineage_link",
        takes=Link,
        answers=GraphSerializer,
        path="name revision",
        description="One of a dataset, a version here, or a model elsewhere. Saying it again changes nothing.",
    )
    def post(self, request: Any, name: str, revision: str) -> Response:
        body = self.sent(Link)
        version = get_version(name, revision, by=self.actor, right=Right.EDIT_VERSION)
        if body.get("base_version"):
            base, at = parse_revision(body["base_version"])
            body["base_version"] = get_version(base, at or "latest", by=self.actor)
        else:
            body.pop("base_version", None)
        if "dataset" in body:
            number = body["dataset"]
            body["dataset"] = datasets.datasets_for(self.actor).filter(pk=number).first()
            if body["dataset"] is None:
                raise Invalid("dataset", f"There is no dataset {number}.")
        lineage.link(version, by=self.actor, **body)
        return self._answer(version)
