"""Webhooks: who is told of what, what was sent, and what came back. For admins of teams and site admins."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from models_app.http.paging import keyset_page
from models_app.models import Delivery, DeliveryState, Webhook, WebhookKind, WebhookScheme, WebhookStatus
from models_app.registry import delivery_log, environments, hook_filters
from models_app.registry import webhooks as hooks
from models_app.registry.errors import Invalid

from .door import PageRequest, page, posted, show_problems
from .webhook_forms import RotateForm, WebhookForm

PAGE = 25
KINDS = {
    WebhookKind.GENERIC.value: "Any receiver",
    WebhookKind.GITHUB.value: "GitHub",
    WebhookKind.GITLAB.value: "GitLab",
    WebhookKind.SLACK.value: "Chat",
}
# Of a message; those before are folded away.
ATTEMPTS = 3
STATES = [("", "All"), *((state.value, state.label) for state in DeliveryState)]
SAID = {
    WebhookStatus.ACTIVE: "is active: what waited is sent now",
    WebhookStatus.PAUSED: "is paused: what happens waits for it",
    WebhookStatus.DISABLED: "is disabled: it hears of nothing new",
}
ACTIONS = {
    "resume": WebhookStatus.ACTIVE,
    "pause": WebhookStatus.PAUSED,
    "disable": WebhookStatus.DISABLED,
}


@page("GET", "HEAD", login=True)
def webhooks(request: PageRequest) -> HttpResponse:
    """Those one may see, newest first."""
    rows = hooks.webhooks_for(request.actor)
    if team := request.GET.get("team", ""):
        rows = rows.filter(team__slug=team[:64])
    listed = keyset_page(
        delivery_log.with_standing(rows),
        order=[("id", "desc")],
        cursor=request.GET.get("cursor"),
        limit=PAGE,
    )
    context = {"rows": listed.items, "next_cursor": listed.next_cursor, "team": team}
    return render(request, "webhooks/webhooks.html", context)


@page("GET", "HEAD", "POST", login=True)
def new(request: PageRequest) -> HttpResponse:
    """Make one; its secret is shown once, in the answer."""
    form = WebhookForm(
        posted(request),
        teams=hooks.teams_for(request.actor),
        everywhere=request.actor.is_site_admin,
        initial=_first(request),
        environments=_environments(request),
    )
    if request.method == "POST" and form.is_valid():
        try:
            typed = form.wanted()
            made = hooks.create_webhook(
                typed.pop("name"), by=request.actor, scheme=WebhookScheme.STANDARD, **typed
            )
        except Invalid as error:
            show_problems(form, error)
        else:
            if made.kind == WebhookKind.GENERIC:
                return _show(request, made, secret=hooks.secret_of(made))
            messages.success(request, f"The webhook {made.name} is made.")
            return redirect("web:webhook", made.uid)
    context = {"form": form, "hook": None, "kinds": _kinds(request), "kind": form["kind"].value()}
    return render(request, "webhooks/form.html", context, status=422 if form.errors else 200)


def _first(request: PageRequest) -> dict[str, Any]:
    """What stands in the form of a new one, as the address has it; one for an environment is told what to deploy."""
    kind, where = request.GET.get("kind", ""), request.GET.get("environment", "")[:63]
    first: dict[str, Any] = {
        "kind": kind if kind in WebhookKind.values else WebhookKind.GENERIC.value,
        "team": request.GET.get("team", ""),
    }
    return {**first, "environments": [where], "events": [hook_filters.STARTED]} if where else first


def _kinds(request: PageRequest) -> list[tuple[str, str, str]]:
    """(value, label, address) of every kind of receiver, with the rest of the page's address as it is."""
    kept = {name: request.GET[name] for name in ("team", "environment") if request.GET.get(name)}
    return [(value, label, f"?{urlencode({'kind': value, **kept})}") for value, label in KINDS.items()]


def _environments(request: PageRequest) -> list[str]:
    return list(environments.environments_for(request.actor).values_list("name", flat=True))


