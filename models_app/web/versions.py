"""A version's pages: everything known about it, moves, edits, files."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse

from models_app.formats import environments, previews, signatures
from models_app.http.ranges import send_blob, send_version
from models_app.models import ManifestEntry, ModelVersion, Stage
from models_app.registry import (
    approvals,
    bundles,
    catalog,
    curves,
    deployment_views,
    holds,
    incidents,
    lifecycle,
    lineage,
    metadata,
    metrics,
    promotions,
    requirements,
    retention_plan,
    retraining,
    reviews,
    storage_report,
)
from models_app.registry.access import Right, get_version, may, may_on
from models_app.registry.artifacts import integrity, manifests, storage
from models_app.registry.errors import (
    ApprovalNeeded,
    AskedInstead,
    Conflict,
    Damaged,
    Invalid,
    NotFound,
    PolicyUnmet,
    RegistryError,
    Unavailable,
)

from .door import PageRequest, Refused, page, posted, show_problems, status_of
from .lineage import picture
from .models import find_hold, missing_links
from .runs import plot
from .version_forms import VersionForm, changes_from, initial_of

FILES_SHOWN = 500
CURVES = 12


def refuse(request: PageRequest, shown: ModelVersion, form: str, error: RegistryError) -> HttpResponse:
    """The version's page again, with the refusal of one of its forms."""
    status = 422 if isinstance(error, Invalid) else status_of(error)
    return show(request, shown, refused=Refused(form, error, request.POST.dict()), status=status)


@page()
def version(request: PageRequest, name: str, rev: str) -> HttpResponse:
    """All metadata in its five groups, what production still demands, metrics, files, lineage, history."""
    return show(request, get_version(name, rev, by=request.actor))


def show(
    request: PageRequest, shown: ModelVersion, *, refused: Refused | None = None, status: int = 200
) -> HttpResponse:
    """The version page; with `refused`, what stood in the way is told on top."""
    model, actor = shown.model, request.actor
    production = lifecycle.current_production(model)
    reference = production if production is not None and production.pk != shown.pk else shown.rollback_target
    edit = reverse("web:version_edit", args=[model.name, shown.number])
    asked = approvals.open_request(shown, to=Stage.PRODUCTION)
    found = approvals.judge(shown, to=Stage.PRODUCTION, request=asked, asked=False)
    moves = lifecycle.allowed_moves(shown, by=actor)
    waits = any(demand.waits_for == "review" for demand in found.missing)
    in_production = shown.stage == Stage.PRODUCTION
    files = _files(shown)
    context: dict[str, Any] = {
        "section": "models",
        "model": model,
        "version": shown,
        "production": production,
        "reference": reference,
        "demands": [
            {"demand": demand, "url": f"{edit}#id_{demand.field}" if demand.field else ""}
            for demand in found.demands
            # Approvals are of a request; what is in production has got them.
            if not (in_production and demand.waits_for)
        ],
        "ready": not found.missing,
        "fills_in": requirements.who_fills_in(shown),
        "moves": [stage for stage in moves if stage != Stage.PRODUCTION],
        "asked": asked,
        "may_promote": Stage.PRODUCTION in moves and not waits,
        "may_request": not in_production and not asked and reviews.may_ask(shown, actor),
        "may_break_glass": not in_production and may(actor, Right.MANAGE_TEAM, model.team),
        "may_edit": may(actor, Right.EDIT_VERSION, model.team),
        "may_delete": may_on(actor, Right.DELETE, model),
        "may_bundle": bundles.may_take(shown, by=actor),
        "groups": _groups(shown),
        "places": deployment_views.places_of(shown),
        "signature": signatures.parts(shown.signature),
        "environment": _environment(files),
        "metric_rows": metrics.against(shown, reference),
        "reports": shown.reports.all(),
        "flags": shown.risk_flags.all(),
        "tags": shown.tags.all(),
        "aliases": shown.aliases.all(),
        "files": files,
        "holds": [
            {"hold": one, "may_lift": holds.may_lift(one, by=actor)} for one in holds.of_version(shown)
        ],
        "may_hold": may(actor, Right.HOLD, model.team),
        "incident": incidents.unresolved(model),
        "retrains": retraining.reason_for(shown),
        "goes": retention_plan.announced(shown),
        "held": storage_report.shown_of_version(shown, by=actor),
        "damaged": integrity.damaged_files(shown),
        "files_cut": bool(shown.manifest) and shown.manifest.file_count > FILES_SHOWN,
        "history": shown.transitions.select_related("version", "by")[:50],
        "run": shown.run,
        "graph": picture(lineage.graph(shown, by=actor, depth=1)),
        "compare_numbers": f"{production.number}...{shown.number}" if production else "",
        "refused": refused,
        "missing": missing_links(
            shown, to=Stage.PRODUCTION, may_edit=may(actor, Right.EDIT_VERSION, model.team)
        )
        if refused and isinstance(refused.error, PolicyUnmet)
        else [],
    }
    if shown.run is not None:
        context["params"] = shown.run.params.all()[:200]
        context["inputs"] = shown.run.inputs.select_related("dataset")[:50]
        context["curves"] = [plot(curve) for curve in curves.curves(shown.run, most=CURVES)]
    return render(request, "versions/version.html", context, status=status)


