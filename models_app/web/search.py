"""Home: one box that finds models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus, urlencode

from django.http import HttpResponse, QueryDict
from django.shortcuts import render

from models_app.registry.access import models_for
from models_app.registry.errors import Invalid
from models_app.registry.search import facets
from models_app.registry.search.facets import Facet
from models_app.registry.search.query import SearchQuery, find, parse

from .context import site_address
from .door import PageRequest, page

SORTS = [("relevance", "Best match"), ("updated", "Last updated"), ("created", "Newest"), ("name", "Name")]
SHOWN = 8
# Stands for a value in an address: what is searched for never has it.
_PLACE = "\0"
_KEYS = ("q", "metric", "sort", "cursor", *("task", "stage", "library", "license", "team", "tag", "risk"))


def address(query: SearchQuery) -> str:
    """The address of a search, `?…` without anything that is default."""
    return "?" + urlencode(query.to_params(), doseq=True)


def _adding(query: SearchQuery, key: str) -> Callable[[str], str]:
    """The address of a search with one value of a facet more, as a function of it: a page has a hundred of them."""
    before, _, after = address(query.adding(key, _PLACE)).partition(quote_plus(_PLACE))
    return lambda value: f"{before}{quote_plus(value)}{after}"


@page()
def search(request: PageRequest) -> HttpResponse:
    """Results and facets; for htmx only the part it asks for: `results` at each change, `facets` right after."""
    context: dict[str, Any] = {
        "section": "models",
        "sorts": SORTS,
        "base_url": site_address(request),
    }
    models_for(request.actor)
    try:
        query = parse(request.GET)
    except Invalid as error:
        # What could not be read is shown and left out; the rest of the search stands.
        wrong = {problem.field for problem in error.problems}
        context["problems"] = error.problems
        query = _without(request.GET, wrong)
    context |= {"query": query, "typed": "", "typed_words": ""}
    if context.get("problems"):
        context |= {"typed": request.GET.get("metric", ""), "typed_words": request.GET.get("q", "")}
    part = request.headers.get("HX-Target", "") if request.headers.get("HX-Request") else ""
    if part.endswith("facets"):
        shown = _facets(query, facets.count(query, by=request.actor))
        return render(request, "search/search.html#facets", context | shown)
    wanted = {"by": request.actor, "cursor": request.GET.get("cursor"), "limit": 25}
    if part.endswith(("results", "more")):
        context["page"] = find(query, **wanted)
    else:
        context["page"], counted = facets.find_and_count(query, **wanted)
        context |= _facets(query, counted)
    context["chips"] = [{"chip": chip, "url": address(chip.without)} for chip in query.chips()]
    context["address"] = address(query)
    if not context["page"].rows and query.is_filtered:
        context["wider"] = _wider(query, request)
    if part.endswith("results"):
        response = render(request, "search/search.html#results", context)
    elif part.endswith("more"):
        response = render(request, "search/search.html#rows", context)
    else:
        response = render(request, "search/search.html", context)
    response["Vary"] = "HX-Request, HX-Target"
    return response


def _without(params: QueryDict, wrong: set[str]) -> SearchQuery:
    kept = params.copy()
    for field in wrong:
        kept.pop(field, None)
    try:
        return parse(kept)
    except Invalid:
        return parse("")


def _facets(query: SearchQuery, counted: list[Facet]) -> dict[str, Any]:
    shown = []
    for facet in counted:
        adding = _adding(query, facet.key)
        values = [
            {
                "value": value,
                "url": address(query.without(facet.key, value.value))
                if value.selected
                else adding(value.value),
            }
            for value in facet.values
        ]
        if values:
            shown.append({"facet": facet, "first": values[:SHOWN], "rest": values[SHOWN:]})
    return {"facets": shown}


def _wider(query: SearchQuery, request: PageRequest) -> list[dict[str, Any]]:
    """For each thing applied: how many models there would be without it, where that helps."""
    wider = []
    for chip in query.chips()[:6]:
        found = find(chip.without, by=request.actor, limit=1)
        if found.total:
            wider.append(
                {
                    "chip": chip,
                    "url": address(chip.without),
                    "total": found.total,
                    "more": found.total_is_capped,
                }
            )
    return wider
