"""Deployments: ordered, started, reported on, rolled back; their lines."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import Deployment, DeploymentKind, DeploymentLine, DeploymentState
from models_app.registry import (
    deployment_claims,
    deployment_reports,
    deployment_views,
    deployments,
    environments,
    lifecycle,
)
from models_app.registry.access import get_model, get_version

from . import fields
from .base import Door, Listing, address
from .environments import TAG, lease
from .parsing import Revision, Strict, Switch, Text
from .schema import WRITE, operation

NUMBER = OpenApiParameter(
    "number",
    {"type": "integer", "minimum": 1, "maximum": 2**63 - 1},
    OpenApiParameter.PATH,
    description="Number of a deployment.",
)
AGENT = "Name of the agent that has it in hand."
PAST_FREEZE = "Also in a freeze: for admins, with a reason."


class DeploymentSerializer(serializers.ModelSerializer):
    """One version's way into one environment."""

    url = serializers.SerializerMethodField()
    model = serializers.CharField(source="version.model.name")
    version = serializers.IntegerField(source="version.number")
    digest = serializers.CharField(source="version.manifest.digest", default=None, allow_null=True)
    environment = serializers.CharField(source="environment.name")
    waits_for = serializers.SerializerMethodField(help_text="What a queued one waits for.")
    astray = serializers.SerializerMethodField(
        help_text="How what is live is not what its environment follows; empty where it is."
    )
    rollback_target = fields.number_of("rollback_target", "Version to go back to, fixed before it starts.")
    undoes = serializers.IntegerField(
        source="undoes_id", allow_null=True, help_text="Of a rollback: the deployment it takes back."
    )
    transition = serializers.IntegerField(
        source="transition_id", allow_null=True, help_text="The stage move that brought it about."
    )
    request = serializers.SerializerMethodField(help_text="Number of the promotion request behind it.")
    by = fields.person("by")
    serving_address = serializers.CharField(source="endpoint")
    line_count = serializers.IntegerField(help_text="Lines that its deployer reported.")
    lines_left_out = serializers.IntegerField(
        help_text="How many of them are not kept: of a long log the first and the newest are."
    )

    class Meta:
        model = Deployment
        fields = [
            "id",
            "url",
            "model",
            "version",
            "digest",
            "environment",
            "state",
            "kind",
            "waits_for",
            "astray",
            "rollback_target",
            "undoes",
            "transition",
            "request",
            "by",
            "reason",
            "serving_address",
            "failure",
            "last_check",
            "queued_at",
            "started_at",
            "verifying_at",
            "live_at",
            "ended_at",
            "due_at",
            "holder",
            "lease_until",
            "line_count",
            "lines_left_out",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, deployment: Deployment) -> str:
        return address(self.context["request"], "deployment", number=deployment.pk)

    def get_waits_for(self, deployment: Deployment) -> str:
        return deployment_views.waits_for(deployment)

    def get_astray(self, deployment: Deployment) -> str:
        return deployment_views.astray(deployment)

    def get_request(self, deployment: Deployment) -> int | None:
        request = getattr(deployment.transition, "request", None)
        return request.pk if request else None


class DeployLineSerializer(serializers.ModelSerializer):
    """A line of a deployer's log, or a link."""

    class Meta:
        model = DeploymentLine
        fields = ["id", "at", "text", "url"]
        read_only_fields = fields


class Order(Strict):
    model = Text(max_length=256)
    version = Revision(max_length=255, help_text="Revision: a number, stage, alias or “latest”.")
    environment = Text(max_length=63)
    reason = Text(required=False, max_length=lifecycle.MAX_REASON, help_text="Why, for the record.")
    past_freeze = Switch(required=False, help_text=PAST_FREEZE)


class Start(Strict):
    reason = Text(required=False, max_length=lifecycle.MAX_REASON, help_text="Why, for the record.")
    past_freeze = Switch(required=False, help_text=PAST_FREEZE)


