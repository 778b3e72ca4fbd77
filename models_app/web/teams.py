"""Teams: who is in them, with which role."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import redirect, render

from models_app.models import Team, User
from models_app.registry import people, quotas, service_accounts
from models_app.registry.access import Right, may, models_for, require_reading
from models_app.registry.errors import Conflict, Invalid, NotFound
from models_app.registry.metadata import find_person

from .door import PageRequest, page, show_problems
from .forms import MemberForm, ServiceAccountForm, TeamForm


@page()
def teams(request: PageRequest) -> HttpResponse:
    """Every team with its number of people and of models that one may see."""
    require_reading(request.actor)
    models = models_for(request.actor).without_prompts()
    counts = dict(models.order_by().values_list("team").annotate(number=Count("pk")))
    rows = [
        {"team": team, "people": team.people, "models": counts.get(team.pk, 0)}
        for team in Team.objects.annotate(people=Count("memberships"))
    ]
    return render(request, "teams/teams.html", {"rows": rows})


def show_team(
    request: PageRequest,
    team: Team,
    *,
    form: TeamForm | None = None,
    member: MemberForm | None = None,
    service: ServiceAccountForm | None = None,
) -> HttpResponse:
    """The page, with the one of its forms that was refused."""
    manages = may(request.actor, Right.MANAGE_TEAM, team)
    members = team.memberships.select_related("user").order_by("user__username")
    context = {
        "team": team,
        "manages": manages,
        "standing": quotas.standing_of(team.pk) if request.actor.is_known else None,
        # A public site shows its models, not its people.
        "memberships": members if request.actor.is_known else (),
        "models": models_for(request.actor).without_prompts().filter(team=team).order_by("-updated_at")[:20],
        "accounts": service_accounts.of_team(team, by=request.actor) if manages else (),
        "service": service or ServiceAccountForm(initial={"role": "contributor"}, auto_id="id_service_%s"),
        "form": form or TeamForm(initial={"name": team.name, "description": team.description}),
        "member": member or MemberForm(),
    }
    failed = (form and form.errors) or (member and member.errors) or (service and service.errors)
    return render(request, "teams/team.html", context, status=422 if failed else 200)


@page("GET", "HEAD", "POST")
def team(request: PageRequest, slug: str) -> HttpResponse:
    """A team's people, roles and models; its admins change name and description."""
    if request.method != "POST":
        return show_team(request, people.get_team(slug, by=request.actor))
    shown = people.get_team(slug, by=request.actor, right=Right.MANAGE_TEAM)
    form = TeamForm(request.POST)
    if form.is_valid():
        try:
            people.update_team(shown, by=request.actor, **form.cleaned_data)
        except Invalid as error:
            show_problems(form, error)
        else:
            messages.success(request, "The team is saved.")
            return redirect("web:team", slug)
    return show_team(request, shown, form=form)


@page("POST", login=True)
def set_member(request: PageRequest, slug: str) -> HttpResponse:
    """Give a person a role in the team, new or changed."""
    shown = people.get_team(slug, by=request.actor, right=Right.MANAGE_TEAM)
    form = MemberForm(request.POST)
    if form.is_valid():
        try:
            user = find_person("username", form.cleaned_data["username"])
            assert user is not None
            people.set_role(shown, user=user, role=form.cleaned_data["role"], by=request.actor)
        except (Invalid, Conflict) as error:
            show_problems(form, error)
        else:
            messages.success(request, f"{user} is {form.cleaned_data['role']} of {shown.slug}.")
            return redirect("web:team", slug)
    return show_team(request, shown, member=form)


@page("POST", login=True)
def remove_member(request: PageRequest, slug: str, username: str) -> HttpResponse:
    """Take a person out of the team."""
    shown = people.get_team(slug, by=request.actor, right=Right.MANAGE_TEAM)
    user = User.objects.filter(username=username).first()
    if user is None:
        raise NotFound(f"There is no person “{username}”.")
    people.remove_member(shown, user=user, by=request.actor)
    messages.success(request, f"{user} is no longer in {shown.slug}.")
    return redirect("web:team", slug)
