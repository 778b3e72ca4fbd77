"""What automations found about a version, like commit statuses: named, with a state, a line and a link."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from models_app.models import OPEN_STATES, Check, CheckState, ModelVersion, PromotionRequest

from . import audit, events, lifecycle, reviews
from .access import Actor, Right, require
from .errors import Invalid
from .metadata import clean_text, clean_url
from .policy_rules import NAME


def report(
    version: ModelVersion, *, name: str, state: str, by: Actor, summary: str = "", url: str = ""
) -> Check:
    """Set a check of a version: the last word counts. What waited only for it is promoted now.

    Raises Invalid, Forbidden.
    """
    if not NAME.fullmatch(name or ""):
        raise Invalid("name", "1 to 100 of letters, digits, spaces, “.”, “_”, “/” and “-”.")
    if state not in CheckState.values:
        raise Invalid("state", f"One of {', '.join(CheckState.values)}.")
    summary = clean_text("summary", summary, limit=1_000)
    url = clean_url("url", clean_text("url", url, limit=1_000)) if url else ""
    require(by, Right.EDIT_VERSION, version.model.team)
    with transaction.atomic():
        model = lifecycle.lock(version.model)
        former = Check.objects.filter(version=version, name=name).values_list("state", flat=True).first()
        check, _ = Check.objects.update_or_create(
            version=version,
            name=name,
            defaults={
                "state": state,
                "summary": summary,
                "url": url,
                "reported_by": by.user,
                "reported_at": timezone.now(),
            },
        )
        audit.record(
            "check.reported",
            by=by,
            subject=str(version),
            model=model,
            before={name: former},
            after={name: state},
            reason=summary,
        )
        events.emit(
            "check.reported",
            model=model,
            payload={"name": model.name, "version": version.number, "check": name, "state": state},
        )
    if state == CheckState.SUCCESS:
        for request in PromotionRequest.objects.filter(version=version, state__in=OPEN_STATES):
            reviews.settle_quietly(request)
    return check
