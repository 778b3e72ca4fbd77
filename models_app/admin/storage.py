"""What teams may hold, set through the verb, and what they hold, to look at. Site admins only."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from models_app.formats import sizes
from models_app.models import StorageQuota, StorageUse
from models_app.registry import quotas

from .base import RegistryAdmin, actor_of
from .verb_forms import VerbForm, VerbFormAdmin

LIMITS = ("soft", "hard")


class QuotaForm(VerbForm):
    """Limits are typed as people write sizes."""

    soft = forms.CharField(
        required=False, max_length=30, help_text="Like 400 GiB. People are warned from here."
    )
    hard = forms.CharField(
        required=False, max_length=30, help_text="Like 500 GiB. Past it nothing is registered."
    )

    class Meta:
        model = StorageQuota
        fields = ("team", *LIMITS)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in LIMITS:
            value = getattr(self.instance, name)
            self.initial[name] = "" if value is None else sizes.exactly(value)

    def act(self, data: dict[str, Any]) -> StorageQuota:
        team = data.get("team", self.instance.team)
        limits = {name: data[name] for name in LIMITS}
        return quotas.set_quota(team, **limits, by=actor_of(self.request))

    def _size(self, name: str) -> int | None:
        text = self.cleaned_data[name]
        try:
            return sizes.read(text) if text else None
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def clean_soft(self) -> int | None:
        return self._size("soft")

    def clean_hard(self) -> int | None:
        return self._size("hard")


@admin.register(StorageQuota)
class StorageQuotaAdmin(VerbFormAdmin):
    form = QuotaForm
    list_display = ("__str__", *(f"{name}_limit" for name in LIMITS), "changed_by", "changed_at")
    list_select_related = ("team", "changed_by")
    autocomplete_fields = ("team",)
    fields = ("team", *LIMITS)
    ordering = ("-id",)

    @admin.display(description="Warned from")
    def soft_limit(self, row: StorageQuota) -> str:
        return "–" if row.soft is None else sizes.in_words(row.soft)

    @admin.display(description="Refused past")
    def hard_limit(self, row: StorageQuota) -> str:
        return "–" if row.hard is None else sizes.in_words(row.hard)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_view_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and self.has_view_permission(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("team",) if obj else ()

    def delete_model(self, request: HttpRequest, obj: StorageQuota) -> None:
        quotas.drop_quota(obj.team, by=actor_of(request))


@admin.register(StorageUse)
class StorageUseAdmin(RegistryAdmin):
    list_display = ("team", "versions", "only_in_runs", "distinct", "counted_at", "warned_at")
    list_select_related = ("team",)
    search_fields = ("team__slug",)
    ordering = ("-size",)

    @admin.display(description="Versions", ordering="size")
    def versions(self, row: StorageUse) -> str:
        return sizes.in_words(row.size)

    @admin.display(description="Only in runs", ordering="run_size")
    def only_in_runs(self, row: StorageUse) -> str:
        return sizes.in_words(row.run_size)

    @admin.display(description="Stored", ordering="stored")
    def distinct(self, row: StorageUse) -> str:
        return sizes.in_words(row.stored)
