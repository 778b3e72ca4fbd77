"""Policies, changed through their verb; requests, reviews and checks: to look at, requests to withdraw."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.utils.html import format_html_join

from models_app.models import Check, Policy, PromotionRequest, Review, Stage
from models_app.registry import policies, promotions
from models_app.registry.access import Right, may
from models_app.registry.errors import Forbidden, Invalid, RegistryError

from .base import RegistryAdmin, actor_of, ask, each, refused, tell_refusal

SCOPE = ("stage", "team", "model", "risk_level", "is_active")


class PolicyForm(forms.ModelForm):
    """A policy's text. It is saved as the form is checked, so that what the verb refuses stands beside the field."""

    set_policy: ClassVar[Callable[..., Policy]]

    text = forms.JSONField(
        label="Rules",
        required=False,
        widget=forms.Textarea(attrs={"rows": 16, "cols": 90, "spellcheck": "false"}),
        help_text="JSON as docs/policies.md has it. What is left out is not demanded.",
    )
    reason = forms.CharField(
        required=False, max_length=2000, help_text="Kept with this version of the policy."
    )

    class Meta:
        model = Policy
        fields = SCOPE

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["text"].initial = self.instance.rules
        if "stage" in self.fields:
            self.fields["stage"].choices = [one for one in Stage.choices if one[0] != Stage.DEV]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.errors:
            return data
        scope = {name: data.get(name, getattr(self.instance, name)) for name in SCOPE}
        try:
            self.instance = type(self).set_policy(rules=data["text"] or {}, reason=data["reason"], **scope)
        except Invalid as error:
            for problem in error.problems:
                field, _, where = problem.field.partition(".")
                known = {"rules": "text"}.get(field, field)
                told = f"{where}: {problem.message}" if where else problem.message
                self.add_error(known if known in self.fields else None, told)
        except RegistryError as error:
            self.add_error(None, refused(error))
        return data

    def _post_clean(self) -> None:
        """The verb has said all there is to say."""

    def save(self, commit: bool = True) -> Policy:
        return self.instance

    def save_m2m(self) -> None:
        """There is none."""


@admin.register(Policy)
class PolicyAdmin(RegistryAdmin):
    visible_through = "*"
    form = PolicyForm
    list_display = ("__str__", "stage", "risk_level", "team", "model", "number", "is_active", "updated_at")
    list_filter = ("stage", "is_active", "team")
    list_select_related = ("team", "model")
    search_fields = ("model__name", "team__slug")
    autocomplete_fields = ("team", "model")
    fields = (*SCOPE, "text", "reason")
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Policy]:
        return policies.policies_for(actor_of(request)).order_by("-id")

    def has_add_permission(self, request: HttpRequest) -> bool:
        actor = actor_of(request)
        manages = actor.is_site_admin or any(may(actor, Right.MANAGE_TEAM, team) for team in actor.roles)
        return bool(request.user.is_staff) and manages

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return self.has_view_permission(request)
        return may(actor_of(request), Right.MANAGE_TEAM, obj.model.team if obj.model else obj.team)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("stage", "team", "model", "risk_level", "texts") if obj else ()

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj and not self.has_change_permission(request, obj):
            return (*SCOPE, "rules", "texts")
        return (*self.fields, "texts") if obj else self.fields

    @admin.display(description="Every text it had")
    def texts(self, obj: Policy) -> str:
        rows = obj.versions.select_related("created_by")
        return format_html_join(
            "",
            "<details><summary>#{}, {}, {} {}</summary><pre>{}</pre></details>",
            (
                (
                    one.number,
                    f"{one.created_at:%Y-%m-%d %H:%M} UTC",
                    one.created_by or "",
                    one.reason,
                    json.dumps(one.rules, indent=2, ensure_ascii=False),
                )
                for one in rows
            ),
        )

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        form = super().get_form(request, obj, change=change, **options)

        def set_policy(**given: Any) -> Policy:
            try:
                return policies.set_policy(by=actor_of(request), **given)
            except Forbidden as error:
                # The form tells it; the audit has to as well.
                tell_refusal(request, error)
                raise

        form.set_policy = staticmethod(set_policy)
        return form

    def save_model(self, request: HttpRequest, obj: Policy, form: forms.ModelForm, change: bool) -> None:
        """The form has called the verb."""


@admin.register(PromotionRequest)
class PromotionRequestAdmin(RegistryAdmin):
    visible_through = "model"
    list_display = (
        "__str__", "version", "to_stage", "state", "requested_by", "is_emergency", "created_at", "decided_at",
    )  # fmt: skip
    list_filter = ("state", "to_stage", "is_emergency")
    list_select_related = ("version__model", "requested_by")
    search_fields = ("model__name", "requested_by__username", "reason")
    ordering = ("-id",)
    actions = ("withdraw",)

    @admin.action(description="Withdraw")
    def withdraw(self, request: HttpRequest, rows: QuerySet[PromotionRequest]) -> HttpResponseBase | None:
        if "reason" not in request.POST:
            return ask(request, admin_class=self, rows=rows, action="withdraw", title="Withdraw requests")
        actor, reason = actor_of(request), request.POST["reason"]
        each(
            request,
            rows.select_related("model__team"),
            lambda row: promotions.withdraw(row, by=actor, reason=reason),
            done="withdrawn",
            admin_class=self,
        )
        return None


@admin.register(Review)
class ReviewAdmin(RegistryAdmin):
    visible_through = "request__model"
    list_display = ("request", "reviewer", "role", "verdict", "created_at", "dismissed_at", "dismissed_why")
    list_filter = ("verdict", ("dismissed_at", admin.EmptyFieldListFilter))
    list_select_related = ("request", "reviewer")
    search_fields = ("reviewer__username", "request__model__name")
    ordering = ("-id",)


@admin.register(Check)
class CheckAdmin(RegistryAdmin):
    visible_through = "version__model"
    list_display = ("version", "name", "state", "summary", "reported_by", "reported_at")
    list_filter = ("state",)
    list_select_related = ("version__model", "reported_by")
    search_fields = ("name", "version__model__name")
    ordering = ("-id",)
