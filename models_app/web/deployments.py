"""Deployments: all models in all environments at a glance, what happened in one of them, and one deployment."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from models_app.http.paging import keyset_page
from models_app.models import (
    CURRENT,
    Deployment,
    DeploymentKind,
    DeploymentState,
    Environment,
    Follows,
    Team,
)
from models_app.models.deployments import FIRST_LINES
from models_app.registry import deployment_plans, deployment_views, deployments, environments
from models_app.registry.access import Right, get_model, get_version, may
from models_app.registry.deployment_views import Row
from models_app.registry.errors import Conflict, Invalid, RegistryError

from . import monitoring
from .door import PageRequest, Refused, page, posted, show_problems, status_of, whole_number
from .forms import PageForm, ReasonForm
from .models import frame

MODELS = 25
HISTORY = 50
# Of a long log the newest; `?lines=all` shows the rest.
LINES = 200
LINKS = 20


@page()
def matrix(request: PageRequest) -> HttpResponse:
    """What runs where, a row per model: version, state, age, and where a report differs from what is declared."""
    there = list(environments.environments_for(request.actor))
    team, words = request.GET.get("team", ""), request.GET.get("q", "")
    only = next((one for one in there if one.name == request.GET.get("environment")), None)
    in_trouble = request.GET.get("trouble") == "1"
    models = deployment_views.deployed_models(
        request.actor, team=team, words=words, environment=only, in_trouble=in_trouble
    )
    listed = keyset_page(models, order=[("name", "asc")], cursor=request.GET.get("cursor"), limit=MODELS)
    rows = deployment_views.matrix(listed.items, by=request.actor, environments=[only] if only else there)
    columns, rows = _without_empty_columns(rows, [only] if only else there)
    context = {
        "section": "deployments",
        "rows": rows,
        "columns": columns,
        "by_environment": _by_environment(rows, columns),
        "next_cursor": listed.next_cursor,
        "environments": there,
        "teams": list(Team.objects.order_by("name")),
        "team": team,
        "environment": only,
        "q": words,
        "in_trouble": in_trouble,
        "is_narrowed": bool(team or words or only or in_trouble),
        "may_set_up": may_set_up(request),
    }
    return render(request, "deployments/matrix.html", context)


def may_set_up(request: PageRequest) -> bool:
    """Whether she may set up environments, for the site or for some team."""
    return may(request.actor, Right.MANAGE_TEAM, None) or any(
        may(request.actor, Right.MANAGE_TEAM, team) for team in request.actor.roles
    )


def _without_empty_columns(
    rows: list[Row], columns: list[Environment]
) -> tuple[list[Environment], list[Row]]:
    """Many teams have many environments: those of a team are left out where these rows have nothing in them."""
    kept = [
        index
        for index, one in enumerate(columns)
        if one.team_id is None or len(columns) == 1 or any(not row.cells[index].is_empty for row in rows)
    ]
    return [columns[index] for index in kept], [
        Row(row.model, [row.cells[index] for index in kept]) for row in rows
    ]


def _by_environment(rows: list[Row], columns: list[Environment]) -> list[dict[str, Any]]:
    """The same for narrow windows: of each environment the models that are there."""
    return [
        {
            "environment": one,
            "models": [(row.model, row.cells[index]) for row in rows if not row.cells[index].is_empty],
        }
        for index, one in enumerate(columns)
    ]


@page()
def of_model(request: PageRequest, name: str) -> HttpResponse:
    """Where a model is, and its deployments everywhere, newest first."""
    shown = get_model(name, by=request.actor)
    listed = _page(request, deployments.deployments_for(request.actor).filter(model=shown))
    plan = deployment_plans.going_back_from(shown, by=request.actor)
    context = frame(request, shown, "deployments") | {
        "cells": deployment_views.of_model(shown, by=request.actor),
        "deployments": listed.items,
        "next_cursor": listed.next_cursor,
        "may_set_up": may_set_up(request),
        "may_roll_back_all": plan.is_allowed,
    }
    return render(request, "deployments/model.html", context)


@page()
def history(request: PageRequest, name: str, environment: str) -> HttpResponse:
    """A model in one environment: what is there now, and all that was, newest first."""
    shown = get_model(name, by=request.actor)
    where = environments.get_environment(environment, by=request.actor)
    listed = _page(request, deployment_views.history(shown, where, by=request.actor))
    [row] = deployment_views.matrix([shown], by=request.actor, environments=[where])
    [cell] = row.cells
    context = {
        "section": "deployments",
        "model": shown,
        "environment": where,
        "cell": cell,
        "may_roll_back": cell.live is not None
        and cell.live.rollback_target is not None
        and environments.may_deploy(where, shown, by=request.actor),
        "deployments": listed.items,
        "next_cursor": listed.next_cursor,
    }
    return render(request, "deployments/history.html", context)


def _page(request: PageRequest, rows: Any) -> Any:
    return keyset_page(rows, order=[("id", "desc")], cursor=request.GET.get("cursor"), limit=HISTORY)


# --- one deployment -------------------------------------------------------------------------------------------


@page()
def deployment(request: PageRequest, number: int) -> HttpResponse:
    """Its steps with times, its log, what it goes back to, who ordered it and why; `?lines=all` shows the whole log."""
    shown = deployments.get_deployment(number, by=request.actor)
    context = _told(request, shown) | {"charts": monitoring.of_deployment(shown)}
    return render(request, "deployments/deployment.html", context)


@page()
def progress(request: PageRequest, number: int) -> HttpResponse:
    """What of a deployment's page changes while it is under way, and its lines behind number `after`."""
    shown = deployments.get_deployment(number, by=request.actor)
    context = _told(request, shown, after=whole_number(request.GET.get("after", "")))
    return render(request, "deployments/deployment.html#progress", context)


