"""Service accounts of a team, and their tokens."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import Team, User
from models_app.registry import people, service_accounts
from models_app.registry.access import Right

from .base import Door, refuse_repeating
from .parsing import Strict, Text
from .schema import READ, WRITE, operation
from .tokens import LOST, NewTokenSerializer, TokenCreation, TokenSerializer, new_token

TAG = "People"
ROLES = [role.value for role in people.SERVICE_ROLES]
USERNAME = OpenApiParameter("username", str, OpenApiParameter.PATH, description="Name of a service account.")


class ServiceAccountSerializer(serializers.ModelSerializer):
    """An account of an automation."""

    role = serializers.ChoiceField(ROLES, help_text="In this team.")
    usable_tokens = serializers.IntegerField(source="usable")
    last_used_at = serializers.DateTimeField(source="last_used", allow_null=True)

    class Meta:
        model = User
        fields = ["username", "role", "is_active", "usable_tokens", "last_used_at"]
        read_only_fields = fields


class ServiceAccountCreation(Strict):
    username = Text(max_length=150)
    role = serializers.ChoiceField(ROLES)
    teams = serializers.ListField(
        child=Text(max_length=64),
        required=False,
        max_length=50,
        help_text="Further teams, with the same role.",
    )


class ServiceAccountDoor(Door):
    """What stands under one team."""

    def team(self, slug: str) -> Team:
        people.require_login(self.actor)
        return people.get_team(slug, by=self.actor, right=Right.MANAGE_TEAM)

    def account(self, slug: str, username: str) -> User:
        return service_accounts.get(self.team(slug), username, by=self.actor)


class ServiceAccountList(ServiceAccountDoor):
    @operation(
        "List the service accounts of a team",
        tag=TAG,
        name="service_accounts_list",
        answers=ServiceAccountSerializer(many=True),
        path="slug",
    )
    def get(self, request: Any, slug: str) -> Response:
        rows = service_accounts.of_team(self.team(slug), by=self.actor)
        return Response(self.show(ServiceAccountSerializer, rows, many=True))

    @operation(
        "Make a service account",
        tag=TAG,
        name="service_accounts_create",
        takes=ServiceAccountCreation,
        answers=ServiceAccountSerializer,
        status=201,
        path="slug",
        is_repeatable=True,
        description="For who manages the team, and each further one.",
    )
    def post(self, request: Any, slug: str) -> Response:
        team, data = self.team(slug), self.sent(ServiceAccountCreation)

        def work() -> Any:
            others = [
                people.get_team(one, by=self.actor, right=Right.MANAGE_TEAM) for one in data.get("teams", ())
            ]
            roles = dict.fromkeys([team, *others], data["role"])
            service_accounts.create_account(data["username"], roles=roles, by=self.actor)
            return self.show(ServiceAccountSerializer, self.account(slug, data["username"]))

        return self.once(201, work, data)


class ServiceAccountDetail(ServiceAccountDoor):
    @operation(
        "Deactivate a service account",
        tag=TAG,
        name="service_accounts_deactivate",
        status=204,
        path="slug",
        parameters=[USERNAME],
        errors=READ,
        description="Its tokens are revoked for good. Repeating it changes nothing.",
    )
    def delete(self, request: Any, slug: str, username: str) -> Response:
        service_accounts.deactivate(self.account(slug, username), by=self.actor)
        return Response(status=204)


class ServiceTokenList(ServiceAccountDoor):
    @operation(
        "List the tokens of a service account",
        tag=TAG,
        name="service_tokens_list",
        answers=TokenSerializer(many=True),
        path="slug",
        parameters=[USERNAME],
    )
    def get(self, request: Any, slug: str, username: str) -> Response:
        rows = service_accounts.tokens_of(self.account(slug, username), by=self.actor)
        return Response(self.show(TokenSerializer, rows, many=True))

    @operation(
        "Make a token for a service account",
        tag=TAG,
        name="service_tokens_create",
        takes=TokenCreation,
        answers=NewTokenSerializer,
        status=201,
        path="slug",
        parameters=[USERNAME],
        description="The secret is in this answer only; Idempotency-Key is refused.",
    )
    def post(self, request: Any, slug: str, username: str) -> Response:
        refuse_repeating(request, LOST)
        user = self.account(slug, username)
        return new_token(self, *people.create_token(user=user, by=self.actor, **self.sent(TokenCreation)))


class ServiceTokenDetail(ServiceAccountDoor):
    @operation(
        "Revoke a token of a service account",
        tag=TAG,
        name="service_tokens_revoke",
        status=204,
        path="slug id",
        parameters=[USERNAME],
        errors=READ,
    )
    def delete(self, request: Any, slug: str, username: str, id: int) -> Response:
        token = service_accounts.get_token(self.account(slug, username), id, by=self.actor)
        people.revoke_token(token, by=self.actor)
        return Response(status=204)


class ServiceTokenRotate(ServiceAccountDoor):
    @operation(
        "Rotate a token of a service account",
        tag=TAG,
        name="service_tokens_rotate",
        answers=NewTokenSerializer,
        status=201,
        path="slug id",
        parameters=[USERNAME],
        errors=WRITE,
        description="A new one with the same name, scopes and length of life; the former is revoked at once.",
    )
    def post(self, request: Any, slug: str, username: str, id: int) -> Response:
        refuse_repeating(request, LOST)
        token = service_accounts.get_token(self.account(slug, username), id, by=self.actor)
        return new_token(self, *service_accounts.rotate_token(token, by=self.actor))
