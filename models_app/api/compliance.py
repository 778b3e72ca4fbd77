"""The compliance report of a model, and everything about one version as a signed bundle."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.response import Response

from models_app.http.moments import moment_in
from models_app.http.ranges import send_archive
from models_app.registry import bundles, compliance
from models_app.registry.access import get_version

from . import fields
from .base import Door
from .checks import CheckSerializer
from .files import DOWNLOAD, Anything
from .schema import operation, query
from .versions import MetricSerializer, ReportSerializer

TAG = "Compliance"


class DataSerializer(serializers.Serializer):
    """A dataset that a version came from."""

    name = serializers.CharField()
    version = serializers.CharField()
    digest = serializers.CharField()
    path = serializers.CharField()
    license = serializers.CharField()
    relation = serializers.CharField()


class UpstreamSerializer(serializers.Serializer):
    """A model that a version came from."""

    name = serializers.CharField(help_text="“a private model” where you may not see it.")
    relation = serializers.CharField()
    license = serializers.CharField()


class ToldSerializer(serializers.Serializer):
    """A version with what it was made of, and what was said and found about it."""

    version = serializers.IntegerField(source="version.number")
    stage = serializers.CharField(source="version.stage")
    digest = serializers.CharField(source="version.manifest.digest", allow_null=True, default=None)
    owner = fields.person("version.owner")
    registered_at = serializers.DateTimeField(source="version.created_at")
    registered_by = fields.person("version.created_by")
    code_repository = serializers.CharField(source="version.code_repository")
    code_commit = serializers.CharField(source="version.code_commit")
    training_run_id = serializers.CharField(source="version.training_run_id")
    data = DataSerializer(many=True)
    upstream = UpstreamSerializer(many=True)
    license = serializers.CharField(source="version.license")
    pii_usage = serializers.CharField(source="version.pii_usage")
    pii_notes = serializers.CharField(source="version.pii_notes")
    bias_fairness_notes = serializers.CharField(source="version.bias_fairness_notes")
    risk_flags = fields.Names(source="version.risk_flags")
    metrics = MetricSerializer(source="version.metrics", many=True)
    evaluation_reports = ReportSerializer(source="version.reports", many=True)
    checks = CheckSerializer(source="version.checks", many=True)


class ApprovalSerializer(serializers.Serializer):
    """Somebody's verdict."""

    person = fields.person("reviewer")
    role = serializers.CharField(help_text="In the model's team, then.")
    verdict = serializers.CharField()
    at = serializers.DateTimeField(source="created_at")
    dismissed_at = serializers.DateTimeField(allow_null=True)
    dismissed_why = serializers.CharField()


class PeriodSerializer(serializers.Serializer):
    """One stay of a version in production."""

    version = serializers.IntegerField(source="number")
    deleted = serializers.SerializerMethodField(help_text="Whether the version was deleted since.")
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(allow_null=True)
    how = serializers.ChoiceField(["approved", "direct", "emergency", "rollback"])
    by = serializers.CharField(
        source="by_name", help_text="Who moved it; of a request, whose yes completed it."
    )
    reason = serializers.CharField()
    request = serializers.IntegerField(source="request.pk", allow_null=True, default=None)
    requested_by = serializers.CharField(
        source="request.requested_by.username", allow_null=True, default=None
    )
    approvals = ApprovalSerializer(source="reviews", many=True)
    reviewed_after_by = serializers.CharField(
        source="request.reviewed_after_by.username", allow_null=True, default=None
    )
    reviewed_after_at = serializers.DateTimeField(
        source="request.reviewed_after_at", allow_null=True, default=None
    )
    policies = serializers.ListField(child=serializers.CharField(), help_text="Scope and number of each.")
    ended_how = serializers.CharField()
    ended_by = serializers.CharField(source="ended_by_name")
    end_reason = serializers.CharField()

    def get_deleted(self, period: Any) -> bool:
        return period.version is None


class InForceSerializer(serializers.Serializer):
    """A policy that applies now."""

    stage = serializers.CharField()
    scope = serializers.CharField()
    number = serializers.IntegerField(help_text="0 is the default that nobody changed.")
    demands = serializers.ListField(child=serializers.CharField(), source="sentences")
    since = serializers.DateTimeField(allow_null=True)
    by = serializers.CharField()