@page("GET", "HEAD", "POST", login=True)
def webhook(request: PageRequest, uid: str) -> HttpResponse:
    """One, and what it was sent. What is posted says what to do with it."""
    hook = hooks.get_webhook(uid, by=request.actor)
    if request.method != "POST":
        return _show(request, hook)
    action = request.POST.get("action", "")
    if action in ACTIONS:
        hooks.update_webhook(hook, by=request.actor, status=ACTIONS[action])
        messages.success(request, f"The webhook {hook.name} {SAID[ACTIONS[action]]}.")
    elif action == "test":
        _test(request, hook)
    elif action == "rotate":
        form = RotateForm(request.POST)
        if not form.is_valid():
            raise Invalid("hours", "Say for how long the former secret goes on signing.")
        rotated = hooks.rotate_secret(hook, by=request.actor, hours=form.cleaned_data["hours"])
        return _show(request, rotated, secret=hooks.secret_of(rotated))
    elif action == "redeliver":
        count = delivery_log.redeliver_dead(hook, by=request.actor)
        messages.success(request, f"{count} message{'' if count == 1 else 's'} will be sent again.")
    else:
        raise Invalid("action", "One of resume, pause, disable, test, rotate and redeliver.")
    return redirect("web:webhook", uid)


def _test(request: PageRequest, hook: Webhook) -> None:
    attempt = hooks.send_example(hook, by=request.actor, event=request.POST.get("event", ""))
    if attempt.ok:
        messages.success(request, f"It answered with {attempt.status} after {attempt.duration_ms} ms.")
    else:
        messages.error(request, f"The test failed after {attempt.duration_ms} ms: {attempt.error}")


@dataclass(frozen=True, slots=True)
class Line:
    """A message, and what it is about."""

    delivery: Delivery
    about: str


def _show(request: PageRequest, hook: Webhook, *, secret: str = "") -> HttpResponse:
    state = request.GET.get("state", "")
    state = state if state in DeliveryState.values else ""
    listed = keyset_page(
        delivery_log.deliveries_of(hook, state=state),
        order=[("id", "desc")],
        cursor=request.GET.get("cursor"),
        limit=PAGE,
    )
    now = timezone.now()
    signs_twice = bool(hook.former_secret and hook.former_secret_until and hook.former_secret_until > now)
    counts = delivery_log.counts(hook)
    context = {
        "hook": hook,
        "secret": secret,
        "state": state,
        "states": [(value, label, counts.get(value)) for value, label in STATES],
        "dead": counts[DeliveryState.FAILED],
        "most": delivery_log.MOST_AGAIN,
        "rows": [Line(row, _about(row)) for row in listed.items],
        "next_cursor": listed.next_cursor,
        "signs_twice": signs_twice,
        "rotate": RotateForm()
        if hook.scheme == WebhookScheme.STANDARD and hook.kind == WebhookKind.GENERIC
        else None,
        "is_held": bool(hook.hold_until and hook.hold_until > now),
        "tried": delivery_log.being_tried(hook) if hook.failing_since else None,
    }
    return render(request, "webhooks/webhook.html", context)


def _about(delivery: Delivery) -> str:
    """The model and version of a message, in either scheme's words."""
    told: dict[str, Any] = json.loads(delivery.body).get("data", {})
    name, version = told.get("model") or told.get("name") or "", told.get("version")
    return f"{name} v{version}" if name and version else str(name)


@page("GET", "HEAD", "POST", login=True)
def edit(request: PageRequest, uid: str) -> HttpResponse:
    """Change or delete one."""
    hook = hooks.get_webhook(uid, by=request.actor)
    if request.method == "POST" and request.POST.get("action") == "delete":
        hooks.delete_webhook(hook, by=request.actor)
        messages.success(request, f"The webhook {hook.name} is deleted.")
        return redirect("web:webhooks")
    form = WebhookForm(posted(request), hook=hook, environments=_environments(request))
    if request.method == "POST" and form.is_valid():
        try:
            hooks.update_webhook(hook, by=request.actor, **form.wanted())
        except Invalid as error:
            show_problems(form, error)
        else:
            messages.success(request, "The webhook is saved.")
            return redirect("web:webhook", uid)
    context = {"form": form, "hook": hook}
    return render(request, "webhooks/form.html", context, status=422 if form.errors else 200)


@page("GET", "HEAD", "POST", login=True)
def delivery(request: PageRequest, uid: str, message: str) -> HttpResponse:
    """One message: its body and every attempt to send it. A POST sends it again."""
    hook = hooks.get_webhook(uid, by=request.actor)
    found = delivery_log.get_delivery(hook, message)
    if request.method == "POST":
        delivery_log.redeliver(found, by=request.actor)
        messages.success(request, "It will be sent again.")
        return redirect("web:webhook_delivery", uid, message)
    log = list(found.log.all())
    attempts = [(len(log) - nth, one) for nth, one in enumerate(log)]
    context = {
        "hook": hook,
        "delivery": found,
        "about": _about(found),
        "body": json.dumps(json.loads(found.body), indent=2, ensure_ascii=False),
        "attempts": attempts[:ATTEMPTS],
        "earlier": attempts[ATTEMPTS:],
    }
    return render(request, "webhooks/delivery.html", context)
