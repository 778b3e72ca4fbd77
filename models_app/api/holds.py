"""Legal holds: what may not be deleted, why, and who said so."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import LegalHold
from models_app.registry import holds, lifecycle
from models_app.registry.access import get_model, get_version

from . import fields
from .base import Door, Listing, address
from .parsing import Revision, Strict, Text
from .schema import operation

TAG = "Legal holds"


class HoldSerializer(serializers.ModelSerializer):
    """A legal hold on one version, or with no version on a whole model."""

    url = serializers.SerializerMethodField()
    model = serializers.CharField(source="model.name")
    version = fields.number_of("version", "Number of the version; null for the whole model.")
    of_site = serializers.BooleanField(help_text="A site admin placed it; only a site admin lifts it.")
    placed_by = fields.person("placed_by")
    lifted_by = fields.person("lifted_by")
    lifted_at = serializers.DateTimeField(allow_null=True, help_text="null while it is in force.")

    class Meta:
        model = LegalHold
        fields = [
            "id",
            "url",
            "model",
            "version",
            "reason",
            "of_site",
            "placed_at",
            "placed_by",
            "lifted_at",
            "lifted_by",
            "lift_reason",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, hold: LegalHold) -> str:
        return address(self.context["request"], "hold", id=hold.pk)


class HoldIn(Strict):
    model = Text(max_length=256)
    version = Revision(
        required=False,
        max_length=255,
        help_text="A number, stage, alias or “latest”; the whole model without it.",
    )
    reason = Text(max_length=lifecycle.MAX_REASON, help_text="The case, or whoever asked for it.")


class LiftIn(Strict):
    reason = Text(max_length=lifecycle.MAX_REASON, help_text="Why it is over, for the record.")


class HoldFilter(filters.FilterSet):
    model = fields.Exactly("model__name")
    version = filters.NumberFilter("version__number", label="Number of the version that it names.")
    team = fields.Exactly("model__team__slug", "Slug.")
    in_force = fields.Flag("lifted_at", lookup_expr="isnull", label="true for those not lifted.")


class HoldList(Listing):
    model = LegalHold
    serializer_class = HoldSerializer
    filterset_class = HoldFilter
    orderings = {"-placed_at": (("id", "desc"),), "placed_at": (("id", "asc"),)}

    def rows(self) -> QuerySet[LegalHold]:
        return holds.holds_for(self.actor)

    @operation("List legal holds", tag=TAG, name="holds_list", answers=HoldSerializer(many=True))
    def get(self, request: Any) -> Response:
        return self.list(request)

    @operation(
        "Place a legal hold",
        tag=TAG,
        name="holds_place",
        takes=HoldIn,
        answers=HoldSerializer,
        status=201,
        is_repeatable=True,
        description="For admins of the model's team. Until it is lifted nobody deletes the version, or anything of the "
        "model, and neither does retention.",
    )
    def post(self, request: Any) -> Response:
        body = self.sent(HoldIn)

        def work() -> Any:
            reason, revision = body["reason"], body.get("version", "")
            if revision:
                version = get_version(body["model"], revision, by=self.actor)
                placed = holds.place(version.model, version=version, reason=reason, by=self.actor)
            else:
                placed = holds.place(get_model(body["model"], by=self.actor), reason=reason, by=self.actor)
            return self.show(HoldSerializer, placed)

        return self.once(201, work, body)


class HoldDetail(Door):
    @operation("Read a legal hold", tag=TAG, name="holds_read", answers=HoldSerializer, path="id")
    def get(self, request: Any, id: int) -> Response:
        return Response(self.show(HoldSerializer, holds.get_hold(id, by=self.actor)))


class HoldLift(Door):
    @operation(
        "Lift a legal hold",
        tag=TAG,
        name="holds_lift",
        takes=LiftIn,
        answers=HoldSerializer,
        path="id",
        is_repeatable=True,
    )
    def post(self, request: Any, id: int) -> Response:
        body = self.sent(LiftIn)

        def work() -> Any:
            hold = holds.get_hold(id, by=self.actor)
            return self.show(HoldSerializer, holds.lift(hold, by=self.actor, **body))

        return self.once(200, work, body)
