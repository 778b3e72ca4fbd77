"""Who writes the policies of the site, of a team, of a model or of a level of risk. What they mean: requirements.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.models import Policy, PolicyVersion, RegisteredModel, Risk, Stage, Team

from . import audit, events, lifecycle, policy_rules
from .access import Actor, Right, models_for, require, require_login
from .errors import Invalid, NotFound


def policies_for(actor: Actor) -> QuerySet[Policy]:
    """Every policy about what the actor may read: nobody has to guess what will be demanded. Raises Unauthenticated."""
    require_login(actor)
    readable = Q(model=None) | Q(model__in=models_for(actor))
    return Policy.objects.filter(readable).select_related("team", "model__team")


def get_policy(number: int, *, by: Actor) -> Policy:
    """Raises NotFound."""
    policy = policies_for(by).filter(pk=number).prefetch_related("versions__created_by").first()
    if policy is None:
        raise NotFound(f"There is no policy {number}.")
    return policy


def _require_right(by: Actor, team: Team | None, model: RegisteredModel | None) -> None:
    """The site's policies and those of a risk are the site admins'; a team's and its models' the team's admins'."""
    require(by, Right.MANAGE_TEAM, model.team if model else team)


@transaction.atomic
def set_policy(
    *,
    stage: str,
    rules: Mapping[str, Any],
    by: Actor,
    team: Team | None = None,
    model: RegisteredModel | None = None,
    risk_level: str = "",
    reason: str = "",
    is_active: bool = True,
) -> Policy:
    """Write the policy of a scope and stage, a new version of it when the text changed.

    Raises Invalid listing what is wrong with the rules, Forbidden.
    """
    if stage not in Stage.values or stage == Stage.DEV:
        raise Invalid("stage", f"One of {', '.join(value for value in Stage.values if value != Stage.DEV)}.")
    if risk_level not in Risk.values:
        raise Invalid("risk_level", f"One of {', '.join(filter(None, Risk.values))}, or empty.")
    if sum([team is not None, model is not None, bool(risk_level)]) > 1:
        raise Invalid("scope", "A policy is for one team, one model, one level of risk, or the whole site.")
    _require_right(by, team, model)
    text = policy_rules.write(policy_rules.check(rules))
    reason = lifecycle.clean_reason(reason)
    Policy.objects.get_or_create(stage=stage, team=team, model=model, risk_level=risk_level)
    policy = Policy.objects.select_for_update(of=("self",)).get(
        stage=stage, team=team, model=model, risk_level=risk_level
    )
    if policy.number and policy.rules == text and policy.is_active == is_active:
        return policy
    before = {"rules": policy.rules, "active": policy.is_active, "number": policy.number}
    if policy.rules != text or not policy.number:
        policy.number += 1
        PolicyVersion.objects.create(
            policy=policy,
            number=policy.number,
            rules=text,
            reason=reason,
            created_by=by.user,
            created_at=timezone.now(),
        )
    policy.rules, policy.is_active, policy.updated_at = text, is_active, timezone.now()
    policy.save(update_fields=["rules", "number", "is_active", "updated_at"])
    audit.record(
        "policy.set",
        by=by,
        subject=str(policy),
        model=model,
        before=before,
        after={"rules": text, "active": is_active, "number": policy.number},
        reason=reason,
    )
    events.emit("policy.set", model=model, payload={"policy": policy.pk, "stage": stage})
    return policy