class ChainSerializer(serializers.Serializer):
    """Where the chain of the audit stands."""

    sealed_to = serializers.IntegerField(source="standing.sealed")
    waiting = serializers.IntegerField(source="standing.waiting")
    verified_to = serializers.IntegerField(
        source="standing.verification.links", allow_null=True, default=None
    )
    verified_at = serializers.DateTimeField(
        source="standing.verification.ended_at", allow_null=True, default=None
    )
    problem = serializers.CharField(source="standing.verification.problem", allow_null=True, default=None)
    checkpoint_at = serializers.DateTimeField(
        source="standing.checkpoint.created_at", allow_null=True, default=None
    )
    records = serializers.IntegerField(help_text="Records about this model.")
    refused = serializers.IntegerField()
    first = serializers.DateTimeField(allow_null=True)
    last = serializers.DateTimeField(allow_null=True)


class ComplianceSerializer(serializers.Serializer):
    """The report."""

    model = serializers.CharField(source="model.name")
    purpose = serializers.CharField(source="model.purpose")
    risk_level = serializers.CharField(source="model.risk_level")
    license = serializers.CharField(source="model.license")
    registered_at = serializers.DateTimeField(source="model.created_at")
    owner = fields.person("model.owner")
    owner_since = serializers.DateTimeField(allow_null=True)
    team = serializers.CharField(source="model.team.slug")
    team_since = serializers.DateTimeField(allow_null=True)
    made_at = serializers.DateTimeField()
    made_by = serializers.CharField()
    findings = serializers.ListField(child=serializers.CharField(), help_text="What an auditor would remark.")
    in_production = serializers.SerializerMethodField()
    versions = ToldSerializer(
        many=True, help_text="In production now or in one of these periods, and the newest."
    )
    versions_left_out = serializers.IntegerField(source="versions_cut")
    production_periods = PeriodSerializer(source="periods.items", many=True, help_text="Newest first.")
    production_periods_total = serializers.IntegerField(source="periods.total")
    older_until = serializers.DateTimeField(
        source="periods.next_until", allow_null=True, help_text="Give it as until= for the periods before."
    )
    policies = InForceSerializer(many=True)
    open_requests = serializers.IntegerField()
    audit = ChainSerializer(
        source="record", allow_null=True, help_text="Null for who may not read the audit."
    )

    def get_in_production(self, report: Any) -> list[int]:
        return [one.version.number for one in report.current]


class Compliance(Door):
    @operation(
        "Read the compliance report of a model",
        tag=TAG,
        name="compliance_read",
        answers=ComplianceSerializer,
        path="name",
        parameters=[query("until", OpenApiTypes.DATETIME, "Only periods that began before.")],
        description="Owners, data, licenses, risks, policies, every production period with who said yes. Whoever may "
        "read the model may read it; the audit's part is for admins of its team and of the site.",
    )
    def get(self, request: Any, name: str) -> Response:
        until = moment_in("until", request.query_params.get("until"))
        found = compliance.report(name, by=self.actor, until=until)
        return Response(self.show(ComplianceSerializer, found))


class BundleDownload(Door):
    content_negotiation_class = Anything

    @operation(
        "Download everything about a version, signed",
        tag=TAG,
        name="versions_bundle",
        answers=OpenApiTypes.BINARY,
        media=("application/zip",),
        path="name revision",
        parameters=[query("files", OpenApiTypes.BOOL, "With the files themselves.")],
        errors=DOWNLOAD,
        description="A zip with metadata, lineage, requests and reviews, audit records with their hashes, digests and "
        "a signature; README.txt inside says how to check it. For admins of the team and of the site.",
    )
    def get(self, request: Any, name: str, revision: str) -> Any:
        version = get_version(name, revision, by=self.actor)
        bundle = bundles.make(version, by=self.actor, with_files=fields.switch_in(request, "files"))
        return send_archive(
            request._request,
            bundle.archive,
            name=bundle.name,
            digest=bundle.digest,
            last_modified=bundle.made_at,
        )
