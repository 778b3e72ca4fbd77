"""How Django finds out who somebody is: by password, or because single sign-on said so."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from models_app.models import User
from models_app.registry import logins


class PasswordBackend(ModelBackend):
    """Name and password. Who may no longer use one is also out of sessions that began with it."""

    def user_can_authenticate(self, user: AbstractBaseUser | AnonymousUser | None) -> bool:
        return isinstance(user, AbstractBaseUser) and logins.may_use_password(user)


class SsoBackend(BaseBackend):
    """Sessions that began at the identity provider. Takes no credentials itself."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        return None

    def get_user(self, user_id: int) -> User | None:
        user = User.objects.filter(pk=user_id).first()
        return user if user is not None and logins.may_log_in(user) else None


PASSWORD = f"{PasswordBackend.__module__}.{PasswordBackend.__qualname__}"
SSO = f"{SsoBackend.__module__}.{SsoBackend.__qualname__}"
