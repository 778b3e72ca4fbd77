"""What happened to a model: moves, then every recorded change."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render

from models_app.http.paging import keyset_page
from models_app.models import AuditEvent
from models_app.registry import audit, lifecycle
from models_app.registry.access import get_model

from .door import PageRequest, page
from .models import frame

PAGE = 50
VERBS = {
    "model.registered": "registered the model",
    "model.updated": "changed the model",
    "model.tags_set": "set tags",
    "model.renamed": "renamed the model",
    "version.registered": "registered",
    "version.updated": "changed",
    "version.moved": "moved",
    "version.rolled_back": "rolled back",
    "version.deleted": "deleted",
    "alias.set": "set an alias of",
    "alias.deleted": "removed an alias of",
    "lineage.linked": "linked",
}


@page()
def model(request: PageRequest, name: str) -> HttpResponse:
    """Stage history as a timeline, and the audit of this model page by page."""
    shown = get_model(name, by=request.actor)
    listed = keyset_page(
        audit.of_model(shown), order=[("id", "desc")], cursor=request.GET.get("cursor"), limit=PAGE
    )
    context = frame(request, shown, "activity") | {
        "transitions": lifecycle.history(shown)[:PAGE],
        "events": [
            {"event": event, "verb": VERBS.get(event.verb, event.verb), "to": _to(event)}
            for event in listed.items
        ],
        "next_cursor": listed.next_cursor,
    }
    return render(request, "activity/activity.html", context)


def _to(event: AuditEvent) -> str:
    """Where a version went, for the sentence."""
    return event.after.get("stage", "") if event.verb in ("version.moved", "version.rolled_back") else ""
