"""One's own API tokens."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import ApiToken, Scope
from models_app.registry import people

from . import fields
from .base import Door, Listing, refuse_repeating
from .parsing import Strict, Text
from .schema import READ, operation

TAG = "Tokens"
LOST = "Send it without the key; revoke the token whose answer was lost."


class TokenSerializer(serializers.ModelSerializer):
    """A token, without its secret."""

    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.choices))

    class Meta:
        model = ApiToken
        fields = [
            "id",
            "name",
            "prefix",
            "scopes",
            "created_at",
            "expires_at",
            "last_used_at",
            "revoked_at",
        ]
        read_only_fields = fields


class NewTokenSerializer(TokenSerializer):
    """A new token with its secret, which is shown this once."""

    token = serializers.CharField(help_text="The secret. Only its hash is kept.")

    class Meta(TokenSerializer.Meta):
        fields = [*TokenSerializer.Meta.fields, "token"]
        read_only_fields = fields


class TokenCreation(Strict):
    name = Text(max_length=100, help_text="What it is for.")
    scopes = serializers.ListField(child=serializers.ChoiceField(Scope.choices), min_length=1)
    expires_at = serializers.DateTimeField(required=False, allow_null=True, help_text="Never unless told.")


def new_token(door: Door, row: Any, secret: str) -> Response:
    """The answer that holds the secret."""
    row.token = secret
    return Response(door.show(NewTokenSerializer, row), status=201, headers={"Cache-Control": "no-store"})


class TokenFilter(filters.FilterSet):
    is_revoked = fields.Flag("revoked_at", lookup_expr="isnull", exclude=True)


class TokenList(Listing):
    model = ApiToken
    serializer_class = TokenSerializer
    filterset_class = TokenFilter
    orderings = {
        "-created_at": (("created_at", "desc"), ("id", "desc")),
        "created_at": (("created_at", "asc"), ("id", "asc")),
    }

    def rows(self) -> QuerySet[ApiToken]:
        return people.tokens_of(self.actor)

    @operation("List your tokens", tag=TAG, name="tokens_list", answers=TokenSerializer(many=True))
    def get(self, request: Any) -> Response:
        return self.list(request)

    @operation(
        "Make a token",
        tag=TAG,
        name="tokens_create",
        takes=TokenCreation,
        answers=NewTokenSerializer,
        status=201,
        description="The secret is in this answer only. For that reason Idempotency-Key is refused: no answer is "
        "kept.",
    )
    def post(self, request: Any) -> Response:
        refuse_repeating(request, LOST)
        people.require_login(self.actor)
        made = people.create_token(user=self.actor.user, by=self.actor, **self.sent(TokenCreation))
        return new_token(self, *made)


class TokenDetail(Door):
    @operation(
        "Revoke a token",
        tag=TAG,
        name="tokens_revoke",
        status=204,
        path="id",
        errors=READ,
        description="It is useless from now on; the record stays. Repeating it changes nothing.",
    )
    def delete(self, request: Any, id: int) -> Response:
        people.revoke_token(people.get_token(id, by=self.actor), by=self.actor)
        return Response(status=204)
