"""Which versions are kept and for how long: the policies of the company and of teams, and what they come to together.

A version goes only if no policy keeps it: of two that speak of it, the one that keeps more counts. Where nobody said
anything everything is kept, and so is, unless a policy for production says otherwise, whatever was ever there.
What would go: retention_plan.py; what makes it go: retention_work.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from models_app.models import RetentionPolicy, Stage, Team, Then

from . import audit, events
from .access import Actor, Right, require, require_login
from .artifacts import storage
from .errors import FieldProblem, Invalid, NotFound
from .lifecycle import clean_reason

MOST = 100_000
# What may become of what no rule keeps: staging is not deleted from, and what is archived cannot be archived again.
OUTCOMES: dict[str, tuple[str, ...]] = {
    Stage.DEV: (Then.DELETE, Then.ARCHIVE),
    Stage.STAGING: (Then.ARCHIVE,),
    Stage.PRODUCTION: (Then.DELETE,),
    Stage.ARCHIVED: (Then.DELETE,),
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What the policies of a stage come to: the newest `last` of a model stay, and what came within `days`; else `then`
    happens. `whose` are those who let go.
    """

    last: int | None
    days: int | None
    then: str
    whose: str

    def told(self) -> str:
        """What stays, in words."""
        return kept_in_words(self.last, self.days)


def kept_in_words(last: int | None, days: int | None) -> str:
    """What stays: `the last 10 of a model, also all of the last 90 days`."""
    parts = []
    if last is not None:
        parts.append(f"the last {last} of a model" if last > 1 else "the last one of a model")
    if days is not None:
        parts.append(f"all of the last {days} days" if days > 1 else "all of the last day")
    return ", also ".join(parts) or "all, for ever"


def in_words(rule: Rule | None, *, cold: int | None = None) -> str:
    """What stays and, where that is said, when it moves to the colder class; not in a store that has none."""
    told = rule.told() if rule else kept_in_words(None, None)
    if not cold or not storage.store().cold_classes:
        return told
    return f"{told}; colder after {cold} day{'' if cold == 1 else 's'}"


def said(policy: RetentionPolicy) -> str:
    """What one policy says, in words."""
    return in_words(together([policy]), cold=policy.cold_days)


def policies_for(actor: Actor) -> QuerySet[RetentionPolicy]:
    """Every policy: nobody has to guess what is kept. Raises Unauthenticated."""
    require_login(actor)
    return RetentionPolicy.objects.select_related("team", "updated_by")


def get_policy(number: int, *, by: Actor) -> RetentionPolicy:
    """Raises NotFound."""
    policy = policies_for(by).filter(pk=number).first()
    if policy is None:
        raise NotFound(f"There is no retention policy {number}.")
    return policy


def proposed(
    *,
    stage: str,
    team: Team | None = None,
    keep_last: int | None = None,
    keep_days: int | None = None,
    then: str = "",
    cold_days: int | None = None,
) -> RetentionPolicy:
    """A well-formed policy that nobody saved. Raises Invalid listing every problem."""
    problems = []
    if stage not in Stage.values:
        problems.append(FieldProblem("stage", f"One of {', '.join(Stage.values)}."))
    for name, value in (("keep_last", keep_last), ("keep_days", keep_days), ("cold_days", cold_days)):
        if value is not None and not 1 <= value <= MOST:
            problems.append(FieldProblem(name, f"A whole number from 1 to {MOST}, or nothing."))
    if cold_days is not None and stage != Stage.ARCHIVED:
        problems.append(FieldProblem("cold_days", "Only what is archived moves to a colder class."))
    keeps_all = keep_last is None and keep_days is None
    allowed = OUTCOMES.get(stage, ())
    if keeps_all and then:
        problems.append(FieldProblem("keep_last", "Say which versions stay; with neither number all do."))
    elif not keeps_all and allowed and then not in allowed:
        told = " or ".join(allowed)
        problems.append(FieldProblem("then", f"What no rule keeps of {stage}: {told}."))
    if problems:
        raise Invalid.many(problems)
    return RetentionPolicy(
        stage=stage,
        team=team,
        keep_last=keep_last,
        keep_days=keep_days,
        then=then,
        cold_days=cold_days,
        updated_at=timezone.now(),
    )


