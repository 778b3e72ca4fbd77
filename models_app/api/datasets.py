"""Datasets that versions were trained on and runs read."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import Dataset
from models_app.registry import datasets
from models_app.registry.errors import NotFound

from . import fields
from .base import Door, Listing, address
from .parsing import Strict, Text
from .schema import operation

TAG = "Datasets"


class DatasetSerializer(serializers.ModelSerializer):
    """A version of a dataset."""

    url = serializers.SerializerMethodField()
    team = serializers.CharField(source="team.slug", allow_null=True)

    class Meta:
        model = Dataset
        fields = [
            "id",
            "url",
            "name",
            "version",
            "digest",
            "path",
            "license",
            "description",
            "team",
            "created_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, dataset: Dataset) -> str:
        return address(self.context["request"], "dataset", id=dataset.pk)


class DatasetCreation(Strict):
    name = Text(max_length=250)
    version = Text(required=False, max_length=250)
    digest = Text(required=False, max_length=128)
    path = Text(required=False, max_length=2000)
    license = Text(required=False, max_length=200, help_text="SPDX expression.")
    description = Text(required=False, max_length=20_000)
    team = Text(required=False, max_length=64, help_text="Slug of the team that keeps it.")


class DatasetFilter(filters.FilterSet):
    name = fields.Exactly()
    version = fields.Exactly()
    digest = fields.Exactly()
    license = fields.Exactly()
    team = fields.Exactly("team__slug", "Slug of its team.")
    created_after = fields.since("created_at")
    created_before = fields.before("created_at")


class DatasetList(Listing):
    model = Dataset
    serializer_class = DatasetSerializer
    filterset_class = DatasetFilter
    orderings = {
        "-created_at": (("created_at", "desc"), ("id", "desc")),
        "created_at": (("created_at", "asc"), ("id", "asc")),
        "name": (("name", "asc"), ("version", "asc"), ("id", "asc")),
    }

    def rows(self) -> QuerySet[Dataset]:
        return datasets.datasets_for(self.actor)

    @operation("List datasets", tag=TAG, name="datasets_list", answers=DatasetSerializer(many=True))
    def get(self, request: Any) -> Response:
        return self.list(request)

    @operation(
        "Register a dataset",
        tag=TAG,
        name="datasets_create",
        takes=DatasetCreation,
        answers=DatasetSerializer,
        status=201,
        is_repeatable=True,
        description="Or find it: the same name, version and digest is the same dataset, as it was first registered.",
    )
    def post(self, request: Any) -> Response:
        body = self.sent(DatasetCreation)

        def work() -> Any:
            team = self.team(body.get("team", ""))
            return self.show(
                DatasetSerializer, datasets.register_dataset(by=self.actor, **{**body, "team": team})
            )

        return self.once(201, work, body)


class DatasetDetail(Door):
    @operation("Read a dataset", tag=TAG, name="datasets_read", answers=DatasetSerializer, path="id")
    def get(self, request: Any, id: int) -> Response:
        dataset = datasets.datasets_for(self.actor).filter(pk=id).first()
        if dataset is None:
            raise NotFound(f"There is no dataset {id}.")
        return Response(self.show(DatasetSerializer, dataset))
