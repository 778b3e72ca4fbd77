"""How a webhook's receiver is doing: who fails is left alone for a while, who keeps failing is paused, and told of."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone

from models_app.models import Delivery, DeliveryState, Notice, OutboxEvent, Role, User, Webhook, WebhookStatus

from . import addresses, audit, events, notices
from .access import Actor
from .backoff import wait_after
from .hook_sending import Attempt
from .webhooks import wait_no_longer

PAUSED = "webhook.paused"
# Failing for so long without a success between, or refusing so many messages in a row for good.
PAUSE_AFTER = timedelta(hours=24)
REFUSALS = 20
LONGEST_HOLD = timedelta(minutes=5)
# After so many rounds of failures a success is news: what waits goes out at once.
BACK_AFTER = 3
GONE = 410


def judge(attempts: Iterable[tuple[Webhook, Attempt]]) -> None:
    """Note what attempts say about their receivers. Of those who are well and stay so nothing is written."""
    for hook, attempt in attempts:
        if attempt.ok:
            if hook.failures:
                _is_back(hook)
        elif attempt.may_retry:
            _failed(hook, attempt)
        else:
            _refused(hook, attempt)


def _is_back(hook: Webhook) -> None:
    well = {"failures": 0, "failing_since": None, "hold_until": None}
    if Webhook.objects.filter(pk=hook.pk).exclude(failures=0).update(**well) and hook.failures >= BACK_AFTER:
        wait_no_longer(hook)


def _failed(hook: Webhook, attempt: Attempt) -> None:
    """Hold everything for this receiver for a moment: what is under way beside this one counts as the same failure."""
    now = timezone.now()
    asked = timedelta(seconds=attempt.reply.retry_after or 0) if attempt.reply else timedelta()
    pause = max(min(wait_after(hook.failures + 1) / 5, LONGEST_HOLD), asked)
    Webhook.objects.filter(Q(hold_until=None) | Q(hold_until__lte=attempt.at), pk=hook.pk).update(
        failures=F("failures") + 1,
        failing_since=Coalesce("failing_since", attempt.at),
        hold_until=now + pause,
    )
    if Webhook.objects.filter(pk=hook.pk, failing_since__lte=now - PAUSE_AFTER).exists():
        pause_hook(
            hook, f"Its receiver has failed for {PAUSE_AFTER // timedelta(hours=1)} hours: {attempt.error}"
        )


def _refused(hook: Webhook, attempt: Attempt) -> None:
    if attempt.status == GONE:
        pause_hook(hook, "Its receiver says that it is gone (410).")
        return
    settled = Delivery.objects.filter(webhook=hook).exclude(state=DeliveryState.WAITING)
    last = list(settled.order_by("-id").values_list("state", flat=True)[:REFUSALS])
    if len(last) == REFUSALS and set(last) == {DeliveryState.FAILED}:
        pause_hook(hook, f"Its receiver refused {REFUSALS} messages in a row, this one so: {attempt.error}")


@transaction.atomic
def pause_hook(hook: Webhook, reason: str) -> bool:
    """Send nothing more till somebody makes it active again; says whether it was active. What happens then waits."""
    same = Webhook.objects.filter(pk=hook.pk, status=WebhookStatus.ACTIVE)
    if not same.update(status=WebhookStatus.PAUSED, pause_reason=reason[:300], updated_at=timezone.now()):
        return False
    system = Actor.system(door="task")
    audit.record(PAUSED, by=system, subject=hook.name, after={"id": hook.uid}, reason=reason)
    events.emit(PAUSED, payload={"hook": hook.pk, "reason": reason, "by": system.name})
    return True


def tell_keepers(event: OutboxEvent) -> int:
    """Tell whoever made a paused hook and the admins of its team, of the site where it has none; returns how many."""
    hook = Webhook.objects.filter(pk=event.payload["hook"]).first()
    if hook is None or not settings.MAIL_IS_ON:
        return 0
    admins = Q(memberships__team=hook.team_id, memberships__role=Role.ADMIN)
    keepers = User.objects.filter(
        (admins if hook.team_id else Q(is_superuser=True)) | Q(pk=hook.created_by_id or 0)
    )
    like = Notice(
        event=event,
        name=event.name,
        subject=f"Paused: the webhook {hook.name}",
        body=event.payload["reason"],
        path=addresses.of_webhook(hook.uid),
    )
    return notices.write_for(notices.reading_mail().filter(pk__in=keepers.values("pk")), like)
