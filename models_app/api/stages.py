"""Stages: what is in one now, moves, roll back, aliases, and the record of it all."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Prefetch, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.http import paging
from models_app.models import (
    Deployment,
    ManifestEntry,
    ModelVersion,
    Stage,
    StageTransition,
    TransitionKind,
)
from models_app.registry import audit, deployment_views, lifecycle, promotions
from models_app.registry.access import Right, get_model, get_version

from . import fields
from .base import Door, Listing, address, cursor_in, limit_in, next_address, refuse_unknown
from .conditional import answer_unless_known
from .files import FileSerializer
from .parsing import Revision, Strict, Switch, Text
from .schema import READ, operation, query
from .versions import MetricSerializer, VersionSerializer

TAG = "Stages"
# A deployer gets the addresses of this many files with a version; of more there is the listing and the archive.
FILES_SHOWN = 200


class TransitionSerializer(serializers.ModelSerializer):
    """A move of a version from one stage to another."""

    model = serializers.SerializerMethodField()
    version = serializers.IntegerField(source="version.number")
    by = fields.person("by")
    caused_by = serializers.IntegerField(
        source="caused_by_id", allow_null=True, help_text="The move that brought this one about."
    )

    class Meta:
        model = StageTransition
        fields = [
            "id",
            "model",
            "version",
            "from_stage",
            "to_stage",
            "kind",
            "reason",
            "by",
            "at",
            "caused_by",
        ]
        read_only_fields = fields

    def get_model(self, transition: StageTransition) -> str:
        return transition.model.name


class BroughtSerializer(serializers.ModelSerializer):
    """A deployment that a move brought about."""

    environment = serializers.CharField(source="environment.name")
    waits_for = serializers.SerializerMethodField(help_text="What a queued one waits for.")

    class Meta:
        model = Deployment
        fields = ["id", "environment", "kind", "state", "waits_for"]
        read_only_fields = fields

    def get_waits_for(self, deployment: Deployment) -> str:
        return deployment_views.waits_for(deployment)


class MovedSerializer(serializers.Serializer):
    """What happened, the version that the stage holds now, and where it is deployed because of that."""

    transition = TransitionSerializer()
    version = VersionSerializer()
    deployments = BroughtSerializer(many=True)


class Move(Strict):
    to = serializers.ChoiceField(Stage.choices)
    reason = Text(required=False, max_length=lifecycle.MAX_REASON, help_text="Why, for the record.")
    keep_former = Switch(
        required=False, help_text="Keep what is in production now beside it; archived otherwise."
    )


class Rollback(Strict):
    reason = Text(min_length=1, max_length=lifecycle.MAX_REASON, help_text="Why, for the record.")


class Pointing(Strict):
    version = Revision(max_length=255, help_text="Revision it points at: a number, stage, alias or “latest”.")


class AliasSerializer(serializers.Serializer):
    """An alias and the version it points at."""

    alias = serializers.CharField(source="name")
    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="version.number")
    updated_at = serializers.DateTimeField()


class StageMove(Door):
    @operation(
        "Move a version to a stage",
        tag=TAG,
        name="stages_move",
        takes=Move,
        answers=MovedSerializer,
        path="name revision",
        is_repeatable=True,
        description="Into production the policy is asked; its answer lists in “missing” what the version lacks. What "
        "was in production is archived unless keep_former.",
    )
    def post(self, request: Any, name: str, revision: str) -> Response:
        body = self.sent(Move)

        def work() -> Any:
            version = get_version(name, revision, by=self.actor)
            return _moved(self, promotions.move(version, by=self.actor, **body))

        return self.once(200, work, body)


def _moved(view: Door, transition: StageTransition) -> Any:
    """The move, and the version that holds its stage now (after a roll back: the one in production)."""
    now = transition.version
    if transition.kind == TransitionKind.ROLLBACK and transition.to_stage != Stage.PRODUCTION:
        now = lifecycle.current_production(transition.model) or now
    version = get_version(transition.model.name, now.number, by=view.actor)
    brought = deployment_views.brought_by(transition)
    return view.show(MovedSerializer, {"transition": transition, "version": version, "deployments": brought})


class RollBack(Door):
    @operation(
        "Roll production back",
        tag=TAG,
        name="stages_rollback",
        takes=Rollback,
        answers=MovedSerializer,
        path="name",
        is_repeatable=True,
        description="The previous production version is production again, and the present one is archived.",
    )
    def post(self, request: Any, name: str) -> Response:
        body = self.sent(Rollback)

        def work() -> Any:
            model = get_model(name, by=self.actor)
            return _moved(self, lifecycle.rollback(model, by=self.actor, **body))

        return self.once(200, work, body)


class AliasDetail(Door):
    @operation(
        "Point an alias at a version",
        tag=TAG,
        name="aliases_set",
        takes=Pointing,
        answers=AliasSerializer,
        path="name alias",
    )
    def put(self, request: Any, name: str, alias: str) -> Response:
        body = self.json()
        if isinstance(body.get("version"), int) and not isinstance(body["version"], bool):
            body["version"] = str(body["version"])
        wanted = self.sent(Pointing, body)
        version = get_version(name, wanted["version"], by=self.actor, right=Right.EDIT_VERSION)
        row = lifecycle.set_alias(version.model, name=alias, version=version, by=self.actor)
        return Response(self.show(AliasSerializer, row))

    @operation(
        "Delete an alias", tag=TAG, name="aliases_delete", status=204, path="name alias", errors=(*READ, 409)
    )
    def delete(self, request: Any, name: str, alias: str) -> Response:
        model = get_model(name, by=self.actor, right=Right.EDIT_VERSION)
        lifecycle.delete_alias(model, name=alias, by=self.actor)
        return Response(status=204)


class TransitionFilter(filters.FilterSet):
    version = filters.NumberFilter("version__number")
    from_stage = filters.ChoiceFilter(choices=Stage.choices)
    to_stage = filters.ChoiceFilter(choices=Stage.choices)
    kind = filters.ChoiceFilter(choices=TransitionKind.choices)
    by = fields.Exactly("by__username", "Username.")
    after = fields.since("at")
    before = fields.before("at")


class TransitionList(Listing):
    model = StageTransition
    serializer_class = TransitionSerializer
    filterset_class = TransitionFilter
    orderings = {"-at": (("at", "desc"), ("id", "desc")), "at": (("at", "asc"), ("id", "asc"))}

    def rows(self) -> QuerySet[StageTransition]:
        model = get_model(self.kwargs["name"], by=self.actor)
        return lifecycle.history(model).select_related("version", "by", "model").defer("model__card")

    @operation(
        "List a model's stage moves",
        tag=TAG,
        name="stages_transitions",
        answers=TransitionSerializer(many=True),
        path="name",
    )
    def get(self, request: Any, name: str) -> Response:
        return self.list(request)


class DeployableSerializer(serializers.ModelSerializer):
    """A version as whoever deploys it needs it."""

    model = serializers.CharField(source="model.name")
    version = serializers.IntegerField(source="number")
    team = serializers.CharField(source="model.team.slug")
    url = serializers.SerializerMethodField()
    digest = serializers.CharField(source="manifest.digest", allow_null=True)
    total_size = serializers.IntegerField(source="manifest.total_size", allow_null=True)
    file_count = serializers.IntegerField(source="manifest.file_count", allow_null=True)
    files = serializers.SerializerMethodField(help_text=f"The first {FILES_SHOWN}; all are behind files_url.")
    files_url = serializers.SerializerMethodField()
    archive_url = serializers.SerializerMethodField(help_text="All files as one zip.")
    promoted_at = serializers.DateTimeField(
        source="stage_changed_at", help_text="Since when it is in this stage."
    )
    promoted_by = fields.person("last_promoted_by", "Who let it into production last.")
    rollback_target = fields.number_of("rollback_target", "The version that a roll back would bring back.")
    serving_endpoint = serializers.CharField(help_text="Where it answers; empty when nobody said.")
    aliases = fields.Names()
    tags = fields.Pairs()
    model_tags = fields.Pairs(source="model.tags")
    metrics = MetricSerializer(many=True)

    class Meta:
        model = ModelVersion
        fields = [
            "model",
            "version",
            "team",
            "stage",
            "url",
            "digest",
            "total_size",
            "file_count",
            "files",
            "files_url",
            "archive_url",
            "promoted_at",
            "promoted_by",
            "serving_endpoint",
            "rollback_target",
            "aliases",
            "tags",
            "model_tags",
            "metrics",
            "framework",
            "framework_version",
            "signature",
            "license",
            "updated_at",
        ]
        read_only_fields = fields

    def _address(self, view: str, version: ModelVersion, **more: Any) -> str:
        names = {"name": version.model.name, "revision": str(version.number)}
        return address(self.context["request"], view, **names, **more)

    @extend_schema_field(serializers.URLField())
    def get_url(self, version: ModelVersion) -> str:
        return self._address("version", version)

    @extend_schema_field(FileSerializer(many=True))
    def get_files(self, version: ModelVersion) -> Any:
        entries = version.manifest.first_entries if version.manifest else []
        return FileSerializer(entries, many=True, context={**self.context, "version": version}).data

    @extend_schema_field(serializers.URLField())
    def get_files_url(self, version: ModelVersion) -> str:
        return self._address("files", version)

    @extend_schema_field(serializers.URLField())
    def get_archive_url(self, version: ModelVersion) -> str:
        return self._address("archive", version, kind="zip")


class StageListSerializer(serializers.Serializer):
    """What is in a stage now."""

    stage = serializers.ChoiceField(Stage.choices)
    items = DeployableSerializer(many=True)
    next = serializers.URLField(allow_null=True, help_text="The next page, null on the last.")


ORDER: paging.Order = (("stage_changed_at", "desc"), ("id", "desc"))
FILTERS = ("model", "team", "tag")


class InStage(Door):
    @operation(
        "See what is in a stage now",
        tag=TAG,
        name="stages_read",
        answers=StageListSerializer,
        path="stage",
        errors=(304, *READ),
        parameters=[
            query("model", str, "Only versions of this model."),
            query("team", str, "Only models of this team, by slug."),
            query("tag", str, "Only models with this tag: key or key=value."),
            query("cursor", str, "Where the page starts: taken from “next”."),
            query("limit", {"type": "integer", "minimum": 1, "maximum": 999_999}, "Rows of a page."),
        ],
        description="What a deployer reads, most recently moved first, with download addresses. Poll it with "
        "If-None-Match: the answer is 304, and nearly free, as long as nothing changed.",
    )
    def get(self, request: Any, stage: str) -> Response:
        refuse_unknown(request, {*FILTERS, "cursor", "limit"})
        wanted = {name: request.query_params.get(name, "") for name in FILTERS}
        rows = lifecycle.in_stage(stage, by=self.actor, **wanted)
        facts = rows.values("id", "stage_changed_at", "updated_at", "model__updated_at")
        page = paging.keyset_page(facts, order=ORDER, cursor=cursor_in(request), limit=limit_in(request))

        def body() -> Any:
            listing = {
                "stage": stage,
                "items": _deployable([row["id"] for row in page.items]),
                "next": next_address(request, page.next_cursor),
            }
            return self.show(StageListSerializer, listing)

        return answer_unless_known(
            request,
            request.get_full_path(),
            [tuple(row.values()) for row in page.items],
            page.next_cursor is None,
            body=body,
            last_modified=_last_change(page.items),
        )


def _deployable(ids: list[int]) -> list[ModelVersion]:
    files = ManifestEntry.objects.order_by("path")[:FILES_SHOWN]
    versions = (
        ModelVersion.objects.filter(pk__in=ids)
        .select_related("model__team", "manifest", "last_promoted_by", "rollback_target")
        .defer("model__card", "description", "pii_notes", "bias_fairness_notes", "rollback_target__signature")
        .prefetch_related(
            "aliases",
            "tags",
            "metrics",
            "model__tags",
            Prefetch("manifest__entries", queryset=files, to_attr="first_entries"),
        )
    )
    found = {version.pk: version for version in versions}
    return [found[pk] for pk in ids if pk in found]


def _last_change(rows: list[dict[str, Any]]) -> datetime | None:
    """The newest of the rows shown and of all that was done in the registry: what left the list shows only there."""
    moments = [row[column] for row in rows for column in ("updated_at", "model__updated_at")]
    return max(filter(None, [audit.last_change(), *moments]), default=None)
