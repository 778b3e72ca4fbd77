"""Who is told that a team comes near its quota: its owners and admins."""

from __future__ import annotations

from django.conf import settings

from models_app.models import Membership, Notice, OutboxEvent, Role

from . import addresses, notices, quotas

TOLD = (Role.OWNER, Role.ADMIN)


def write(event: OutboxEvent) -> int:
    """Write what they are told; returns how many are. Again does no harm; where the site sends no mail, nothing is."""
    if event.name != quotas.PASSED or not settings.MAIL_IS_ON:
        return 0
    slug, said = event.payload["team"], event.payload["text"]
    people = Membership.objects.filter(team__slug=slug, role__in=TOLD).values("user")
    like = Notice(
        event=event,
        name=event.name,
        subject=said[: notices.MAX_SUBJECT],
        body="The page names the largest versions. Who needs more room asks a site admin.",
        path=addresses.of_team_storage(slug),
    )
    return notices.write_for(notices.reading_mail().filter(pk__in=people), like)
