"""Where versions run: environments, deployments into them, what deployers reported."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, When
from django.utils import timezone

from .catalog import ModelVersion
from .lifecycle import Alias, Stage
from .people import Role


class Follows(models.TextChoices):
    """What brings a version into an environment by itself."""

    STAGE = "stage", "A stage"
    ALIAS = "alias", "An alias"


class DeployKind(models.TextChoices):
    """How an environment learns that something is to be deployed."""

    WEBHOOK = "webhook", "Webhook"
    CI = "ci", "CI pipeline"
    AGENT = "agent", "Agent that asks"


class StartMode(models.TextChoices):
    AUTOMATIC = "automatic", "By itself"
    MANUAL = "manual", "When somebody starts it"


class Environment(models.Model):
    """A place where models serve. Without a team it is the company's, else it takes that team's models only.

    `followed` is a stage or the name of an alias. Which models: `name_pattern` as in shells, `for_team`, and a tag of
    the model (any value when `tag_value` is empty). Addresses are templates; registry/environments.py says of what.
    `freezes` is a list of {from, until, reason}. A deleted one stays, for its history.
    """

    name = models.CharField(max_length=63)
    site = models.CharField(
        max_length=200, blank=True, help_text="Where it is: a data center, a region, a plant."
    )
    team = models.ForeignKey(
        "Team", null=True, blank=True, on_delete=models.PROTECT, related_name="environments"
    )
    follows = models.CharField(max_length=8, choices=Follows.choices, default=Follows.STAGE)
    followed = models.CharField(max_length=255, default=Stage.PRODUCTION)
    name_pattern = models.CharField(max_length=256, default="*")
    for_team = models.ForeignKey("Team", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    tag_key = models.CharField(max_length=250, blank=True)
    tag_value = models.CharField(max_length=250, blank=True)
    serving_address = models.CharField(max_length=500, blank=True)
    kind = models.CharField(max_length=8, choices=DeployKind.choices, default=DeployKind.WEBHOOK)
    health_check = models.CharField(max_length=500, blank=True)
    health_window = models.IntegerField(default=300, help_text="Seconds in which it has to become healthy.")
    timeout = models.IntegerField(default=1800, help_text="Seconds that a deployer has.")
    start = models.CharField(max_length=10, choices=StartMode.choices, default=StartMode.AUTOMATIC)
    rolls_back = models.BooleanField(
        default=True, help_text="Back to what ran before when a deployment fails."
    )
    deploy_role = models.CharField(
        max_length=16, choices=Role.choices, default=Role.OWNER, help_text="Least role that may deploy."
    )
    deploy_team = models.ForeignKey("Team", null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    freezes = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        "User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["name"], condition=Q(deleted_at=None), name="environment_name_once"
            ),
            models.CheckConstraint(condition=Q(follows__in=Follows.values), name="environment_follows_known"),
            models.CheckConstraint(condition=Q(kind__in=DeployKind.values), name="environment_kind_known"),
            models.CheckConstraint(
                condition=Q(team=None) | Q(for_team=models.F("team")), name="environment_of_team_for_team"
            ),
        ]
        indexes = [
            models.Index(
                fields=["follows", "followed"], condition=Q(deleted_at=None), name="environment_following"
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def follows_production(self) -> bool:
        """It takes what is promoted to production."""
        return self.follows == Follows.STAGE and self.followed == Stage.PRODUCTION

    def freeze_at(self, moment: datetime) -> dict[str, Any] | None:
        """The freeze in which a moment lies: {from, until, reason}."""
        for freeze in self.freezes:
            if datetime.fromisoformat(freeze["from"]) <= moment < datetime.fromisoformat(freeze["until"]):
                found: dict[str, Any] = freeze
                return found
        return None


class DeploymentState(models.TextChoices):
    QUEUED = "queued", "Queued"
    DEPLOYING = "deploying", "Deploying"
    VERIFYING = "verifying", "Verifying"
    LIVE = "live", "Live"
    FAILED = "failed", "Failed"
    ROLLED_BACK = "rolled_back", "Rolled back"
    SUPERSEDED = "superseded", "Superseded"


UNFINISHED = (DeploymentState.DEPLOYING, DeploymentState.VERIFYING)
CURRENT = (DeploymentState.QUEUED, *UNFINISHED, DeploymentState.LIVE)
# Of a deployer's log: the lines from its beginning, and all lines, that are kept.
FIRST_LINES, KEPT_LINES = 100, 1_000


class DeploymentKind(models.TextChoices):
    """What brought a deployment about."""

    FOLLOWED = "followed", "Followed a stage or alias"
    ORDERED = "ordered", "Ordered by hand"
    ROLLBACK = "rollback", "Rollback"


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    def of_pair(self, model_id: int, environment_id: int) -> DeploymentQuerySet:
        """Those of one model in one environment."""
        return self.filter(model=model_id, environment=environment_id)

    def unfinished(self) -> DeploymentQuerySet:
        """Under way: handed out, neither live nor failed yet."""
        return self.filter(state__in=UNFINISHED)

    def current(self) -> DeploymentQuerySet:
        """What is, or is about to be."""
        return self.filter(state__in=CURRENT)

    def live(self) -> DeploymentQuerySet:
        return self.filter(state=DeploymentState.LIVE)

    def astray(self) -> DeploymentQuerySet:
        """Live, nothing else on its way there, and the version is not where its environment follows. What went on to
        production is well in a stage before it, as long as nothing came there after it.
        """
        others = _of_same_pair().filter(state__in=(DeploymentState.QUEUED, *UNFINISHED))
        named = Alias.objects.filter(version=OuterRef("version"), name=OuterRef("environment__followed"))
        there = ModelVersion.objects.filter(model=OuterRef("model"), stage=OuterRef("environment__followed"))
        left = Q(environment__follows=Follows.STAGE) & ~Q(version__stage=F("environment__followed"))
        left &= ~Q(version__stage=Stage.PRODUCTION) | Q(Exists(there))
        lost = Q(~Exists(named), environment__follows=Follows.ALIAS)
        return self.live().filter(left | lost, ~Exists(others), environment__deleted_at=None)

    def with_followed(self) -> DeploymentQuerySet:
        """Each knows which version its environment follows now, of several the newest (`followed_number`), and whether
        it `is_astray`.
        """
        there = ModelVersion.objects.filter(model=OuterRef("model"), stage=OuterRef("environment__followed"))
        named = Alias.objects.filter(model=OuterRef("model"), name=OuterRef("environment__followed"))
        found: DeploymentQuerySet = self.annotate(
            followed_number=Case(
                When(
                    environment__follows=Follows.STAGE,
                    then=Subquery(there.order_by("-stage_changed_at", "-number").values("number")[:1]),
                ),
                default=Subquery(named.values("version__number")[:1]),
            ),
            is_astray=Exists(Deployment.objects.astray().filter(pk=OuterRef("pk"))),
        )
        return found

    def held_back(self) -> DeploymentQuerySet:
        """Waiting for somebody to start them, though their environment starts by itself."""
        return self.filter(state=DeploymentState.QUEUED, released=False).exclude(held="")

    def failed_last(self) -> DeploymentQuerySet:
        """Failed, and nothing came after them there."""
        newer = _of_same_pair().filter(pk__gt=OuterRef("pk")).exclude(state=DeploymentState.SUPERSEDED)
        return self.filter(~Exists(newer), state=DeploymentState.FAILED, environment__deleted_at=None)


def _of_same_pair() -> DeploymentQuerySet:
    """To be asked within a query of deployments: those of the same model and environment."""
    found: DeploymentQuerySet = Deployment.objects.filter(
        model=OuterRef("model"), environment=OuterRef("environment")
    )
    return found


class Deployment(models.Model):
    """One version's way into one environment. The primary key is the number people see.

    `rollback_target` is fixed before it starts. The request behind it, if any, is its transition's.
    `undoes` is the deployment that a rollback takes back. A queued one starts when it is `released`; `held` says why it
    is not though its environment starts by itself, `ignores_freeze` that it may in a freeze. While an agent has it in
    hand, `holder` is the agent's name and `lease_until` how long the others keep off.
    """

    model = models.ForeignKey("RegisteredModel", on_delete=models.CASCADE, related_name="deployments")
    version = models.ForeignKey("ModelVersion", on_delete=models.CASCADE, related_name="deployments")
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="deployments")
    state = models.CharField(
        max_length=12, choices=DeploymentState.choices, default=DeploymentState.QUEUED, editable=False
    )
    kind = models.CharField(
        max_length=10, choices=DeploymentKind.choices, default=DeploymentKind.FOLLOWED, editable=False
    )
    rollback_target = models.ForeignKey(
        "ModelVersion", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    undoes = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="undone_by", editable=False
    )
    transition = models.ForeignKey(
        "StageTransition", null=True, on_delete=models.SET_NULL, related_name="deployments", editable=False
    )
    # Where the alias that it followed pointed before.
    alias_was = models.ForeignKey(
        "ModelVersion", null=True, on_delete=models.SET_NULL, related_name="+", editable=False
    )
    by = models.ForeignKey("User", null=True, on_delete=models.SET_NULL, related_name="+", editable=False)
    reason = models.TextField(blank=True, editable=False)
    released = models.BooleanField(default=True, editable=False)
    held = models.CharField(max_length=300, blank=True, editable=False)
    ignores_freeze = models.BooleanField(default=False, editable=False)
    endpoint = models.CharField(max_length=500, blank=True, editable=False)
    failure = models.TextField(blank=True, editable=False, help_text="Why it failed, or was given up.")

    queued_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    verifying_at = models.DateTimeField(null=True, editable=False)
    live_at = models.DateTimeField(null=True, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)
    # When what is under way has taken too long, and when its health is asked for next.
    due_at = models.DateTimeField(null=True, editable=False)
    next_check_at = models.DateTimeField(null=True, editable=False)
    healthy_in_a_row = models.IntegerField(default=0, editable=False)
    last_check = models.CharField(max_length=300, blank=True, editable=False)
    holder = models.CharField(max_length=100, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    line_count = models.IntegerField(default=0, editable=False)

    # Set by with_followed.
    followed_number: int | None
    is_astray: bool

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=DeploymentState.values), name="deployment_state_known"
            ),
            models.CheckConstraint(condition=Q(kind__in=DeploymentKind.values), name="deployment_kind_known"),
            models.UniqueConstraint(
                fields=["model", "environment"],
                condition=Q(state__in=["deploying", "verifying"]),
                name="deployment_one_at_a_time",
            ),
            models.UniqueConstraint(
                fields=["model", "environment"], condition=Q(state="live"), name="deployment_one_live"
            ),
            # A rollback may wait beside what was promoted meanwhile; it goes first.
            models.UniqueConstraint(
                fields=["model", "environment"],
                condition=Q(state="queued") & ~Q(kind="rollback"),
                name="deployment_one_queued",
            ),
            models.UniqueConstraint(
                fields=["model", "environment"],
                condition=Q(state="queued", kind="rollback"),
                name="deployment_one_rollback_queued",
            ),
        ]
        indexes = [
            models.Index(fields=["model", "environment", "-id"], name="deployment_of_pair"),
            models.Index(fields=["environment", "-id"], name="deployment_of_environment"),
            models.Index(fields=["version", "-id"], name="deployment_of_version"),
            models.Index(fields=["state", "-id"], name="deployment_by_state"),
            # What agents ask for three times a second.
            models.Index(
                fields=["environment", "id"], condition=Q(state="queued"), name="deployment_waiting"
            ),
            models.Index(
                fields=["environment", "lease_until"],
                condition=Q(state__in=["deploying", "verifying"]),
                name="deployment_leased",
            ),
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="deployment_due"),
            models.Index(
                fields=["next_check_at"],
                condition=Q(next_check_at__isnull=False),
                name="deployment_check_due",
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def is_unfinished(self) -> bool:
        return self.state in UNFINISHED

    @property
    def since(self) -> datetime:
        """When it came into its state."""
        reached = {
            DeploymentState.QUEUED: self.queued_at,
            DeploymentState.DEPLOYING: self.started_at,
            DeploymentState.VERIFYING: self.verifying_at,
            DeploymentState.LIVE: self.live_at,
        }
        return reached.get(DeploymentState(self.state), self.ended_at) or self.queued_at

    @property
    def lines_left_out(self) -> int:
        """How many lines between the first and the newest of its log are not kept."""
        return max(0, self.line_count - KEPT_LINES)

    @property
    def is_over(self) -> bool:
        """Neither waiting, under way nor live."""
        return self.state not in CURRENT


class DeploymentLine(models.Model):
    """A line of a deployer's log, or a link of its."""

    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="lines")
    at = models.DateTimeField(default=timezone.now, editable=False)
    text = models.TextField(blank=True)
    url = models.CharField(max_length=1000, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.text


class Running(models.Model):
    """What an environment says it runs of a model, the last time it said so. Nothing when `version_number` is null."""

    model = models.ForeignKey("RegisteredModel", on_delete=models.CASCADE, related_name="running")
    environment = models.ForeignKey(Environment, on_delete=models.CASCADE, related_name="running")
    version_number = models.IntegerField(null=True)
    digest = models.CharField(max_length=64, blank=True)
    detail = models.CharField(max_length=500, blank=True)
    at = models.DateTimeField(default=timezone.now)
    by = models.ForeignKey("User", null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["model", "environment"]
        verbose_name_plural = "running"
        constraints = [models.UniqueConstraint(fields=["model", "environment"], name="running_once")]

    def __str__(self) -> str:
        return f"v{self.version_number}" if self.version_number else "nothing"
