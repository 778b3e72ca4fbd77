"""Webhooks: who outside is told of what. What is sent, and when, stands in deliveries.py.

Site admins make hooks that hear of every model; admins of a team make hooks of their team, which hear of its models
only. So a message never says more than whoever made its hook may see.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from models_app import outbound
from models_app.models import Team, Webhook, WebhookScheme, WebhookStatus

from . import audit, hook_events, secrets
from .access import Actor, Right, may, require_login, require_scope
from .errors import Damaged, FieldProblem, Forbidden, Invalid, NotFound
from .metadata import clean_text

MAX_DESCRIPTION = 5_000
MAX_SECRET = 1_000
# Standard Webhooks: how a secret is written, and how many bytes it may hold.
SECRET_PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)
# Of each scheme, the names of what carries id, time and signature.
_HEADERS = {
    WebhookScheme.MLFLOW: ("X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature"),
    WebhookScheme.STANDARD: ("webhook-id", "webhook-timestamp", "webhook-signature"),
}
FIELDS = ("name", "url", "events", "description", "secret", "status")
_NAME = re.compile(r"(?=.{1,63}\Z)[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


# --- who may --------------------------------------------------------------------------------------------------


def webhooks_for(actor: Actor, *, scheme: str = "") -> QuerySet[Webhook]:
    """The hooks that the actor may see, of one scheme or all. Raises Unauthenticated, Forbidden for whoever is admin of
    nothing.
    """
    require_login(actor)
    require_scope(actor, Right.READ)
    hooks = Webhook.objects.select_related("team", "created_by")
    if scheme:
        hooks = hooks.filter(scheme=scheme)
    if actor.is_site_admin:
        return hooks
    managed = _managed(actor)
    if not managed:
        raise Forbidden(
            "Webhooks are for admins of a team and site admins.", next_step="Ask an admin of your team."
        )
    return hooks.filter(team__in=managed)


def _managed(actor: Actor) -> list[int]:
    # Without the token's scopes: seeing takes less of it than changing.
    whole = Actor(user=actor.user)
    return [team for team in actor.roles if may(whole, Right.MANAGE_TEAM, team)]


def get_webhook(uid: str, *, by: Actor, scheme: str = "") -> Webhook:
    """The hook of that id, of that scheme if one is given. Raises NotFound when absent or not to be seen,
    Unauthenticated, Forbidden.
    """
    hook = webhooks_for(by, scheme=scheme).filter(uid=uid[:36]).first()
    if hook is None:
        raise NotFound(f"There is no webhook “{uid[:64]}” that you may see.")
    return hook


def _require(actor: Actor, team: Team | None) -> None:
    """Raises unless the actor may change hooks of this team, or of the whole site when it is None."""
    require_login(actor)
    require_scope(actor, Right.MANAGE_TEAM)
    if not may(actor, Right.MANAGE_TEAM, team):
        whose = f"team {team.slug}" if team else "the whole site"
        raise Forbidden(f"You may not change webhooks of {whose}.", next_step="Ask one of its admins.")


def _team_of(actor: Actor) -> Team | None:
    """Whose a new hook is: the site's for site admins, else the default or only team the actor manages."""
    require_login(actor)
    if actor.is_site_admin:
        return None
    managed = _managed(actor)
    if not managed:
        raise Forbidden(
            "Webhooks are for admins of a team and site admins.", next_step="Ask an admin of your team."
        )
    if actor.user and actor.user.default_team_id in managed:
        managed = [actor.user.default_team_id]
    if len(managed) > 1:
        raise Invalid(
            "team",
            "You are admin of several teams; a webhook belongs to one.",
            next_step="Choose a default team in your profile.",
        )
    return Team.objects.get(pk=managed[0])


# --- verbs ----------------------------------------------------------------------------------------------------


