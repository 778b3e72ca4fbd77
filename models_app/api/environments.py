"""Environments: where versions are deployed, what they say they run, and what agents take there."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.http import waiting
from models_app.models import DeployKind, Deployment, Environment, Follows, Running, StartMode
from models_app.registry import (
    address_templates,
    deployment_claims,
    deployment_events,
    deployment_reports,
    deployment_views,
    deployments,
    environments,
    lifecycle,
    people,
)
from models_app.registry.access import get_model

from . import fields
from .base import Door, Listing, address, site
from .parsing import Strict, Switch, Text
from .schema import WRITE, operation

TAG = "Deployments"
ENVIRONMENT = OpenApiParameter(
    "environment",
    {"type": "string", "pattern": "^[a-z0-9-]+$", "maxLength": 63},
    OpenApiParameter.PATH,
    description="Name of an environment.",
)
DEPLOY_ROLES = [(role.value, role.label) for role in environments.DEPLOY_ROLES]
PLACES = "May hold " + ", ".join(f"{{{place}}}" for place in address_templates.PLACES) + "."


def _seconds(least: int, most: int, help_text: str = "Seconds.") -> serializers.IntegerField:
    return serializers.IntegerField(required=False, min_value=least, max_value=most, help_text=help_text)


def lease() -> serializers.IntegerField:
    """For how long an agent keeps a deployment in hand."""
    known = deployment_claims.LEASE
    return _seconds(known[0], known[-1], "Seconds; 60 unless given.")


class FreezeSerializer(serializers.Serializer):
    """A time in which nothing is deployed but rollbacks."""

    # “from” is a word of Python.
    def get_fields(self) -> dict[str, serializers.Field]:
        return {
            "from": serializers.DateTimeField(),
            "until": serializers.DateTimeField(),
            "reason": serializers.CharField(),
        }


class EnvironmentSerializer(serializers.ModelSerializer):
    """A place where models serve."""

    url = serializers.SerializerMethodField()
    team = serializers.CharField(
        source="team.slug", default=None, allow_null=True, help_text="Whose it is; null: the company's."
    )
    for_team = serializers.CharField(
        source="for_team.slug",
        default=None,
        allow_null=True,
        help_text="Takes only models of this team; null: of all.",
    )
    tag = serializers.SerializerMethodField(help_text="Takes only models with this tag: key or key=value.")
    deploy_team = serializers.CharField(
        source="deploy_team.slug", default=None, allow_null=True, help_text="Whose members may deploy too."
    )
    deploy_role = serializers.ChoiceField(DEPLOY_ROLES)
    freezes = FreezeSerializer(many=True)

    class Meta:
        model = Environment
        fields = [
            "name",
            "url",
            "site",
            "team",
            "follows",
            "followed",
            "name_pattern",
            "for_team",
            "tag",
            "serving_address",
            "kind",
            "health_check",
            "health_window",
            "timeout",
            "start",
            "rolls_back",
            "deploy_role",
            "deploy_team",
            "freezes",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, environment: Environment) -> str:
        return address(self.context["request"], "environment", environment=environment.name)

    def get_tag(self, environment: Environment) -> str:
        return f"{environment.tag_key}={environment.tag_value}".rstrip("=")


class FreezeIn(Strict):
    def get_fields(self) -> dict[str, serializers.Field]:
        return {
            "from": Text(max_length=40, help_text="A moment with its time zone."),
            "until": Text(max_length=40, help_text="A moment with its time zone."),
            "reason": Text(min_length=1, max_length=300),
        }


class EnvironmentChange(Strict):
    site = Text(required=False, max_length=200)
    follows = serializers.ChoiceField(Follows.choices, required=False)
    followed = Text(required=False, max_length=255, help_text="A stage, or the name of an alias.")
    name_pattern = Text(required=False, max_length=256, help_text="As in a shell: vision/*.")
    for_team = Text(required=False, allow_null=True, max_length=64, help_text="Slug.")
    tag = Text(required=False, max_length=501, help_text="key, or key=value.")
    serving_address = Text(required=False, max_length=500, help_text=PLACES)
    kind = serializers.ChoiceField(DeployKind.choices, required=False)
    health_check = Text(required=False, max_length=500, help_text=PLACES)
    health_window = _seconds(*environments.TIMES["health_window"])
    timeout = _seconds(*environments.TIMES["timeout"])
    start = serializers.ChoiceField(StartMode.choices, required=False)
    rolls_back = Switch(required=False)
    deploy_role = serializers.ChoiceField(DEPLOY_ROLES, required=False)
    deploy_team = Text(required=False, allow_null=True, max_length=64, help_text="Slug.")
    freezes = FreezeIn(many=True, required=False)
    reason = Text(required=False, max_length=lifecycle.MAX_REASON, help_text="Why, for the record.")


class EnvironmentIn(EnvironmentChange):
    name = Text(max_length=63, help_text="a-z, 0-9 and hyphens.")
    team = Text(required=False, max_length=64, help_text="Slug; the company's unless given.")
    reason = None


class Deletion(Strict):
    reason = Text(
        required=False, max_length=lifecycle.MAX_REASON, help_text="Needed while anything is there."
    )


class ClaimIn(Strict):
    agent = Text(min_length=1, max_length=100, help_text="A name that no other agent of the environment has.")
    lease = lease()
    wait = _seconds(0, waiting.LONGEST, "Seconds to wait for something to do; 0 unless given.")


def _handout_fields() -> dict[str, serializers.Field]:
    kinds = {"integer": serializers.IntegerField, "string": serializers.CharField}
    found: dict[str, serializers.Field] = {}
    for name, field in deployment_events.FIELDS.items():
        kind = field.schema["type"]
        null = isinstance(kind, list)
        found[name] = kinds[kind[0] if null else kind](allow_null=null, help_text=field.schema["description"])
    return found


class HandoutSerializer(serializers.Serializer):
    """All that a deployer needs to know, as the event deployment.started has it."""

    def get_fields(self) -> dict[str, serializers.Field]:
        return _handout_fields()


class RunningSerializer(serializers.ModelSerializer):
    """What an environment said it runs of a model."""

    model = serializers.CharField(source="model.name")
    environment = serializers.CharField(source="environment.name")
    version = serializers.IntegerField(source="version_number", allow_null=True)
    by = fields.person("by")

    class Meta:
        model = Running
        fields = ["model", "environment", "version", "digest", "detail", "at", "by"]
        read_only_fields = fields


class RunningIn(Strict):
    model = Text(max_length=256)
    version = serializers.IntegerField(
        allow_null=True, min_value=1, max_value=2**31 - 1, help_text="Its number; null: nothing runs."
    )
    digest = Text(required=False, max_length=71, help_text="SHA-256 of what really runs.")
    detail = Text(required=False, max_length=500, help_text="One line.")


class EnvironmentFilter(filters.FilterSet):
    team = fields.Exactly("team__slug", "Slug.")
    kind = filters.ChoiceFilter(choices=DeployKind.choices)
    follows = filters.ChoiceFilter(choices=Follows.choices)
    followed = fields.Exactly("followed")


def _with_teams(view: Door, body: dict[str, Any]) -> dict[str, Any]:
    """The body with teams for their slugs."""
    found = {**body}
    for name in ("team", "for_team", "deploy_team"):
        if name in found:
            found[name] = people.get_team(found[name], by=view.actor) if found[name] else None
    return found


class EnvironmentList(Listing):
    model = Environment
    serializer_class = EnvironmentSerializer
    filterset_class = EnvironmentFilter
    orderings = {"name": (("name", "asc"), ("id", "asc"))}

    def rows(self) -> QuerySet[Environment]:
        return environments.environments_for(self.actor)

    @operation(
        "List environments", tag=TAG, name="environments_list", answers=EnvironmentSerializer(many=True)
    )
    def get(self, request: Any) -> Response:
        return self.list(request)

    @operation(
        "Set up an environment",
        tag=TAG,
        name="environments_create",
        takes=EnvironmentIn,
        answers=EnvironmentSerializer,
        status=201,
        is_repeatable=True,
        description="For admins of its team; for site admins without one. What is in the stage already is not "
        "deployed: order it.",
    )
    def post(self, request: Any) -> Response:
        body = self.sent(EnvironmentIn)

        def work() -> Any:
            made = environments.set_up(by=self.actor, **_with_teams(self, body))
            return self.show(EnvironmentSerializer, made)

        return self.once(201, work, body)


class EnvironmentDetail(Door):
    @operation(
        "Read an environment",
        tag=TAG,
        name="environments_read",
        answers=EnvironmentSerializer,
        parameters=[ENVIRONMENT],
    )
    def get(self, request: Any, environment: str) -> Response:
        found = environments.get_environment(environment, by=self.actor)
        return Response(self.show(EnvironmentSerializer, found))

    @operation(
        "Change an environment",
        tag=TAG,
        name="environments_change",
        takes=EnvironmentChange,
        answers=EnvironmentSerializer,
        parameters=[ENVIRONMENT],
        is_repeatable=True,
        description="What is left out stays. What is under way goes on as it began.",
    )
    def patch(self, request: Any, environment: str) -> Response:
        body = self.sent(EnvironmentChange)

        def work() -> Any:
            found = environments.get_environment(environment, by=self.actor)
            changed = environments.change(found, by=self.actor, **_with_teams(self, body))
            return self.show(EnvironmentSerializer, changed)

        return self.once(200, work, body)

    @operation(
        "Delete an environment",
        tag=TAG,
        name="environments_delete",
        takes=Deletion,
        status=204,
        parameters=[ENVIRONMENT],
        errors=WRITE,
        description="Its history stays. While anything is deployed there, a reason is needed.",
    )
    def delete(self, request: Any, environment: str) -> Response:
        body = self.sent(Deletion)
        found = environments.get_environment(environment, by=self.actor)
        deployments.take_down(found, by=self.actor, **body)
        return Response(status=204)


# One look for all agents that wait in this process.
CLAIMABLE = waiting.News(deployment_claims.claimable)


class EnvironmentClaim(Door):
    @operation(
        "Take the next deployment",
        tag=TAG,
        name="environments_claim",
        takes=ClaimIn,
        answers=HandoutSerializer,
        parameters=[ENVIRONMENT],
        nothing="There is nothing to do; Retry-After says when to ask again.",
        description="For agents: what this one had in hand already, else what another lost, else what waits. With "
        "“wait” the answer comes as soon as there is something.",
    )
    def post(self, request: Any, environment: str) -> Response:
        body = self.sent(ClaimIn)
        seconds = body.pop("wait", 0)

        def ask() -> Any:
            found = environments.get_environment(environment, by=self.actor)
            return deployment_claims.claim(found, by=self.actor, **body)

        pk = environments.get_environment(environment, by=self.actor).pk if seconds else 0
        taken, waited = waiting.until_found(ask, seconds, news=CLAIMABLE, of=pk)
        if taken is None:
            return Response(status=204, headers={"Retry-After": "0" if waited else "1"})
        return Response(self.show(HandoutSerializer, deployment_events.handout(taken, site=site(request))))


class DeclaredSerializer(HandoutSerializer):
    """What is live, as it was handed out."""

    def to_representation(self, instance: Any) -> Any:
        told = deployment_events.handout(instance, site=site(self.context["request"]))
        return super().to_representation(told)


class EnvironmentDeclared(Listing):
    model = Deployment
    serializer_class = DeclaredSerializer
    filterset_class = filters.FilterSet
    orderings = {"id": (("id", "asc"),)}

    def rows(self) -> QuerySet[Deployment]:
        found = environments.get_environment(self.kwargs["environment"], by=self.actor)
        return deployment_claims.declared(found, by=self.actor)

    @operation(
        "See what machines of an environment are to run",
        tag=TAG,
        name="environments_declared",
        answers=DeclaredSerializer(many=True),
        parameters=[ENVIRONMENT],
        description="For agents: what is live, with all that a deployer needs to know. What is on its way to change is "
        "left out: it is taken by a claim.",
    )
    def get(self, request: Any, environment: str) -> Response:
        return self.list(request)


class EnvironmentRunning(Listing):
    model = Running
    serializer_class = RunningSerializer
    filterset_class = filters.FilterSet
    orderings = {"-at": (("at", "desc"), ("id", "desc")), "at": (("at", "asc"), ("id", "asc"))}

    def rows(self) -> QuerySet[Running]:
        found = environments.get_environment(self.kwargs["environment"], by=self.actor)
        return deployment_views.running_in(found, by=self.actor)

    @operation(
        "See what an environment says it runs",
        tag=TAG,
        name="environments_running",
        answers=RunningSerializer(many=True),
        parameters=[ENVIRONMENT],
    )
    def get(self, request: Any, environment: str) -> Response:
        return self.list(request)

    @operation(
        "Say what an environment runs",
        tag=TAG,
        name="environments_observe",
        takes=RunningIn,
        answers=RunningSerializer,
        parameters=[ENVIRONMENT],
        description="What differs from what is declared is shown as drift.",
    )
    def put(self, request: Any, environment: str) -> Response:
        body = self.sent(RunningIn)
        found = environments.get_environment(environment, by=self.actor)
        model = get_model(body.pop("model"), by=self.actor)
        row = deployment_reports.observed(model, found, by=self.actor, **body)
        return Response(self.show(RunningSerializer, row))
