"""What is kept and for how long: holds to lift, policies changed through their verb, and what waits to go."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase

from models_app.models import LegalHold, RetentionMark, RetentionPolicy
from models_app.registry import holds, retention
from models_app.registry.access import Right, may

from .base import RegistryAdmin, actor_of, ask, each
from .verb_forms import VerbForm, VerbFormAdmin


@admin.register(LegalHold)
class LegalHoldAdmin(RegistryAdmin):
    """Holds are placed where their version or model is shown."""

    visible_through = "model"
    list_display = ("__str__", "model", "version", "reason", "placed_by", "placed_at", "lifted_at")
    list_filter = (("lifted_at", admin.EmptyFieldListFilter), "of_site")
    list_select_related = ("model", "version__model", "placed_by")
    search_fields = ("model__name", "reason")
    ordering = ("-id",)
    actions = ("lift",)

    @admin.action(description="Lift")
    def lift(self, request: HttpRequest, rows: QuerySet[LegalHold]) -> HttpResponseBase | None:
        if "reason" not in request.POST:
            return ask(request, admin_class=self, rows=rows, action="lift", title="Lift legal holds")
        actor, reason = actor_of(request), request.POST["reason"]
        each(
            request,
            rows.select_related("model__team"),
            lambda row: holds.lift(row, by=actor, reason=reason),
            done="lifted",
            admin_class=self,
        )
        return None


class RetentionForm(VerbForm):
    reason = forms.CharField(required=False, max_length=2000)

    class Meta:
        model = RetentionPolicy
        fields = ("stage", "team", "keep_last", "keep_days", "then", "cold_days")

    def act(self, data: dict[str, Any]) -> RetentionPolicy:
        scope = {name: data.get(name, getattr(self.instance, name)) for name in ("stage", "team")}
        kept = {name: data.get(name) for name in ("keep_last", "keep_days", "cold_days")}
        return retention.set_policy(
            **scope, **kept, then=data["then"], reason=data["reason"], by=actor_of(self.request)
        )


@admin.register(RetentionPolicy)
class RetentionPolicyAdmin(VerbFormAdmin):
    visible_through = "*"
    form = RetentionForm
    list_display = (
        "__str__",
        "stage",
        "team",
        "keep_last",
        "keep_days",
        "then",
        "cold_days",
        "updated_by",
        "updated_at",
    )
    list_filter = ("stage", "team")
    list_select_related = ("team", "updated_by")
    autocomplete_fields = ("team",)
    fields = ("stage", "team", "keep_last", "keep_days", "then", "cold_days", "reason")
    ordering = ("-id",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        actor = actor_of(request)
        deletes = actor.is_site_admin or any(may(actor, Right.DELETE, team) for team in actor.roles)
        return bool(request.user.is_staff) and deletes

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return self.has_view_permission(request)
        return bool(request.user.is_staff) and may(actor_of(request), Right.DELETE, obj.team)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and self.has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("stage", "team") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj and not self.has_change_permission(request, obj):
            return ("stage", "team", "keep_last", "keep_days", "then", "cold_days")
        return self.fields

    def delete_model(self, request: HttpRequest, obj: RetentionPolicy) -> None:
        retention.remove_policy(obj, by=actor_of(request), reason="Removed in the admin.")


@admin.register(RetentionMark)
class RetentionMarkAdmin(RegistryAdmin):
    visible_through = "version__model"
    list_display = ("version", "then", "why", "marked_at")
    list_filter = ("then",)
    list_select_related = ("version__model",)
    search_fields = ("version__model__name",)
    ordering = ("marked_at", "id")
