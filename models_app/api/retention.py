"""Retention: which versions are kept, and what would go."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import RetentionPolicy, Stage, Then
from models_app.registry import lifecycle, retention, retention_plan

from . import fields
from .base import Door, Listing, address
from .parsing import Strict, Text
from .schema import READ, operation, query

TAG = "Retention"
LAST = "The newest of each model stay; null for no such rule."
DAYS = "What came to the stage within so many days stays; null for no such rule."
COLD = "Of archived only: so many days later its bytes move to the store's colder class; null for never."
PRODUCTION = "production is whatever is or ever was there."


class RetentionSerializer(serializers.ModelSerializer):
    """What is kept of a stage, everywhere or in one team; without numbers all of it, for ever."""

    url = serializers.SerializerMethodField()
    stage = serializers.ChoiceField(Stage.choices, help_text=PRODUCTION)
    team = serializers.CharField(source="team.slug", default=None, help_text="null: every team.")
    keep_last = serializers.IntegerField(allow_null=True, help_text=LAST)
    keep_days = serializers.IntegerField(allow_null=True, help_text=DAYS)
    then = serializers.ChoiceField(Then.choices, allow_blank=True, help_text="What becomes of all others.")
    cold_days = serializers.IntegerField(allow_null=True, help_text=COLD)
    updated_by = fields.person("updated_by")

    class Meta:
        model = RetentionPolicy
        fields = [
            "id",
            "url",
            "stage",
            "team",
            "keep_last",
            "keep_days",
            "then",
            "cold_days",
            "updated_at",
            "updated_by",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, policy: RetentionPolicy) -> str:
        return address(self.context["request"], "retention_policy", id=policy.pk)


class Number(serializers.IntegerField):
    """A whole number; no text, no fraction."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return super().to_internal_value(data)


class RetentionProposal(Strict):
    stage = serializers.ChoiceField(Stage.choices, help_text=PRODUCTION)
    team = Text(required=False, max_length=64, help_text="Slug; every team without it.")
    keep_last = Number(required=False, allow_null=True, min_value=1, max_value=retention.MOST, help_text=LAST)
    keep_days = Number(required=False, allow_null=True, min_value=1, max_value=retention.MOST, help_text=DAYS)
    cold_days = Number(required=False, allow_null=True, min_value=1, max_value=retention.MOST, help_text=COLD)
    then = serializers.ChoiceField(
        Then.choices, required=False, allow_blank=True, help_text="Of staging archive; of others delete."
    )


class RetentionIn(RetentionProposal):
    reason = Text(required=False, max_length=lifecycle.MAX_REASON, help_text="Why, for the record.")


class RetentionTry(Strict):
    team = Text(required=False, max_length=64, help_text="Only models of this team, by slug.")
    proposal = RetentionProposal(required=False, help_text="As if this were saved too.")


class RetentionGoingSerializer(serializers.Serializer):
    """A version that no policy keeps."""

    model = serializers.CharField(source="version.model.name")
    version = serializers.IntegerField(source="version.number")
    stage = serializers.CharField(source="version.stage")
    then = serializers.ChoiceField(Then.choices)
    why = serializers.CharField()
    due_at = serializers.DateTimeField(allow_null=True, help_text="When it goes; null before it is marked.")


class RetentionPlanSerializer(serializers.Serializer):
    """What would go."""

    deleted = serializers.IntegerField(help_text="Versions that would be deleted.")
    archived = serializers.IntegerField(help_text="Versions that would be archived.")
    freed_bytes = serializers.IntegerField(source="freed.bytes", help_text="Bytes that only they refer to.")
    freed_at_least = serializers.BooleanField(source="at_least", help_text="Too many to add up all of it.")
    cold = serializers.IntegerField(help_text="Archived versions whose bytes are to be in the colder class.")
    cold_class = serializers.CharField(
        help_text="Which one that is; empty where the store has or was told none."
    )
    items = RetentionGoingSerializer(
        many=True, help_text=f"The {retention_plan.SHOWN} that are oldest there."
    )


class RetentionFilter(filters.FilterSet):
    stage = filters.ChoiceFilter(choices=Stage.choices)
    team = fields.Exactly("team__slug", "Slug.")


class RetentionList(Listing):
    model = RetentionPolicy
    serializer_class = RetentionSerializer
    filterset_class = RetentionFilter
    orderings = {"-id": (("id", "desc"),), "id": (("id", "asc"),)}

    def rows(self) -> QuerySet[RetentionPolicy]:
        return retention.policies_for(self.actor)

    @operation(
        "List retention policies", tag=TAG, name="retention_list", answers=RetentionSerializer(many=True)
    )
    def get(self, request: Any) -> Response:
        return self.list(request)

    @operation(
        "Set a retention policy",
        tag=TAG,
        name="retention_set",
        takes=RetentionIn,
        answers=RetentionSerializer,
        is_repeatable=True,
        description="For a team by its owners and admins, for every team by site admins. A version goes only if no "
        "policy keeps it. Without keep_last and keep_days all versions of the stage are kept.",
    )
    def put(self, request: Any) -> Response:
        body = self.sent(RetentionIn)

        def work() -> Any:
            return self.show(RetentionSerializer, retention.set_policy(by=self.actor, **_scoped(self, body)))

        return self.once(200, work, body)


def _scoped(door: Door, body: dict[str, Any]) -> dict[str, Any]:
    team = door.team(body.get("team", ""))
    return {**body, "team": team}


class RetentionDetail(Door):
    @operation(
        "Read a retention policy",
        tag=TAG,
        name="retention_read",
        answers=RetentionSerializer,
        path="id",
    )
    def get(self, request: Any, id: int) -> Response:
        return Response(self.show(RetentionSerializer, retention.get_policy(id, by=self.actor)))

    @operation(
        "Remove a retention policy",
        tag=TAG,
        name="retention_remove",
        status=204,
        path="id",
        errors=READ,
        parameters=[query("reason", str, "Why, for the record.")],
        description="Nothing is said of its stage then, and all of it kept unless another policy speaks of it.",
    )
    def delete(self, request: Any, id: int) -> Response:
        policy = retention.get_policy(id, by=self.actor)
        reason = request.query_params.get("reason", "")[:2000]
        retention.remove_policy(policy, by=self.actor, reason=reason)
        return Response(status=204)


class RetentionDryRun(Door):
    @operation(
        "See what retention would do",
        tag=TAG,
        name="retention_dry_run",
        takes=RetentionTry,
        answers=RetentionPlanSerializer,
        description="Which versions no policy keeps, of the models that one may read, and how many bytes become free. "
        "Changes nothing.",
    )
    def post(self, request: Any) -> Response:
        body = self.sent(RetentionTry)
        proposal = body.get("proposal")
        found = retention_plan.plan(
            by=self.actor,
            team=self.team(body.get("team", "")),
            proposal=retention.proposed(**_scoped(self, proposal)) if proposal else None,
        )
        return Response(self.show(RetentionPlanSerializer, found))
