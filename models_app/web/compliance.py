"""What an auditor asks about a model, as a page that prints."""

from __future__ import annotations

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render

from models_app.http.moments import moment_in
from models_app.http.ranges import send_archive
from models_app.registry import bundles, compliance
from models_app.registry.access import get_version

from .door import PageRequest, page

HOW = {
    "approved": "Approved on request",
    "direct": "By an approver",
    "emergency": "Emergency, past policies",
    "rollback": "Rolled back to",
}


@page()
def model(request: PageRequest, name: str) -> HttpResponse:
    """The report; `?until=` shows the production periods before that moment."""
    until = moment_in("until", request.GET.get("until"))
    found = compliance.report(name, by=request.actor, until=until)
    if found.model.name != name:
        return redirect("web:model_compliance", found.model.name, permanent=True)
    rows = [{"period": period, "how": HOW[period.how]} for period in found.periods.items]
    context = {
        "section": "models",
        "model": found.model,
        "report": found,
        "rows": rows,
        "until": until,
        "current_numbers": {one.version.number for one in found.current},
    }
    return render(request, "compliance/report.html", context)


@page(login=True)
def bundle(request: PageRequest, name: str, rev: str) -> HttpResponseBase:
    """Everything about a version as one signed zip; `?files=1` with its files."""
    shown = get_version(name, rev, by=request.actor)
    made = bundles.make(shown, by=request.actor, with_files="files" in request.GET)
    return send_archive(request, made.archive, name=made.name, digest=made.digest, last_modified=made.made_at)
