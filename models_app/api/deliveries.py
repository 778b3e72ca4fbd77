"""What was sent to a webhook: each message with every attempt, to look at and to send again."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import Delivery, DeliveryAttempt, DeliveryState
from models_app.registry import delivery_log, webhooks

from . import fields
from .base import Door, Listing
from .schema import READ, WRITE, operation

TAG = "Webhooks"


class DeliverySerializer(serializers.ModelSerializer):
    """A message to a webhook, and how its last attempt went."""

    id = serializers.CharField(source="uid")
    event = serializers.CharField(source="name")
    status = serializers.IntegerField(
        source="response_status", allow_null=True, help_text="Of the last answer."
    )
    due_at = serializers.DateTimeField(allow_null=True, help_text="When one that waits is tried next.")

    class Meta:
        model = Delivery
        fields = [
            "id",
            "event",
            "state",
            "attempts",
            "status",
            "error",
            "duration_ms",
            "created_at",
            "last_attempt_at",
            "due_at",
        ]
        read_only_fields = fields

    def to_representation(self, instance: Delivery) -> dict[str, Any]:
        shown: dict[str, Any] = super().to_representation(instance)
        if instance.state != DeliveryState.WAITING:
            shown["due_at"] = None
        return shown


class AttemptSerializer(serializers.ModelSerializer):
    """One time that it was sent: the request without secrets, and the answer."""

    headers = serializers.DictField(child=serializers.CharField())

    class Meta:
        model = DeliveryAttempt
        fields = ["at", "url", "headers", "body", "status", "answer", "error", "duration_ms"]
        read_only_fields = fields


class DeliveryDetailSerializer(DeliverySerializer):
    """A message with its body and all its attempts, newest first."""

    log = AttemptSerializer(many=True)

    class Meta(DeliverySerializer.Meta):
        fields = [*DeliverySerializer.Meta.fields, "body", "log"]
        read_only_fields = fields


class DeliveryFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=DeliveryState.choices)
    event = fields.Exactly("name")


class AgainSerializer(serializers.Serializer):
    queued = serializers.IntegerField(help_text="So many messages will be sent again.")


class DeliveryList(Listing):
    model = Delivery
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilter
    orderings = {"-id": (("id", "desc"),), "id": (("id", "asc"),)}

    def rows(self) -> QuerySet[Delivery]:
        return delivery_log.deliveries_of(webhooks.get_webhook(self.kwargs["uid"], by=self.actor)).defer(
            "body"
        )

    @operation(
        "List what was sent to a webhook",
        tag=TAG,
        name="webhooks_deliveries",
        answers=DeliverySerializer(many=True),
        path="hook",
        description="Of the last 30 days. `state=failed` are those that were given up.",
    )
    def get(self, request: Any, uid: str) -> Response:
        return self.list(request)


class DeliveryDetail(Door):
    @operation(
        "Read a message and its attempts",
        tag=TAG,
        name="webhooks_delivery",
        answers=DeliveryDetailSerializer,
        path="hook delivery",
        errors=READ,
    )
    def get(self, request: Any, uid: str, delivery: str) -> Response:
        hook = webhooks.get_webhook(uid, by=self.actor)
        return Response(self.show(DeliveryDetailSerializer, delivery_log.get_delivery(hook, delivery)))


class DeliveryAgain(Door):
    @operation(
        "Send a message again",
        tag=TAG,
        name="webhooks_redeliver",
        answers=AgainSerializer,
        path="hook delivery",
        errors=WRITE,
        description="With the same id and body, before what is newer of the same model; one that waits, at once.",
    )
    def post(self, request: Any, uid: str, delivery: str) -> Response:
        hook = webhooks.get_webhook(uid, by=self.actor)
        delivery_log.redeliver(delivery_log.get_delivery(hook, delivery), by=self.actor)
        return Response({"queued": 1})


class DeliveriesAgain(Door):
    @operation(
        "Send again all that was given up",
        tag=TAG,
        name="webhooks_redeliver_all",
        answers=AgainSerializer,
        path="hook",
        errors=WRITE,
        description=f"Oldest first, {delivery_log.MOST_AGAIN} at most.",
    )
    def post(self, request: Any, uid: str) -> Response:
        hook = webhooks.get_webhook(uid, by=self.actor)
        return Response({"queued": delivery_log.redeliver_dead(hook, by=self.actor)})
