"""Which versions the retention policies let go, why, and how many bytes would become free. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import (
    Case,
    CharField,
    DateTimeField,
    Exists,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
    Window,
)
from django.db.models.functions import Coalesce, RowNumber
from django.utils import timezone

from models_app.models import (
    OPEN_STATES,
    ModelVersion,
    PromotionRequest,
    RetentionMark,
    RetentionPolicy,
    Stage,
    Team,
    Then,
)

from . import cold_storage, deletion, retention
from .access import Actor, require_login, versions_for
from .artifacts import storage
from .artifacts.freed import MOST, freed_by
from .artifacts.sweep import Tally
from .retention import Rule, Rules

SHOWN = 100
# Later than anything: for what no number of days keeps.
_NEVER = timedelta(days=36_500)


@dataclass(frozen=True, slots=True)
class Going:
    """A version that no policy keeps: what happens to it, why, and when (None: it is not marked yet)."""

    version: ModelVersion
    then: str
    why: str
    due_at: datetime | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What would go, the oldest of it one by one, and what its deletion would make free (of the first 10 000,
    `at_least` when there are more). `cold` are archived versions whose bytes are to be in `cold_class`: none where
    that is "", because the store has or was told no such class.
    """

    deleted: int
    archived: int
    freed: Tally
    at_least: bool
    items: list[Going]
    cold: int
    cold_class: str

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "deleted": self.deleted,
            "archived": self.archived,
            "freed_bytes": self.freed.bytes,
            "freed_blobs": self.freed.count,
            "freed_at_least": self.at_least,
            "cold": self.cold,
            "cold_class": self.cold_class,
            "items": [
                {
                    "model": going.version.model.name,
                    "version": going.version.number,
                    "stage": going.version.stage,
                    "then": going.then,
                    "why": going.why,
                    "due_at": going.due_at.isoformat() if going.due_at else None,
                }
                for going in self.items
            ],
        }


def _kind() -> Case:
    """The stage whose policy counts: production for whatever was ever there."""
    ever = Q(stage=Stage.PRODUCTION) | Q(last_promoted_at__isnull=False)
    return Case(When(ever, then=Value(Stage.PRODUCTION.value)), default=F("stage"), output_field=CharField())


def _by_rule(rules: Rules, value: Callable[[Rule], Any], output: Any) -> Case:
    """A value of the rule that counts for a row (which has its `kind`); NULL where everything is kept."""
    nothing = Value(None, output_field=output)

    def of(rule: Rule | None) -> Value:
        return nothing if rule is None else Value(value(rule), output_field=output)

    own = [When(kind=stage, model__team=team, then=of(rule)) for (stage, team), rule in rules.of_team.items()]
    usual = [When(kind=stage, then=of(rule)) for stage, rule in rules.usual.items()]
    return Case(*own, *usual, default=nothing, output_field=output)


def _governed(rules: Rules) -> Q:
    """Rows about which somebody said that not all of them are kept."""
    found = Q(pk__in=[])
    for stage, rule in rules.usual.items():
        if rule is not None:
            found |= Q(kind=stage)
    for (stage, team), rule in rules.of_team.items():
        if rule is not None:
            found |= Q(kind=stage, model__team=team)
    return found


def let_go(versions: QuerySet[ModelVersion], rules: Rules) -> QuerySet[Any]:
    """Those of the versions, which are all of their models, that no rule keeps and that nothing needs; with `kind` and
    `then`.
    """
    now = timezone.now()
    every = versions.filter(model__is_prompt=False).annotate(kind=_kind()).filter(_governed(rules))
    # Numbered before anything else is left out: what is needed counts among the last ones too.
    numbered = every.order_by().annotate(
        place=Window(RowNumber(), partition_by=[F("model"), F("kind")], order_by=F("number").desc()),
        last=_by_rule(rules, lambda rule: rule.last or 0, IntegerField()),
    )
    past = numbered.filter(place__gt=F("last")).values("pk")
    rows: QuerySet[Any] = ModelVersion.objects.filter(pk__in=past).annotate(
        kind=_kind(),
        reached=Coalesce("stage_changed_at", "created_at"),
        before=_by_rule(
            rules,
            lambda rule: now + _NEVER if rule.days is None else now - timedelta(days=rule.days),
            DateTimeField(),
        ),
        then=_by_rule(rules, lambda rule: rule.then, CharField()),
    )
    asked = PromotionRequest.objects.filter(version=OuterRef("pk"), state__in=OPEN_STATES)
    return deletion.unneeded(
        rows.filter(
            Q(then=Then.ARCHIVE) | ~Q(stage__in=deletion.LIVE), ~Exists(asked), reached__lt=F("before")
        )
    )


def why(rule: Rule | None, kind: str) -> str:
    """Why a version goes, in words."""
    if rule is None:
        return ""
    what = "Once in production" if kind == Stage.PRODUCTION else f"In {kind}"
    return f"{what}; kept are {rule.told()} ({rule.whose})."


def plan(
    *,
    by: Actor,
    team: Team | None = None,
    proposal: RetentionPolicy | None = None,
    limit: int = SHOWN,
) -> Plan:
    """What would go of the models that the actor may read, of one team or all; with a proposal as if it were saved.

    Raises Unauthenticated.
    """
    require_login(by)
    rules = retention.saved(but=proposal)
    mine = versions_for(by).order_by()
    if team is not None:
        mine = mine.filter(model__team=team)
    going = let_go(mine, rules)
    deleted = list(going.filter(then=Then.DELETE).order_by("reached", "pk").values_list("pk", flat=True))
    shown = list(going.select_related("model__team", "manifest").order_by("reached", "pk")[:limit])
    marks = RetentionMark.objects.in_bulk([one.pk for one in shown], field_name="version_id")
    items = []
    for version in shown:
        mark = marks.get(version.pk)
        due = due_at(mark) if mark and mark.then == version.then and proposal is None else None
        told = why(rules.of(version.kind, version.model.team_id), version.kind)
        items.append(Going(version, version.then, told, due))
    archived = going.filter(then=Then.ARCHIVE).count()
    cold_class = storage.store().cold_class
    cold = cold_storage.due(rules, mine).count() if cold_class else 0
    return Plan(
        len(deleted),
        archived,
        freed_by(deleted[:MOST]),
        len(deleted) > MOST,
        items,
        cold,
        cold_class,
    )


def due_at(mark: RetentionMark) -> datetime:
    """When a marked version goes, at the earliest."""
    return mark.marked_at + settings.RETENTION_WAIT


def announced(version: ModelVersion) -> Going | None:
    """That a version is about to go, to be told on its page."""
    mark = RetentionMark.objects.filter(version=version).first()
    return Going(version, mark.then, mark.why, due_at(mark)) if mark else None