class CallOff(Strict):
    reason = Text(required=False, max_length=lifecycle.MAX_REASON, help_text="Why, for the record.")


class GoBack(Strict):
    model = Text(max_length=256)
    environment = Text(
        required=False, max_length=63, help_text="All that have the same version unless given."
    )
    reason = Text(min_length=1, max_length=lifecycle.MAX_REASON, help_text="Why, for the record.")
    move_stage = Switch(
        required=False,
        help_text="Roll production back too: done for all environments, and for one only where this says so.",
    )


class DeployLineIn(Strict):
    text = Text(required=False, max_length=deployment_reports.MAX_LINE)
    url = Text(required=False, max_length=1000)


class Report(Strict):
    state = serializers.ChoiceField(list(deployment_reports.REPORTED), required=False)
    lines = DeployLineIn(many=True, required=False, max_length=deployment_reports.LINES_AT_ONCE)
    endpoint = Text(
        required=False,
        max_length=500,
        help_text="Where it answers, if not where it should; http or https, without user and password.",
    )
    version = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        help_text="What really runs; has to be what is declared.",
    )
    digest = Text(required=False, max_length=71, help_text="SHA-256 of what really runs.")
    reason = Text(required=False, max_length=lifecycle.MAX_REASON, help_text="Why it failed.")
    agent = Text(required=False, max_length=100, help_text=AGENT)


class Renewal(Strict):
    agent = Text(min_length=1, max_length=100, help_text=AGENT)
    lease = lease()


class DeploymentFilter(filters.FilterSet):
    model = fields.Exactly("model__name")
    team = fields.Exactly("model__team__slug", "Slug.")
    version = filters.NumberFilter("version__number")
    environment = fields.Exactly("environment__name")
    state = filters.MultipleChoiceFilter(choices=DeploymentState.choices)
    kind = filters.ChoiceFilter(choices=DeploymentKind.choices)
    in_trouble = fields.Flag(
        method="in_or_out_of_trouble",
        label="Whether it failed last, is held back, or is live though its environment follows something else.",
    )
    after = fields.since("queued_at")
    before = fields.before("queued_at")

    def in_or_out_of_trouble(self, rows: Any, name: str, value: bool) -> Any:
        troubled = deployment_views.troubled(Deployment.objects.all()).order_by().values("pk")
        return rows.filter(pk__in=troubled) if value else rows.exclude(pk__in=troubled)


def shown(view: Door, deployment: Deployment) -> Any:
    """It as it is read."""
    fresh = deployments.get_deployment(deployment.pk, by=view.actor)
    return view.show(DeploymentSerializer, fresh)


class DeploymentList(Listing):
    model = Deployment
    serializer_class = DeploymentSerializer
    filterset_class = DeploymentFilter
    orderings = {"-id": (("id", "desc"),), "id": (("id", "asc"),)}

    def rows(self) -> QuerySet[Deployment]:
        return deployments.deployments_for(self.actor).defer("version__model__card")

    @operation("List deployments", tag=TAG, name="deployments_list", answers=DeploymentSerializer(many=True))
    def get(self, request: Any) -> Response:
        return self.list(request)

    @operation(
        "Order a deployment",
        tag=TAG,
        name="deployments_order",
        takes=Order,
        answers=DeploymentSerializer,
        status=201,
        is_repeatable=True,
        description="Of a version that is or was where the environment follows; also one that failed there before.",
    )
    def post(self, request: Any) -> Response:
        body = self.sent(Order)

        def work() -> Any:
            wanted = {**body}
            version = get_version(wanted.pop("model"), wanted.pop("version"), by=self.actor)
            environment = environments.get_environment(wanted.pop("environment"), by=self.actor)
            return shown(self, deployments.deploy(version, environment, by=self.actor, **wanted))

        return self.once(201, work, body)


