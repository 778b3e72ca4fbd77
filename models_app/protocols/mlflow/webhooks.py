"""Webhooks: create, find, change, delete, test. Events are pairs of entity and action, upper case on this wire.

Two pairs are ours: MODEL_VERSION_STAGE and PROMPT_VERSION_STAGE/TRANSITIONED. The Python client fails on a pair that
it does not know, so it is not shown these. Hooks made with Modelry's own API do not exist here.
"""

from __future__ import annotations

from typing import Any

import msgspec
from django.http import HttpRequest
from django.urls import path

from models_app.http.paging import keyset_page
from models_app.models import Webhook, WebhookScheme, WebhookStatus
from models_app.registry import hook_events, webhooks
from models_app.registry.access import Actor
from models_app.registry.errors import Invalid

from .errors import WireError
from .wire import IntLike, Nothing, by_method, call, ms, present, whole

MAX_RESULTS = 1000
_ORDER = (("created_at", "desc"), ("id", "desc"))
_PYTHON_CLIENT = "mlflow-python-client/"


class Event(msgspec.Struct):
    entity: str
    action: str


class Create(msgspec.Struct):
    name: str
    url: str
    events: list[Event]
    description: str = ""
    secret: str = ""
    status: str = "ACTIVE"


class Update(msgspec.Struct):
    name: str = ""
    url: str = ""
    events: list[Event] = []
    description: str | None = None
    secret: str | None = None
    status: str = ""


class Page(msgspec.Struct):
    max_results: IntLike | None = None
    page_token: str = ""


class Test(msgspec.Struct):
    event: Event | None = None


@call(Create)
def create(request: HttpRequest, actor: Actor, message: Create) -> dict[str, Any]:
    hook = webhooks.create_webhook(
        message.name,
        url=message.url,
        events=[_name(event) for event in message.events],
        description=message.description,
        secret=message.secret,
        status=_status(message.status),
        by=actor,
    )
    return {"webhook": _shown(hook, request)}


@call(Page, "GET")
def find(request: HttpRequest, actor: Actor, message: Page) -> dict[str, Any]:
    limit = whole(message.max_results, "max_results") or 100
    if not 1 <= limit <= MAX_RESULTS:
        raise WireError(f"max_results must be between 1 and {MAX_RESULTS}.")
    hooks = webhooks.webhooks_for(actor, scheme=WebhookScheme.MLFLOW)
    try:
        page = keyset_page(hooks, order=_ORDER, cursor=message.page_token or None, limit=limit)
    except Invalid as error:
        raise WireError(f"Invalid page token. {error.next_step}") from error
    shown = [_shown(hook, request) for hook in page.items if _events(hook, request)]
    return present(webhooks=shown, next_page_token=page.next_cursor)


@call(Nothing, "GET")
def get(request: HttpRequest, actor: Actor, message: Nothing, webhook_id: str) -> dict[str, Any]:
    hook = _get(webhook_id, actor)
    if not _events(hook, request):
        raise WireError(f"{hook.name} hears of stage transitions only, which this client cannot show.")
    return {"webhook": _shown(hook, request)}


@call(Update, "PATCH")
def update(request: HttpRequest, actor: Actor, message: Update, webhook_id: str) -> dict[str, Any]:
    hook = _get(webhook_id, actor)
    fields = {
        # An empty name, address, list or status is one that was not given; an empty secret or description is none.
        **{name: value for name in ("name", "url") if (value := getattr(message, name))},
        **({"events": [_name(event) for event in message.events]} if message.events else {}),
        **({"status": _status(message.status)} if message.status else {}),
        **present(description=message.description, secret=message.secret),
    }
    return {"webhook": _shown(webhooks.update_webhook(hook, by=actor, **fields), request)}


@call(Nothing, "DELETE")
def remove(request: HttpRequest, actor: Actor, message: Nothing, webhook_id: str) -> dict[str, Any]:
    webhooks.delete_webhook(_get(webhook_id, actor), by=actor)
    return {}


@call(Test)
def test(request: HttpRequest, actor: Actor, message: Test, webhook_id: str) -> dict[str, Any]:
    hook = _get(webhook_id, actor)
    event = _name(message.event) if message.event else ""
    attempt = webhooks.send_example(hook, by=actor, event=event)
    result = present(
        success=attempt.ok,
        response_status=attempt.reply.status if attempt.reply else None,
        response_body=attempt.reply.text if attempt.reply else None,
        error_message=attempt.error or None,
    )
    return {"result": result}


def _get(webhook_id: str, actor: Actor) -> Webhook:
    return webhooks.get_webhook(webhook_id, by=actor, scheme=WebhookScheme.MLFLOW)


def _status(text: str) -> str:
    """This wire knows no paused ones."""
    status = text.lower()
    if status == WebhookStatus.PAUSED:
        raise Invalid("status", "One of ACTIVE, DISABLED.")
    return status


def _name(event: Event) -> str:
    return f"{event.entity}.{event.action}".lower()


def _events(hook: Webhook, request: HttpRequest) -> list[dict[str, str]]:
    is_python = request.headers.get("User-Agent", "").startswith(_PYTHON_CLIENT)
    names = [name for name in hook.events if name not in hook_events.OURS or not is_python]
    return [dict(zip(("entity", "action"), name.upper().split("."), strict=True)) for name in names]


def _shown(hook: Webhook, request: HttpRequest) -> dict[str, Any]:
    """A hook on the wire; its secret never is."""
    return present(
        webhook_id=hook.uid,
        name=hook.name,
        description=hook.description or None,
        url=hook.url,
        events=_events(hook, request),
        status="ACTIVE" if hook.status == WebhookStatus.ACTIVE else "DISABLED",
        creation_timestamp=ms(hook.created_at),
        last_updated_timestamp=ms(hook.updated_at),
    )


# Relative to /api/2.0/mlflow/ and /ajax-api/2.0/mlflow/.
routes = [
    path("webhooks", by_method(GET=find, POST=create)),
    path("webhooks/<webhook_id>", by_method(GET=get, PATCH=update, DELETE=remove)),
    path("webhooks/<webhook_id>/test", test),
]
