"""Addresses of logging in. allauth reverses some by name, so they stand in no namespace; of its own only those that are
listed here exist.
"""

from django.conf import settings
from django.contrib.auth.views import LogoutView
from django.urls import path

from . import second_factor, sso
from .login import Login

PROVIDER = {"provider_id": settings.OIDC_PROVIDER_ID}

urlpatterns = [
    path("login/", Login.as_view(), name="account_login"),
    path("login/code/", second_factor.step, name="mfa_authenticate"),
    path("login/sso/", sso.begin, PROVIDER, name="openid_connect_login"),
    path("login/sso/callback/", sso.back, PROVIDER, name="openid_connect_callback"),
    path("logout/", LogoutView.as_view(), name="account_logout"),
]
