"""Environments: the list, one of them, and the form that sets it up or changes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render

from models_app.models import DeployKind, Environment, Follows, StartMode, Team, Webhook, WebhookStatus
from models_app.registry import address_templates, deployment_views, deployments, environments, hook_filters
from models_app.registry.access import Right, may, require_login
from models_app.registry.errors import Conflict, Forbidden, Invalid, RegistryError

from .deployments import may_set_up
from .door import PageRequest, page, posted, show_problems, tell_refusal
from .forms import Lines, PageForm, ReasonForm

PLACES = ", ".join(f"{{{place}}}" for place in address_templates.PLACES if place != "address")
_FREEZE = re.compile(
    r"\s*(\S+[ T]\S+?)(?:Z| UTC)?\s+(?:to|until|–)\s+(\S+[ T]\S+?)(?:Z| UTC)?\s*[:;,]\s*(.+)"
)


def _line(label: str, help: str = "", *, most: int = 200, required: bool = False) -> forms.CharField:
    return forms.CharField(label=label, help_text=help, max_length=most, required=required)


def _seconds(label: str, name: str, help: str) -> forms.IntegerField:
    least, most = environments.TIMES[name]
    return forms.IntegerField(label=label, min_value=least, max_value=most, help_text=help)


class EnvironmentForm(PageForm):
    """All of an environment; `team` and `name` are its for good."""

    name = _line("Name", "Letters, digits and hyphens, e.g. eu or press-shop.", most=63, required=True)
    team = forms.ModelChoiceField(
        Team.objects.none(),
        label="Whose it is",
        required=False,
        empty_label="The whole company",
        help_text="An environment of a team takes that team's models only, and its admins change it.",
    )
    site = _line("Site", "Where it is: a data center, a region, a plant.")

    follows = forms.ChoiceField(label="Follows", choices=Follows.choices)
    followed = _line(
        "Which one",
        "A stage (staging, production) or the name of an alias, e.g. champion. Whatever reaches it is deployed here.",
        most=255,
        required=True,
    )
    name_pattern = _line("Models by name", "As in shells: vision/* or *. Empty means all.", most=256)
    for_team = forms.ModelChoiceField(
        Team.objects.none(), label="Models of team", required=False, empty_label="All teams"
    )
    tag = _line("Models by tag", "A key, or key=value. Empty means all.", most=501)

    kind = forms.ChoiceField(
        label="Deployed by",
        choices=DeployKind.choices,
        help_text="A webhook is told, a CI pipeline is started by one, an agent asks for what is to be done.",
    )
    serving_address = _line("Serves at", f"An address in which {PLACES} are filled in.", most=500)
    health_check = _line(
        "Health check",
        "Answers with success when it serves; {address} is the one above. Empty: the deployer is believed.",
        most=500,
    )
    health_window = _seconds(
        "Has to be healthy within", "health_window", "Seconds, from the deployer's report on."
    )
    timeout = _seconds("Has to be deployed within", "timeout", "Seconds.")
    start = forms.ChoiceField(label="Starts", choices=StartMode.choices)
    rolls_back = forms.BooleanField(
        label="Goes back by itself when a deployment fails",
        required=False,
        help_text="To what was live before; the stage goes back too, and what failed is not tried again by itself.",
    )

    deploy_role = forms.ChoiceField(
        label="Who may deploy",
        choices=[
            (role.value, f"{role.label}s of the model's team, and above")
            for role in environments.DEPLOY_ROLES
        ],
        help_text="Order, start and roll back by hand.",
    )
    deploy_team = forms.ModelChoiceField(
        Team.objects.none(),
        label="Members of a team may too",
        required=False,
        empty_label="Nobody else",
        help_text="For those who run the place, and for their service accounts, which report for it.",
    )
    freezes = Lines(
        label="Freezes",
        required=False,
        max_length=50_000,
        widget=forms.Textarea(
            attrs={"rows": 3, "placeholder": "2026-12-20 18:00 to 2027-01-04 08:00: year's end"}
        ),
        help_text="One a line, in UTC: from to until: reason. Nothing is deployed then but rollbacks.",
    )
    reason = forms.CharField(
        label="Why it changes", required=False, max_length=2000, help_text="Kept in the audit record."
    )

    SECTIONS = (
        ("What and where", ("name", "team", "site")),
        ("Which models", ("follows", "followed", "name_pattern", "for_team", "tag")),
        (
            "How it deploys",
            ("kind", "serving_address", "health_check", "health_window", "timeout", "start", "rolls_back"),
        ),
        ("Who and when", ("deploy_role", "deploy_team", "freezes", "reason")),
    )

    def __init__(
        self,
        *args: Any,
        teams: QuerySet[Team],
        owners: QuerySet[Team],
        of_site: bool,
        of_team: bool,
        is_new: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        for name in ("for_team", "deploy_team"):
            self.fields[name].queryset = teams  # type: ignore[attr-defined]
        if is_new:
            self.fields["team"].queryset = owners  # type: ignore[attr-defined]
            if not of_site:
                # Without one it is the site's, which the verb refuses.
                self.fields["team"].required = not self.is_bound
                self.fields["team"].empty_label = None  # type: ignore[attr-defined]
            del self.fields["reason"]
        else:
            del self.fields["name"], self.fields["team"]
        if of_team:
            del self.fields["for_team"]

    @property
    def sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        """Headings with their fields."""
        return [
            (heading, [self[name] for name in names if name in self.fields])
            for heading, names in self.SECTIONS
        ]

    def clean_freezes(self) -> list[dict[str, str]]:
        lines = [line for line in self.cleaned_data["freezes"].split("\n") if line.strip()]
        return [_freeze(number, line) for number, line in enumerate(lines, start=1)]

    def values(self) -> dict[str, Any]:
        """What the verbs take of a new one."""
        values = {name: self.cleaned_data[name] for name in environments.FIELDS}
        if self.cleaned_data["team"] is not None:
            values["for_team"] = self.cleaned_data["team"]
        return values

    def changes(self) -> dict[str, Any]:
        """What the verbs take, only where something else was typed than was there."""
        return {name: self.cleaned_data[name] for name in environments.FIELDS if name in self.changed_data}


def _freeze(number: int, line: str) -> dict[str, str]:
    """A line of the form as the verbs take it; what the times may be, they say."""
    parts = _FREEZE.fullmatch(line)
    try:
        if parts is None:
            raise ValueError(line)
        begins, ends = (datetime.fromisoformat(text).replace(tzinfo=None) for text in parts.groups()[:2])
    except ValueError:
        raise forms.ValidationError(
            f"Line {number}: written as 2026-12-20 18:00 to 2027-01-04 08:00: reason."
        ) from None
    return {
        "from": f"{begins.isoformat()}Z",
        "until": f"{ends.isoformat()}Z",
        "reason": parts.group(3).strip(),
    }


def _minute(moment: str) -> str:
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M}"


def _freezes_to(freezes: list[dict[str, str]]) -> str:
    """The other way round."""
    return "\n".join(f"{_minute(one['from'])} to {_minute(one['until'])}: {one['reason']}" for one in freezes)


def _form(
    request: PageRequest, environment: Environment | None = None, *, bound: bool = True
) -> EnvironmentForm:
    actor = request.actor
    everywhere = may(actor, Right.MANAGE_TEAM, None)
    teams = Team.objects.order_by("name")
    owners = (
        teams
        if everywhere
        else teams.filter(pk__in=[team for team in actor.roles if may(actor, Right.MANAGE_TEAM, team)])
    )
    shown = environment or Environment()
    initial = {name: getattr(shown, name) for name in environments.FIELDS if name not in ("tag", "freezes")}
    initial |= {
        "tag": f"{shown.tag_key}={shown.tag_value}".rstrip("="),
        "freezes": _freezes_to(shown.freezes),
    }
    return EnvironmentForm(
        posted(request) if bound else None,
        initial=initial,
        teams=teams,
        owners=owners,
        of_site=everywhere,
        of_team=environment is not None and environment.team_id is not None,
        is_new=environment is None,
    )


@page()
def listed(request: PageRequest) -> HttpResponse:
    """All environments: what each follows, how it deploys, how much is live there."""
    rows = deployment_views.with_counts(environments.environments_for(request.actor), by=request.actor)
    context = {"section": "deployments", "rows": rows, "may_set_up": may_set_up(request)}
    return render(request, "deployments/environments.html", context)


@page("GET", "HEAD", "POST", login=True)
def new(request: PageRequest) -> HttpResponse:
    """Set one up."""
    if not may_set_up(request):
        raise Forbidden(
            "Environments are set up by site admins, and by admins of a team for that team.",
            next_step="Ask one of them.",
        )
    form = _form(request)
    if request.method == "POST" and form.is_valid():
        try:
            made = environments.set_up(
                form.cleaned_data["name"], by=request.actor, team=form.cleaned_data["team"], **form.values()
            )
        except (Invalid, Conflict) as error:
            _beside(form, error)
        else:
            messages.success(
                request,
                f"{made} follows {made.followed}: the next version that reaches it is deployed here.",
            )
            return redirect("web:environment", made.name)
    context = {"section": "deployments", "form": form}
    status = 422 if form.errors else 200
    return render(request, "deployments/environment_new.html", context, status=status)


def _beside(form: forms.Form, error: RegistryError) -> None:
    """What is wrong with one of the freezes stands at the freezes."""
    if not isinstance(error, Invalid):
        show_problems(form, error)
        return
    for problem in error.problems:
        field, _, where = problem.field.partition("[")
        told = f"Freeze {int(where.partition(']')[0]) + 1}: {problem.message}" if where else problem.message
        form.add_error(field if field in form.fields else None, told)


@page("GET", "HEAD", "POST")
def environment(request: PageRequest, environment: str) -> HttpResponse:
    """What one is, with its form for who may change it."""
    shown = environments.get_environment(environment, by=request.actor)
    if request.method != "POST":
        return _show(request, shown, form=_form(request, shown))
    require_login(request.actor)
    form = _form(request, shown)
    if form.is_valid():
        try:
            environments.change(shown, by=request.actor, reason=form.cleaned_data["reason"], **form.changes())
        except (Invalid, Conflict) as error:
            _beside(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect("web:environment", shown.name)
    return _show(request, environments.get_environment(environment, by=request.actor), form=form)


def _show(
    request: PageRequest, shown: Environment, *, form: EnvironmentForm, deleting: ReasonForm | None = None
) -> HttpResponse:
    [counted] = deployment_views.with_counts([shown], by=request.actor)
    context = {
        "section": "deployments",
        "environment": shown,
        "counted": counted,
        "freezes": environments.freezes_ahead(shown),
        "agent_command": f"modelry deploy-agent --environment {shown.name} --exec ./deploy.sh",
        "hooks": _told(request, shown),
        "form": form,
        "may_change": may(request.actor, Right.MANAGE_TEAM, shown.team),
        "deleting": deleting or ReasonForm(prefix="delete"),
    }
    failed = form.errors or (deleting is not None and deleting.errors)
    return render(request, "deployments/environment.html", context, status=422 if failed else 200)


@dataclass(frozen=True, slots=True)
class Told:
    """Who hears when something is to be deployed: how many, those the reader may see, whether any is not paused."""

    count: int
    seen: list[Webhook]
    is_heard: bool


def _told(request: PageRequest, shown: Environment) -> Told | None:
    """None where an agent asks."""
    if shown.kind == DeployKind.AGENT:
        return None
    found = hook_filters.deploying(shown)
    seen = [hook for hook in found if may(request.actor, Right.MANAGE_TEAM, hook.team)]
    return Told(len(found), seen, any(hook.status == WebhookStatus.ACTIVE for hook in found))


@page("POST", login=True)
def delete(request: PageRequest, environment: str) -> HttpResponse:
    """Take one away."""
    shown = environments.get_environment(environment, by=request.actor)
    form = ReasonForm(request.POST, prefix="delete")
    form.fields["reason"].required = False
    if form.is_valid():
        try:
            deployments.take_down(shown, by=request.actor, reason=form.cleaned_data["reason"])
        except (Invalid, Conflict) as error:
            tell_refusal(request, error)
            form.add_error("reason", f"{error.why} {error.next_step}".strip())
        else:
            messages.success(request, f"{shown} is deleted. What ran there stays on record.")
            return redirect("web:environments")
    return _show(request, shown, form=_form(request, shown, bound=False), deleting=form)
