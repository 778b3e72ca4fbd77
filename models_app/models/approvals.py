"""Who asked for a promotion, on what evidence, who said what, and what came of it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from .lifecycle import Stage


class RequestState(models.TextChoices):
    OPEN = "open", "Waiting for review"
    CHANGES_REQUESTED = "changes_requested", "Changes requested"
    PROMOTED = "promoted", "Promoted"
    REJECTED = "rejected", "Rejected"
    WITHDRAWN = "withdrawn", "Withdrawn"
    EXPIRED = "expired", "Expired"


OPEN_STATES = (RequestState.OPEN, RequestState.CHANGES_REQUESTED)


class PromotionRequest(models.Model):
    """Asks to move one version to a stage. The primary key is the number people see.

    `evidence` is the digest of what reviewers decide on (content, metadata, metrics, policies); when it changes,
    reviews are dismissed. `policies` are the policy versions the decision was made under, as [{policy, number, scope}].
    """

    model = models.ForeignKey("RegisteredModel", on_delete=models.CASCADE, related_name="promotion_requests")
    version = models.ForeignKey("ModelVersion", on_delete=models.CASCADE, related_name="promotion_requests")
    to_stage = models.CharField(max_length=16, choices=Stage.choices)
    keep_former = models.BooleanField(default=False)
    state = models.CharField(max_length=20, choices=RequestState.choices, default=RequestState.OPEN)
    reason = models.TextField(blank=True)
    requested_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="promotion_requests"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, editable=False)
    decided_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    evidence = models.CharField(max_length=64, editable=False)
    policies = models.JSONField(default=list, editable=False)
    transition = models.OneToOneField(
        "StageTransition", null=True, on_delete=models.SET_NULL, related_name="request", editable=False
    )
    # Promoted by an admin without approvals: works at once, waits for a review afterwards.
    is_emergency = models.BooleanField(default=False, editable=False)
    reviewed_after_at = models.DateTimeField(null=True, editable=False)
    reviewed_after_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    # When people were last reminded that the emergency waits for its review.
    reminded_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "to_stage"],
                condition=Q(state__in=["open", "changes_requested"]),
                name="request_open_once",
            ),
            models.CheckConstraint(condition=Q(state__in=RequestState.values), name="request_state_known"),
        ]
        indexes = [
            models.Index(fields=["state", "-updated_at", "-id"], name="request_by_state"),
            models.Index(fields=["model", "-id"], name="request_of_model"),
            models.Index(fields=["requested_by", "-id"], name="request_of_person"),
            models.Index(
                fields=["created_at"],
                condition=Q(is_emergency=True, reviewed_after_at=None),
                name="request_review_due",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


class Verdict(models.TextChoices):
    APPROVED = "approved", "Approved"
    CHANGES_REQUESTED = "changes_requested", "Asked for changes"
    REJECTED = "rejected", "Rejected"


class Review(models.Model):
    """One person's verdict, on the evidence she saw. A newer one of hers, or a change of evidence, dismisses it."""

    request = models.ForeignKey(PromotionRequest, on_delete=models.CASCADE, related_name="reviews")
    reviewer = models.ForeignKey("User", null=True, on_delete=models.SET_NULL, related_name="reviews")
    role = models.CharField(max_length=16, help_text="What the reviewer was in the model's team then.")
    verdict = models.CharField(max_length=20, choices=Verdict.choices)
    body = models.TextField(blank=True)
    evidence = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    dismissed_at = models.DateTimeField(null=True, editable=False)
    dismissed_why = models.CharField(max_length=300, blank=True, editable=False)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["request", "reviewer"],
                condition=Q(dismissed_at=None, reviewer__isnull=False),
                name="review_standing_once",
            )
        ]

    def __str__(self) -> str:
        return f"{self.verdict} by {self.reviewer}"


class AskedReviewer(models.Model):
    """Somebody whose review was asked for. Whoever has the right may review, asked or not."""

    request = models.ForeignKey(PromotionRequest, on_delete=models.CASCADE, related_name="asked")
    user = models.ForeignKey("User", on_delete=models.CASCADE, related_name="asked_reviews")
    asked_by = models.ForeignKey("User", null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["request", "user"], name="reviewer_asked_once")]

    def __str__(self) -> str:
        return str(self.user)


class EntryKind(models.TextChoices):
    REQUESTED = "requested", "asked for promotion"
    COMMENT = "comment", "commented"
    REVIEWED = "reviewed", "reviewed"
    DISMISSED = "dismissed", "approvals were dismissed"
    ASKED = "asked", "asked for a review"
    WITHDRAWN = "withdrawn", "withdrew the request"
    EXPIRED = "expired", "let it expire"
    PROMOTED = "promoted", "promoted"
    REJECTED = "rejected", "rejected"
    EMERGENCY = "emergency", "promoted in an emergency"
    REVIEWED_AFTER = "reviewed_after", "reviewed the emergency"


class RequestEntry(models.Model):
    """What happened on a request and what was said, in order: its discussion."""

    request = models.ForeignKey(PromotionRequest, on_delete=models.CASCADE, related_name="entries")
    kind = models.CharField(max_length=20, choices=EntryKind.choices)
    by = models.ForeignKey("User", null=True, on_delete=models.SET_NULL, related_name="+")
    body = models.TextField(blank=True, help_text="Markdown.")
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["at", "id"]
        verbose_name_plural = "request entries"

    def __str__(self) -> str:
        return f"{self.by} {self.get_kind_display()}"


class CheckState(models.TextChoices):
    PENDING = "pending", "Running"
    SUCCESS = "success", "Passed"
    FAILURE = "failure", "Failed"
    ERROR = "error", "Broke"


class Check(models.Model):
    """What an automation found about a version: the last word under each name. Earlier ones are in the audit."""

    version = models.ForeignKey("ModelVersion", on_delete=models.CASCADE, related_name="checks")
    name = models.CharField(max_length=100)
    state = models.CharField(max_length=16, choices=CheckState.choices)
    summary = models.CharField(max_length=1000, blank=True)
    url = models.URLField(max_length=1000, blank=True)
    reported_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    reported_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["version", "name"], name="check_once"),
            models.CheckConstraint(condition=Q(state__in=CheckState.values), name="check_state_known"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.state}"
