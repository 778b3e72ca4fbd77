"""Files of runs, logged models and versions: put, get, list, delete, in parts, signed."""

from __future__ import annotations

from django.urls import URLPattern

# Relative to /api/2.0/mlflow/ and /ajax-api/2.0/mlflow/.
routes: list[URLPattern] = []
# Relative to /api/2.0/mlflow-artifacts/: the files themselves.
proxied: list[URLPattern] = []
# At the root: what a browser opens.
direct: list[URLPattern] = []
