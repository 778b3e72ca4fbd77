"""Who may do what: users, teams, memberships with a role, API tokens."""

# mypy: disable-error-code="import-untyped"
# The plugin follows the reverse relations of User into allauth, which has no types.

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Role(models.TextChoices):
    """What a person is in a team. What each role may do stands in registry/access.py."""

    VIEWER = "viewer", "Viewer"
    CONTRIBUTOR = "contributor", "Contributor"
    OWNER = "owner", "Owner"
    APPROVER = "approver", "Approver"
    ADMIN = "admin", "Admin"


class Scope(models.TextChoices):
    """What a token may be used for; never more than its person may do."""

    READ = "read", "Read"
    WRITE = "write", "Write"
    PROMOTE = "promote", "Promote"


class NoticeMode(models.TextChoices):
    IMMEDIATE = "immediate", "At once"
    DIGEST = "digest", "Once a day"
    NONE = "none", "Not at all"


class User(AbstractUser):
    """A person or an automation. `is_superuser` marks a site-wide admin."""

    theme = models.CharField(
        max_length=5, default="auto", choices=[("auto", "Auto"), ("light", "Light"), ("dark", "Dark")]
    )
    hotkeys = models.BooleanField(default=True, help_text="Single-key shortcuts on pages.")
    notice_mode = models.CharField(
        max_length=10,
        choices=NoticeMode.choices,
        default=NoticeMode.IMMEDIATE,
        help_text="Mail about approvals.",
    )
    is_service = models.BooleanField(
        default=False, help_text="An automation: has tokens, cannot log in with a password."
    )
    admin_from_sso = models.BooleanField(
        default=False,
        editable=False,
        help_text="Site admin by a group of the identity provider, until it takes that away.",
    )
    default_team = models.ForeignKey(
        "Team",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        help_text="Owns new plain names.",
    )

    class Meta(AbstractUser.Meta):
        ordering = ["username"]

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.username


class Team(models.Model):
    """A group of people that owns models. Its slug is the namespace of `team/name`."""

    slug = models.CharField(max_length=64, unique=True)
    name = models.CharField(max_length=128)
    description = models.TextField(blank=True, max_length=2000)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    members = models.ManyToManyField(User, through="Membership", related_name="teams")

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.slug


class Membership(models.Model):
    """One person's role in one team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)
    from_sso = models.BooleanField(
        default=False,
        editable=False,
        help_text="Given by a group of the identity provider, and taken with it.",
    )

    class Meta:
        ordering = ["team__slug", "user__username"]
        constraints = [
            models.UniqueConstraint(fields=["team", "user"], name="membership_once"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.team}"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def usable(self, *, at: datetime) -> ApiTokenQuerySet:
        """Neither revoked nor expired, and the person is still active."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=at), revoked_at=None, user__is_active=True)


class ApiToken(models.Model):
    """A secret that stands for a person in scripts. Only its SHA-256 is kept; `prefix` lets people recognise it."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=12, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list, help_text="Any of read, write, promote.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = "API token"
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def is_usable(self, *, at: datetime) -> bool:
        """What the queryset's `usable` asks, of this one."""
        expired = self.expires_at is not None and self.expires_at <= at
        return self.revoked_at is None and not expired and self.user.is_active


class UserSession(models.Model):
    """A browser in which somebody is logged in, as one recognises it. `session_key` is that of Django's own table."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sessions")
    session_key = models.CharField(max_length=40, unique=True, editable=False)
    began_at = models.DateTimeField(default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(default=timezone.now, editable=False)
    address = models.CharField(max_length=64, blank=True, editable=False)
    agent = models.CharField(max_length=300, blank=True, editable=False)

    class Meta:
        ordering = ["-last_seen_at", "-id"]
