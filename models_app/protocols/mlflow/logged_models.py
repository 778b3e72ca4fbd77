"""Logged models: create, finish, find, search, tags, params."""

from __future__ import annotations

from django.urls import URLPattern

# Relative to /api/2.0/mlflow/ and /ajax-api/2.0/mlflow/.
routes: list[URLPattern] = []
