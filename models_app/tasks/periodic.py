"""What the worker does by the clock."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from models_app.registry import (
    deliveries,
    events,
    idempotency,
    logged_models,
    mailing,
    observations,
    second_factor,
    sessions,
    webhooks,
)
from models_app.registry.artifacts import storage, upload_sealing, uploads
from models_app.registry.errors import Unavailable

log = logging.getLogger(__name__)

ABANDONED = timedelta(hours=24)


def _expired_sessions() -> int:
    sessions = Session.objects.filter(expire_date__lt=timezone.now())
    count = sessions.count()
    SessionStore.clear_expired()
    return count


def _if_storage_answers(sweep: Callable[[], int]) -> int:
    """The rest is tidied even while the artifact storage does not answer."""
    try:
        return sweep()
    except Unavailable as error:
        log.warning("not swept: %s", error)
        return 0


def tidy() -> dict[str, int]:
    """Remove what is past its time: half-sent uploads, remembered answers, messages, notices, handled events, expired
    sessions.

    Logged models that nobody finished become failed ones; secrets under a former key are encrypted anew.
    """
    removed = {
        "uploads": storage.sweep_incoming(ABANDONED),
        "uploads in parts": _if_storage_answers(uploads.sweep_abandoned),
        "upload sessions": _if_storage_answers(upload_sealing.sweep),
        "logged models": logged_models.fail_abandoned(),
        "answers": idempotency.forget_old(),
        "deliveries": deliveries.forget_old(),
        "notices": mailing.forget_old(),
        "events": events.forget_old(),
        "observations": observations.forget_old(),
        "sessions": _expired_sessions(),
        "rows of sessions": sessions.forget_old(),
    }
    renewed = webhooks.renew_secrets() + second_factor.renew_secrets()
    log.info("tidied %s, encrypted %s secrets anew", removed, renewed)
    return removed
