"""The audit: records by filters, all of them as lines, and signed statements about their chain."""

from __future__ import annotations

from typing import Any

from django.db.models import F, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.http.exports import send_records
from models_app.models import AuditCheckpoint, AuditEvent
from models_app.registry import audit, audit_chain
from models_app.registry.errors import NotFound

from . import fields
from .base import Door, Listing
from .files import Anything
from .schema import READ, operation, query

TAG = "Audit"
JSON_LINES = "application/jsonl"


@extend_schema_field({"type": "object", "additionalProperties": True})
class Changed(serializers.JSONField):
    """What changed, as it was or as it is."""


class AuditEventSerializer(serializers.ModelSerializer):
    """A record as it is hashed, with its place in the chain."""

    at = serializers.DateTimeField(format="%Y-%m-%dT%H:%M:%S.%fZ")
    actor_id = serializers.IntegerField(allow_null=True)
    before = Changed()
    after = Changed()
    position = serializers.IntegerField(allow_null=True, help_text="Its place; null until it is sealed.")
    hash = serializers.CharField(allow_null=True, help_text="SHA-256 of the former hash and this record.")

    class Meta:
        model = AuditEvent
        fields = [*audit_chain.FIELDS, "position", "hash"]
        read_only_fields = fields


class AuditFilter(filters.FilterSet):
    """The names of `audit.narrowed`, which does the work."""

    person = fields.Exactly("actor_name", "Username; “system” is the registry itself.")
    model = fields.Exactly("model_ref", "Name of a model, present or former.")
    verb = fields.Exactly("verb", "What was done, such as version.moved.")
    door = fields.Exactly("door", "web, api, mlflow, admin, shell or task.")
    refused = fields.Flag(label="Refused only, or without those.")
    after = fields.since("at")
    before = fields.before("at")
    request_id = fields.Exactly("request_id", "The X-Request-Id of a call.")
    q = fields.Exactly("subject", "Words in the subject.")

    def filter_queryset(self, queryset: Any) -> Any:
        return audit.narrowed(queryset, **self.form.cleaned_data)


KINDS = {"refused": bool, "after": OpenApiTypes.DATETIME, "before": OpenApiTypes.DATETIME}


class AuditList(Listing):
    model = AuditEvent
    serializer_class = AuditEventSerializer
    filterset_class = AuditFilter
    orderings = {"-id": (("id", "desc"),), "id": (("id", "asc"),)}

    def rows(self) -> QuerySet[AuditEvent]:
        return audit.events_for(self.actor)

    def filter_queryset(self, queryset: Any) -> Any:
        found = super().filter_queryset(queryset)
        return found.annotate(position=F("link__position"), hash=F("link__hash"))

    @operation(
        "List what was done",
        tag=TAG,
        name="audit_list",
        answers=AuditEventSerializer(many=True),
        description="Site admins read everything, admins of teams what concerns their teams' models.",
    )
    def get(self, request: Any) -> Response:
        return self.list(request)


class AuditExport(Listing):
    model = AuditEvent
    filterset_class = AuditFilter
    pagination_class = None
    content_negotiation_class = Anything
    orderings = {}

    def rows(self) -> QuerySet[AuditEvent]:
        return audit.events_for(self.actor)

    @operation(
        "Export what was done",
        tag=TAG,
        name="audit_export",
        answers=OpenApiTypes.BINARY,
        media=(JSON_LINES,),
        parameters=[
            query(name, KINDS.get(name, str), str(one.label))
            for name, one in AuditFilter.base_filters.items()
        ],
        errors=(400, 401, 403, 404),
        description="JSON lines, oldest first, streamed whatever the size: every record as GET /audit lists it.",
    )
    def get(self, request: Any) -> Any:
        rows = self.filter_queryset(self.get_queryset())
        return send_records(rows, kind="jsonl", head_only=request.method == "HEAD")


class CheckpointSerializer(serializers.ModelSerializer):
    """A signed statement of how long the chain was and how it ended."""

    at = serializers.CharField(help_text="UTC; signed as it is written.")

    class Meta:
        model = AuditCheckpoint
        fields = ["position", "hash", "at", "public_key", "signature"]
        read_only_fields = fields


class Checkpoint(Door):
    @operation(
        "Read the newest signed checkpoint",
        tag=TAG,
        name="audit_checkpoint_read",
        answers=CheckpointSerializer,
        description="Keep it where this server's operators cannot write; docs/audit.md says what it proves.",
    )
    def get(self, request: Any) -> Response:
        audit.events_for(self.actor)
        found = audit_chain.newest_checkpoint()
        if found is None:
            raise NotFound("No checkpoint was signed yet.", next_step="A site admin can sign one: POST here.")
        return Response(found.as_dict())

    @operation(
        "Sign a checkpoint",
        tag=TAG,
        name="audit_checkpoint_sign",
        answers=CheckpointSerializer,
        status=201,
        errors=(*READ, 409, 422),
        is_repeatable=True,
        description="Signs where the chain stands now. Site admins only.",
    )
    def post(self, request: Any) -> Response:
        return self.once(201, lambda: audit_chain.ask_checkpoint(by=self.actor).as_dict())
