"""What the admin classes share: reading by team, changes through verbs, refusals as messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Q, QuerySet, URLField
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.functional import cached_property

from models_app.http.auth import actor_from
from models_app.models import RegisteredModel, Visibility
from models_app.registry import audit
from models_app.registry.access import Actor
from models_app.registry.errors import Forbidden, Invalid, RegistryError

MOST_COUNTED = 10_000


class CappedPaginator(Paginator):
    """Counts no further than anybody pages: a million rows are not counted for every look at a list."""

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if isinstance(rows, QuerySet):
            return rows.order_by().values("pk")[:MOST_COUNTED].count()
        return len(rows)


def actor_of(request: HttpRequest) -> Actor:
    """Who acts, once per request."""
    found = getattr(request, "admin_actor", None)
    if found is None:
        found = request.admin_actor = actor_from(request, door="admin")  # type: ignore[attr-defined]
    return found


def refused(error: RegistryError) -> str:
    """A refusal in one sentence, with what is missing and what to do."""
    parts = [error.why]
    if isinstance(error, Invalid) and len(error.problems) > 1:
        parts = [f"{problem.field}: {problem.message}" for problem in error.problems]
    return " ".join([*parts, error.next_step]).strip()


class RegistryAdmin(admin.ModelAdmin):
    """A table to look at. Nothing is added, changed or deleted here unless a subclass sends it through a verb.

    `visible_through` is the path to the registered model (or experiment) whose visibility decides who sees a row;
    None shows the table to site admins only, "*" to all staff.
    """

    visible_through: str | None = None
    paginator = CappedPaginator
    show_full_result_count = False
    formfield_overrides: ClassVar = {URLField: {"assume_scheme": "https"}}
    list_per_page = 50
    list_max_show_all = 200

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        actor = actor_of(request)
        teams = actor.readable_teams
        if teams is None or self.visible_through == "*":
            return rows
        if self.visible_through is None:
            return rows.none()
        path = f"{self.visible_through}__" if self.visible_through else ""
        return rows.filter(
            Q(**{f"{path}visibility": Visibility.INTERNAL}) | Q(**{f"{path}team__in": list(teams)})
        )

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        user = request.user
        if not (user.is_active and user.is_staff):
            return False
        return bool(getattr(user, "is_superuser", False)) or self.visible_through is not None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> HttpResponse:
        """A verb's refusal is a message above the form, and nothing is changed."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except RegistryError as error:
            self._tell(request, error, object_id)
            messages.error(request, refused(error))
            return HttpResponseRedirect(request.get_full_path())
        except PermissionDenied:
            self._tell(request, self._forbidden(), object_id)
            raise

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except RegistryError as error:
            self._tell(request, error, object_id)
            messages.error(request, refused(error))
            return HttpResponseRedirect("../change/")
        except PermissionDenied:
            self._tell(request, self._forbidden(), object_id)
            raise

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        try:
            return super().changelist_view(request, extra_context)
        except PermissionDenied:
            self._tell(request, self._forbidden())
            raise

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, set[str], Any]:
        """The verb decides whether a row may go; what belongs to it goes with it, and takes no right of its own."""
        rows, counts, _, protected = super().get_deleted_objects(objs, request)
        return rows, counts, set(), protected

    def _forbidden(self) -> Forbidden:
        return Forbidden(f"Your role does not allow to change this {self.opts.verbose_name} in the admin.")

    def _tell(self, request: HttpRequest, error: RegistryError, object_id: str | None = None) -> None:
        row = self.get_object(request, object_id) if object_id else None
        tell_refusal(request, error, row)


def tell_refusal(request: HttpRequest, error: RegistryError, row: Any = None) -> None:
    """Into the audit, when a change was refused; with the registered model that the row is or belongs to."""
    if request.method in ("GET", "HEAD"):
        return
    found = row if isinstance(row, RegisteredModel) else getattr(row, "model", None)
    name = found.name if isinstance(found, RegisteredModel) else ""
    audit.refuse(error, by=actor_of(request), what=f"{request.method} {request.path}", model=name)


def each(
    request: HttpRequest,
    rows: Iterable[Any],
    verb: Callable[[Any], object],
    *,
    done: str,
    admin_class: admin.ModelAdmin,
) -> None:
    """Call a verb on each row, every one on its own; refusals and successes are told as messages."""
    count = 0
    for row in rows:
        try:
            verb(row)
        except RegistryError as error:
            tell_refusal(request, error, row)
            admin_class.message_user(request, refused(error), messages.ERROR)
        else:
            count += 1
    if count:
        admin_class.message_user(request, f"{count} {done}.", messages.SUCCESS)


def ask(
    request: HttpRequest,
    *,
    admin_class: admin.ModelAdmin,
    rows: QuerySet[Any],
    action: str,
    title: str,
    choices: list[tuple[str, str]] | None = None,
) -> TemplateResponse:
    """The page between choosing an action and doing it: asks for a reason, and for a choice when there are some."""
    context = {
        **admin_class.admin_site.each_context(request),
        "title": title,
        "rows": rows,
        "action": action,
        "choices": choices,
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "opts": admin_class.model._meta,
    }
    return TemplateResponse(request, "admin/ask.html", context)
