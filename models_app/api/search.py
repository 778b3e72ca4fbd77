"""Search: the same verb that the pages use."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import Risk
from models_app.registry.search import facets
from models_app.registry.search.grammar import FACETS, SORTS, STAGES, SearchQuery
from models_app.registry.search.query import MAX_LIMIT, find, parse

from .base import Door, cursor_in, limit_in, next_address, refuse_unknown
from .models import ModelSummarySerializer
from .schema import operation, query

TAG = "Search"


class HitMetricSerializer(serializers.Serializer):
    """The metric one judges the model by, and how it moved since the version before."""

    name = serializers.CharField()
    value = serializers.FloatField()
    former = serializers.FloatField(allow_null=True)
    change = serializers.FloatField(allow_null=True)
    higher_is_better = serializers.BooleanField(allow_null=True)
    dataset = serializers.CharField()
    split = serializers.CharField()


class HitModelSerializer(ModelSummarySerializer):
    class Meta(ModelSummarySerializer.Meta):
        fields = [name for name in ModelSummarySerializer.Meta.fields if name not in ("tags", "created_by")]
        read_only_fields = fields


class HitSerializer(serializers.Serializer):
    """A model that fits, with what one decides by."""

    model = HitModelSerializer()
    tags = serializers.SerializerMethodField()
    version = serializers.IntegerField(
        source="current.number",
        allow_null=True,
        help_text="The version that counts: in production, else newest.",
    )
    stage = serializers.CharField(source="current.stage", allow_null=True)
    framework = serializers.CharField(source="current.framework", allow_null=True)
    metric = HitMetricSerializer(allow_null=True)

    def get_tags(self, hit: Any) -> dict[str, str]:
        return {tag.key: tag.value for tag in hit.tags}


class HitsSerializer(serializers.Serializer):
    """A page of what was found."""

    items = HitSerializer(many=True)
    next = serializers.URLField(allow_null=True)
    total = serializers.IntegerField()
    total_is_capped = serializers.BooleanField(help_text="There are more than “total”.")


class FacetValueSerializer(serializers.Serializer):
    value = serializers.CharField()
    label = serializers.CharField()
    count = serializers.IntegerField(allow_null=True)
    selected = serializers.BooleanField()


class FacetSerializer(serializers.Serializer):
    """A way to narrow the search, with how many models each value would leave."""

    key = serializers.CharField()
    label = serializers.CharField()
    at_least = serializers.BooleanField(help_text="Counting stopped early: each count may be higher.")
    values = FacetValueSerializer(many=True)


class FacetsSerializer(serializers.Serializer):
    facets = FacetSerializer(many=True)


_ONE_OF = {"stage": list(STAGES), "risk": [value for value in Risk.values if value]}
WANTED = [
    query("q", str, "Words, quoted phrases, and filters like task:x or f1 > 0.9."),
    *(
        OpenApiParameter(
            key, str, OpenApiParameter.QUERY, many=True, enum=_ONE_OF.get(key), description="Repeat to widen."
        )
        for key in FACETS
    ),
    OpenApiParameter(
        "metric", str, OpenApiParameter.QUERY, many=True, description="A comparison like f1 > 0.9."
    ),
    query("sort", str, f"{', '.join(SORTS)}, or metric: and a metric's name."),
]
PAGE = [
    query("cursor", str, "Where the page starts: taken from “next”."),
    query("limit", {"type": "integer", "minimum": 1, "maximum": 999_999}, f"Rows, {MAX_LIMIT} at most."),
]
KNOWN = {"q", "metric", "sort", *FACETS}


def _query_in(request: Any, *more: str) -> SearchQuery:
    refuse_unknown(request, {*KNOWN, *more})
    return parse(request.query_params)


class Search(Door):
    @operation("Find models", tag=TAG, name="search", answers=HitsSerializer, parameters=[*WANTED, *PAGE])
    def get(self, request: Any) -> Response:
        wanted = _query_in(request, "cursor", "limit")
        page = find(wanted, by=self.actor, cursor=cursor_in(request), limit=limit_in(request))
        shown = {
            "items": page.rows,
            "next": next_address(request, page.next_cursor),
            "total": page.total,
            "total_is_capped": page.total_is_capped,
        }
        return Response(self.show(HitsSerializer, shown))


class SearchFacets(Door):
    @operation(
        "Count what would be found",
        tag=TAG,
        name="search_facets",
        answers=FacetsSerializer,
        parameters=WANTED,
    )
    def get(self, request: Any) -> Response:
        counted = facets.count(_query_in(request), by=self.actor)
        return Response(self.show(FacetsSerializer, {"facets": counted}))