def _groups(shown: ModelVersion) -> list[metadata.GroupRows]:
    # Metrics have a table of their own.
    return [rows for rows in metadata.grouped(shown) if rows.group.key != "metrics"]


def _files(shown: ModelVersion) -> list[ManifestEntry]:
    return list(shown.manifest.entries.all()[:FILES_SHOWN]) if shown.manifest else []


def _environment(files: list[ManifestEntry]) -> environments.Environment:
    """What the files say that the model needs to run."""
    written = {entry.path: entry.blob_id for entry in files}

    def start(path: str) -> bytes:
        blob = written.get(path)
        try:
            return storage.read(blob, limit=environments.LOOK_AT) if blob else b""
        except (Damaged, Unavailable):
            return b""

    return environments.read(
        requirements=start(environments.REQUIREMENTS), python_env=start(environments.PYTHON_ENV)
    )


@page("POST", login=True)
def move(request: PageRequest, name: str, rev: str) -> HttpResponse:
    """Move to another stage; a refusal links to what is missing."""
    shown = get_version(name, rev, by=request.actor)
    to = request.POST.get("to", "")
    try:
        promotions.move(
            shown,
            to=to,
            by=request.actor,
            reason=request.POST.get("reason", ""),
            keep_former=request.POST.get("keep_former") == "on",
        )
    except (ApprovalNeeded, AskedInstead) as error:
        messages.info(request, f"{error.why} {error.next_step}")
        return redirect("web:promotion", error.request)
    except (PolicyUnmet, Conflict, Invalid) as error:
        return refuse(request, shown, "move", error)
    messages.success(request, f"v{shown.number} is in {to} now.")
    return redirect("web:version", shown.model.name, shown.number)


@page("GET", "HEAD", "POST", login=True)
def edit(request: PageRequest, name: str, rev: str) -> HttpResponse:
    """Fill in or change what may change, in the five groups."""
    shown = get_version(name, rev, by=request.actor, right=Right.EDIT_VERSION)
    initial = initial_of(shown)
    form = VersionForm(posted(request), initial=initial)
    for field in metadata.VERSION_FIELDS.values():
        if field.write_once and initial[field.name]:
            form.fields[field.name].disabled = True
            form.fields[field.name].help_text = "Recorded with the version; it cannot change."
    if request.method == "POST" and form.is_valid():
        try:
            catalog.update_version(shown, by=request.actor, metadata=changes_from(form))
        except (Invalid, Conflict) as error:
            show_problems(form, error)
        else:
            messages.success(request, f"v{shown.number} is saved.")
            return redirect("web:version", shown.model.name, shown.number)
    context = {"form": form, "model": shown.model, "version": shown, "section": "models"}
    return render(request, "versions/edit.html", context, status=422 if form.errors else 200)


