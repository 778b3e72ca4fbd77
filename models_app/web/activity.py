"""What happened to a model: moves, then every recorded change."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render

from models_app.http.paging import keyset_page
from models_app.registry import audit, lifecycle
from models_app.registry.access import get_model

from .door import PageRequest, page
from .models import frame
from .sentences import goes_to, words_for

PAGE = 50


@page()
def model(request: PageRequest, name: str) -> HttpResponse:
    """Stage history as a timeline, and the audit of this model page by page."""
    shown = get_model(name, by=request.actor)
    listed = keyset_page(
        audit.of_model(shown).select_related("actor"),
        order=[("id", "desc")],
        cursor=request.GET.get("cursor"),
        limit=PAGE,
    )
    context = frame(request, shown, "activity") | {
        "transitions": lifecycle.history(shown)[:PAGE],
        "events": [
            {"event": event, "verb": words_for(event), "to": goes_to(event)} for event in listed.items
        ],
        "next_cursor": listed.next_cursor,
    }
    return render(request, "activity/activity.html", context)
