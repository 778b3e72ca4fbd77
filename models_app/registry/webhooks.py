"""Webhooks: who outside is told of what. What is sent, and when, stands in deliveries.py.

Site admins make hooks that hear of every model; admins of a team make hooks of their team, which hear of its models
only. So a message never says more than whoever made its hook may see.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from models_app import outbound
from models_app.models import (
    DeliveryLane,
    Team,
    Webhook,
    WebhookKind,
    WebhookScheme,
    WebhookStatus,
)

from . import audit, hook_events, secrets
from .access import Actor, Right, may, require_login, require_scope
from .errors import Damaged, Forbidden, Invalid, NotFound
from .hook_fields import check_event, check_secret, clean, new_secret
from .hook_sending import Attempt, send

FIELDS = (
    "name",
    "url",
    "events",
    "description",
    "secret",
    "status",
    "ref",
    "models",
    "stages",
    "environments",
)
# How long a former secret may go on signing.
MAX_HOURS = 24 * 14


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
    return hooks.filter(team__in=_managed(actor))


def _managed(actor: Actor) -> list[int]:
    # Without the token's scopes: seeing takes less of it than changing.
    whole = Actor(user=actor.user)
    managed = [team for team in actor.roles if may(whole, Right.MANAGE_TEAM, team)]
    if not managed:
        raise Forbidden(
            "Webhooks are for admins of a team and site admins.", next_step="Ask an admin of your team."
        )
    return managed


def get_webhook(uid: str, *, by: Actor, scheme: str = "") -> Webhook:
    """The hook of that id, of that scheme if one is given. Raises NotFound when absent or not to be seen,
    Unauthenticated, Forbidden.
    """
    hook = webhooks_for(by, scheme=scheme).filter(uid=uid[:36]).first()
    if hook is None:
        raise NotFound(f"There is no webhook “{uid[:64]}” that you may see.")
    return hook


def teams_for(actor: Actor) -> QuerySet[Team]:
    """The teams whose hooks the actor may have. Raises Unauthenticated, Forbidden for whoever is admin of nothing."""
    require_login(actor)
    teams = Team.objects.order_by("slug")
    if actor.is_site_admin:
        return teams
    return teams.filter(pk__in=_managed(actor))


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
    scheme: str = WebhookScheme.MLFLOW,
    kind: str = WebhookKind.GENERIC,
    team: Team | None = None,
    secret: str = "",
    ref: str = "",
    **fields: Any,
) -> Webhook:
    """Make a hook: of the team, else of whose admin one is; `fields` are others of FIELDS. A generic one of the
    standard scheme always has a secret; one is made up when none is given, and `secret_of` tells it.

    Raises Invalid naming every wrong field, an address that may not be called among them; Forbidden.
    """
    team = team or _team_of(by)
    _require(by, team)
    if kind not in WebhookKind.values or (kind != WebhookKind.GENERIC and scheme != WebhookScheme.STANDARD):
        raise Invalid("kind", f"One of {', '.join(WebhookKind.values)}.")
    if scheme == WebhookScheme.STANDARD and kind == WebhookKind.GENERIC and not secret:
        secret = new_secret()
    given = {"name": name, "url": url, "events": events, "secret": secret, "ref": ref, **fields}
    cleaned = clean(given, scheme=scheme, kind=kind)
    now = timezone.now()
    hook = Webhook(
        uid=str(uuid.uuid4()),
        scheme=scheme,
        kind=kind,
        team=team,
        created_by=by.user,
        created_at=now,
        updated_at=now,
        **cleaned,
    )
    with transaction.atomic():
        hook.save(force_insert=True)
        after = {**_shown(cleaned), "kind": kind, "id": hook.uid, "team": team.slug if team else None}
        audit.record("webhook.created", by=by, subject=hook.name, after=after)
    return hook


def update_webhook(hook: Webhook, *, by: Actor, **fields: Any) -> Webhook:
    """Change some of FIELDS; with an empty secret messages of MLflow's scheme are not signed. A new secret counts at
    once and alone; `rotate_secret` is gentler. A hook made active again sends at once what waits for it.

    Raises Invalid, Forbidden, NotFound.
    """
    _require(by, hook.team)
    # Looks names up, which may take a while: nothing is locked yet.
    cleaned = clean(fields, scheme=hook.scheme, kind=hook.kind)
    if cleaned.get("status") == WebhookStatus.ACTIVE:
        cleaned |= _HEALTHY
    if "secret" in cleaned:
        cleaned |= {"former_secret": "", "former_secret_until": None}
    with transaction.atomic():
        current = _locked(hook)
        _require(by, current.team)
        changed = {name: value for name, value in cleaned.items() if getattr(current, name) != value}
        if not changed:
            return current
        before = _shown({name: getattr(current, name) for name in changed})
        for name, value in changed.items():
            setattr(current, name, value)
        current.updated_at = timezone.now()
        current.save(update_fields=[*changed, "updated_at"])
        if changed.get("status") == WebhookStatus.ACTIVE:
            wait_no_longer(current)
        after = {**_shown(changed), "id": current.uid}
        audit.record("webhook.updated", by=by, subject=current.name, before=before, after=after)
    return current


_HEALTHY: dict[str, Any] = {"pause_reason": "", "failures": 0, "failing_since": None, "hold_until": None}


def wait_no_longer(hook: Webhook) -> None:
    """What waits for its next attempt is due now; what somebody is sending stays with them."""
    DeliveryLane.objects.filter(webhook=hook, claim="").update(not_before=timezone.now())


def rotate_secret(hook: Webhook, *, by: Actor, hours: int = 24, secret: str = "") -> Webhook:
    """A new secret, made up unless given; `secret_of` tells it. For so many hours messages are signed with the former
    one too, so that receivers may change over when they like.

    Raises Invalid for a hook that signs nothing, or MLflow's way, where a message has one signature; Forbidden,
    NotFound.
    """
    _require(by, hook.team)
    if hook.scheme != WebhookScheme.STANDARD or hook.kind != WebhookKind.GENERIC:
        raise Invalid(
            "secret",
            "Only one secret at a time is valid here.",
            next_step="Change the webhook's secret instead.",
        )
    if not 0 <= hours <= MAX_HOURS:
        raise Invalid("hours", f"0 to {MAX_HOURS}.")
    new = secrets.encrypt(check_secret(secret or new_secret(), scheme=hook.scheme, kind=hook.kind))
    with transaction.atomic():
        current = _locked(hook)
        _require(by, current.team)
        now = timezone.now()
        until = now + timedelta(hours=hours)
        current.former_secret, current.former_secret_until = (current.secret, until) if hours else ("", None)
        current.secret, current.updated_at = new, now
        current.save(update_fields=["secret", "former_secret", "former_secret_until", "updated_at"])
        after = {"id": current.uid, "former_valid_until": until.isoformat() if hours else None}
        audit.record("webhook.secret_rotated", by=by, subject=current.name, after=after)
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
    shown = {name: value for name, value in fields.items() if name not in _UNTOLD}
    if "url" in shown:
        shown["url"] = f"{outbound.host_of(shown['url'])}/…"
    if "secret" in shown:
        shown["secret"] = "set" if shown["secret"] else "none"
    return {name: value for name, value in shown.items() if value not in ("", [])}


_UNTOLD = frozenset({"host", "former_secret", "former_secret_until", *_HEALTHY})


def secret_of(hook: Webhook) -> str:
    """The secret itself, for who has just made the hook. Raises Damaged."""
    return secrets.decrypt(hook.secret)


def send_example(hook: Webhook, *, by: Actor, event: str = "") -> Attempt:
    """Send the example of an event (the hook's first unless given) now, whatever the hook's status. Raises Invalid,
    Forbidden.
    """
    _require(by, hook.team)
    name = check_event(event, hook.scheme) if event else hook.events[0]
    body = hook_events.example(hook.scheme, name, at=timezone.now())
    return send(hook, delivery_id=str(uuid.uuid4()), body=body)


def renew_secrets() -> int:
    """Encrypt anew what is encrypted with a former secret key, and forget what signs no more; returns how many were
    encrypted.
    """
    over = Webhook.objects.filter(former_secret_until__lt=timezone.now())
    over.update(former_secret="", former_secret_until=None)
    return _renew("secret") + _renew("former_secret")


def _renew(field: str) -> int:
    count = 0
    for pk, stored in Webhook.objects.exclude(**{field: ""}).values_list("pk", field):
        try:
            renewed = secrets.renewed(stored)
        except Damaged:
            continue
        if renewed is not None:
            count += Webhook.objects.filter(pk=pk, **{field: stored}).update(**{field: renewed})
    return count
