"""Importing this registers every table."""

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.contrib.auth.models import Group

from . import (
    artifacts,
    audit,
    catalog,
    deployments,
    events,
    governance,
    lifecycle,
    lineage,
    people,
    retention,
    runs,
    storage,
    webhooks,
)

__all__ = [
    "artifacts",
    "audit",
    "catalog",
    "deployments",
    "events",
    "governance",
    "lifecycle",
    "lineage",
    "people",
    "retention",
    "runs",
    "storage",
    "webhooks",
]

# Rights come from roles in teams; Django's groups would promise something that nobody asks.
admin.site.unregister(Group)
# Their own pages would change what only verbs may, past the audit.
for table in (EmailAddress, Authenticator, SocialAccount, SocialApp, SocialToken):
    admin.site.unregister(table)
