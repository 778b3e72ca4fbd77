"""Webhooks: who outside is told of what. Made here they are signed as Standard Webhooks; docs/webhooks.md."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import Stage, Webhook, WebhookKind, WebhookScheme, WebhookStatus
from models_app.registry import hook_fields, people, webhooks

from . import fields
from .base import Door, Listing, refuse_repeating
from .parsing import Strict, Text
from .schema import READ, operation

TAG = "Webhooks"
KEPT = "never kept readable"


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
    models = serializers.ListField(
        source="model_patterns", child=serializers.CharField(), help_text="Patterns of names; none: all."
    )
    stages = serializers.ListField(child=serializers.CharField(), help_text="None: all.")
    environments = serializers.ListField(
        child=serializers.CharField(), help_text="Names of environments; none: all."
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
            "kind",
            "ref",
            "events",
            "models",
            "stages",
            "environments",
            "status",
            "pause_reason",
            "failing_since",
            "former_secret_until",
            "team",
            "created_at",
            "created_by",
            "updated_at",
        ]
        read_only_fields = fields


class NewWebhookSerializer(WebhookSerializer):
    """A webhook with its new secret, which is shown this once."""

    secret = serializers.SerializerMethodField(
        help_text="Receivers check signatures with it; empty for kinds that sign nothing."
    )

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]
        read_only_fields = fields

    @extend_schema_field(serializers.CharField())
    def get_secret(self, hook: Webhook) -> str:
        # What other kinds call with was never ours to tell.
        return webhooks.secret_of(hook) if hook.kind == WebhookKind.GENERIC else ""


SECRET = "whsec_ and the base64 of 24 to 64 random bytes; for GitHub and GitLab the token to call with."
EVENTS = "Names of events, as docs/webhooks.md lists them."


def _filters() -> dict[str, serializers.Field]:
    return {
        "models": serializers.ListField(
            child=Text(max_length=hook_fields.MAX_PATTERN),
            required=False,
            max_length=hook_fields.MAX_PATTERNS,
            help_text="Patterns of models' names, as vision/*; none: all.",
        ),
        "stages": serializers.ListField(
            child=serializers.ChoiceField(Stage.choices),
            required=False,
            help_text="Only of moves from or to these, and of deployments in environments that follow these; what is "
            "about no stage comes all the same. None: all.",
        ),
        "environments": serializers.ListField(
            child=Text(max_length=63),
            required=False,
            max_length=hook_fields.MAX_ENVIRONMENTS,
            help_text="Only of deployments and incidents in these; what is about no environment comes all the same. "
            "None: all.",
        ),
    }


class WebhookIn(Strict):
    name = Text(max_length=63, help_text="Letters, digits, “.”, “_” and “-”.")
    url = Text(
        max_length=2000, help_text="Where messages go; a public address unless an operator allows others."
    )
    events = serializers.ListField(child=Text(max_length=100), help_text=EVENTS, max_length=100)
    kind = serializers.ChoiceField(WebhookKind.choices, required=False, help_text="Who receives it.")
    ref = Text(required=False, max_length=255, help_text="The branch or tag that a GitLab pipeline runs on.")
    description = Text(required=False, max_length=hook_fields.MAX_DESCRIPTION)
    secret = Text(
        required=False, max_length=hook_fields.MAX_SECRET, help_text=f"{SECRET} Made up unless given."
    )
    status = serializers.ChoiceField(WebhookStatus.choices, required=False)
    team = Text(
        required=False,
        max_length=64,
        help_text="Slug. Unless given: the whole site's for site admins, else the team that one is admin of.",
    )

    def get_fields(self) -> dict[str, serializers.Field]:
        return {**super().get_fields(), **_filters()}


class WebhookChange(Strict):
    name = Text(required=False, max_length=63)
    url = Text(required=False, max_length=2000)
    events = serializers.ListField(
        child=Text(max_length=100), required=False, help_text=EVENTS, max_length=100
    )
    description = Text(required=False, max_length=hook_fields.MAX_DESCRIPTION)
    ref = Text(required=False, max_length=255)
    secret = Text(required=False, max_length=hook_fields.MAX_SECRET, help_text=SECRET)
    status = serializers.ChoiceField(WebhookStatus.choices, required=False)

    def get_fields(self) -> dict[str, serializers.Field]:
        return {**super().get_fields(), **_filters()}


class WebhookRotation(Strict):
    hours = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=webhooks.MAX_HOURS,
        help_text="So long the former secret signs too; 24 unless given.",
    )
    secret = Text(required=False, max_length=100, help_text="The new one; made up unless given.")


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
        refuse_repeating(
            request, "Send it without the key; delete the webhook whose answer was lost.", kept=KEPT
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


class WebhookRotate(Door):
    @operation(
        "Replace a webhook's secret",
        tag=TAG,
        name="webhooks_rotate",
        takes=WebhookRotation,
        answers=NewWebhookSerializer,
        path="hook",
        description="For some hours messages carry signatures of both. The new secret is in this answer only.",
    )
    def post(self, request: Any, uid: str) -> Response:
        refuse_repeating(
            request,
            "Send it without the key; where the answer was lost, replace the secret again.",
            kept=KEPT,
        )
        body = self.sent(WebhookRotation)
        hook = webhooks.get_webhook(uid, by=self.actor)
        shown = self.show(NewWebhookSerializer, webhooks.rotate_secret(hook, by=self.actor, **body))
        return Response(shown, headers={"Cache-Control": "no-store"})


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