@transaction.atomic
def set_policy(
    *,
    stage: str,
    by: Actor,
    team: Team | None = None,
    keep_last: int | None = None,
    keep_days: int | None = None,
    then: str = "",
    cold_days: int | None = None,
    reason: str = "",
) -> RetentionPolicy:
    """Say what is kept of a stage, in one team or (site admins) everywhere; without numbers all of it, for ever.
    What is archived moves to the store's colder class `cold_days` later; without that number it does not.

    Who may delete versions there says it. Raises Invalid, Forbidden.
    """
    require(by, Right.DELETE, team)
    wanted = proposed(
        stage=stage, team=team, keep_last=keep_last, keep_days=keep_days, then=then, cold_days=cold_days
    )
    RetentionPolicy.objects.get_or_create(stage=stage, team=team)
    policy = RetentionPolicy.objects.select_for_update(of=("self",)).get(stage=stage, team=team)
    before = _facts(policy)
    policy.keep_last, policy.keep_days, policy.then = wanted.keep_last, wanted.keep_days, wanted.then
    policy.cold_days = wanted.cold_days
    policy.updated_at, policy.updated_by = timezone.now(), by.user
    policy.save()
    _tell("retention.set", policy, by=by, before=before, after=_facts(policy), reason=reason)
    return policy


@transaction.atomic
def remove_policy(policy: RetentionPolicy, *, by: Actor, reason: str = "") -> None:
    """Say nothing any more about this stage; other policies may. Raises Forbidden, NotFound when it is gone."""
    require(by, Right.DELETE, policy.team)
    held = RetentionPolicy.objects.select_for_update(of=("self",)).filter(pk=policy.pk).first()
    if held is None:
        raise NotFound(f"There is no retention policy {policy.pk}.")
    held.team = policy.team
    _tell("retention.removed", held, by=by, before=_facts(held), after={}, reason=reason)
    held.delete()


def _facts(policy: RetentionPolicy) -> dict[str, int | str | None]:
    return {
        "keep_last": policy.keep_last,
        "keep_days": policy.keep_days,
        "then": policy.then,
        "cold_days": policy.cold_days,
    }


def _tell(
    verb: str,
    policy: RetentionPolicy,
    *,
    by: Actor,
    before: dict[str, int | str | None],
    after: dict[str, int | str | None],
    reason: str,
) -> None:
    subject = f"{policy.stage}, {f'team {policy.team.slug}' if policy.team else 'every team'}"
    audit.record(verb, by=by, subject=subject, before=before, after=after, reason=clean_reason(reason))
    payload = {"stage": policy.stage, "team": policy.team.slug if policy.team else None}
    events.emit(verb, payload=payload)


# --- What policies come to together ---------------------------------------------------------------------------


def together(policies: Iterable[RetentionPolicy]) -> Rule | None:
    """What policies of one stage come to; None keeps everything."""
    found = list(policies)
    if not found or any(policy.keeps_all for policy in found):
        return None
    last = [policy.keep_last for policy in found if policy.keep_last is not None]
    days = [policy.keep_days for policy in found if policy.keep_days is not None]
    # The milder of two outcomes.
    then = Then.ARCHIVE if any(policy.then == Then.ARCHIVE for policy in found) else Then.DELETE
    whose = " and ".join(f"team {policy.team.slug}" if policy.team else "the company" for policy in found)
    return Rule(max(last, default=None), max(days, default=None), then.value, whose)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rule of every stage: `of_team` where a team said something itself, `usual` for all others."""

    usual: dict[str, Rule | None]
    of_team: dict[tuple[str, int], Rule | None]
    # After so many days what is archived moves to the colder class; None for never.
    cold: int | None
    cold_of_team: dict[int, int]

    def of(self, stage: str, team_id: int | None) -> Rule | None:
        """What counts for a team (None: for one that said nothing itself)."""
        if team_id is not None and (stage, team_id) in self.of_team:
            return self.of_team[stage, team_id]
        return self.usual[stage]

    def cold_after(self, team_id: int | None) -> int | None:
        """In days; None for never."""
        return self.cold if team_id is None else self.cold_of_team.get(team_id, self.cold)


def rules(policies: Iterable[RetentionPolicy]) -> Rules:
    """What these policies come to for every stage and team."""
    company: dict[str, list[RetentionPolicy]] = {stage: [] for stage in Stage.values}
    teams: dict[tuple[str, int], RetentionPolicy] = {}
    for policy in policies:
        if policy.team_id is None:
            company[policy.stage].append(policy)
        else:
            teams[policy.stage, policy.team_id] = policy
    cold = max((one.cold_days for one in company[Stage.ARCHIVED] if one.cold_days), default=None)
    return Rules(
        cold=cold,
        # The later day counts: a team can have its own stay for longer, not for less.
        cold_of_team={
            team: max(policy.cold_days, cold or 0)
            for (stage, team), policy in teams.items()
            if stage == Stage.ARCHIVED and policy.cold_days
        },
        usual={stage: together(found) for stage, found in company.items()},
        of_team={key: together([*company[key[0]], policy]) for key, policy in teams.items()},
    )


def saved(*, but: RetentionPolicy | None = None) -> Rules:
    """What the saved policies come to, with one of them (of its team and stage) as it is proposed here."""
    found = list(RetentionPolicy.objects.select_related("team"))
    if but is not None:
        found = [one for one in found if (one.stage, one.team_id) != (but.stage, but.team_id)]
        found.append(but)
    return rules(found)