def create_webhook(
    name: str,
    *,
    url: str,
    events: Iterable[str],
    by: Actor,
    description: str = "",
    secret: str = "",
    status: str = WebhookStatus.ACTIVE,
    scheme: str = WebhookScheme.MLFLOW,
    team: Team | None = None,
) -> Webhook:
    """Make a hook: of the team, else of whose admin one is. By the Standard Webhooks scheme it always has a secret; one
    is made up when none is given, and `secret_of` tells it.

    Raises Invalid naming every wrong field, an address that may not be called among them; Forbidden.
    """
    team = team or _team_of(by)
    _require(by, team)
    if scheme == WebhookScheme.STANDARD and not secret:
        secret = new_secret()
    clean = _clean(
        {
            "name": name,
            "url": url,
            "events": events,
            "description": description,
            "secret": secret,
            "status": status,
        },
        scheme,
    )
    now = timezone.now()
    hook = Webhook(
        uid=str(uuid.uuid4()),
        scheme=scheme,
        team=team,
        created_by=by.user,
        created_at=now,
        updated_at=now,
        **clean,
    )
    with transaction.atomic():
        hook.save(force_insert=True)
        after = {**_shown(clean), "id": hook.uid, "team": team.slug if team else None}
        audit.record("webhook.created", by=by, subject=hook.name, after=after)
    return hook


def update_webhook(hook: Webhook, *, by: Actor, **fields: Any) -> Webhook:
    """Change some of FIELDS; with an empty secret messages of MLflow's scheme are not signed.

    Raises Invalid, Forbidden, NotFound.
    """
    _require(by, hook.team)
    # Looks names up, which may take a while: nothing is locked yet.
    clean = _clean(fields, hook.scheme)
    with transaction.atomic():
        current = _locked(hook)
        _require(by, current.team)
        changed = {name: value for name, value in clean.items() if getattr(current, name) != value}
        if not changed:
            return current
        before = _shown({name: getattr(current, name) for name in changed})
        for name, value in changed.items():
            setattr(current, name, value)
        current.updated_at = timezone.now()
        current.save(update_fields=[*changed, "updated_at"])
        audit.record(
            "webhook.updated",
            by=by,
            subject=current.name,
            before=before,
            after={**_shown(changed), "id": current.uid},
        )
    return current


def delete_webhook(hook: Webhook, *, by: Actor) -> None:
    """Delete a hook with its deliveries, waiting ones among them. Raises Forbidden, NotFound."""
    _require(by, hook.team)
    with transaction.atomic():
        current = _locked(hook)
        before = {
            **_shown({"url": current.url, "events": current.events, "status": current.status}),
            "id": current.uid,
        }
        current.delete()
        audit.record("webhook.deleted", by=by, subject=hook.name, before=before)


def _locked(hook: Webhook) -> Webhook:
    found = Webhook.objects.select_for_update(of=("self",)).select_related("team").filter(pk=hook.pk).first()
    if found is None:
        raise NotFound(f"The webhook {hook.name} was deleted.")
    return found


def _shown(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as an audit record keeps them: no secret, and of the address no path, which is often one."""
    shown = dict(fields)
    if "url" in shown:
        shown["url"] = f"{outbound.host_of(shown['url'])}/…"
    if "secret" in shown:
        shown["secret"] = "set" if shown["secret"] else "none"
    return {name: value for name, value in shown.items() if value != ""}


# --- fields ---------------------------------------------------------------------------------------------------


def _clean(fields: dict[str, Any], scheme: str) -> dict[str, Any]:
    """Checked fields as the table keeps them; raises Invalid listing every problem."""
    clean: dict[str, Any] = {}
    problems: list[FieldProblem] = []
    for name, value in fields.items():
        try:
            clean[name] = _clean_field(name, value, scheme)
        except Invalid as error:
            problems.extend(error.problems)
    if problems:
        raise Invalid.many(problems)
    return clean


def _clean_field(name: str, value: Any, scheme: str) -> Any:
    if name == "name":
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise Invalid(
                name, "1 to 63 letters, digits, “.”, “_” and “-”, starting and ending with a letter or digit."
            )
        return value
    if name == "url":
        return _clean_url(value)
    if name == "events":
        return _clean_events(value, scheme)
    if name == "description":
        return clean_text(name, value, limit=MAX_DESCRIPTION, lines=True)
    if name == "secret":
        if not isinstance(value, str) or len(value) > MAX_SECRET or not _encodable(value):
            raise Invalid(name, f"A text of at most {MAX_SECRET} characters.")
        if scheme == WebhookScheme.STANDARD:
            _key_in(value)
        return secrets.encrypt(value)
    if name == "status":
        if value not in WebhookStatus.values:
            raise Invalid(name, f"One of {', '.join(WebhookStatus.values)}.")
        return WebhookStatus(value)
    raise Invalid(str(name)[:100], "There is no such field.")


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _clean_url(value: Any) -> str:
    text = clean_text("url", value, limit=outbound.MAX_URL)
    if not text:
        raise Invalid("url", "A webhook needs an address.")
    try:
        outbound.check(text)
    except outbound.OutboundError as error:
        raise Invalid("url", str(error)) from error
    return text


def new_secret() -> str:
    """A secret as Standard Webhooks write them."""
    return SECRET_PREFIX + base64.b64encode(os.urandom(32)).decode()


def secret_of(hook: Webhook) -> str:
    """The secret itself, for who has just made the hook. Raises Damaged."""
    return secrets.decrypt(hook.secret)


def _key_in(secret: str) -> bytes:
    """The bytes of a Standard Webhooks secret. Raises Invalid("secret")."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise Invalid(
            "secret",
            f"Written as {SECRET_PREFIX} and the base64 of {SECRET_BYTES[0]} to {SECRET_BYTES[-1]} random bytes.",
        )
    return key


