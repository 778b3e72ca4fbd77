"""What is kept and for how long. Holds are placed and lifted where their version or model is shown."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase

from models_app.models import LegalHold
from models_app.registry import holds

from .base import RegistryAdmin, actor_of, ask, each


@admin.register(LegalHold)
class LegalHoldAdmin(RegistryAdmin):
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
