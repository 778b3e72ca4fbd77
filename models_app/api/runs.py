"""Training runs: list, record, log to, finish."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import Run, RunInput, RunMetric, RunStatus
from models_app.registry import run_metrics, runs
from models_app.registry.access import versions_for
from models_app.registry.errors import Invalid

from . import fields
from .base import Door, Listing, address
from .parsing import Strict, Text
from .schema import operation

TAG = "Runs"


class RunInputSerializer(serializers.ModelSerializer):
    """A dataset that a run read."""

    id = serializers.IntegerField(source="dataset_id")
    name = serializers.CharField(source="dataset.name")
    version = serializers.CharField(source="dataset.version")
    digest = serializers.CharField(source="dataset.digest")
    url = serializers.SerializerMethodField()

    class Meta:
        model = RunInput
        fields = ["id", "name", "version", "digest", "context", "url"]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, row: RunInput) -> str:
        return address(self.context["request"], "dataset", id=row.dataset_id)


class RunSummarySerializer(serializers.ModelSerializer):
    """A run as lists show it."""

    url = serializers.SerializerMethodField()
    experiment = serializers.CharField(source="experiment.name")
    team = serializers.CharField(source="experiment.team.slug", allow_null=True)
    created_by = fields.person("created_by")
    params = fields.Pairs()
    tags = fields.Pairs()
    datasets = RunInputSerializer(source="inputs", many=True)

    class Meta:
        model = Run
        fields = [
            "uid",
            "url",
            "name",
            "experiment",
            "team",
            "status",
            "created_by",
            "started_at",
            "ended_at",
            "code_repository",
            "code_commit",
            "params",
            "tags",
            "datasets",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, run: Run) -> str:
        return address(self.context["request"], "run", uid=run.uid)


class RunSerializer(RunSummarySerializer):
    """A run with the last value of each metric, and the versions that came of it."""

    metrics = serializers.SerializerMethodField(help_text="Name → last value; null is NaN.")
    versions = serializers.SerializerMethodField(help_text="name@number of what you may see.")

    class Meta(RunSummarySerializer.Meta):
        fields = [*RunSummarySerializer.Meta.fields, "metrics", "versions"]
        read_only_fields = fields

    @extend_schema_field(serializers.DictField(child=serializers.FloatField(allow_null=True)))
    def get_metrics(self, run: Run) -> dict[str, float | None]:
        return run_metrics.latest_metrics(run)

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_versions(self, run: Run) -> list[str]:
        made = versions_for(self.context["request"].actor).filter(run=run).order_by("model__name", "number")
        return [f"{name}@{number}" for name, number in made.values_list("model__name", "number")]


class PointSerializer(serializers.ModelSerializer):
    """A point of a metric's curve."""

    value = serializers.SerializerMethodField(help_text="null is NaN.")

    class Meta:
        model = RunMetric
        fields = ["key", "step", "value", "at"]
        read_only_fields = fields

    @extend_schema_field(serializers.FloatField(allow_null=True))
    def get_value(self, point: RunMetric) -> float | None:
        return None if point.is_nan else point.value


@extend_schema_field(
    {
        "oneOf": [
            {"type": "object", "additionalProperties": {"type": "number"}},
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["key", "value"],
                    "additionalProperties": False,
                    "properties": {
                        "key": {"type": "string", "minLength": 1, "maxLength": 250},
                        "value": {"type": "number"},
                        "step": {"type": "integer"},
                        "at": {"type": "string", "format": "date-time"},
                    },
                },
            },
        ]
    }
)
class Points(serializers.JSONField):
    """Measurements in either shape; the verb reads both."""


class InputIn(Strict):
    name = Text(max_length=250)
    version = Text(required=False, max_length=250)
    digest = Text(required=False, max_length=128)
    path = Text(required=False, max_length=2000)
    license = Text(required=False, max_length=200, help_text="SPDX expression.")
    context = Text(required=False, max_length=64, help_text="What it was read for, e.g. training.")


class Logged(Strict):
    """What a run reports. Params never change, tags may, points of metrics are added."""

    params = serializers.DictField(required=False)
    metrics = Points(required=False, help_text="Name → number, or a list of points.")
    tags = serializers.DictField(required=False)
    datasets = InputIn(many=True, required=False)


