"""Teams, and who one is."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import Membership, Role, Scope, Team
from models_app.registry import people

from . import fields
from .base import Door, Listing, address
from .schema import operation

TAG = "People"


class TeamSerializer(serializers.ModelSerializer):
    """A team that owns models."""

    url = serializers.SerializerMethodField()
    your_role = serializers.SerializerMethodField(help_text="Null when you are no member.")

    class Meta:
        model = Team
        fields = ["slug", "url", "name", "description", "your_role", "created_at"]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, team: Team) -> str:
        return address(self.context["request"], "team", slug=team.slug)

    @extend_schema_field(serializers.ChoiceField(Role.choices, allow_null=True))
    def get_your_role(self, team: Team) -> str | None:
        return self.context["request"].actor.roles.get(team.pk)


class MemberSerializer(serializers.ModelSerializer):
    username = fields.person("user")
    name = serializers.CharField(source="user.display_name")

    class Meta:
        model = Membership
        fields = ["username", "name", "role"]
        read_only_fields = fields


class TeamDetailSerializer(TeamSerializer):
    """A team with its members."""

    members = serializers.SerializerMethodField()

    class Meta(TeamSerializer.Meta):
        fields = [*TeamSerializer.Meta.fields, "members"]
        read_only_fields = fields

    @extend_schema_field(MemberSerializer(many=True))
    def get_members(self, team: Team) -> Any:
        return MemberSerializer(team.memberships.select_related("user"), many=True).data


class MyTeamSerializer(serializers.Serializer):
    slug = serializers.CharField()
    role = serializers.ChoiceField(Role.choices)


class MeSerializer(serializers.Serializer):
    """Who the token or login stands for, and what it may do."""

    username = serializers.CharField()
    name = serializers.CharField()
    email = serializers.CharField()
    is_site_admin = serializers.BooleanField()
    teams = MyTeamSerializer(many=True)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(Scope.choices),
        allow_null=True,
        help_text="Of the token; null without one.",
    )


class TeamFilter(filters.FilterSet):
    slug = fields.Exactly()


class TeamList(Listing):
    model = Team
    serializer_class = TeamSerializer
    filterset_class = TeamFilter
    orderings = {"slug": (("slug", "asc"),), "-slug": (("slug", "desc"),)}

    def rows(self) -> QuerySet[Team]:
        return people.teams_for(self.actor)

    @operation("List teams", tag=TAG, name="teams_list", answers=TeamSerializer(many=True))
    def get(self, request: Any) -> Response:
        return self.list(request)


class TeamDetail(Door):
    @operation(
        "Read a team and its members", tag=TAG, name="teams_read", answers=TeamDetailSerializer, path="slug"
    )
    def get(self, request: Any, slug: str) -> Response:
        people.require_login(self.actor)
        return Response(self.show(TeamDetailSerializer, people.get_team(slug, by=self.actor)))


class Me(Door):
    @operation("See who you are", tag=TAG, name="me", answers=MeSerializer)
    def get(self, request: Any) -> Response:
        people.require_login(self.actor)
        user = self.actor.user
        memberships = user.memberships.select_related("team")
        return Response(
            self.show(
                MeSerializer,
                {
                    "username": user.username,
                    "name": user.display_name,
                    "email": user.email,
                    "is_site_admin": self.actor.is_site_admin,
                    "teams": [{"slug": one.team.slug, "role": one.role} for one in memberships],
                    "scopes": sorted(self.actor.scopes) if self.actor.scopes is not None else None,
                },
            )
        )
