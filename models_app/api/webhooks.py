"""Webhooks: who outside is told of what. Made here they are signed as Standard Webhooks; docs/webhooks.md."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import Webhook, WebhookScheme, WebhookStatus
from models_app.registry import hook_fields, people, webhooks
from models_app.registry.errors import Invalid

from . import fields
from .base import Door, Listing
from .parsing import Strict, Text
from .schema import READ, operation

TAG = "Webhooks"


class WebhookSerializer(serializers.ModelSerializer):
    """A webhook, without its secret."""

    id = serializers.CharField(source="uid")
    url = serializers.CharField(help_text="Where messages go.")
    events = serializers.ListField(child=serializers.CharField())
    team = serializers.CharField(
        source="team.slug",
        default=None,
        allow_null=True,
        help_text="Hears of this team's models; null: of all.",
    )
    created_by = fields.person("created_by")

    class Meta:
        model = Webhook
        fields = [
            "id",
            "name",
            "description",
            "url",
            "scheme",
            "events",
            "status",
            "team",
            "created_at",
            "created_by",
            "updated_at",
        ]
        read_only_fields = fields


class NewWebhookSerializer(WebhookSerializer):
    """A new webhook with its secret, which is shown this once."""

    secret = serializers.SerializerMethodField(help_text="Receivers check signatures with it.")

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]
        read_only_fields = fields

    @extend_schema_field(serializers.CharField())
    def get_secret(self, hook: Webhook) -> str:
        return webhooks.secret_of(hook)


SECRET = "whsec_ and the base64 of 24 to 64 random bytes."
EVENTS = "Names of events, as docs/webhooks.md lists them."


class WebhookIn(Strict):
    name = Text(max_length=63, help_text="Letters, digits, “.”, “_” and “-”.")
    url = Text(
        max_length=2000, help_text="Where messages go; a public address unless an operator allows others."
    )
    events = serializers.ListField(child=Text(max_length=100), help_text=EVENTS, max_length=100)
    description = Text(required=False, max_length=hook_fields.MAX_DESCRIPTION)
    secret = Text(required=False, max_length=100, help_text=f"{SECRET} One is made up unless given.")
    status = serializers.ChoiceField(WebhookStatus.choices, required=False)
    team = Text(
        required=False,
        max_length=64,
        help_text="Slug. Unless given: the whole site's for site admins, else the team that one is admin of.",
    )


class WebhookChange(Strict):
    name = Text(required=False, max_length=63)
    url = Text(required=False, max_length=2000)
    events = serializers.ListField(
        child=Text(max_length=100), required=False, help_text=EVENTS, max_length=100
    )
    description = Text(required=False, max_length=hook_fields.MAX_DESCRIPTION)
    secret = Text(required=False, max_length=hook_fields.MAX_SECRET, help_text=SECRET)
    status = serializers.ChoiceField(WebhookStatus.choices, required=False)


class WebhookTestIn(Strict):
    event = Text(required=False, max_length=100, help_text="The webhook's first unless given.")


class WebhookTestSerializer(serializers.Serializer):
    """How sending an example went."""

    ok = serializers.BooleanField(help_text="Answered with 2xx.")
    status = serializers.IntegerField(allow_null=True, help_text="Of the answer; null when none came.")
    body = serializers.CharField(help_text="Its beginning.")
    error = serializers.CharField(help_text="What went wrong; empty when nothing did.")
    duration_ms = serializers.IntegerField()


class WebhookFilter(filters.FilterSet):
    team = fields.Exactly("team__slug", "Slug.")
    scheme = filters.ChoiceFilter(choices=WebhookScheme.choices)
    status = filters.ChoiceFilter(choices=WebhookStatus.choices)


class WebhookList(Listing):
    model = Webhook
    serializer_class = WebhookSerializer
    filterset_class = WebhookFilter
    orderings = {
        "-created_at": (("created_at", "desc"), ("id", "desc")),
        "created_at": (("created_at", "asc"), ("id", "asc")),
    }

    def rows(self) -> QuerySet[Webhook]:
        return webhooks.webhooks_for(self.actor)

    @operation(
        "List webhooks",
        tag=TAG,
        name="webhooks_list",
        answers=WebhookSerializer(many=True),
        description="Those of the teams that one is admin of; all for site admins. Those made with MLflow's API too.",
    )
    def get(self, request: Any) -> Response:
        return self.list(request)

    @operation(
        "Make a webhook",
        tag=TAG,
        name="webhooks_create",
        takes=WebhookIn,
        answers=NewWebhookSerializer,
        status=201,
        description="For admins. The secret is in this answer only; for that reason Idempotency-Key is refused: no "
        "answer is kept.",
    )
    def post(self, request: Any) -> Response:
        if "Idempotency-Key" in request.headers:
            raise Invalid(
                "Idempotency-Key",
                "A secret is shown once and never kept readable, so this request cannot be repeated.",
                next_step="Send it without the key; delete the webhook whose answer was lost.",
            )
        body = self.sent(WebhookIn)
        slug = body.pop("team", "")
        team = people.get_team(slug, by=self.actor) if slug else None
        hook = webhooks.create_webhook(
            body.pop("name"), by=self.actor, scheme=WebhookScheme.STANDARD, team=team, **body
        )
        shown = self.show(NewWebhookSerializer, hook)
        return Response(shown, status=201, headers={"Cache-Control": "no-store"})


class WebhookDetail(Door):
    @operation("Read a webhook", tag=TAG, name="webhooks_read", answers=WebhookSerializer, path="hook")
    def get(self, request: Any, uid: str) -> Response:
        return Response(self.show(WebhookSerializer, webhooks.get_webhook(uid, by=self.actor)))

    @operation(
        "Change a webhook",
        tag=TAG,
        name="webhooks_change",
        takes=WebhookChange,
        answers=WebhookSerializer,
        path="hook",
        is_repeatable=True,
        description="What is left out stays. Events are those of the webhook's scheme.",
    )
    def patch(self, request: Any, uid: str) -> Response:
        body = self.sent(WebhookChange)

        def work() -> Any:
            hook = webhooks.get_webhook(uid, by=self.actor)
            return self.show(WebhookSerializer, webhooks.update_webhook(hook, by=self.actor, **body))

        return self.once(200, work, body)

    @operation(
        "Delete a webhook",
        tag=TAG,
        name="webhooks_delete",
        status=204,
        path="hook",
        errors=READ,
        description="With its messages, waiting ones among them.",
    )
    def delete(self, request: Any, uid: str) -> Response:
        webhooks.delete_webhook(webhooks.get_webhook(uid, by=self.actor), by=self.actor)
        return Response(status=204)


class WebhookTest(Door):
    @operation(
        "Test a webhook",
        tag=TAG,
        name="webhooks_test",
        takes=WebhookTestIn,
        answers=WebhookTestSerializer,
        path="hook",
        description="Sends the example of an event now, whatever the webhook's status, and tells how it went.",
    )
    def post(self, request: Any, uid: str) -> Response:
        body = self.sent(WebhookTestIn)
        hook = webhooks.get_webhook(uid, by=self.actor)
        attempt = webhooks.send_example(hook, by=self.actor, **body)
        reply = attempt.reply
        answer = {
            "ok": attempt.ok,
            "status": reply.status if reply else None,
            "body": reply.text if reply else "",
            "error": attempt.error,
            "duration_ms": attempt.duration_ms,
        }
        return Response(self.show(WebhookTestSerializer, answer))
