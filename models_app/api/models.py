"""Registered models: list, register, read, change, rename, delete."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from models_app.models import RegisteredModel, Risk, Visibility
from models_app.registry import card_template, catalog, model_fields
from models_app.registry.access import Right, get_model, models_for

from . import fields
from .base import Door, Listing, address
from .conditional import answer_unless_known
from .parsing import Strict, Text
from .schema import READ, operation, query

TAG = "Models"


class ModelSummarySerializer(serializers.ModelSerializer):
    """A model as lists show it."""

    url = serializers.SerializerMethodField()
    team = serializers.CharField(source="team.slug", help_text="Slug of the team that owns it.")
    owner = fields.person("owner")
    tags = fields.Pairs()
    created_by = fields.person("created_by")
    latest_version = fields.number_of("newest", "The newest version.")
    staging_version = fields.number_of("newest_staging", "The newest version in staging.")
    production_version = fields.number_of("newest_production", "The newest version in production.")

    class Meta:
        model = RegisteredModel
        fields = [
            "name",
            "url",
            "team",
            "owner",
            "visibility",
            "purpose",
            "task",
            "library",
            "license",
            "risk_level",
            "headline_metric",
            "tags",
            "version_count",
            "latest_version",
            "staging_version",
            "production_version",
            "created_at",
            "created_by",
            "updated_at",
        ]
        read_only_fields = fields

    @extend_schema_field(serializers.URLField())
    def get_url(self, model: RegisteredModel) -> str:
        return address(self.context["request"], "model", name=model.name)


class ModelSerializer(ModelSummarySerializer):
    """A model with its card and aliases."""

    notices = serializers.ListField(
        child=serializers.CharField(),
        read_only=True,
        help_text="After a change of the card: what its front matter says and was not taken over, and why.",
    )
    aliases = serializers.SerializerMethodField(help_text="Alias → version number.")

    class Meta(ModelSummarySerializer.Meta):
        fields = [*ModelSummarySerializer.Meta.fields, "aliases", "card", "notices"]
        read_only_fields = fields

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_aliases(self, model: RegisteredModel) -> dict[str, int]:
        return {alias.name: alias.version.number for alias in model.aliases.select_related("version")}


class ModelFields(Strict):
    """What may be said of a model."""

    owner = Text(required=False, allow_null=True, max_length=150, help_text="Username.")
    visibility = serializers.ChoiceField(Visibility.choices, required=False)
    purpose = Text(required=False, max_length=500, help_text="One line: what it is for.")
    card = Text(required=False, max_length=model_fields.MAX_CARD, help_text="Markdown.")
    task = Text(required=False, max_length=64)
    library = Text(required=False, max_length=64)
    license = Text(required=False, max_length=200, help_text="SPDX expression.")
    risk_level = serializers.ChoiceField(Risk.choices, required=False, allow_blank=True)
    headline_metric = Text(required=False, max_length=250, help_text="The metric one judges it by.")
    tags = serializers.DictField(child=Text(max_length=5000), required=False, help_text="Key → value.")


class ModelUpdate(ModelFields):
    """What may be changed of a model; tags are replaced as given."""

    team = Text(required=False, max_length=64, help_text="Slug of the team to hand it to.")


class ModelCreation(ModelFields):
    """A new model."""

    name = Text(max_length=256, help_text="team/name, or a plain name.")
    team = Text(
        required=False, max_length=64, help_text="Slug; a plain name belongs to your default team otherwise."
    )


class Renaming(Strict):
    to = Text(max_length=256, help_text="The new name; the old one leads there from now on.")


class ModelFilter(filters.FilterSet):
    name = fields.Exactly("name", "Exactly this name.")
    prefix = fields.Exactly("name", "Names that start so, like risk/", lookup_expr="startswith")
    team = fields.Exactly("team__slug", "Slug of the owning team.")
    owner = fields.Exactly("owner__username", "Username of the owner.")
    task = fields.Exactly("task")
    library = fields.Exactly("library")
    license = fields.Exactly("license")
    visibility = filters.ChoiceFilter(choices=Visibility.choices)
    risk_level = filters.ChoiceFilter(choices=[choice for choice in Risk.choices if choice[0]])
    tag = fields.TagFilter("tags", label="key or key=value; repeat it to narrow.")
    in_production = fields.Flag("newest_production", lookup_expr="isnull", exclude=True)
    created_after = fields.since("created_at")
    created_before = fields.before("created_at")
    updated_after = fields.since("updated_at")
    updated_before = fields.before("updated_at")


# A list needs neither cards nor anything of the versions but their numbers.
_COLUMNS = [
    *(column.name for column in RegisteredModel._meta.concrete_fields if column.name != "card"),
    *("team__slug", "owner__username", "created_by__username"),
    *("newest__number", "newest_staging__number", "newest_production__number"),
]
_RELATED = ("team", "owner", "created_by", "newest", "newest_staging", "newest_production")


class ModelList(Listing):
    model = RegisteredModel
    serializer_class = ModelSummarySerializer
    filterset_class = ModelFilter
    orderings = {
        "-updated_at": (("updated_at", "desc"), ("id", "desc")),
        "updated_at": (("updated_at", "asc"), ("id", "asc")),
        "-created_at": (("created_at", "desc"), ("id", "desc")),
        "created_at": (("created_at", "asc"), ("id", "asc")),
        "name": (("name", "asc"),),
        "-name": (("name", "desc"),),
    }

    def rows(self) -> QuerySet[RegisteredModel]:
        models = models_for(self.actor).without_prompts()
        return models.select_related(*_RELATED).only(*_COLUMNS).prefetch_related("tags")

    @operation("List models", tag=TAG, name="models_list", answers=ModelSummarySerializer(many=True))
    def get(self, request: Any) -> Response:
        return self.list(request)

    @operation(
        "Register a model",
        tag=TAG,
        name="models_create",
        takes=ModelCreation,
        answers=ModelSerializer,
        status=201,
        is_repeatable=True,
    )
    def post(self, request: Any) -> Response:
        body = self.sent(ModelCreation)
        return self.once(
            201, lambda: self.show(ModelSerializer, catalog.register_model(by=self.actor, **body)), body
        )


class ModelDetail(Door):
    @operation(
        "Read a model",
        tag=TAG,
        name="models_read",
        answers=ModelSerializer,
        path="name",
        errors=(304, *READ),
        description="By its name or a former one. Answers 304 when If-None-Match holds its ETag.",
    )
    def get(self, request: Any, name: str) -> Response:
        model = get_model(name, by=self.actor)
        return answer_unless_known(
            request, model.pk, model.updated_at, body=lambda: self.show(ModelSerializer, model)
        )

    @operation(
        "Change a model",
        tag=TAG,
        name="models_update",
        takes=ModelUpdate,
        answers=ModelSerializer,
        path="name",
    )
    def patch(self, request: Any, name: str) -> Response:
        model = get_model(name, by=self.actor, right=Right.EDIT_MODEL)
        changed = catalog.update_model(model, by=self.actor, **self.sent(ModelUpdate))
        return Response(self.show(ModelSerializer, changed))

    @operation(
        "Delete a model",
        tag=TAG,
        name="models_delete",
        status=204,
        path="name",
        errors=(*READ, 409),
        parameters=[query("reason", str, "Why, for the record.")],
        description="With all its versions; refused while one is in staging or production.",
    )
    def delete(self, request: Any, name: str) -> Response:
        model = get_model(name, by=self.actor, right=Right.DELETE)
        catalog.delete_model(model, by=self.actor, reason=request.query_params.get("reason", "")[:2000])
        return Response(status=204)


class DemandSerializer(serializers.Serializer):
    """Something that the policies of a stage demand to be filled in."""

    field = serializers.CharField()
    label = serializers.CharField()
    met = serializers.BooleanField(help_text="Whether the newest version has it.")
    detail = serializers.CharField()
    stage = serializers.CharField()
    policy = serializers.CharField(help_text="Whose demand it is: site, a risk, a team or a model.")
    where = serializers.CharField(help_text="Where it is filled in: card, model or version.")


class CardTemplateSerializer(serializers.Serializer):
    """A card to start from."""

    card = serializers.CharField(
        help_text="Markdown with front matter: what is known, and empty keys for the rest."
    )
    readme = serializers.CharField(
        help_text="README.md beside the newest version's files; empty without one."
    )
    demands = DemandSerializer(many=True)


class CardTemplate(Door):
    @operation(
        "Read a card to start from",
        tag=TAG,
        name="models_card_template",
        answers=CardTemplateSerializer,
        path="name",
        description="Sections, and front matter with exactly what the policies of staging and production demand.",
    )
    def get(self, request: Any, name: str) -> Response:
        model = get_model(name, by=self.actor)
        found = {
            "card": card_template.template(model),
            "readme": card_template.readme(model.newest),
            "demands": card_template.wanted(model),
        }
        return Response(self.show(CardTemplateSerializer, found))


class ModelRename(Door):
    @operation(
        "Rename a model",
        tag=TAG,
        name="models_rename",
        takes=Renaming,
        answers=ModelSerializer,
        path="name",
        is_repeatable=True,
    )
    def post(self, request: Any, name: str) -> Response:
        body = self.sent(Renaming)

        def work() -> Any:
            model = get_model(name, by=self.actor, right=Right.EDIT_MODEL)
            return self.show(ModelSerializer, catalog.rename_model(model, to=body["to"], by=self.actor))

        return self.once(200, work, body)
