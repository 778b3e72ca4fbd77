"""Policies of the site and of a team: what applies in words, the rules as text, and what a version would be told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode

from models_app.models import ModelVersion, Policy, RegisteredModel, Risk, Stage, Team
from models_app.registry import people, policies, policy_rules, policy_words, requirements
from models_app.registry.access import Right, get_model, get_version, may, parse_revision
from models_app.registry.errors import Invalid, NotFound, RegistryError, Requirement

from .door import PageRequest, page, posted
from .forms import Lines, PageForm

STAGES = [(stage.value, stage.label) for stage in Stage if stage != Stage.DEV]
VERSIONS = 20
EXAMPLE = """\
{
  "fields": ["dataset_version", "metrics", "owner", "license"],
  "metrics": [{"name": "f1", "at_least": 0.9, "not_worse_by": 0.01}],
  "licenses": {"forbidden": ["AGPL-3.0-only"]},
  "approvals": {"count": 2, "roles": ["approver", "admin"]},
  "from_stage": "staging",
  "hours_in_stage": 24,
  "report": true,
  "checks": ["integration-tests"],
  "freezes": [{"start": "2026-12-20T00:00:00Z", "end": "2027-01-04T00:00:00Z"}],
  "expressions": [{
    "name": "personal data is explained",
    "cel": "version.pii_usage == 'none' || version.pii_notes != ''",
    "message": "Fill in the notes on personal data."
  }]
}"""


class PolicyForm(PageForm):
    rules = Lines(
        label="Rules",
        max_length=100_000,
        widget=forms.Textarea(
            attrs={"rows": 14, "spellcheck": "false", "class": "form-control font-monospace small"}
        ),
        help_text="JSON. What is left out is not demanded.",
    )
    is_active = forms.BooleanField(label="In force", required=False)
    reason = forms.CharField(
        label="Reason", required=False, max_length=2000, help_text="Kept with this version of the policy."
    )
    version = forms.CharField(
        label="Try on a version",
        required=False,
        max_length=300,
        help_text="As team/model@12. Shows what it has and lacks; saves nothing.",
    )


@dataclass(frozen=True, slots=True)
class Scope:
    """What a policy is for: the site, one level of risk, one team, one model. `key` stands in addresses."""

    key: str
    label: str
    team: Team | None = None
    model: RegisteredModel | None = None
    risk_level: str = ""

    @property
    def name(self) -> str:
        """As the checklist names it."""
        if self.team is not None:
            return f"team {self.team.slug}"
        if self.model is not None:
            return f"model {self.model.name}"
        return f"{self.risk_level} risk" if self.risk_level else "site"

    @property
    def owner(self) -> Team | None:
        return self.model.team if self.model is not None else self.team


@page("GET", "HEAD", "POST", login=True)
def of_site(request: PageRequest) -> HttpResponse:
    """Policies for everything and for levels of risk; site admins write them."""
    scopes = [Scope("site", "Everything")]
    scopes += [
        Scope(f"risk:{value}", f"{label} risk", risk_level=value) for value, label in Risk.choices if value
    ]
    return _serve(request, None, scopes)


@page("GET", "HEAD", "POST", login=True)
def of_team(request: PageRequest, slug: str) -> HttpResponse:
    """Policies for a team and single models of it; its admins write them."""
    team = people.get_team(slug, by=request.actor)
    scopes = [Scope("team", f"All models of {team.name}", team=team)]
    wanted = request.POST.get("scope") or request.GET.get("scope", "")
    if wanted.startswith("model:"):
        model = get_model(wanted.removeprefix("model:"), by=request.actor)
        if model.team_id != team.pk:
            raise NotFound(f"{model.name} is not of team {team.slug}.")
        scopes.append(Scope(f"model:{model.name}", model.name, model=model))
    return _serve(request, team, scopes)


def _serve(request: PageRequest, team: Team | None, scopes: list[Scope]) -> HttpResponse:
    typed = request.POST if request.method == "POST" else request.GET
    stage = typed.get("stage", Stage.PRODUCTION)
    stage = stage if stage in dict(STAGES) else Stage.PRODUCTION
    scope = next((one for one in scopes if one.key == typed.get("scope")), scopes[0])
    policy = _policy(request, scope, stage)
    here = reverse("web:team_policies", args=[team.slug]) if team else reverse("web:policies")
    shown = f"{here}?{urlencode({'stage': stage, 'scope': scope.key})}"
    form = PolicyForm(
        posted(request),
        initial={
            "rules": json.dumps(_rules(policy, scope, stage), indent=2, ensure_ascii=False),
            "is_active": policy.is_active if policy else True,
            "version": request.GET.get("version", ""),
        },
    )
    trial: dict[str, Any] | None = None
    if request.method == "POST" and form.is_valid():
        try:
            rules = _parsed(form.cleaned_data["rules"])
            if request.POST.get("action") == "try":
                trial = _try(request, form.cleaned_data["version"], rules, scope, stage)
            else:
                saved = policies.set_policy(
                    stage=stage,
                    rules=rules,
                    by=request.actor,
                    team=scope.team,
                    model=scope.model,
                    risk_level=scope.risk_level,
                    reason=form.cleaned_data["reason"],
                    is_active=form.cleaned_data["is_active"],
                )
                messages.success(request, f"The policy is saved: version {saved.number} applies from now on.")
                return redirect(shown)
        except (Invalid, NotFound) as error:
            _beside(form, error)
    elif request.method != "POST" and request.GET.get("version"):
        try:
            trial = _try(request, request.GET["version"], _rules(policy, scope, stage), scope, stage)
        except (Invalid, NotFound) as error:
            trial = {"error": error}
    context = {
        "section": "policies",
        "team": team,
        "stage": stage,
        "stages": STAGES,
        "scope": scope,
        "scopes": scopes,
        "policy": policy,
        "listed": _listed(request, team),
        "form": form,
        "may_set": may(request.actor, Right.MANAGE_TEAM, scope.owner),
        "trial": trial,
        "example": EXAMPLE,
        "versions": [
            {"version": one, "sentences": policy_words.told(one.rules)}
            for one in (policy.versions.select_related("created_by")[:VERSIONS] if policy else [])
        ],
    }
    return render(request, "policies/policies.html", context, status=422 if form.errors else 200)


def _policy(request: PageRequest, scope: Scope, stage: str) -> Policy | None:
    found = policies.policies_for(request.actor).filter(
        stage=stage, team=scope.team, model=scope.model, risk_level=scope.risk_level
    )
    return found.first()


def _rules(policy: Policy | None, scope: Scope, stage: str) -> dict[str, Any]:
    if policy is not None:
        return policy.rules
    return policy_rules.DEFAULTS.get(stage, {}) if scope.key == "site" else {}


def _listed(request: PageRequest, team: Team | None) -> list[dict[str, Any]]:
    """What applies, the widest first. A team's page tells the site's too, for a version has to meet both."""
    rows = list(policies.policies_for(request.actor))
    wide = [row for row in rows if row.team_id is None and row.model_id is None]
    found = []
    if not any(row.stage == Stage.PRODUCTION and not row.risk_level for row in wide):
        found.append(_line(None, Stage.PRODUCTION, "Everything", "site", None))
    for row in sorted(wide, key=lambda row: (row.risk_level != "", row.stage)):
        label = f"{row.get_risk_level_display()} risk" if row.risk_level else "Everything"
        found.append(
            _line(row, row.stage, label, f"risk:{row.risk_level}" if row.risk_level else "site", None)
        )
    for row in rows:
        if row.team is not None and team in (None, row.team):
            found.append(_line(row, row.stage, f"Team {row.team.name}", "team", row.team))
    for row in rows:
        if row.model is not None and team in (None, row.model.team):
            found.append(_line(row, row.stage, row.model.name, f"model:{row.model.name}", row.model.team))
    return found


def _line(policy: Policy | None, stage: str, label: str, key: str, team: Team | None) -> dict[str, Any]:
    here = reverse("web:team_policies", args=[team.slug]) if team else reverse("web:policies")
    rules = policy.rules if policy else policy_rules.DEFAULTS[stage]
    return {
        "policy": policy,
        "label": label,
        "stage": stage,
        "url": f"{here}?{urlencode({'stage': stage, 'scope': key})}",
        "sentences": policy_words.told(rules),
    }


def _parsed(text: str) -> Any:
    """Raises Invalid telling the line."""
    try:
        return json.loads(text or "{}", parse_constant=_no_such_number)
    except json.JSONDecodeError as error:
        raise Invalid("rules", f"Line {error.lineno}, column {error.colno}: {error.msg}.") from error
    except (ValueError, RecursionError) as error:
        raise Invalid(
            "rules", "This is not JSON that can be read: numbers too large, or nested too deep."
        ) from error


def _no_such_number(text: str) -> float:
    raise ValueError(text)


def _try(request: PageRequest, name: str, rules: Any, scope: Scope, stage: str) -> dict[str, Any]:
    """The checklist of a version under these rules and the other policies that apply to it."""
    model, revision = parse_revision(name.strip())
    if not model or not revision:
        raise Invalid("version", "Written as team/model@12.")
    version = get_version(model, revision, by=request.actor)
    demands = requirements.trial(version, to=stage, rules=rules, scope=scope.name)
    return {
        "version": version,
        "fits": _fits(version, scope),
        "demands": demands,
        "missing": _count_missing(demands),
    }


def _count_missing(demands: list[Requirement]) -> int:
    return sum(not demand.met for demand in demands)


def _fits(version: ModelVersion, scope: Scope) -> bool:
    """Whether a policy of this scope would apply to the version at all."""
    model = version.model
    return (
        scope.owner in (None, model.team)
        and scope.model in (None, model)
        and scope.risk_level in ("", model.risk_level)
    )


def _beside(form: forms.Form, error: RegistryError) -> None:
    """What is wrong with the rules stands at the rules, whichever of them it is."""
    if not isinstance(error, Invalid):
        form.add_error("version", error.why)
        return
    for problem in error.problems:
        field, _, where = problem.field.partition(".")
        told = f"{where}: {problem.message}" if where else problem.message
        form.add_error(field if field in form.fields else None, told)
