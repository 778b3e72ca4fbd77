"""Policies: what stages demand, who wrote it, and what a version would lack under other rules."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import Policy, PolicyVersion, Risk, Stage
from models_app.registry import lifecycle, people, policies, requirements
from models_app.registry.access import get_model, get_version
from models_app.registry.errors import Invalid

from . import fields
from .base import Door, Listing, address
from .parsing import Revision, Strict, Switch, Text
from .schema import operation
from .versions import RequirementSerializer

TAG = "Policies"
RULES = "The rules as docs/policies.md has them; what is left out is not demanded."


class PolicySerializer(serializers.ModelSerializer):
    """What entering a stage takes in one scope: the site, a team, a model, or a level of risk."""

    url = serializers.SerializerMethodField()
    team = serializers.CharField(source="team.slug", default=None)
    model = serializers.CharField(source="model.name", default=None)
    rules = serializers.JSONField(help_text=RULES)

    class Meta:
        model = Policy
        fields = [
            "id",
            "url",
            "stage",
            "team",
            "model",
            "risk_level",
            "number",
            "is_active",
            "rules",
            "updated_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, policy: Policy) -> str:
        return address(self.context["request"], "policy", id=policy.pk)


class PolicyVersionSerializer(serializers.ModelSerializer):
    """A text that held for a time."""

    created_by = fields.person("created_by")
    rules = serializers.JSONField()

    class Meta:
        model = PolicyVersion
        fields = ["number", "rules", "reason", "created_at", "created_by"]
        read_only_fields = fields


class PolicyDetailSerializer(PolicySerializer):
    """A policy with every text it ever had."""

    versions = PolicyVersionSerializer(many=True)

    class Meta(PolicySerializer.Meta):
        fields = [*PolicySerializer.Meta.fields, "versions"]
        read_only_fields = fields


class PolicyIn(Strict):
    stage = serializers.ChoiceField([choice for choice in Stage.choices if choice[0] != Stage.DEV])
    team = Text(required=False, max_length=64, help_text="Slug, for a policy of one team.")
    model = Text(required=False, max_length=256, help_text="Name, for a policy of one model.")
    risk_level = serializers.ChoiceField(Risk.choices, required=False, allow_blank=True)
    rules = serializers.JSONField(help_text=RULES)
    reason = Text(required=False, max_length=lifecycle.MAX_REASON, help_text="Why, for the record.")
    is_active = Switch(required=False)


class DryRun(Strict):
    model = Text(max_length=256)
    version = Revision(max_length=255, help_text="Revision: a number, stage, alias or “latest”.")
    to = serializers.ChoiceField(Stage.choices, required=False, help_text="production unless told.")
    scope = serializers.ChoiceField(
        requirements.SCOPES,
        required=False,
        help_text="Whose policy these rules would be, of those that the version falls under; model unless told.",
    )
    rules = serializers.JSONField(help_text=RULES)


class PolicyFilter(filters.FilterSet):
    stage = filters.ChoiceFilter(choices=Stage.choices)
    team = fields.Exactly("team__slug", "Slug.")
    model = fields.Exactly("model__name")
    risk_level = filters.ChoiceFilter(choices=Risk.choices)


class PolicyList(Listing):
    model = Policy
    serializer_class = PolicySerializer
    filterset_class = PolicyFilter
    orderings = {"id": (("id", "asc"),)}

    def rows(self) -> QuerySet[Policy]:
        return policies.policies_for(self.actor)

    @operation("List policies", tag=TAG, name="policies_list", answers=PolicySerializer(many=True))
    def get(self, request: Any) -> Response:
        return self.list(request)

    @operation(
        "Write a policy",
        tag=TAG,
        name="policies_write",
        takes=PolicyIn,
        answers=PolicyDetailSerializer,
        is_repeatable=True,
        description="Makes the policy of a stage and scope, or a new version of it. Nothing is demanded less than by "
        "the policies of a wider scope: all that apply must be met.",
    )
    def put(self, request: Any) -> Response:
        body = self.sent(PolicyIn)
        if not isinstance(body["rules"], dict):
            raise Invalid("rules", "Must be a JSON object.")

        def work() -> Any:
            scope = {**body}
            if slug := scope.pop("team", ""):
                scope["team"] = people.get_team(slug, by=self.actor)
            if name := scope.pop("model", ""):
                scope["model"] = get_model(name, by=self.actor)
            return self.show(PolicyDetailSerializer, policies.set_policy(by=self.actor, **scope))

        return self.once(200, work, body)


class PolicyDetail(Door):
    @operation("Read a policy", tag=TAG, name="policies_read", answers=PolicyDetailSerializer, path="id")
    def get(self, request: Any, id: int) -> Response:
        return Response(self.show(PolicyDetailSerializer, policies.get_policy(id, by=self.actor)))


class PolicyDryRun(Door):
    @operation(
        "Try rules on a version",
        tag=TAG,
        name="policies_dry_run",
        takes=DryRun,
        answers=RequirementSerializer(many=True),
        description="What the version would have and lack if the policy of this scope had these rules, beside the "
        "others that apply to it. Changes nothing.",
    )
    def post(self, request: Any) -> Response:
        body = self.sent(DryRun)
        version = get_version(body["model"], body["version"], by=self.actor)
        found = requirements.trial(
            version,
            rules=body["rules"],
            to=body.get("to", Stage.PRODUCTION),
            scope=requirements.scope_name(body.get("scope", "model"), version.model),
        )
        return Response(self.show(RequirementSerializer, found, many=True))
