"""Incidents: what went beyond its limits, who answered, which version was trained because of it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import Breach, Incident, IncidentState, Resolution
from models_app.registry import addresses, incidents, lifecycle

from . import fields
from .base import Door, Listing, address, site
from .monitoring import TAG, numbered
from .parsing import Strict, Text
from .schema import operation

INCIDENT = numbered("an incident")


class BreachSerializer(serializers.ModelSerializer):
    """A series that went beyond a limit."""

    deployment = serializers.IntegerField(source="series.deployment_id")
    environment = serializers.CharField(source="series.deployment.environment.name")
    version = serializers.IntegerField(source="series.deployment.version.number")
    name = serializers.CharField(source="series.name")
    feature = serializers.CharField(source="series.feature")
    threshold = serializers.IntegerField(
        source="threshold_id", allow_null=True, help_text="Null when it was removed."
    )

    class Meta:
        model = Breach
        fields = [
            "deployment",
            "environment",
            "version",
            "name",
            "feature",
            "threshold",
            "comparison",
            "limit",
            "count",
            "first_at",
            "last_at",
            "last_value",
            "worst_value",
            "within_since",
        ]
        read_only_fields = fields


class RetrainedSerializer(serializers.Serializer):
    """A version that was trained because of an incident."""

    version = serializers.IntegerField(source="version.number")
    stage = serializers.CharField(source="version.stage")
    registered_at = serializers.DateTimeField(source="version.created_at")
    by = fields.person("by")


class IncidentSerializer(serializers.ModelSerializer):
    """A model whose observations went beyond a limit: one that is not resolved per model."""

    url = serializers.SerializerMethodField()
    page = serializers.SerializerMethodField(help_text="Where people read of it.")
    model = serializers.CharField(source="model.name")
    breaches = BreachSerializer(many=True)
    retrained = RetrainedSerializer(many=True, source="retrainings")
    promoted = serializers.IntegerField(
        source="transition.version.number",
        default=None,
        allow_null=True,
        help_text="Version that ended it.",
    )
    acknowledged_by = fields.person("acknowledged_by")
    resolved_by = fields.person("resolved_by")

    class Meta:
        model = Incident
        fields = [
            "id",
            "url",
            "page",
            "model",
            "state",
            "opened_at",
            "breaches",
            "acknowledged_at",
            "acknowledged_by",
            "acknowledgement",
            "resolved_at",
            "resolved_by",
            "resolution",
            "reason",
            "reopened_at",
            "reopened_because",
            "retrained",
            "promoted",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, incident: Incident) -> str:
        return address(self.context["request"], "incident", number=incident.pk)

    @extend_schema_field(serializers.URLField())
    def get_page(self, incident: Incident) -> str:
        return site(self.context["request"]) + addresses.of_incident(incident.pk)


class IncidentFilter(filters.FilterSet):
    model = fields.Exactly("model__name")
    team = fields.Exactly("model__team__slug", "Slug.")
    state = filters.MultipleChoiceFilter(choices=IncidentState.choices)
    resolution = filters.ChoiceFilter(choices=Resolution.choices)
    after = fields.since("opened_at")
    before = fields.before("opened_at")


class Acknowledgement(Strict):
    reason = Text(
        required=False, max_length=lifecycle.MAX_REASON, help_text="What you will do, for the record."
    )


class ResolutionIn(Strict):
    reason = Text(min_length=1, max_length=lifecycle.MAX_REASON, help_text="Why, for the record.")


class IncidentList(Listing):
    model = Incident
    serializer_class = IncidentSerializer
    filterset_class = IncidentFilter
    orderings = {"-id": (("id", "desc"),), "id": (("id", "asc"),)}

    def rows(self) -> QuerySet[Incident]:
        return incidents.incidents_for(self.actor)

    @operation("List incidents", tag=TAG, name="incidents_list", answers=IncidentSerializer(many=True))
    def get(self, request: Any) -> Response:
        return self.list(request)


class IncidentDetail(Door):
    @operation(
        "Read an incident",
        tag=TAG,
        name="incidents_read",
        answers=IncidentSerializer,
        parameters=[INCIDENT],
    )
    def get(self, request: Any, number: int) -> Response:
        return Response(self.show(IncidentSerializer, incidents.get_incident(number, by=self.actor)))


class IncidentAcknowledge(Door):
    @operation(
        "Take up an incident",
        tag=TAG,
        name="incidents_acknowledge",
        takes=Acknowledgement,
        answers=IncidentSerializer,
        parameters=[INCIDENT],
        is_repeatable=True,
        description="For people who move versions of the model; it no longer ends by itself.",
    )
    def post(self, request: Any, number: int) -> Response:
        body = self.sent(Acknowledgement)

        def work() -> Any:
            found = incidents.get_incident(number, by=self.actor)
            incidents.acknowledge(found, by=self.actor, **body)
            return self.show(IncidentSerializer, incidents.get_incident(number, by=self.actor))

        return self.once(200, work, body)


class IncidentResolve(Door):
    @operation(
        "Resolve an incident",
        tag=TAG,
        name="incidents_resolve",
        takes=ResolutionIn,
        answers=IncidentSerializer,
        parameters=[INCIDENT],
        is_repeatable=True,
        description="What was observed before is settled with it. A version registered with “retrains” "
        "does the same by itself when it serves.",
    )
    def post(self, request: Any, number: int) -> Response:
        body = self.sent(ResolutionIn)

        def work() -> Any:
            found = incidents.get_incident(number, by=self.actor)
            incidents.resolve(found, by=self.actor, **body)
            return self.show(IncidentSerializer, incidents.get_incident(number, by=self.actor))

        return self.once(200, work, body)
