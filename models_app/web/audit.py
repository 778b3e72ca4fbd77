"""The audit: what everybody did, and whether the record of it is whole."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.dateparse import parse_datetime

from models_app.http.exports import send_records
from models_app.http.moments import MomentField
from models_app.http.paging import keyset_page
from models_app.models import AuditEvent
from models_app.registry import audit as records
from models_app.registry import audit_chain
from models_app.registry.access import models_for
from models_app.registry.errors import FieldProblem, Invalid

from .door import PageRequest, page
from .forms import PageForm
from .sentences import DOORS, NOUNS, WORDS, goes_to, words_for

PAGE = 25
LONGEST = 400
ANY = ("", "Any")


class MomentInput(forms.DateTimeInput):
    """A moment in UTC as browsers type it, whichever way the address says it."""

    input_type = "datetime-local"

    def format_value(self, value: Any) -> str:
        try:
            moment = parse_datetime(value) if isinstance(value, str) else value
        except ValueError:
            return ""
        if moment is None:
            return ""
        return f"{moment.astimezone(UTC) if moment.tzinfo else moment:%Y-%m-%dT%H:%M:%S}"


def _moment(label: str) -> MomentField:
    return MomentField(label=label, required=False, widget=MomentInput(attrs={"step": 1}))


class AuditForm(PageForm):
    """The filters; their names are those of the REST API."""

    q = forms.CharField(label="Words in the subject", required=False, max_length=300)
    person = forms.CharField(label="Person", required=False, max_length=150)
    model = forms.CharField(label="Model", required=False, max_length=256)
    verb = forms.ChoiceField(
        label="What was done",
        required=False,
        choices=[ANY, *((noun, [*verbs.items()]) for noun, verbs in NOUNS.items())],
    )
    door = forms.ChoiceField(label="Door", required=False, choices=[ANY, *DOORS.items()])
    after = _moment("From (UTC)")
    before = _moment("Before (UTC)")
    request_id = forms.CharField(label="Request id", required=False, max_length=64)
    refused = forms.BooleanField(
        label="Refused only", required=False, widget=forms.CheckboxInput(attrs={"value": "true"})
    )

    def chosen(self) -> dict[str, Any]:
        """What `narrowed` takes."""
        return {name: value for name, value in self.cleaned_data.items() if value}


@page()
def audit(request: PageRequest) -> HttpResponse:
    """One page of records that fit the filters, and where the chain stands."""
    rows = records.events_for(request.actor).select_related("actor")
    if "" in request.GET.values():
        # A form sends every field; an address to pass on holds what was chosen.
        return redirect(_address(request.GET.dict()))
    form = AuditForm(request.GET)
    context: dict[str, Any] = {"section": "audit", "form": form, "standing": audit_chain.standing()}
    if form.is_valid():
        cursor = request.GET.get("cursor")
        listed = keyset_page(
            records.narrowed(rows, **form.chosen()), order=[("id", "desc")], cursor=cursor, limit=PAGE
        )
        names = _names(listed.items, request)
        context |= {
            "rows": [_row(event, names) for event in listed.items],
            "next_cursor": listed.next_cursor,
            "chips": _chips(form, request),
        }
    return render(request, "audit/audit.html", context, status=422 if form.errors else 200)


@page()
def export(request: PageRequest, kind: str) -> HttpResponseBase:
    """Every record that fits the filters, as a file."""
    rows = records.events_for(request.actor)
    form = AuditForm(request.GET)
    if not form.is_valid():
        raise Invalid.many([FieldProblem(name, str(told[0])) for name, told in form.errors.items()])
    rows = records.narrowed(rows, **form.chosen())
    return send_records(rows, kind=kind, head_only=request.method == "HEAD")


def _names(events: list[AuditEvent], request: PageRequest) -> dict[int, str]:
    """Present names of the models that these records are about."""
    wanted = {event.model_ref for event in events}
    return dict(models_for(request.actor).filter(pk__in=wanted).order_by().values_list("pk", "name"))


def _row(event: AuditEvent, names: dict[int, str]) -> dict[str, Any]:
    return {
        "event": event,
        "words": words_for(event),
        "to": goes_to(event),
        "door": DOORS.get(event.door, event.door),
        "model": names.get(event.model_ref or 0, ""),
        "changes": [
            (key, _shown(event.before, key), _shown(event.after, key))
            for key in [*event.before, *(key for key in event.after if key not in event.before)]
        ],
    }


def _shown(values: dict[str, Any], key: str) -> str:
    """A value as text, shortened: the whole is in the exports."""
    if key not in values or values[key] in (None, ""):
        return ""
    value = values[key]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _chips(form: AuditForm, request: PageRequest) -> list[dict[str, str]]:
    """What is applied: its words, and the address without it."""
    chips = []
    for name, value in form.chosen().items():
        if name in ("after", "before"):
            words = f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        else:
            words = {"verb": WORDS, "door": DOORS}.get(name, {}).get(value, str(value))
        label = str(form.fields[name].label)
        rest = _address({key: given for key, given in request.GET.items() if key not in (name, "cursor")})
        chips.append({"url": rest, "text": label if value is True else f"{label}: {words}"})
    return chips


def _address(params: dict[str, str]) -> str:
    """The page with these filters, those left empty not told."""
    told = urlencode({name: value for name, value in params.items() if value})
    return reverse("web:audit") + (f"?{told}" if told else "")
