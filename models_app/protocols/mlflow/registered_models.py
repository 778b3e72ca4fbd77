"""Registered models: create, find, search, change, rename, delete, tags, aliases."""

from __future__ import annotations

from django.urls import URLPattern

# Relative to /api/2.0/mlflow/ and /ajax-api/2.0/mlflow/.
routes: list[URLPattern] = []