def _told(
    request: PageRequest, shown: Deployment, *, after: int = 0, refused: Refused | None = None
) -> dict[str, Any]:
    model, environment = shown.version.model, shown.environment
    lines = shown.lines.filter(pk__gt=after)
    newest = None if after or "all" in request.GET.getlist("lines") else LINES
    shown_lines = list(lines.order_by("-pk")[:newest])[::-1]
    if shown.lines_left_out and len(shown_lines) > FIRST_LINES and not newest and not after:
        shown_lines[FIRST_LINES].follows_a_gap = True  # type: ignore[attr-defined]
    may_deploy = environments.may_deploy(environment, model, by=request.actor)
    freeze = environment.freeze_at(timezone.now())
    return {
        "section": "deployments",
        "deployment": shown,
        "model": model,
        "environment": environment,
        "asked": getattr(shown.transition, "request", None),
        "steps": _steps(shown),
        "waits_for": deployment_views.waits_for(shown),
        "lines": shown_lines,
        "last_line": shown_lines[-1].pk if shown_lines else after,
        "earlier": shown.line_count - shown.lines_left_out - len(shown_lines) if not after else 0,
        "links": list(shown.lines.exclude(url="")[:LINKS]),
        "undone_by": shown.undone_by.order_by("-pk").first(),
        "follows": shown.state in CURRENT and shown.state != DeploymentState.LIVE,
        "may_deploy": may_deploy,
        "may_start": may_deploy and shown.state == DeploymentState.QUEUED and not shown.released,
        "may_call_off": may_deploy and shown.state == DeploymentState.QUEUED,
        "may_roll_back": may_deploy
        and shown.rollback_target_id is not None
        and (
            shown.state == DeploymentState.LIVE
            or (shown.is_unfinished and shown.kind != DeploymentKind.ROLLBACK)
        ),
        "may_repeat": may_deploy
        and environment.deleted_at is None
        and shown.state in (DeploymentState.FAILED, DeploymentState.ROLLED_BACK),
        "freeze": freeze,
        "may_pass_freeze": freeze is not None and may(request.actor, Right.MANAGE_TEAM, environment.team),
        "refused": refused,
    }


def _steps(shown: Deployment) -> list[dict[str, Any]]:
    """The way through the states: each reached at its time; those ahead without one; the end, however it came."""
    state = shown.state
    reached = [
        ("queued", shown.queued_at),
        ("deploying", shown.started_at),
        ("verifying", shown.verifying_at),
        ("live", shown.live_at),
    ]
    steps = [{"state": name, "at": at, "is_now": name == state} for name, at in reached]
    if state == DeploymentState.LIVE:
        return [step for step in steps if step["at"]]
    if not shown.is_over:
        return steps
    steps = [step for step in steps if step["at"]]
    if state == DeploymentState.ROLLED_BACK and shown.failure:
        # It failed, and then what ran before was brought back: two moments.
        steps.append({"state": str(DeploymentState.FAILED), "at": shown.ended_at, "is_now": False})
        back = shown.undone_by.exclude(live_at=None).order_by("-pk").first()
        return [*steps, {"state": str(state), "at": back.live_at if back else shown.ended_at, "is_now": True}]
    return [*steps, {"state": str(state), "at": shown.ended_at, "is_now": True}]


@page("POST", login=True)
def start(request: PageRequest, number: int) -> HttpResponse:
    """Start what waits for somebody to start it."""
    shown = deployments.get_deployment(number, by=request.actor)
    try:
        deployments.start(
            shown,
            by=request.actor,
            reason=request.POST.get("reason", ""),
            past_freeze=request.POST.get("past_freeze") == "on",
        )
    except (Conflict, Invalid) as error:
        return _refuse(request, number, "start", error)
    messages.success(request, f"v{shown.version.number} goes to {shown.environment}.")
    return redirect("web:deployment", number)