class DeploymentRollback(Door):
    @operation(
        "Roll a model back",
        tag=TAG,
        name="deployments_rollback",
        takes=GoBack,
        answers=DeploymentSerializer(many=True),
        is_repeatable=True,
        description="In one environment, or in all that have the same version. Done at once, also in a freeze.",
    )
    def post(self, request: Any) -> Response:
        body = self.sent(GoBack)

        def work() -> Any:
            model = get_model(body["model"], by=self.actor)
            name = body.get("environment")
            environment = environments.get_environment(name, by=self.actor) if name else None
            made = deployments.roll_back(
                model, environment, by=self.actor, reason=body["reason"], move_stage=body.get("move_stage")
            )
            numbers = [one.pk for one in made]
            rows = deployments.deployments_for(self.actor).filter(pk__in=numbers).order_by("pk")
            return self.show(DeploymentSerializer, rows, many=True)

        return self.once(200, work, body)


class DeploymentDetail(Door):
    @operation(
        "Read a deployment",
        tag=TAG,
        name="deployments_read",
        answers=DeploymentSerializer,
        parameters=[NUMBER],
    )
    def get(self, request: Any, number: int) -> Response:
        return Response(self.show(DeploymentSerializer, deployments.get_deployment(number, by=self.actor)))


class DeploymentStart(Door):
    @operation(
        "Start a deployment that waits for it",
        tag=TAG,
        name="deployments_start",
        takes=Start,
        answers=DeploymentSerializer,
        parameters=[NUMBER],
        is_repeatable=True,
    )
    def post(self, request: Any, number: int) -> Response:
        body = self.sent(Start)

        def work() -> Any:
            found = deployments.get_deployment(number, by=self.actor)
            return shown(self, deployments.start(found, by=self.actor, **body))

        return self.once(200, work, body)


class DeploymentCallOff(Door):
    @operation(
        "Call off a deployment that waits",
        tag=TAG,
        name="deployments_call_off",
        takes=CallOff,
        answers=DeploymentSerializer,
        parameters=[NUMBER],
        is_repeatable=True,
    )
    def post(self, request: Any, number: int) -> Response:
        body = self.sent(CallOff)

        def work() -> Any:
            found = deployments.get_deployment(number, by=self.actor)
            return shown(self, deployments.call_off(found, by=self.actor, **body))

        return self.once(200, work, body)


class DeploymentReport(Door):
    @operation(
        "Report on a deployment",
        tag=TAG,
        name="deployments_report",
        takes=Report,
        answers=DeploymentSerializer,
        parameters=[NUMBER],
        description="For deployers and agents. Saying the same state again does no harm; “live” is believed where "
        "no health check is made here.",
        errors=WRITE,
    )
    def post(self, request: Any, number: int) -> Response:
        body = self.sent(Report)
        found = deployments.get_deployment(number, by=self.actor)
        return Response(shown(self, deployment_reports.report(found, by=self.actor, **body)))


class DeploymentRenew(Door):
    @operation(
        "Keep a deployment in hand",
        tag=TAG,
        name="deployments_renew",
        takes=Renewal,
        answers=DeploymentSerializer,
        parameters=[NUMBER],
        description="For agents, so that no other takes it: 409 says that one did.",
    )
    def post(self, request: Any, number: int) -> Response:
        body = self.sent(Renewal)
        found = deployments.get_deployment(number, by=self.actor)
        return Response(
            self.show(DeploymentSerializer, deployment_claims.renew(found, by=self.actor, **body))
        )


class DeploymentLines(Listing):
    model = DeploymentLine
    serializer_class = DeployLineSerializer
    filterset_class = filters.FilterSet
    orderings = {"id": (("id", "asc"),), "-id": (("id", "desc"),)}

    def rows(self) -> QuerySet[DeploymentLine]:
        return deployments.get_deployment(self.kwargs["number"], by=self.actor).lines.all()

    @operation(
        "Read what a deployer reported",
        tag=TAG,
        name="deployments_lines",
        answers=DeployLineSerializer(many=True),
        parameters=[NUMBER],
    )
    def get(self, request: Any, number: int) -> Response:
        return self.list(request)
