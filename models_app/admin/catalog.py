"""Registered models and versions: facts change through the verbs, content never."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from models_app.models import (
    EvaluationReport,
    ModelRedirect,
    ModelTag,
    ModelVersion,
    RegisteredModel,
    RiskFlag,
    Stage,
    VersionMetric,
    VersionTag,
)
from models_app.registry import catalog, lifecycle, promotions
from models_app.registry.access import Right, may_on
from models_app.registry.metadata import VERSION_FIELDS

from .base import RegistryAdmin, actor_of, ask, each


@admin.register(RegisteredModel)
class RegisteredModelAdmin(RegistryAdmin):
    visible_through = ""
    list_display = (
        "name",
        "team",
        "owner",
        "task",
        "library",
        "in_production",
        "version_count",
        "updated_at",
    )
    list_filter = ("team", "visibility", "risk_level")
    list_select_related = ("team", "owner", "newest_production")
    search_fields = ("name", "purpose")
    autocomplete_fields = ("owner",)
    ordering = ("name",)
    editable = (
        "owner",
        "visibility",
        "purpose",
        "card",
        "task",
        "library",
        "license",
        "risk_level",
        "headline_metric",
    )
    fields = (
        "name",
        "team",
        *editable,
        "version_count",
        "newest",
        "newest_production",
        "created_by",
        "created_at",
    )
    actions = ("roll_back",)

    @admin.display(description="In production")
    def in_production(self, model: RegisteredModel) -> str:
        return f"v{model.newest_production.number}" if model.newest_production else ""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [name for name in self.fields if name not in self.editable]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return self.has_view_permission(request)
        return request.user.is_staff and may_on(actor_of(request), Right.EDIT_MODEL, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and request.user.is_staff and may_on(actor_of(request), Right.DELETE, obj)

    def save_model(self, request: HttpRequest, obj: RegisteredModel, form: Form, change: bool) -> None:
        changed = {name: form.cleaned_data[name] for name in form.changed_data}
        saved = catalog.update_model(
            RegisteredModel.objects.select_related("team").get(pk=obj.pk), by=actor_of(request), **changed
        )
        for notice in saved.notices:
            self.message_user(request, notice, messages.WARNING)

    def delete_model(self, request: HttpRequest, obj: RegisteredModel) -> None:
        catalog.delete_model(obj, by=actor_of(request), reason="Deleted in the admin.")

    def view_on_site(self, obj: RegisteredModel) -> str:
        return reverse("web:model", args=[obj.name])

    @admin.action(description="Roll back to the previous production version")
    def roll_back(self, request: HttpRequest, rows: QuerySet[RegisteredModel]) -> HttpResponse | None:
        reason = request.POST.get("reason")
        if reason is None:
            return ask(request, admin_class=self, rows=rows, action="roll_back", title="Roll back")
        actor = actor_of(request)
        each(
            request,
            rows.select_related("team"),
            lambda model: lifecycle.rollback(model, by=actor, reason=reason),
            done="rolled back",
            admin_class=self,
        )
        return None


@admin.register(ModelVersion)
class ModelVersionAdmin(RegistryAdmin):
    visible_through = "model"
    list_display = (
        "__str__",
        "stage",
        "owner",
        "dataset_name",
        "dataset_version",
        "license",
        "created_by",
        "created_at",
    )
    list_filter = ("stage", "pii_usage", ("model__team", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("model", "owner", "created_by")
    search_fields = ("model__name", "dataset_name", "dataset_version", "code_commit", "training_run_id")
    autocomplete_fields = ("owner",)
    ordering = ("-created_at", "-id")
    editable = tuple(name for name, field in VERSION_FIELDS.items() if not field.write_once)
    actions = ("move",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        sealed = [
            "model",
            "number",
            "stage",
            "manifest",
            "rollback_target",
            "last_promoted_at",
            "last_promoted_by",
        ]
        return [*sealed, *VERSION_FIELDS, "run", "source", "created_by", "created_at"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [name for name in self.get_fields(request, obj) if name not in self.editable]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return self.has_view_permission(request)
        return request.user.is_staff and may_on(actor_of(request), Right.EDIT_VERSION, obj.model)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return (
            obj is not None and request.user.is_staff and may_on(actor_of(request), Right.DELETE, obj.model)
        )

    def save_model(self, request: HttpRequest, obj: ModelVersion, form: Form, change: bool) -> None:
        changed = {name: form.cleaned_data[name] for name in form.changed_data}
        version = ModelVersion.objects.select_related("model__team").get(pk=obj.pk)
        catalog.update_version(version, by=actor_of(request), metadata=changed)

    def delete_model(self, request: HttpRequest, obj: ModelVersion) -> None:
        catalog.delete_version(obj, by=actor_of(request), reason="Deleted in the admin.")

    def view_on_site(self, obj: ModelVersion) -> str:
        return reverse("web:version", args=[obj.model.name, obj.number])

    @admin.action(description="Move to another stage")
    def move(self, request: HttpRequest, rows: QuerySet[ModelVersion]) -> HttpResponse | None:
        to, reason = request.POST.get("choice"), request.POST.get("reason", "")
        if to is None:
            return ask(
                request,
                admin_class=self,
                rows=rows,
                action="move",
                title="Move to stage",
                choices=list(Stage.choices),
            )
        actor = actor_of(request)
        each(
            request,
            rows.select_related("model__team"),
            lambda version: promotions.move(version, to=to, by=actor, reason=reason),
            done=f"moved to {to}",
            admin_class=self,
        )
        return None


@admin.register(ModelTag)
class ModelTagAdmin(RegistryAdmin):
    visible_through = "model"
    list_display = ("model", "key", "value")
    list_select_related = ("model",)
    search_fields = ("key", "model__name")


@admin.register(ModelRedirect)
class ModelRedirectAdmin(RegistryAdmin):
    visible_through = "model"
    list_display = ("name", "model", "created_at")
    list_select_related = ("model",)
    search_fields = ("name", "model__name")


class _OfVersion(RegistryAdmin):
    """A table whose rows belong to a version."""

    visible_through = "version__model"
    list_select_related = ("version__model",)


@admin.register(VersionMetric)
class VersionMetricAdmin(_OfVersion):
    list_display = ("version", "name", "value", "dataset", "split", "created_at")
    search_fields = ("name", "version__model__name")
    ordering = ("-id",)


@admin.register(VersionTag)
class VersionTagAdmin(_OfVersion):
    list_display = ("version", "key", "value")
    search_fields = ("key", "version__model__name")
    ordering = ("-id",)


@admin.register(RiskFlag)
class RiskFlagAdmin(_OfVersion):
    list_display = ("version", "name")
    search_fields = ("name", "version__model__name")
    ordering = ("-id",)


@admin.register(EvaluationReport)
class EvaluationReportAdmin(_OfVersion):
    list_display = ("version", "title", "url")
    search_fields = ("title", "url", "version__model__name")
    ordering = ("-id",)
