"""People, teams, roles, tokens: changed through the verbs, by site admins and admins of a team."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.forms import AdminUserCreationForm
from django.db.models import QuerySet
from django.forms import BooleanField, Form
from django.http import HttpRequest
from django.urls import reverse

from models_app.models import ApiToken, Membership, Team, User
from models_app.registry import leavers, logins, people, second_factor, service_accounts, sessions
from models_app.registry.access import Right, may

from .base import RegistryAdmin, actor_of, each


class NewUserForm(AdminUserCreationForm):
    is_service = BooleanField(
        label="Service account",
        required=False,
        help_text="An automation: without password, whatever is said below.",
    )


@admin.register(User)
class UserAdmin(RegistryAdmin):
    visible_through = "*"
    list_display = (
        "username",
        "first_name",
        "last_name",
        "email",
        "is_active",
        "is_staff",
        "is_superuser",
        "is_service",
        "last_login",
    )
    list_filter = ("is_active", "is_staff", "is_superuser", "is_service")
    search_fields = ("username", "first_name", "last_name", "email")
    ordering = ("username",)
    profile = ("first_name", "last_name", "email")
    flags = ("is_active", "is_staff", "is_superuser")
    fields = ("username", "is_service", *profile, *flags, "date_joined", "last_login")
    readonly_fields = ("username", "is_service", "date_joined", "last_login")
    actions = ("release", "end_sessions", "reset_second_factor")

    def view_on_site(self, obj: User) -> str | None:
        return None if obj.is_service else reverse("web:leaving", args=[obj.username])

    def has_add_permission(self, request: HttpRequest) -> bool:
        return actor_of(request).is_site_admin

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor_of(request).is_site_admin

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        if obj is None:
            options |= {"form": NewUserForm, "fields": ["username"]}
        return super().get_form(request, obj, change=change, **options)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields if obj else ("username", "is_service", "usable_password", "password1", "password2")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj else ()

    def save_model(self, request: HttpRequest, obj: User, form: Form, change: bool) -> None:
        actor, data = actor_of(request), form.cleaned_data
        if not change:
            if data["is_service"]:
                made = service_accounts.create_account(data["username"], roles={}, by=actor)
            else:
                made = people.create_user(data["username"], password=data.get("password1") or None, by=actor)
            obj.pk, obj._state.adding = made.pk, False
            return
        leavers.set_account(
            User.objects.get(pk=obj.pk),
            by=actor,
            is_active=data["is_active"],
            is_staff=data["is_staff"],
            is_site_admin=data["is_superuser"],
            **{name: data[name] for name in self.profile},
        )

    @admin.action(description="Release after wrong logins")
    def release(self, request: HttpRequest, rows: QuerySet[User]) -> None:
        actor = actor_of(request)
        each(
            request,
            rows,
            lambda user: logins.release(user, by=actor),
            done="may try again at once",
            admin_class=self,
        )

    @admin.action(description="End all sessions")
    def end_sessions(self, request: HttpRequest, rows: QuerySet[User]) -> None:
        actor = actor_of(request)
        each(
            request,
            rows,
            lambda user: sessions.end_sessions(user, by=actor),
            done="logged out everywhere",
            admin_class=self,
        )

    @admin.action(description="Reset the second factor")
    def reset_second_factor(self, request: HttpRequest, rows: QuerySet[User]) -> None:
        actor = actor_of(request)
        each(
            request,
            rows,
            lambda user: second_factor.reset(user, by=actor),
            done="log in with the password alone until they set up another",
            admin_class=self,
        )


@admin.register(Team)
class TeamAdmin(RegistryAdmin):
    visible_through = "*"
    list_display = ("slug", "name", "description", "created_at")
    search_fields = ("slug", "name")
    fields = ("slug", "name", "description")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return actor_of(request).is_site_admin

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return self.has_view_permission(request)
        return may(actor_of(request), Right.MANAGE_TEAM, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("slug",) if obj else ()

    def save_model(self, request: HttpRequest, obj: Team, form: Form, change: bool) -> None:
        actor = actor_of(request)
        if change:
            people.update_team(
                Team.objects.get(pk=obj.pk), by=actor, name=obj.name, description=obj.description
            )
        else:
            made = people.create_team(obj.slug, name=obj.name, description=obj.description, by=actor)
            obj.pk, obj._state.adding = made.pk, False

    def view_on_site(self, obj: Team) -> str:
        return reverse("web:team", args=[obj.slug])


@admin.register(Membership)
class MembershipAdmin(RegistryAdmin):
    visible_through = "*"
    list_display = ("user", "team", "role")
    list_filter = ("role", "team")
    list_select_related = ("user", "team")
    search_fields = ("user__username", "team__slug")
    autocomplete_fields = ("user", "team")
    fields = ("team", "user", "role")

    def _manages(self, request: HttpRequest) -> bool:
        actor = actor_of(request)
        return actor.is_site_admin or any(may(actor, Right.MANAGE_TEAM, team) for team in actor.roles)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_staff and self._manages(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return self.has_view_permission(request)
        return may(actor_of(request), Right.MANAGE_TEAM, obj.team)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is not None and may(actor_of(request), Right.MANAGE_TEAM, obj.team)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ("team", "user") if obj else ()

    def save_model(self, request: HttpRequest, obj: Membership, form: Form, change: bool) -> None:
        made = people.set_role(obj.team, user=obj.user, role=obj.role, by=actor_of(request))
        obj.pk, obj._state.adding = made.pk, False

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        people.remove_member(obj.team, user=obj.user, by=actor_of(request))


@admin.register(ApiToken)
class ApiTokenAdmin(RegistryAdmin):
    list_display = (
        "name",
        "user",
        "prefix",
        "scopes",
        "created_at",
        "expires_at",
        "last_used_at",
        "revoked_at",
    )
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), ("expires_at", admin.EmptyFieldListFilter))
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username")
    exclude = ("digest",)
    actions = ("revoke",)

    @admin.action(description="Revoke")
    def revoke(self, request: HttpRequest, rows: QuerySet[ApiToken]) -> None:
        actor = actor_of(request)
        each(
            request,
            rows.select_related("user"),
            lambda token: people.revoke_token(token, by=actor),
            done="revoked",
            admin_class=self,
        )
