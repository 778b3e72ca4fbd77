"""Sending one message to one webhook, and what came of it. Nothing here touches the database."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from models_app import outbound
from models_app.models import Webhook, WebhookKind, WebhookScheme

from . import hook_kinds, secrets
from .errors import Damaged
from .hook_fields import key_in
from .hook_kinds import Call, Message


@dataclass(frozen=True, slots=True)
class Attempt:
    """How sending went: `reply` None means nothing came back, and `error` says why. `call` None: nothing was sent."""

    at: datetime
    call: Call | None
    reply: outbound.Reply | None
    error: str
    duration_ms: int
    may_retry: bool

    @property
    def ok(self) -> bool:
        return self.reply is not None and self.reply.ok

    @property
    def status(self) -> int | None:
        """Of the answer."""
        return self.reply.status if self.reply else None


def send(hook: Webhook, *, delivery_id: str, body: str, timeout: float = 0) -> Attempt:
    """POST a body to a hook, put and signed as its kind wants. Never raises: what goes wrong is in the answer."""
    at, began = timezone.now(), time.monotonic()
    call, reply, error, may_retry = None, None, "", False
    try:
        call = _call(hook, Message(delivery_id, body, int(at.timestamp())))
        reply = outbound.post(
            hook.url, content=call.content, headers=call.headers, timeout=timeout or outbound.TIMEOUT
        )
    except outbound.Unreachable as problem:
        error, may_retry = str(problem), True
    except outbound.Refused as problem:
        error = str(problem)
    except Damaged as problem:
        # Unsigned is worse than late: whoever checks signatures would learn to live without.
        error, may_retry = f"{problem.why} {problem.next_step}", True
    else:
        may_retry = reply.status == 429 or reply.status >= 500
        if not reply.ok:
            error = f"Answered with status {reply.status}."
            if 300 <= reply.status < 400:
                error += " Redirects are not followed; give the final address."
    return Attempt(at, call, reply, error, int((time.monotonic() - began) * 1000), may_retry)


def _call(hook: Webhook, message: Message) -> Call:
    """Raises Damaged when a secret cannot be read."""
    token, keys = secrets.decrypt(hook.secret), []
    if hook.kind == WebhookKind.GENERIC:
        keys = _keys(hook, token)
    return hook_kinds.call(message, kind=hook.kind, scheme=hook.scheme, token=token, ref=hook.ref, keys=keys)


def _keys(hook: Webhook, secret: str) -> list[bytes]:
    """The key, and while a secret is being replaced the former one behind it."""
    if hook.scheme != WebhookScheme.STANDARD:
        return [secret.encode()] if secret else []
    keys = [key_in(secret)]
    if hook.former_secret and hook.former_secret_until and hook.former_secret_until > timezone.now():
        keys.append(key_in(secrets.decrypt(hook.former_secret)))
    return keys