@page("POST", login=True)
def alias(request: PageRequest, name: str, rev: str) -> HttpResponse:
    """Point an alias at this version, or take it away with `delete`."""
    shown = get_version(name, rev, by=request.actor)
    wanted = request.POST.get("alias", "").strip()
    try:
        if request.POST.get("delete"):
            lifecycle.delete_alias(shown.model, name=wanted, by=request.actor)
            done = f"The alias “{wanted}” is gone."
        else:
            lifecycle.set_alias(shown.model, name=wanted, version=shown, by=request.actor)
            done = f"“{wanted}” points at v{shown.number}."
    except (Invalid, NotFound) as error:
        return refuse(request, shown, "alias", error)
    messages.success(request, done)
    return redirect("web:version", shown.model.name, shown.number)


@page("POST", login=True)
def delete(request: PageRequest, name: str, rev: str) -> HttpResponse:
    """Delete a version that nothing needs any more."""
    shown = get_version(name, rev, by=request.actor, right=Right.DELETE)
    try:
        catalog.delete_version(shown, by=request.actor, reason=request.POST.get("reason", ""))
    except (Conflict, Invalid) as error:
        return refuse(request, shown, "delete", error)
    messages.success(request, f"v{shown.number} is deleted.")
    return redirect("web:model_versions", shown.model.name)


@page("POST", login=True)
def hold(request: PageRequest, name: str, rev: str) -> HttpResponse:
    """Place a legal hold on this version, or `lift` one that keeps it."""
    shown = get_version(name, rev, by=request.actor)
    reason, lifted = request.POST.get("reason", ""), request.POST.get("lift", "")
    try:
        if lifted:
            holds.lift(find_hold(request, shown.model, lifted), by=request.actor, reason=reason)
            done = "The legal hold is lifted."
        else:
            holds.place(shown.model, version=shown, by=request.actor, reason=reason)
            done = f"v{shown.number} is under legal hold: nobody deletes it until that is lifted."
    except (Conflict, Invalid) as error:
        return refuse(request, shown, "hold", error)
    messages.success(request, done)
    return redirect("web:version", shown.model.name, shown.number)


def _entry(shown: ModelVersion, path: str) -> ManifestEntry:
    entry = manifests.entry(shown.manifest_id, path)
    if entry is None:
        raise NotFound(f"{shown} has no file “{path[:200]}”.")
    return entry


@page()
def file(request: PageRequest, name: str, rev: str, path: str) -> HttpResponseBase:
    """A preview of one file; `?raw` sends the image itself, `?download` the file."""
    shown = get_version(name, rev, by=request.actor)
    entry = _entry(shown, path)
    if "download" in request.GET or "raw" in request.GET:
        return send_blob(
            request,
            sha256=entry.blob_id,
            size=entry.size,
            path=entry.path,
            last_modified=shown.created_at,
            inline="raw" in request.GET,
            direct="raw" not in request.GET,
        )
    start = storage.read(entry.blob_id, limit=4096)
    start = (
        storage.read(entry.blob_id, limit=previews.needed_bytes(entry.path, start))
        if len(start) >= 8
        else start
    )
    context = {
        "section": "models",
        "model": shown.model,
        "version": shown,
        "entry": entry,
        "preview": previews.preview(entry.path, start, size=entry.size),
    }
    return render(request, "versions/file.html", context)


@page()
def download(request: PageRequest, name: str, rev: str, kind: str) -> HttpResponseBase:
    """The whole version as one zip or tar, streamed."""
    shown = get_version(name, rev, by=request.actor)
    return send_version(
        request, shown, kind=kind, name=f"{shown.model.name.replace('/', '-')}-v{shown.number}"
    )