class RunCreation(Logged):
    experiment = Text(
        required=False, max_length=500, help_text="Made if it is missing; “Default” unless told."
    )
    name = Text(required=False, max_length=250)
    status = serializers.ChoiceField(RunStatus.choices, required=False)
    started_at = serializers.DateTimeField(required=False)
    ended_at = serializers.DateTimeField(required=False, allow_null=True)
    code_repository = Text(required=False, max_length=500)
    code_commit = Text(required=False, max_length=64)


class RunUpdate(Strict):
    status = serializers.ChoiceField(RunStatus.choices)
    ended_at = serializers.DateTimeField(required=False)


class RunFilter(filters.FilterSet):
    experiment = fields.Exactly("experiment__name")
    team = fields.Exactly("experiment__team__slug", "Slug of the experiment's team.")
    status = filters.ChoiceFilter(choices=RunStatus.choices)
    name = fields.Exactly()
    created_by = fields.Exactly("created_by__username", "Username.")
    code_commit = fields.Exactly()
    tag = fields.TagFilter("tags", label="key or key=value; repeat it to narrow.")
    started_after = fields.since("started_at")
    started_before = fields.before("started_at")


class RunList(Listing):
    model = Run
    serializer_class = RunSummarySerializer
    filterset_class = RunFilter
    orderings = {
        "-started_at": (("started_at", "desc"), ("id", "desc")),
        "started_at": (("started_at", "asc"), ("id", "asc")),
    }

    def rows(self) -> QuerySet[Run]:
        return (
            runs.runs_for(self.actor)
            .filter(deleted_at=None)
            .prefetch_related("params", "tags", "inputs__dataset")
        )

    @operation("List runs", tag=TAG, name="runs_list", answers=RunSummarySerializer(many=True))
    def get(self, request: Any) -> Response:
        return self.list(request)

    @operation(
        "Record a run",
        tag=TAG,
        name="runs_create",
        takes=RunCreation,
        answers=RunSerializer,
        status=201,
        is_repeatable=True,
        description="Running, to be logged to; or finished already, with all that is known of it.",
    )
    def post(self, request: Any) -> Response:
        body = self.sent(RunCreation)
        return self.once(201, lambda: self.show(RunSerializer, runs.create_run(by=self.actor, **body)), body)


class RunDetail(Door):
    @operation("Read a run", tag=TAG, name="runs_read", answers=RunSerializer, path="uid")
    def get(self, request: Any, uid: str) -> Response:
        return Response(self.show(RunSerializer, runs.get_run(uid, by=self.actor)))

    @operation(
        "End a run, or set it running again",
        tag=TAG,
        name="runs_update",
        takes=RunUpdate,
        answers=RunSerializer,
        path="uid",
    )
    def patch(self, request: Any, uid: str) -> Response:
        run = runs.get_run(uid, by=self.actor)
        return Response(self.show(RunSerializer, runs.finish_run(run, by=self.actor, **self.sent(RunUpdate))))


class RunLog(Door):
    @operation(
        "Log to a run",
        tag=TAG,
        name="runs_log",
        takes=Logged,
        answers=RunSerializer,
        path="uid",
        is_repeatable=True,
    )
    def post(self, request: Any, uid: str) -> Response:
        body = self.sent(Logged)
        if not body:
            raise Invalid("body", "Send params, metrics, tags or datasets.")

        def work() -> Any:
            run = runs.get_run(uid, by=self.actor)
            runs.log(run, by=self.actor, **body)
            return self.show(RunSerializer, run)

        return self.once(200, work, body)


class PointFilter(filters.FilterSet):
    key = fields.Exactly("key", "Name of a metric.")


class RunCurves(Listing):
    model = RunMetric
    serializer_class = PointSerializer
    filterset_class = PointFilter
    orderings = {"key": (("key", "asc"), ("step", "asc"), ("id", "asc"))}

    def rows(self) -> QuerySet[RunMetric]:
        return RunMetric.objects.filter(run=runs.get_run(self.kwargs["uid"], by=self.actor))

    @operation(
        "List the points of a run's metrics",
        tag=TAG,
        name="runs_metrics",
        answers=PointSerializer(many=True),
        path="uid",
    )
    def get(self, request: Any, uid: str) -> Response:
        return self.list(request)
