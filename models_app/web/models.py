"""A model's pages: card, versions, settings, roll back."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Prefetch
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.safestring import mark_safe

from models_app.http.paging import keyset_page
from models_app.models import Alias, LegalHold, ModelVersion, RegisteredModel, Stage, VersionMetric
from models_app.registry import (
    card_template,
    cards,
    catalog,
    deployment_views,
    holds,
    incidents,
    lifecycle,
    metrics,
    requirements,
    storage_report,
)
from models_app.registry.access import Right, get_model, may, may_on
from models_app.registry.errors import Conflict, Forbidden, Invalid, NotFound

from .door import PageRequest, page, posted, show_problems, tell_refusal
from .forms import DeleteForm, ModelForm, ReasonForm, RegisterForm, RenameForm, tags_to
from .pictures import history
from .snippets import snippets

PAGE = 50
COLUMNS = 4


def frame(request: PageRequest, model: RegisteredModel, tab: str) -> dict[str, Any]:
    """What the top of every page of a model shows: stages, tags, tabs, what one may do."""
    production = list(
        ModelVersion.objects.filter(model=model, stage=Stage.PRODUCTION)
        .select_related("last_promoted_by", "rollback_target")
        .order_by("-last_promoted_at", "-number")[:5]
    )
    actor, team = request.actor, model.team
    target = production[0].rollback_target if production else None
    return {
        "section": "models",
        "model": model,
        "tab": tab,
        "production": production,
        "staging": model.newest_staging,
        "rollback_target": target,
        "roll_back_button": f"Roll back to v{target.number}" if target else "",
        "roll_back_text": f"v{target.number} is production again; v{production[0].number} is archived."
        if target
        else "",
        "may_roll_back": target is not None and may_on(actor, Right.ROLLBACK, model),
        "may_register": may(actor, Right.REGISTER, team),
        "may_edit": may_on(actor, Right.EDIT_MODEL, model),
        "tags": list(model.tags.all()),
        "incident": incidents.unresolved(model),
        "troubles": deployment_views.trouble_of(model),
    }


@page()
def model(request: PageRequest, name: str) -> HttpResponse:
    """The card, what is in production, and how to use it."""
    shown = get_model(name, by=request.actor)
    if shown.name != name:
        return redirect("web:model", shown.name, permanent=True)
    context = frame(request, shown, "card")
    card = cards.render(shown.card)
    hero = context["production"][0] if context["production"] else None
    counting = hero or shown.newest
    if hero is not None:
        former = ModelVersion.objects.filter(pk=hero.rollback_target_id).prefetch_related("metrics").first()
        context["hero_metrics"] = metrics.against(hero, former)[:6]
        context["former"] = former
    headline = metrics.headline_name(shown, counting.metrics.all() if counting else [])
    points = metrics.series(shown, headline) if headline else []
    revision = request.GET.get(
        "use", "production" if hero else str(shown.newest.number) if shown.newest else ""
    )
    context |= {
        "hero": hero,
        # Sanitised by registry/cards.py.
        "card_html": mark_safe(card.html),  # noqa: S308
        "toc": card.toc if len(card.toc) > 2 else (),
        "readme_of": shown.newest if not shown.card and card_template.has_readme(shown.newest) else None,
        "headline": headline,
        "history": history(points),
        "revision": revision,
        "revisions": _revisions(shown, hero is not None),
        "snippets": snippets(request, shown, revision) if shown.newest else [],
        "recent": lifecycle.history(shown)[:5],
    }
    return render(request, "models/card.html", context)


def _revisions(shown: RegisteredModel, in_production: bool) -> list[str]:
    choices = ["production"] if in_production else []
    choices += ["staging"] if shown.newest_staging else []
    choices += list(Alias.objects.filter(model=shown).values_list("name", flat=True)[:20])
    return [*choices, *([str(shown.newest.number)] if shown.newest else [])]


@page()
def versions(request: PageRequest, name: str) -> HttpResponse:
    """The table of versions, with the metrics one chooses."""
    shown = get_model(name, by=request.actor)
    rows = ModelVersion.objects.filter(model=shown).select_related("created_by", "owner", "manifest")
    stage = request.GET.get("stage", "")
    if stage in Stage.values:
        rows = rows.filter(stage=stage)
    rows = rows.prefetch_related(
        "aliases", Prefetch("metrics", VersionMetric.objects.order_by("name", "dataset"))
    )
    listed = keyset_page(rows, order=[("number", "desc")], cursor=request.GET.get("cursor"), limit=PAGE)
    names = sorted({metric.name for row in listed.items for metric in row.metrics.all()})
    headline = metrics.headline_name(shown, listed.items[0].metrics.all()) if listed.items else ""
    asked = [column for column in request.GET.getlist("m") if column in names]
    usual = [headline, *[column for column in names if column != headline]] if headline in names else names
    columns = asked[:COLUMNS] or usual[:COLUMNS]
    points = metrics.series(shown, headline) if headline else []
    context = frame(request, shown, "versions") | {
        "rows": [_row(row, columns) for row in listed.items],
        "next_cursor": listed.next_cursor,
        "columns": columns,
        "names": names,
        "stage": stage if stage in Stage.values else "",
        "stages": Stage.choices,
        "headline": headline,
        "history": history(points),
        "held": storage_report.of_model(shown, by=request.actor),
    }
    return render(request, "models/versions.html", context)


def _row(version: ModelVersion, columns: list[str]) -> dict[str, Any]:
    values: dict[str, float] = {}
    for metric in version.metrics.all():
        values.setdefault(metric.name, metric.value)
    lacking = [
        label
        for label, there in (
            ("dataset version", version.dataset_version),
            ("metrics", values),
            ("owner", version.owner_id),
            ("license", version.license),
        )
        if not there
    ]
    return {"version": version, "values": [values.get(column) for column in columns], "lacking": lacking}


@page("GET", "HEAD", "POST", login=True)
def register(request: PageRequest) -> HttpResponse:
    """Register a model without versions."""
    user = request.actor.user
    initial = {
        "owner": user.username if user else "",
        "name": request.GET.get("name", ""),
        "visibility": "internal",
    }
    form = RegisterForm(posted(request), initial=initial)
    status = 422 if form.errors else 200
    if request.method == "POST" and form.is_valid():
        try:
            made = catalog.register_model(form.cleaned_data["name"], by=request.actor, **form.values())
        except (Invalid, Conflict, Forbidden) as error:
            tell_refusal(request, error)
            # The name says whose it is: another one may be allowed, so nothing typed is lost.
            show_problems(form, error)
            status = 403 if isinstance(error, Forbidden) else 422
        else:
            messages.success(request, f"{made.name} is registered. Now upload its first version.")
            tell_notices(request, made)
            return redirect("web:model", made.name)
    context = {"form": form, "section": "register", "teams": _teams(request)}
    return render(request, "models/register.html", context, status=status)


def _teams(request: PageRequest) -> list[Any]:
    user = request.actor.user
    rows = user.memberships.select_related("team") if user else []
    return [row.team for row in rows if may(request.actor, Right.REGISTER, row.team)]


@page("GET", "HEAD", "POST", login=True)
def settings(request: PageRequest, name: str) -> HttpResponse:
    """Change a model's facts and card; rename and delete are below."""
    shown = get_model(name, by=request.actor, right=Right.EDIT_MODEL)
    initial = {field: getattr(shown, field) for field in ModelForm.base_fields if hasattr(shown, field)}
    initial |= {
        "owner": shown.owner.username if shown.owner else "",
        "tags": tags_to({tag.key: tag.value for tag in shown.tags.all()}),
        "card": shown.card,
    }
    if request.method != "POST":
        # What is sent is compared with what is there, not with what the editor began with.
        initial["card"] = shown.card or _card_to_start_from(request, shown)
    form = ModelForm(posted(request), initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            saved = catalog.update_model(shown, by=request.actor, **form.changes())
        except (Invalid, Conflict) as error:
            show_problems(form, error)
        else:
            messages.success(request, "Saved.")
            tell_notices(request, saved)
            return redirect("web:model", shown.name)
    return _settings(request, shown, form=form)


def _card_to_start_from(request: PageRequest, shown: RegisteredModel) -> str:
    """What the editor of an empty card begins with, as chosen on the card's page."""
    if "readme" in request.GET:
        return card_template.readme(shown.newest)
    return card_template.template(shown) if "template" in request.GET else ""


def tell_notices(request: PageRequest, saved: RegisteredModel) -> None:
    """What a saved card said and was not taken over."""
    for notice in saved.notices:
        messages.info(request, notice)


def _settings(
    request: PageRequest,
    shown: RegisteredModel,
    *,
    form: ModelForm | None = None,
    renaming: RenameForm | None = None,
    deleting: DeleteForm | None = None,
    holding: ReasonForm | None = None,
) -> HttpResponse:
    forms = {
        "form": form,
        "renaming": renaming or RenameForm(initial={"to": shown.name}, prefix="rename"),
        "deleting": deleting or DeleteForm(name=shown.name, prefix="delete"),
        "may_delete": may_on(request.actor, Right.DELETE, shown),
        "may_hold": may(request.actor, Right.HOLD, shown.team),
        "holding": holding or ReasonForm(prefix="hold"),
        "holds": [
            {"hold": one, "may_lift": holds.may_lift(one, by=request.actor)} for one in holds.of_model(shown)
        ],
        "wanted": _wanted(shown) if form is not None else [],
    }
    failed = any(one is not None and one.errors for one in (form, renaming, deleting, holding))
    return render(
        request,
        "models/settings.html",
        frame(request, shown, "settings") | forms,
        status=422 if failed else 200,
    )


def _wanted(shown: RegisteredModel) -> list[dict[str, Any]]:
    """What the policies of the next stages demand, each with where to fill it in."""
    edit = ""
    if shown.newest is not None:
        edit = reverse("web:version_edit", args=[shown.name, shown.newest.number])
    rows = []
    for demand in card_template.wanted(shown):
        if demand.where == "version":
            # Without a version only what its versions take over from the model can be filled in.
            here = f"#id_{demand.field}" if demand.field in ModelForm.base_fields else ""
            url = f"{edit}#id_{demand.field}" if edit else here
        else:
            url = f"#id_{demand.field if demand.where == 'model' else 'card'}"
        rows.append({"demand": demand, "url": url})
    return rows


@page("POST", login=True)
def rename(request: PageRequest, name: str) -> HttpResponse:
    """Give a model another name."""
    shown = get_model(name, by=request.actor, right=Right.EDIT_MODEL)
    form = RenameForm(request.POST, prefix="rename")
    if form.is_valid():
        try:
            renamed = catalog.rename_model(shown, to=form.cleaned_data["to"], by=request.actor)
        except (Invalid, Conflict) as error:
            form.add_error("to", error.why)
        else:
            messages.success(request, f"Renamed to {renamed.name}. The old name leads here.")
            return redirect("web:model", renamed.name)
    return _settings(request, shown, renaming=form)


@page("POST", login=True)
def delete(request: PageRequest, name: str) -> HttpResponse:
    """Delete a model, its name typed to confirm."""
    shown = get_model(name, by=request.actor, right=Right.DELETE)
    form = DeleteForm(request.POST, name=shown.name, prefix="delete")
    if form.is_valid():
        try:
            catalog.delete_model(shown, by=request.actor, reason=form.cleaned_data["reason"])
        except (Invalid, Conflict) as error:
            form.add_error(None, f"{error.why} {error.next_step}")
        else:
            messages.success(request, f"{shown.name} is deleted.")
            return redirect("web:search")
    return _settings(request, shown, deleting=form)


@page("POST", login=True)
def hold(request: PageRequest, name: str) -> HttpResponse:
    """Place a legal hold on the whole model, or `lift` one that keeps it or a version of it."""
    shown = get_model(name, by=request.actor)
    form, lifted = ReasonForm(request.POST, prefix="hold"), request.POST.get("lift", "")
    if form.is_valid():
        reason = form.cleaned_data["reason"]
        try:
            if lifted:
                holds.lift(find_hold(request, shown, lifted), by=request.actor, reason=reason)
                done = "The legal hold is lifted."
            else:
                holds.place(shown, by=request.actor, reason=reason)
                done = f"{shown.name} is under legal hold: nobody deletes it until that is lifted."
        except (Conflict, Invalid) as error:
            show_problems(form, error)
        else:
            messages.success(request, done)
            return redirect("web:model_settings", shown.name)
    return _settings(request, get_model(name, by=request.actor, right=Right.EDIT_MODEL), holding=form)


def find_hold(request: PageRequest, shown: RegisteredModel, number: str) -> LegalHold:
    """A hold of this model. Raises NotFound."""
    found = holds.get_hold(int(number), by=request.actor) if number.isascii() and number.isdigit() else None
    if found is None or found.model_id != shown.pk:
        raise NotFound(f"{shown.name} has no such legal hold.")
    return found


@page("GET", "HEAD", "POST", login=True)
def rollback(request: PageRequest, name: str) -> HttpResponse:
    """Ask why, then make the previous production version production again."""
    shown = get_model(name, by=request.actor, right=Right.ROLLBACK)
    form = ReasonForm(posted(request))
    if request.method == "POST" and form.is_valid():
        try:
            transition = lifecycle.rollback(shown, by=request.actor, reason=form.cleaned_data["reason"])
        except (Invalid, Conflict) as error:
            show_problems(form, error)
        else:
            now = lifecycle.current_production(shown)
            messages.success(
                request, f"Rolled back: v{now.number if now else transition.version.number} is in production."
            )
            return redirect("web:model", shown.name)
    context = frame(request, shown, "card") | {"form": form}
    return render(request, "models/rollback.html", context, status=422 if form.errors else 200)


def missing_links(version: ModelVersion, *, to: str, may_edit: bool) -> list[dict[str, str]]:
    """What a stage demands and the version lacks, each with the address where to fill it in, for who may."""
    edit = reverse("web:version_edit", args=[version.model.name, version.number])
    return [
        {
            "label": item.label,
            "detail": item.detail,
            "url": f"{edit}#id_{item.field}" if may_edit and item.field else "",
        }
        for item in requirements.requirements(version, to=to)
        if not item.met
    ]
