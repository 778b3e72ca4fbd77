"""Addresses of logging in. allauth reverses some by name, so they stand in no namespace; of its own only those that are
listed here exist.
"""

from django.contrib.auth.views import LogoutView
from django.urls import path

from .login import Login

urlpatterns = [
    path("login/", Login.as_view(), name="account_login"),
    path("logout/", LogoutView.as_view(), name="account_logout"),
]
