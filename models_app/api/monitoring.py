"""What deployments observe, and the limits on it. What goes beyond: incidents.py."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.http.moments import moment_in
from models_app.models import (
    Comparison,
    Threshold,
)
from models_app.registry import (
    deployments,
    environments,
    observations,
    thresholds,
)
from models_app.registry.access import get_model

from . import fields
from .base import Door, Listing, address, refuse_unknown
from .deployments import NUMBER
from .parsing import Moment, Number, Strict, Switch, Text
from .schema import WRITE, operation

TAG = "Monitoring"


def numbered(what: str) -> OpenApiParameter:
    return OpenApiParameter(
        "number",
        {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
        OpenApiParameter.PATH,
        description=f"Number of {what}.",
    )


THRESHOLD = numbered("a threshold")


# --- observations ---------------------------------------------------------------------------------------------


class ObservationIn(Strict):
    """One number at one moment."""

    name = Text(min_length=1, max_length=100, help_text="What: traffic, latency_p95_ms, error_rate, psi, …")
    feature = Text(required=False, max_length=200, help_text="Of which feature, where it is of one.")
    at = Moment(required=False, help_text="When, with its time zone; now unless given.")
    value = Number(help_text="A finite number.")


class ObservationsIn(Strict):
    observations = ObservationIn(many=True, min_length=1, max_length=observations.AT_ONCE)


class ObservedSerializer(serializers.Serializer):
    """What became of a batch."""

    added = serializers.IntegerField(help_text="How many are new.")
    known = serializers.IntegerField(help_text="How many were there already, and stay as they are.")
    incident = serializers.IntegerField(
        allow_null=True,
        source="incident.pk",
        default=None,
        help_text="The model's incident that these are part of.",
    )


class ObservedPointSerializer(serializers.Serializer):
    at = serializers.DateTimeField()
    value = serializers.FloatField()


class CurveSerializer(serializers.Serializer):
    """A series, thinned evenly to about 300 points, the newest among them."""

    name = serializers.CharField(source="series.name")
    feature = serializers.CharField(source="series.feature")
    count = serializers.IntegerField(help_text="Of all its points in the span of time.")
    last_at = serializers.DateTimeField(source="series.last_at")
    last_value = serializers.FloatField(source="series.last_value")
    points = serializers.SerializerMethodField()

    @extend_schema_field(ObservedPointSerializer(many=True))
    def get_points(self, curve: observations.Curve) -> list[dict[str, Any]]:
        return [{"at": at, "value": value} for at, value in curve.points]


class Curves(serializers.Serializer):
    items = CurveSerializer(many=True)


FILTERS = [
    OpenApiParameter("name", {"type": "string", "maxLength": 100}, description="Of this name only."),
    OpenApiParameter("feature", {"type": "string", "maxLength": 200}, description="Of this feature only."),
    OpenApiParameter(
        "after", {"type": "string", "format": "date-time"}, description="At or after this moment."
    ),
    OpenApiParameter("before", {"type": "string", "format": "date-time"}, description="Before this moment."),
]


class DeploymentObservations(Door):
    @operation(
        "Post observations on a deployment",
        tag=TAG,
        name="observations_post",
        takes=ObservationsIn,
        answers=ObservedSerializer,
        parameters=[NUMBER],
        description="For who speaks for the environment, as with reports. All of a batch is kept or nothing. An "
        "observation is known by deployment, name, feature and time: sending it again does no harm.",
        errors=WRITE,
    )
    def post(self, request: Any, number: int) -> Response:
        body = self.sent(ObservationsIn)
        found = deployments.get_deployment(number, by=self.actor)
        observed = observations.observe(found, by=self.actor, observations=body["observations"])
        return Response(self.show(ObservedSerializer, observed))

    @operation(
        "Read what a deployment observed",
        tag=TAG,
        name="observations_read",
        answers=Curves,
        parameters=[NUMBER, *FILTERS],
    )
    def get(self, request: Any, number: int) -> Response:
        asked = request.query_params
        refuse_unknown(request, {"name", "feature", "after", "before"})
        found = deployments.get_deployment(number, by=self.actor)
        items = observations.curves(
            [found],
            name=asked.get("name", ""),
            feature=asked.get("feature"),
            after=moment_in("after", asked.get("after")),
            before=moment_in("before", asked.get("before")),
        )
        return Response(self.show(Curves, {"items": items}))


# --- thresholds -----------------------------------------------------------------------------------------------


class ThresholdSerializer(serializers.ModelSerializer):
    """A limit that opens an incident when it is crossed often enough in a row."""

    url = serializers.SerializerMethodField()
    model = serializers.CharField(source="model.name", default=None, allow_null=True)
    environment = serializers.CharField(source="environment.name", default=None, allow_null=True)
    created_by = fields.person("created_by")

    class Meta:
        model = Threshold
        fields = [
            "id",
            "url",
            "model",
            "environment",
            "name_pattern",
            "feature_pattern",
            "comparison",
            "value",
            "in_a_row",
            "resolves",
            "created_at",
            "created_by",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, threshold: Threshold) -> str:
        return address(self.context["request"], "threshold", number=threshold.pk)


def _limits(*, required: bool) -> dict[str, serializers.Field]:
    return {
        "name_pattern": Text(
            required=required, min_length=1, max_length=100, help_text="Of which observations, as in shells."
        ),
        "feature_pattern": Text(
            required=False, max_length=200, help_text="Of which features; all unless given. Empty: of none."
        ),
        "comparison": serializers.ChoiceField(
            Comparison.choices, required=False, help_text="Which side is beyond; above unless given."
        ),
        "value": Number(required=required, help_text="A finite number."),
        "in_a_row": serializers.IntegerField(
            required=False,
            min_value=1,
            max_value=thresholds.LONGEST_RUN,
            help_text="How many beyond, one after the other, open an incident; 3 unless given.",
        ),
        "resolves": Switch(
            required=False,
            help_text="An incident that nobody took up ends by itself when all is within again.",
        ),
    }


class ThresholdIn(Strict):
    model = Text(
        required=False, max_length=256, help_text="Of this model; all in the environment unless given."
    )
    environment = Text(required=False, max_length=63, help_text="There; everywhere unless given.")

    def get_fields(self) -> dict[str, serializers.Field]:
        return {**super().get_fields(), **_limits(required=True)}


class ThresholdChange(Strict):
    def get_fields(self) -> dict[str, serializers.Field]:
        return _limits(required=False)


class ThresholdFilter(filters.FilterSet):
    model = fields.Exactly("model__name")
    environment = fields.Exactly("environment__name")


class ThresholdList(Listing):
    model = Threshold
    serializer_class = ThresholdSerializer
    filterset_class = ThresholdFilter
    orderings = {"id": (("id", "asc"),), "-id": (("id", "desc"),)}

    def rows(self) -> QuerySet[Threshold]:
        return thresholds.thresholds_for(self.actor)

    @operation("List thresholds", tag=TAG, name="thresholds_list", answers=ThresholdSerializer(many=True))
    def get(self, request: Any) -> Response:
        return self.list(request)

    @operation(
        "Set a threshold",
        tag=TAG,
        name="thresholds_create",
        takes=ThresholdIn,
        answers=ThresholdSerializer,
        status=201,
        is_repeatable=True,
        description="Of a model, for who edits it; of an environment for all its models, for admins of its team; "
        "or of a model in an environment.",
    )
    def post(self, request: Any) -> Response:
        body = self.sent(ThresholdIn)

        def work() -> Any:
            wanted = {**body}
            model, environment = wanted.pop("model", ""), wanted.pop("environment", "")
            made = thresholds.add(
                get_model(model, by=self.actor) if model else None,
                environment=environments.get_environment(environment, by=self.actor) if environment else None,
                by=self.actor,
                **wanted,
            )
            return self.show(ThresholdSerializer, made)

        return self.once(201, work, body)


class ThresholdDetail(Door):
    @operation(
        "Read a threshold",
        tag=TAG,
        name="thresholds_read",
        answers=ThresholdSerializer,
        parameters=[THRESHOLD],
    )
    def get(self, request: Any, number: int) -> Response:
        return Response(self.show(ThresholdSerializer, thresholds.get_threshold(number, by=self.actor)))

    @operation(
        "Change a threshold",
        tag=TAG,
        name="thresholds_change",
        takes=ThresholdChange,
        answers=ThresholdSerializer,
        parameters=[THRESHOLD],
        is_repeatable=True,
        description="What is left out stays.",
    )
    def patch(self, request: Any, number: int) -> Response:
        body = self.sent(ThresholdChange)

        def work() -> Any:
            found = thresholds.get_threshold(number, by=self.actor)
            return self.show(ThresholdSerializer, thresholds.change(found, by=self.actor, **body))

        return self.once(200, work, body)

    @operation(
        "Remove a threshold",
        tag=TAG,
        name="thresholds_remove",
        status=204,
        parameters=[THRESHOLD],
        errors=WRITE,
        description="Incidents keep what they say.",
    )
    def delete(self, request: Any, number: int) -> Response:
        thresholds.remove(thresholds.get_threshold(number, by=self.actor), by=self.actor)
        return Response(status=204)
