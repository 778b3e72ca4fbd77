"""Versions: list, register in one call, read, fill in, delete, compare."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import EvaluationReport, ModelVersion, PiiUsage, Stage, VersionMetric
from models_app.registry import addresses, catalog, holds, metadata, requirements
from models_app.registry.access import Right, get_model, get_version, versions_for
from models_app.registry.errors import FieldProblem, Invalid
from models_app.registry.lineage import BASE_RELATIONS

from . import fields
from .base import Door, Listing, address, site
from .conditional import answer_unless_known
from .models import ModelFields
from .parsing import Strict, Switch, Text
from .registering import FileRef, registration_in
from .schema import JSON, READ, operation, query

TAG = "Versions"


class MetricSerializer(serializers.ModelSerializer):
    """A number measured on a version."""

    class Meta:
        model = VersionMetric
        fields = ["name", "value", "dataset", "split", "higher_is_better"]
        read_only_fields = fields


class ReportSerializer(serializers.ModelSerializer):
    """A link to an evaluation report."""

    class Meta:
        model = EvaluationReport
        fields = ["title", "url"]
        read_only_fields = fields


class VersionSerializer(serializers.ModelSerializer):
    """A version with everything known about it."""

    model = serializers.CharField(source="model.name", help_text="Name of the model.")
    version = serializers.IntegerField(source="number")
    url = serializers.SerializerMethodField()
    files_url = serializers.SerializerMethodField(help_text="The listing of its files.")
    page = serializers.SerializerMethodField(help_text="Where people read of it.")
    archive_url = serializers.SerializerMethodField(help_text="All its files as one zip.")
    team = serializers.CharField(source="model.team.slug")
    owner = fields.person("owner")
    created_by = fields.person("created_by")
    last_promoted_by = fields.person("last_promoted_by")
    rollback_target = fields.number_of("rollback_target", "The version that a roll back would bring back.")
    run = serializers.CharField(source="run.uid", allow_null=True, help_text="Run of this registry.")
    retrains = serializers.IntegerField(
        source="retraining.incident_id",
        default=None,
        allow_null=True,
        help_text="Number of the incident because of which it was trained.",
    )
    serving_endpoint = serializers.CharField(help_text="Where it answers; empty when nobody said.")
    aliases = fields.Names()
    tags = fields.Pairs()
    risk_flags = fields.Names()
    metrics = MetricSerializer(many=True)
    reports = ReportSerializer(many=True)
    legal_holds = serializers.SerializerMethodField(
        help_text="Numbers of the holds in force on it or its model: nobody deletes it."
    )
    digest = serializers.CharField(
        source="manifest.digest", allow_null=True, help_text="Hash of its sorted listing of files."
    )
    file_count = serializers.IntegerField(source="manifest.file_count", allow_null=True)
    total_size = serializers.IntegerField(source="manifest.total_size", allow_null=True, help_text="Bytes.")

    class Meta:
        model = ModelVersion
        fields = [
            "model",
            "version",
            "url",
            "page",
            "team",
            "stage",
            "stage_changed_at",
            "aliases",
            "tags",
            "created_at",
            "created_by",
            "updated_at",
            "digest",
            "file_count",
            "total_size",
            "files_url",
            "archive_url",
            "source",
            *metadata.VERSION_FIELDS,
            "run",
            "retrains",
            "metrics",
            "reports",
            "risk_flags",
            "last_promoted_at",
            "last_promoted_by",
            "rollback_target",
            "legal_holds",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.ListField(child=serializers.IntegerField()))
    def get_legal_holds(self, version: ModelVersion) -> list[int]:
        return [hold.pk for hold in holds.keeping(version)]

    def _address(self, view: str, version: ModelVersion, **more: Any) -> str:
        names = {"name": version.model.name, "revision": str(version.number)}
        return address(self.context["request"], view, **names, **more)

    @extend_schema_field(serializers.URLField())
    def get_url(self, version: ModelVersion) -> str:
        return self._address("version", version)

    @extend_schema_field(serializers.URLField())
    def get_page(self, version: ModelVersion) -> str:
        return site(self.context["request"]) + addresses.of_version(version.model.name, version.number)

    @extend_schema_field(serializers.URLField())
    def get_files_url(self, version: ModelVersion) -> str:
        return self._address("files", version)

    @extend_schema_field(serializers.URLField())
    def get_archive_url(self, version: ModelVersion) -> str:
        return self._address("archive", version, kind="zip")


class RequirementSerializer(serializers.Serializer):
    """One thing that a stage demands."""

    key = serializers.CharField()
    label = serializers.CharField()
    field = serializers.CharField(help_text="Which field of the version fills it in.")
    met = serializers.BooleanField()
    detail = serializers.CharField()
    policy = serializers.CharField(help_text="Whose demand it is: site, a risk, a team or a model.")
    waits_for = serializers.CharField(help_text="What else can meet it: review, check, time; or nothing.")


class MetricIn(Strict):
    name = Text(max_length=250)
    value = serializers.FloatField()
    dataset = Text(required=False, max_length=250)
    split = Text(required=False, max_length=64)
    higher_is_better = Switch(required=False, allow_null=True)


class ReportIn(Strict):
    title = Text(required=False, max_length=200)
    url = serializers.URLField(max_length=1000)


class VersionMetadata(serializers.Serializer):
    """What may be said of a version: the core declares it and checks the values, this only tells the schema."""

    def get_fields(self) -> dict[str, serializers.Field]:
        made: dict[str, serializers.Field] = {}
        for field in metadata.VERSION_FIELDS.values():
            note: dict[str, Any] = {"required": False, "help_text": f"{field.label}. {field.help}".strip()}
            if field.kind == "json":
                made[field.name] = serializers.DictField(**note)
            elif field.kind == "choice":
                made[field.name] = serializers.ChoiceField(PiiUsage.choices, allow_blank=True, **note)
            else:
                limit = getattr(ModelVersion._meta.get_field(field.name), "max_length", None)
                made[field.name] = Text(max_length=limit or metadata.MAX_LONG, allow_null=True, **note)
        made["metrics"] = MetricIn(many=True, required=False)
        made["reports"] = ReportIn(many=True, required=False)
        made["risk_flags"] = serializers.ListField(child=Text(max_length=64), required=False)
        made["tags"] = serializers.DictField(child=Text(max_length=5000), required=False)
        return made


class Registration(VersionMetadata):
    """A new version: its metadata, its model if that should be made, and bytes that are already here."""

    def get_fields(self) -> dict[str, serializers.Field]:
        return {
            "create_model": Switch(required=False, help_text="Make the model if it is missing."),
            "model": ModelFields(required=False, help_text="The model's fields when it is made."),
            "files": FileRef(many=True, required=False),
            **super().get_fields(),
            "aliases": serializers.ListField(child=Text(max_length=255), required=False),
            "run": Text(required=False, max_length=32, help_text="A run of this registry, by uid."),
            "retrains": serializers.IntegerField(
                required=False,
                min_value=1,
                max_value=2**63 - 1,
                help_text="Number of the incident because of which it was trained; its promotion ends that.",
            ),
            "base_relation": serializers.ChoiceField(
                [(one.value, one.label) for one in BASE_RELATIONS], required=False
            ),
            "source": Text(required=False, max_length=2000),
        }


class RegistrationForm(serializers.Serializer):
    """The same as a form, with the bytes in it. Send “metadata” first: it is checked before the files are taken."""

    metadata = Registration(help_text="JSON.")
    digests = serializers.DictField(
        child=serializers.DictField(),
        required=False,
        help_text="JSON: path → {sha256, size} to check against.",
    )
    file = serializers.ListField(
        child=serializers.FileField(), required=False, help_text="Repeated; the file name is the path."
    )


class Measurements(Strict):
    metrics = MetricIn(many=True)


class VersionFilter(filters.FilterSet):
    model = fields.Exactly("model__name", "Name of the model.")
    team = fields.Exactly("model__team__slug", "Slug of the model's team.")
    stage = filters.MultipleChoiceFilter(choices=Stage.choices)
    owner = fields.Exactly("owner__username", "Username.")
    created_by = fields.Exactly("created_by__username", "Username.")
    alias = fields.Exactly("aliases__name")
    digest = fields.Exactly("manifest__digest", "Versions with this very content.")
    framework = fields.Exactly()
    license = fields.Exactly()
    pii_usage = filters.ChoiceFilter(choices=[choice for choice in PiiUsage.choices if choice[0]])
    risk_flag = fields.Exactly("risk_flags__name")
    dataset_name = fields.Exactly()
    dataset_version = fields.Exactly()
    code_commit = fields.Exactly()
    code_repository = fields.Exactly()
    training_run_id = fields.Exactly()
    run = fields.Exactly("run__uid")
    tag = fields.TagFilter("tags", label="key or key=value; repeat it to narrow.")
    metric = fields.MeasuredFilter(label="Comparisons like f1 > 0.9, separated by commas.")
    created_after = fields.since("created_at")
    created_before = fields.before("created_at")
    updated_after = fields.since("updated_at")
    updated_before = fields.before("updated_at")


_TEXTS = ("signature", "description", "pii_notes", "bias_fairness_notes")


def with_everything(rows: QuerySet[ModelVersion]) -> QuerySet[ModelVersion]:
    """With all that a version shows, in a constant number of queries."""
    return (
        rows.select_related(
            "model__team",
            "owner",
            "created_by",
            "last_promoted_by",
            "rollback_target",
            "run",
            "manifest",
            "retraining",
        )
        .defer("model__card", *(f"rollback_target__{name}" for name in _TEXTS))
        .prefetch_related("aliases", "tags", "risk_flags", "metrics", "reports", *holds.KEEPING)
    )


_BY_TIME = {
    "-created_at": (("created_at", "desc"), ("id", "desc")),
    "created_at": (("created_at", "asc"), ("id", "asc")),
    "-updated_at": (("updated_at", "desc"), ("id", "desc")),
    "updated_at": (("updated_at", "asc"), ("id", "asc")),
}


class AllVersions(Listing):
    model = ModelVersion
    serializer_class = VersionSerializer
    filterset_class = VersionFilter
    orderings = _BY_TIME

    def rows(self) -> QuerySet[ModelVersion]:
        return with_everything(versions_for(self.actor))

    @operation(
        "List versions of all models", tag=TAG, name="versions_search", answers=VersionSerializer(many=True)
    )
    def get(self, request: Any) -> Response:
        return self.list(request)


class VersionList(Listing):
    model = ModelVersion
    serializer_class = VersionSerializer
    filterset_class = VersionFilter
    orderings = {"-version": (("number", "desc"),), "version": (("number", "asc"),), **_BY_TIME}

    def rows(self) -> QuerySet[ModelVersion]:
        model = get_model(self.kwargs["name"], by=self.actor)
        return with_everything(versions_for(self.actor).filter(model=model))

    @operation(
        "List a model's versions",
        tag=TAG,
        name="versions_list",
        answers=VersionSerializer(many=True),
        path="name",
    )
    def get(self, request: Any, name: str) -> Response:
        return self.list(request)

    @operation(
        "Register a version",
        tag=TAG,
        name="versions_create",
        takes={"multipart/form-data": RegistrationForm, JSON: Registration},
        answers=VersionSerializer,
        status=201,
        path="name",
        is_repeatable=True,
        description="Model (if asked), version and files in one call: all of it or nothing. Files are hashed while "
        "they arrive; the version exists once everything is stored.",
    )
    def post(self, request: Any, name: str) -> Response:
        registration = registration_in(self, name)

        def work() -> Any:
            version = catalog.register(
                name,
                create_model=registration.create_model,
                model_fields=registration.model_fields,
                files=registration.files,
                metadata=registration.metadata,
                by=self.actor,
            )
            return self.show(VersionSerializer, version)

        return self.once(201, work, registration.mark())


class VersionDetail(Door):
    @operation(
        "Read a version",
        tag=TAG,
        name="versions_read",
        answers=VersionSerializer,
        path="name revision",
        errors=(304, *READ),
        description="Answers 304 when If-None-Match holds its ETag.",
    )
    def get(self, request: Any, name: str, revision: str) -> Response:
        version = get_version(name, revision, by=self.actor)
        return answer_unless_known(
            request,
            version.pk,
            version.updated_at,
            version.model.updated_at,
            body=lambda: self.show(VersionSerializer, version),
        )

    @operation(
        "Fill in a version",
        tag=TAG,
        name="versions_update",
        takes=VersionMetadata,
        answers=VersionSerializer,
        path="name revision",
        description="Metrics are added; reports, risk flags and tags are replaced as given. What came with training "
        "may be filled in once.",
    )
    def patch(self, request: Any, name: str, revision: str) -> Response:
        version = get_version(name, revision, by=self.actor, right=Right.EDIT_VERSION)
        changed = catalog.update_version(version, by=self.actor, metadata=self.json())
        return Response(self.show(VersionSerializer, changed))

    @operation(
        "Delete a version",
        tag=TAG,
        name="versions_delete",
        status=204,
        path="name revision",
        errors=(*READ, 409),
        parameters=[query("reason", str, "Why, for the record.")],
        description="Refused while it is in staging or production, has an alias, is a rollback target, is under legal "
        "hold, or others depend on it; “obstacles” lists all of it. Its number is never given out again.",
    )
    def delete(self, request: Any, name: str, revision: str) -> Response:
        version = get_version(name, revision, by=self.actor, right=Right.DELETE)
        catalog.delete_version(version, by=self.actor, reason=request.query_params.get("reason", "")[:2000])
        return Response(status=204)


class VersionMetrics(Door):
    @operation(
        "Add metrics to a version",
        tag=TAG,
        name="versions_add_metrics",
        takes=Measurements,
        answers=VersionSerializer,
        path="name revision",
        is_repeatable=True,
    )
    def post(self, request: Any, name: str, revision: str) -> Response:
        body = self.json()

        def work() -> Any:
            version = get_version(name, revision, by=self.actor, right=Right.EDIT_VERSION)
            return self.show(
                VersionSerializer, catalog.add_metrics(version, by=self.actor, **_only_metrics(body))
            )

        return self.once(200, work, body)


def _only_metrics(body: dict[str, Any]) -> dict[str, Any]:
    if "metrics" not in body:
        raise Invalid("metrics", "What was measured?")
    if unknown := sorted(body.keys() - {"metrics"}):
        raise Invalid.many([FieldProblem(name[:100], "There is no such field.") for name in unknown])
    return body


class VersionRequirements(Door):
    @operation(
        "See what a stage demands",
        tag=TAG,
        name="versions_requirements",
        answers=RequirementSerializer(many=True),
        path="name revision",
        parameters=[query("to", str, "The stage; production unless told.", enum=Stage.values)],
    )
    def get(self, request: Any, name: str, revision: str) -> Response:
        version = get_version(name, revision, by=self.actor)
        demands = requirements.requirements(version, to=fields.stage_in(request))
        return Response(self.show(RequirementSerializer, demands, many=True))
