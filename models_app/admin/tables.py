"""Importing this registers every table."""

from django.contrib import admin
from django.contrib.auth.models import Group

from . import artifacts, audit, catalog, events, governance, lifecycle, lineage, people, runs, webhooks

__all__ = [
    "artifacts",
    "audit",
    "catalog",
    "events",
    "governance",
    "lifecycle",
    "lineage",
    "people",
    "runs",
    "webhooks",
]

# Rights come from roles in teams; Django's groups would promise something that nobody asks.
admin.site.unregister(Group)
