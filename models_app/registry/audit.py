"""The record of every state change, written in the transaction that makes it, and who may read all of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.models import AuditEvent, ModelRedirect, RegisteredModel, Role

from . import prepared
from .access import Actor, Right, require_login, require_scope
from .errors import Forbidden, Invalid, PolicyUnmet, RegistryError

if TYPE_CHECKING:
    from models_app.models.audit import AuditEventQuerySet

MOST_WORDS = 20


def record(
    verb: str,
    *,
    by: Actor,
    subject: str,
    model: RegisteredModel | None = None,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
    reason: str = "",
    policy: str = "",
) -> AuditEvent:
    """Write one row. `verb` is `noun.verb`; `before` and `after` hold only what changed, JSON-ready; `policy` names the
    policy versions that it was decided under.
    """
    event = AuditEvent(
        at=timezone.now(),
        verb=verb,
        actor=by.user,
        actor_name=by.name,
        token_prefix=by.token_prefix,
        door=by.door,
        address=by.address,
        request_id=by.request_id,
        subject=subject[:300],
        model_ref=model.pk if model else None,
        before=before or {},
        after=after or {},
        reason=reason,
        policy=policy,
    )
    return prepared.insert(event)


def refuse(error: RegistryError, *, by: Actor, what: str, model: str = "") -> None:
    """Record that a change was refused, after its transaction is gone. `what` is the call, as in “POST /api/v1/…”;
    `model` the name of the model it was about, where the door knows it.

    Only who may or may not is told here: what was wrong with the input is between caller and door.
    """
    if not isinstance(error, Forbidden | PolicyUnmet) or not by.is_known:
        return
    name = error.subject.rpartition("@")[0] if isinstance(error, PolicyUnmet) else model
    AuditEvent.objects.create(
        verb="refused",
        actor=by.user,
        actor_name=by.name,
        token_prefix=by.token_prefix,
        door=by.door,
        address=by.address,
        request_id=by.request_id,
        subject=(error.subject if isinstance(error, PolicyUnmet) else what)[:300],
        model_ref=_number_of(name) if name else getattr(error, "about", None),
        after={"what": what[:300], "code": error.code},
        reason=error.why[:2000],
        refused=True,
    )


def _number_of(name: str) -> int | None:
    """The number of the model that has or had this name."""
    found = RegisteredModel.objects.filter(name=name).values_list("pk", flat=True).first()
    return found or ModelRedirect.objects.filter(name=name).values_list("model", flat=True).first()


def of_model(model: RegisteredModel) -> QuerySet[AuditEvent]:
    """What happened to a model and its versions, newest first; refusals are for `events_for`."""
    return AuditEvent.objects.filter(model_ref=model.pk, refused=False).order_by("-id")


def may_read(actor: Actor) -> bool:
    """Whether there is an audit to read for this person: for site admins, and for admins of some team."""
    return actor.is_site_admin or Role.ADMIN in actor.roles.values()


def may_read_about(model: RegisteredModel, *, by: Actor) -> bool:
    """Whether this person reads what the audit holds of a model: site admins, and admins of its team."""
    return by.is_site_admin or by.roles.get(model.team_id) == Role.ADMIN


def events_for(actor: Actor) -> AuditEventQuerySet:
    """The records the actor may read, newest first: site admins all, team admins those of their teams' models.

    Raises Unauthenticated, or Forbidden for everybody else.
    """
    require_login(actor)
    require_scope(actor, Right.READ)
    rows = AuditEvent.objects.order_by("-id")
    if actor.is_site_admin:
        return rows
    teams = [team for team, role in actor.roles.items() if role == Role.ADMIN]
    if not teams:
        raise Forbidden(
            "Only site admins and admins of a team read the audit.",
            next_step="What happened to one model is on its Activity tab; for more, ask an admin of its team.",
        )
    return rows.of_teams(teams)


def narrowed(
    rows: AuditEventQuerySet,
    *,
    person: str | None = None,
    model: str | None = None,
    verb: str | None = None,
    door: str | None = None,
    refused: bool | None = None,
    after: datetime | None = None,
    before: datetime | None = None,
    request_id: str | None = None,
    q: str | None = None,
) -> AuditEventQuerySet:
    """Records that fit everything given: who, which model (by present or former name), what was done, through which
    door, refused or not, from when to before when, in which request, with which words in the subject.

    Raises Invalid("q") for more words than anybody types.
    """
    words = (q or "").split()
    if len(words) > MOST_WORDS:
        raise Invalid("q", f"At most {MOST_WORDS} words.")
    exactly = {"actor_name": person, "verb": verb, "door": door, "request_id": request_id}
    rows = rows.filter(**{column: value for column, value in exactly.items() if value})
    if refused is not None:
        rows = rows.filter(refused=refused)
    if model:
        rows = rows.about_model(model)
    return rows.between(after, before).saying(words)


def last_change() -> datetime | None:
    """When a model, or who may read it, changed last; None when nothing ever did."""
    about = AuditEvent.objects.filter(Q(model_ref__isnull=False, refused=False) | Q(verb__startswith="team."))
    return about.order_by("-id").values_list("at", flat=True).first()
