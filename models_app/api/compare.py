"""Versions side by side."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import ModelVersion
from models_app.registry.access import get_version, parse_revision
from models_app.registry.comparing import MOST, compare
from models_app.registry.errors import Invalid

from .base import Door, refuse_unknown
from .schema import operation, query


class CellSerializer(serializers.Serializer):
    """A value in one version."""

    text = serializers.CharField()
    differs = serializers.BooleanField(help_text="From the first version.")
    value = serializers.FloatField(allow_null=True)
    change = serializers.FloatField(allow_null=True)
    verdict = serializers.CharField(help_text="better, worse, same, or empty where one cannot tell.")


class LineSerializer(serializers.Serializer):
    """One thing compared, a cell per version."""

    label = serializers.CharField()
    detail = serializers.CharField()
    higher_is_better = serializers.BooleanField(allow_null=True)
    same = serializers.BooleanField()
    cells = CellSerializer(many=True)


class SectionSerializer(serializers.Serializer):
    """Lines that belong together."""

    key = serializers.CharField()
    label = serializers.CharField()
    same = serializers.BooleanField()
    lines = LineSerializer(many=True)


class ComparedSerializer(serializers.Serializer):
    """A version that is compared; the first is the base."""

    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="number")
    stage = serializers.CharField()


class ComparisonSerializer(serializers.Serializer):
    """What differs between versions."""

    versions = ComparedSerializer(many=True)
    same = serializers.BooleanField()
    metrics = SectionSerializer()
    sections = SectionSerializer(many=True)
    files = SectionSerializer(help_text="A cell's text is the file's SHA-256.")
    code_link = serializers.CharField(help_text="The commits between them at their forge, if they have one.")


class Compare(Door):
    @operation(
        "Compare versions",
        tag="Versions",
        name="versions_compare",
        answers=ComparisonSerializer,
        parameters=[
            query("model", str, "Name of the model whose revisions are named in “versions”."),
            query(
                "versions",
                str,
                f"2 to {MOST} revisions, separated by commas: 1,2 or production,latest. Repeated, each may also be "
                "name@revision, of any model.",
                many=True,
                required=True,
            ),
        ],
    )
    def get(self, request: Any) -> Response:
        refuse_unknown(request, {"model", "versions"})
        return Response(self.show(ComparisonSerializer, compare(self._versions(request.query_params))))

    def _versions(self, params: Any) -> list[ModelVersion]:
        default = params.get("model", "")
        wanted: list[tuple[str, str]] = []
        for text in params.getlist("versions"):
            name, revision = parse_revision(text)
            if revision is not None:
                wanted.append((name, revision))
            else:
                wanted += [(default, one) for one in text.split(",") if one]
        if not 2 <= len(wanted) <= MOST:
            raise Invalid("versions", f"Name 2 to {MOST} versions.")
        if not all(name for name, _ in wanted):
            raise Invalid("model", "Which model do these revisions belong to?")
        return [get_version(name, revision, by=self.actor) for name, revision in wanted]
