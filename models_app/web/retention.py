"""Retention of the company and of a team: what is kept of each stage, and which versions would go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode

from models_app.models import RetentionPolicy, Stage, Team, Then
from models_app.registry import people, retention, retention_plan, storage_report
from models_app.registry.access import Right, may
from models_app.registry.errors import Invalid

from .door import PageRequest, page, posted, show_problems
from .forms import PageForm

SAYS = {
    Stage.DEV: "Dev",
    Stage.STAGING: "Staging",
    Stage.ARCHIVED: "Archived",
    Stage.PRODUCTION: "Ever in production",
}


class RetentionForm(PageForm):
    """Both numbers empty: everything is kept. Where nothing is colder nobody is asked, and `cold_days` stay."""

    keep_last = forms.IntegerField(
        label="Keep the newest", required=False, help_text="So many versions of each model."
    )
    keep_days = forms.IntegerField(
        label="Keep what is newer than", required=False, help_text="Days since it reached the stage."
    )
    then = forms.ChoiceField(label="All others")
    cold_days = forms.IntegerField(
        label="Keep colder after", required=False, help_text="Days since it was archived."
    )
    reason = forms.CharField(label="Reason", required=False, max_length=2000, help_text="Kept in the audit.")

    def __init__(self, *args: Any, stage: str, asks_cold: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        labels = dict(Then.choices)
        choices = [(then, labels[then]) for then in retention.OUTCOMES[stage]]
        self.fields["then"].choices = choices  # type: ignore[attr-defined]
        if stage != Stage.ARCHIVED or not asks_cold:
            del self.fields["cold_days"]

    def wanted(self) -> dict[str, Any]:
        """What was typed, as the verb takes it."""
        last, days = self.cleaned_data["keep_last"], self.cleaned_data["keep_days"]
        nothing = last is None and days is None
        return {
            "keep_last": last,
            "keep_days": days,
            "then": "" if nothing else self.cleaned_data["then"],
            "cold_days": self.cleaned_data.get("cold_days", self.initial.get("cold_days")),
        }


@dataclass(frozen=True, slots=True)
class Line:
    """A stage: what the company says of it, what the team does, and what that comes to."""

    stage: str
    label: str
    company: str
    team: str
    together: str
    then: str
    url: str


@page("GET", "HEAD", "POST", login=True)
def of_company(request: PageRequest) -> HttpResponse:
    """What is kept everywhere; site admins say it."""
    return _serve(request, None)


@page("GET", "HEAD", "POST", login=True)
def of_team(request: PageRequest, slug: str) -> HttpResponse:
    """What is kept in one team; its owners and admins say it."""
    return _serve(request, people.get_team(slug, by=request.actor))


def _serve(request: PageRequest, team: Team | None) -> HttpResponse:
    typed = request.POST if request.method == "POST" else request.GET
    stage = typed.get("stage", "")
    stage = stage if stage in SAYS else Stage.DEV.value
    here = reverse("web:team_retention", args=[team.slug]) if team else reverse("web:retention")
    policies = list(retention.policies_for(request.actor))
    policy = next((one for one in policies if one.stage == stage and one.team == team), None)
    form = RetentionForm(
        posted(request),
        stage=stage,
        asks_cold=storage_report.has_cold_classes(),
        initial=_initial(policy),
    )
    proposal: RetentionPolicy | None = None
    if request.method == "POST" and request.POST.get("action") == "remove" and policy is not None:
        retention.remove_policy(policy, by=request.actor, reason=request.POST.get("reason", ""))
        messages.success(request, f"Nothing is said of {SAYS[Stage(stage)].lower()} any more.")
        return redirect(f"{here}?{urlencode({'stage': stage})}")
    if request.method == "POST" and form.is_valid():
        try:
            done = _act(request, form, stage, team)
        except Invalid as error:
            show_problems(form, error)
        else:
            if isinstance(done, str):
                messages.success(request, done)
                return redirect(f"{here}?{urlencode({'stage': stage})}")
            proposal = done
    context = {
        "section": "retention",
        "team": team,
        "here": here,
        "stage": stage,
        "stage_label": SAYS[Stage(stage)],
        "policy": policy,
        "lines": _lines(policies, team, here),
        "teams": sorted({one.team.slug: one.team for one in policies if one.team and not team}.items()),
        "form": form,
        "may_set": may(request.actor, Right.DELETE, team),
        "proposal": proposal,
        "proposed": retention.said(proposal) if proposal else "",
        "plan": retention_plan.plan(by=request.actor, team=team, proposal=proposal),
    }
    return render(request, "retention/retention.html", context, status=422 if form.errors else 200)


def _act(request: PageRequest, form: RetentionForm, stage: str, team: Team | None) -> str | RetentionPolicy:
    """What was done, in words; or what is only to be tried."""
    action, reason = request.POST.get("action"), form.cleaned_data["reason"]
    if action == "try":
        return retention.proposed(stage=stage, team=team, **form.wanted())
    saved = retention.set_policy(stage=stage, team=team, by=request.actor, reason=reason, **form.wanted())
    return f"Saved: kept are {retention.said(saved)}."


def _initial(policy: RetentionPolicy | None) -> dict[str, Any]:
    if policy is None:
        return {}
    return {name: getattr(policy, name) for name in ("keep_last", "keep_days", "then", "cold_days")}


def _lines(policies: list[RetentionPolicy], team: Team | None, here: str) -> list[Line]:
    rules = retention.rules(policies)
    told = {(one.stage, one.team_id): retention.said(one) for one in policies}
    found = []
    for stage, label in SAYS.items():
        rule = rules.of(stage, team.pk if team else None)
        found.append(
            Line(
                stage=stage,
                label=label,
                company=told.get((stage, None), ""),
                team=told.get((stage, team.pk), "") if team else "",
                together=retention.in_words(
                    rule,
                    cold=rules.cold_after(team.pk if team else None) if stage == Stage.ARCHIVED else None,
                ),
                then=rule.then if rule else "",
                url=f"{here}?{urlencode({'stage': stage.value})}#edit",
            )
        )
    return found
