"""What teams hold and may: for a team's members, and all of it for site admins."""

from __future__ import annotations

from dataclasses import dataclass

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render

from models_app.formats import sizes
from models_app.models import StorageQuota, Team
from models_app.registry import people, quotas, storage_report
from models_app.registry.access import Right, may
from models_app.registry.errors import Invalid
from models_app.registry.quotas import Standing

from .door import PageRequest, page, posted, show_problems
from .forms import PageForm
from .over_time import picture

LARGEST = 10
DAMAGED = 5


class SizeField(forms.CharField):
    """Bytes, as people write them; empty is None."""

    def __init__(self, *, label: str, help_text: str) -> None:
        super().__init__(label=label, required=False, max_length=30, help_text=help_text)

    def clean(self, value: str) -> int | None:
        text = super().clean(value)
        try:
            return sizes.read(text) if text else None
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error

    def prepare_value(self, value: object) -> object:
        return sizes.exactly(value) if isinstance(value, int) else value


class QuotaForm(PageForm):
    soft = SizeField(label="Warn from", help_text="Like 400 GiB. Owners and admins are told once.")
    hard = SizeField(label="Refuse past", help_text="Like 500 GiB. Nothing is registered that would pass it.")


@dataclass(frozen=True, slots=True)
class Bar:
    """How full, for a bar of 100 wide; `mark` is where warnings begin. `share` of the limit may be more than 100 %, and
    is rounded down: what is 100 % is full. `word` is what people are warned of; "" while there is room.
    """

    full: float
    share: str
    mark: float | None
    state: str
    word: str
    limit: int


def bar(standing: Standing) -> Bar | None:
    """None without a limit."""
    limit = standing.soft if standing.hard is None else standing.hard
    if limit is None:
        return None
    mark = standing.soft if standing.hard and standing.soft else None
    word = "Past" if standing.hard is None else "Near"
    percent = 100 * standing.used // limit if limit else 100
    return Bar(
        full=round(min(100.0, 100 * standing.used / limit), 1) if limit else 100.0,
        share="Under 1 %" if standing.used and not percent else f"{percent} %",
        mark=None if mark is None else round(100 * mark / limit, 1),
        state=standing.state,
        word="Full" if standing.is_full else word if standing.is_near else "",
        limit=limit,
    )


def _quota_form(request: PageRequest, team: Team | None) -> QuotaForm:
    row = StorageQuota.objects.filter(team=team).first()
    return QuotaForm(posted(request), initial={"soft": row.soft, "hard": row.hard} if row else {})


def _save(request: PageRequest, team: Team | None, form: QuotaForm) -> bool:
    """Whether something was done; else the form says why not."""
    if request.POST.get("action") == "drop":
        quotas.drop_quota(team, by=request.actor)
        return True
    if form.is_valid():
        try:
            quotas.set_quota(team, **form.cleaned_data, by=request.actor)
        except Invalid as error:
            show_problems(form, error)
        else:
            return True
    return False


@page("GET", "HEAD", "POST", login=True)
def of_team(request: PageRequest, slug: str) -> HttpResponse:
    """What a team holds over time, its largest models and versions; site admins set its quota."""
    team = people.get_team(slug, by=request.actor)
    use = storage_report.of_team(team, by=request.actor)
    form = _quota_form(request, team)
    if request.method == "POST" and _save(request, team, form):
        messages.success(request, f"The quota of {team.name} is saved.")
        return redirect("web:team_storage", slug)
    context = {
        "team": team,
        "tab": "storage",
        "use": use,
        "standing": use.standing,
        "bar": bar(use.standing),
        "counted_at": use.counted_at,
        "picture": picture(storage_report.days(team, [use.standing], by=request.actor), use.standing),
        "models": storage_report.largest_models(team, by=request.actor, most=LARGEST),
        "versions": storage_report.largest_versions(team, by=request.actor, most=LARGEST),
        "form": form if may(request.actor, Right.MANAGE_TEAM, None) else None,
    }
    return render(request, "storage/team.html", context, status=422 if form.errors else 200)


@page("GET", "HEAD", "POST", login=True)
def of_site(request: PageRequest) -> HttpResponse:
    """All teams, everything over time, how the storage is, and the quota of every team. Site admins only."""
    standings = storage_report.of_teams(by=request.actor)
    form = _quota_form(request, None)
    if request.method == "POST" and _save(request, None, form):
        messages.success(request, "The quota of every team is saved.")
        return redirect("web:storage")
    context = {
        "rows": [{"standing": one, "bar": bar(one)} for one in standings],
        "used": sum(one.used for one in standings),
        "picture": picture(storage_report.days(None, standings, by=request.actor), None),
        "counted_at": storage_report.counted_at(by=request.actor),
        "models": storage_report.largest_models(None, by=request.actor, most=LARGEST),
        "health": storage_report.health(by=request.actor),
        "damaged": storage_report.damaged_blobs(by=request.actor, most=DAMAGED),
        "form": form,
        "section": "storage",
    }
    return render(request, "storage/site.html", context, status=422 if form.errors else 200)
