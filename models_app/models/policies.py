"""What a stage demands, as data: a site default, and stricter policies for a team, a model or a level of risk."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from .catalog import Risk
from .lifecycle import Stage


class Policy(models.Model):
    """What entering a stage takes, for every version in its scope. All policies that apply must be met.

    The scope is the site (nothing set), one team, one model, or one level of risk. `rules` are those of the newest
    PolicyVersion; their shape stands in registry/policies.py.
    """

    stage = models.CharField(max_length=16, choices=Stage.choices)
    team = models.ForeignKey("Team", null=True, blank=True, on_delete=models.CASCADE, related_name="policies")
    model = models.ForeignKey(
        "RegisteredModel", null=True, blank=True, on_delete=models.CASCADE, related_name="policies"
    )
    risk_level = models.CharField(max_length=8, choices=Risk.choices, blank=True, default=Risk.UNRATED)
    rules = models.JSONField(default=dict, editable=False)
    number = models.IntegerField(default=0, editable=False)
    is_active = models.BooleanField(default=True)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["stage", "id"]
        verbose_name_plural = "policies"
        constraints = [
            models.UniqueConstraint(
                fields=["stage"],
                condition=Q(team=None, model=None, risk_level=""),
                name="policy_of_site_once",
            ),
            models.UniqueConstraint(
                fields=["stage", "team"], condition=Q(team__isnull=False), name="policy_of_team_once"
            ),
            models.UniqueConstraint(
                fields=["stage", "model"], condition=Q(model__isnull=False), name="policy_of_model_once"
            ),
            models.UniqueConstraint(
                fields=["stage", "risk_level"], condition=~Q(risk_level=""), name="policy_of_risk_once"
            ),
            models.CheckConstraint(
                condition=(
                    Q(team=None, model=None)
                    | Q(team__isnull=False, model=None, risk_level="")
                    | Q(team=None, model__isnull=False, risk_level="")
                ),
                name="policy_one_scope",
            ),
        ]

    def __str__(self) -> str:
        scope = self.team or self.model or (f"{self.risk_level} risk" if self.risk_level else "everything")
        return f"{self.get_stage_display()} for {scope}"


class PolicyVersion(models.Model):
    """The text of a policy from one moment on: decisions point here. The database refuses to change or delete it, so it
    outlives its policy and its author.
    """

    policy = models.ForeignKey(
        Policy, on_delete=models.DO_NOTHING, db_constraint=False, related_name="versions"
    )
    number = models.IntegerField(editable=False)
    rules = models.JSONField(default=dict, editable=False)
    reason = models.TextField(blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        "User", null=True, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+", editable=False
    )

    class Meta:
        ordering = ["policy", "-number"]
        constraints = [models.UniqueConstraint(fields=["policy", "number"], name="policy_version_once")]

    def __str__(self) -> str:
        return f"{self.policy} #{self.number}"
