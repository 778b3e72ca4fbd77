"""Versions side by side."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render

from models_app.models import ModelVersion, RegisteredModel, Stage
from models_app.registry import comparing, lifecycle
from models_app.registry.access import get_model
from models_app.registry.comparing import Comparison
from models_app.registry.errors import Invalid, NotFound

from .door import PageRequest, page


@page()
def chosen(request: PageRequest, name: str) -> HttpResponse:
    """From ticked boxes `?v=12&v=13` to the address of the comparison."""
    model = get_model(name, by=request.actor)
    numbers = sorted({int(text) for text in request.GET.getlist("v") if _is_number(text)})
    if len(numbers) < 2:
        raise Invalid("v", "Tick two to four versions.", next_step="Go back and tick them in the table.")
    return redirect("web:compare", model.name, "...".join(map(str, numbers[: comparing.MOST])))


def _is_number(text: str) -> bool:
    # Short, for Python refuses to read thousands of digits.
    return text.isascii() and text.isdigit() and len(text) < 10


@page()
def compare(request: PageRequest, name: str, numbers: str) -> HttpResponse:
    """Metrics as table and dots, metadata, parameters, files by digest; only differences unless `?all`."""
    model = get_model(name, by=request.actor)
    versions = _versions(model, numbers)
    result = comparing.compare(versions)
    everything = "all" in request.GET
    last = versions[-1]
    context: dict[str, Any] = {
        "section": "models",
        "model": model,
        "result": result,
        "everything": everything,
        "sections": [
            {"section": section, "lines": [line for line in section.lines if everything or not line.same]}
            for section in result.sections
        ],
        "metric_lines": [line for line in result.metrics.lines if everything or not line.same],
        "file_lines": [line for line in result.files.lines if everything or not line.same],
        "dots": dots(result),
        "bases": [
            {"number": version.number, "numbers": _with_base(versions, version)} for version in versions
        ],
        "last": last,
        "may_promote": Stage.PRODUCTION in lifecycle.allowed_moves(last, by=request.actor),
    }
    return render(request, "compare/compare.html", context)


def _versions(model: RegisteredModel, numbers: str) -> list[ModelVersion]:
    parts = numbers.split("...")
    if not all(map(_is_number, parts)):
        raise NotFound("An address of a comparison ends like 12...13.")
    wanted = [int(part) for part in parts]
    found = ModelVersion.objects.filter(model=model, number__in=wanted)
    found = found.select_related("owner", "created_by", "manifest", "run").prefetch_related(
        "metrics", "risk_flags", "aliases"
    )
    rows = {version.number: version for version in found}
    for version in rows.values():
        version.model = model
    if absent := [number for number in wanted if number not in rows]:
        raise NotFound(f"{model.name} has no version {absent[0]}.")
    return [rows[number] for number in wanted]


def _with_base(versions: list[ModelVersion], base: ModelVersion) -> str:
    ordered = [base, *[version for version in versions if version.pk != base.pk]]
    return "...".join(str(version.number) for version in ordered)


def dots(result: Comparison) -> list[dict[str, Any]]:
    """Metrics that several versions have, each as dots on a line of its own from its least to its greatest value."""
    shown = []
    for line in result.metrics.lines[:30]:
        values = [cell.value for cell in line.cells]
        known = [value for value in values if value is not None]
        if len(known) < 2:
            continue
        low, high = min(known), max(known)
        spread = high - low
        shown.append(
            {
                "line": line,
                "low": low,
                "high": high,
                "points": [
                    {
                        "version": version,
                        "value": value,
                        "x": round(16 + 448 * ((value - low) / spread if spread else 0.5), 1),
                        "label_y": 38 if place % 2 else 10,
                        "is_base": place == 0,
                    }
                    for place, (version, value) in enumerate(zip(result.versions, values, strict=True))
                    if value is not None
                ],
            }
        )
    return shown