@page("POST", login=True)
def call_off(request: PageRequest, number: int) -> HttpResponse:
    """Take back one that still waits."""
    shown = deployments.get_deployment(number, by=request.actor)
    try:
        deployments.call_off(shown, by=request.actor, reason=request.POST.get("reason", ""))
    except (Conflict, Invalid) as error:
        return _refuse(request, number, "call_off", error)
    messages.success(request, f"Deployment #{number} is called off.")
    return redirect("web:deployment", number)


def _refuse(request: PageRequest, number: int, form: str, error: RegistryError) -> HttpResponse:
    # As it is now: what stood in the way may have happened a moment ago.
    now = deployments.get_deployment(number, by=request.actor)
    context = _told(request, now, refused=Refused(form, error, request.POST.dict()))
    status = 422 if isinstance(error, Invalid) else status_of(error)
    return render(request, "deployments/deployment.html", context, status=status)


# --- by hand --------------------------------------------------------------------------------------------------


class RollbackForm(ReasonForm):
    """Why, and in one environment whether what it follows goes back as well; everywhere that is so anyway."""

    move_stage = forms.BooleanField(
        required=False,
        help_text="Other environments that follow it then go back as well. Else it stays, and this one runs something "
        "else.",
    )

    def __init__(self, *args: Any, where: Environment | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].required = True
        if where is None:
            del self.fields["move_stage"]
            return
        what = where.followed if where.follows == Follows.STAGE else f"the alias “{where.followed}”"
        self.fields["move_stage"].label = f"Move {what} back, too"


@page("GET", "HEAD", "POST", login=True)
def roll_back(request: PageRequest, name: str) -> HttpResponse:
    """Ask why, then go back: in one environment (`?environment=`), or wherever the version is, with its stage."""
    shown = get_model(name, by=request.actor)
    named = request.GET.get("environment", "")
    where = environments.get_environment(named, by=request.actor) if named else None
    form = RollbackForm(posted(request), where=where)
    if request.method == "POST" and form.is_valid():
        try:
            made = deployments.roll_back(shown, where, by=request.actor, **form.cleaned_data)
        except (Invalid, Conflict) as error:
            show_problems(form, error)
        else:
            told = ", ".join(f"{one.environment} to v{one.version.number}" for one in made)
            messages.success(request, f"Going back: {told}.")
            if len(made) == 1:
                return redirect("web:deployment", made[0].pk)
            return redirect("web:model_deployments", shown.name)
    plan = deployment_plans.going_back_from(shown, where, by=request.actor)
    context = {"section": "deployments", "model": shown, "environment": where, "plan": plan, "form": form}
    return render(request, "deployments/rollback.html", context, status=422 if form.errors else 200)


class OrderForm(PageForm):
    """A version into an environment that takes it."""

    environment = forms.ModelChoiceField(
        Environment.objects.none(), label="Environment", to_field_name="name", empty_label=None
    )
    reason = forms.CharField(
        label="Reason",
        required=False,
        max_length=2000,
        help_text="Kept with the deployment and in the audit.",
    )
    past_freeze = forms.BooleanField(
        label="Past a freeze", required=False, help_text="Admins of the environment may, with a reason."
    )

    def __init__(self, *args: Any, there: QuerySet[Environment], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["environment"].queryset = there  # type: ignore[attr-defined]


@page("GET", "HEAD", "POST", login=True)
def order(request: PageRequest, name: str, rev: str) -> HttpResponse:
    """Deploy a version by hand: one that failed once more, or where nothing followed it."""
    shown = get_version(name, rev, by=request.actor)
    there = environments.environments_for(request.actor)
    allowed = [one.pk for one in deployment_plans.open_to(shown, by=request.actor)]
    # Of what is sent the verb decides.
    choices = there if request.method == "POST" else there.filter(pk__in=allowed)
    form = OrderForm(posted(request), initial=request.GET, there=choices)
    if request.method == "POST" and form.is_valid():
        typed = form.cleaned_data
        try:
            made = deployments.deploy(
                shown,
                typed["environment"],
                by=request.actor,
                reason=typed["reason"],
                past_freeze=typed["past_freeze"],
            )
        except (Invalid, Conflict) as error:
            show_problems(form, error)
        else:
            messages.success(request, f"v{shown.number} goes to {made.environment}.")
            return redirect("web:deployment", made.pk)
    context = {
        "section": "deployments",
        "model": shown.model,
        "version": shown,
        "form": form,
        "has_choice": bool(allowed),
        "live": deployment_views.serving([shown]).get(shown.pk, []),
    }
    return render(request, "deployments/order.html", context, status=422 if form.errors else 200)