def _clean_events(value: Any, scheme: str) -> list[str]:
    names = list(dict.fromkeys(value))
    if not names:
        raise Invalid("events", "A webhook needs at least one event.")
    return [check_event(name, scheme) for name in names]


def check_event(name: str, scheme: str) -> str:
    """Give the name back if it is one of an event of this scheme; raises Invalid("events") listing those there are."""
    examples = hook_events.examples(scheme)
    if name not in examples:
        known = ", ".join(examples)
        raise Invalid("events", f"There is no event “{str(name)[:100]}”. There are: {known}.")
    return name


# --- sending --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attempt:
    """How sending went: `reply` None means nothing came back, and `error` says why."""

    reply: outbound.Reply | None
    error: str
    duration_ms: int
    may_retry: bool

    @property
    def ok(self) -> bool:
        return self.reply is not None and self.reply.ok


def send(hook: Webhook, *, delivery_id: str, body: str, timeout: float = outbound.TIMEOUT) -> Attempt:
    """POST a body to a hook, signed when it has a secret. Never raises: what goes wrong is in the answer."""
    began = time.monotonic()
    reply, error, may_retry = None, "", False
    try:
        content = body.encode()
        headers = _headers(hook, delivery_id=delivery_id, content=content)
        reply = outbound.post(hook.url, content=content, headers=headers, timeout=timeout)
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
    return Attempt(reply, error, int((time.monotonic() - began) * 1000), may_retry)


def _headers(hook: Webhook, *, delivery_id: str, content: bytes) -> dict[str, str]:
    """Both schemes sign `id.timestamp.body` with HMAC-SHA256; they differ in the names and in how the key is written.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    stamp = str(int(time.time()))
    secret = secrets.decrypt(hook.secret)
    key = _key_in(secret) if hook.scheme == WebhookScheme.STANDARD else secret.encode()
    named = _HEADERS[WebhookScheme(hook.scheme)]
    headers = {"Content-Type": "application/json", named[0]: delivery_id, named[1]: stamp}
    if key:
        signed = b".".join((delivery_id.encode(), stamp.encode(), content))
        digest = hmac.new(key, signed, hashlib.sha256).digest()
        headers[named[2]] = f"v1,{base64.b64encode(digest).decode()}"
    return headers


def send_example(hook: Webhook, *, by: Actor, event: str = "") -> Attempt:
    """Send the example of an event (the hook's first unless given) now, whatever the hook's status. Raises Invalid,
    Forbidden.
    """
    _require(by, hook.team)
    name = check_event(event, hook.scheme) if event else hook.events[0]
    body = hook_events.example(hook.scheme, name, at=timezone.now())
    return send(hook, delivery_id=str(uuid.uuid4()), body=body)


def renew_secrets() -> int:
    """Encrypt anew what is encrypted with a former secret key; returns how many."""
    count = 0
    for pk, stored in Webhook.objects.exclude(secret="").values_list("pk", "secret"):
        try:
            renewed = secrets.renewed(stored)
        except Damaged:
            continue
        if renewed is not None:
            count += Webhook.objects.filter(pk=pk, secret=stored).update(secret=renewed)
    return count
