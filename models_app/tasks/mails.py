"""How a mail to one person looks: headers, text, HTML."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from urllib.parse import urlsplit

from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string  # noqa: TID251  (mails are templates)

from models_app.models import Notice
from models_app.registry import addresses
from models_app.registry.mailing import Letter
from models_app.registry.names import one_line

MAX_QUOTED = 2_000
NOTICE = ("emails/notice.txt", "emails/notice.html")
DIGEST = ("emails/digest.txt", "emails/digest.html")
SETTINGS = "/account/#id_notice_mode"


@dataclass(frozen=True, slots=True)
class Item:
    """One notice as templates tell it."""

    subject: str
    text: str
    url: str


def mail(letter: Letter) -> EmailMultiAlternatives:
    """The mail of a letter. Its ids follow from what it tells: sent twice, it is the same mail."""
    told = sorted(letter.notices, key=lambda notice: (notice.path, notice.pk))
    groups = [[_item(notice) for notice in found] for _, found in groupby(told, key=lambda one: one.path)]
    context = {
        "groups": groups,
        "person": letter.user.display_name,
        "is_digest": letter.is_digest,
        "settings_url": addresses.absolute(SETTINGS),
        "site_url": addresses.absolute("/"),
    }
    text, html = DIGEST if letter.is_digest else NOTICE
    message = EmailMultiAlternatives(
        subject=_subject(letter),
        body=render_to_string(text, context),
        to=[letter.user.email],
        headers=_headers(letter),
    )
    message.attach_alternative(render_to_string(html, context), "text/html")
    return message


def _item(notice: Notice) -> Item:
    text = notice.body if len(notice.body) <= MAX_QUOTED else f"{notice.body[:MAX_QUOTED]}…"
    return Item(notice.subject, text.strip(), addresses.absolute(notice.path))


def _subject(letter: Letter) -> str:
    first = letter.notices[0].subject
    if not letter.is_digest:
        return one_line(f"[Modelry] {first}")
    others = len(letter.notices) - 1
    return one_line(f"[Modelry] Today: {first}" + (f", and {others} more" if others else ""))


def _headers(letter: Letter) -> dict[str, str]:
    host = urlsplit(addresses.absolute("/")).hostname or "localhost"
    first, last = letter.notices[0], letter.notices[-1]
    headers = {
        "Message-ID": f"<notice-{first.pk}-{last.pk}-{letter.user.pk}@{host}>",
        "List-Id": f"Modelry <notices.{host}>",
        "List-Unsubscribe": f"<{addresses.absolute(SETTINGS)}>",
        "Auto-Submitted": "auto-generated",
    }
    if not letter.is_digest and first.request_id:
        # Mail programs then show what belongs to a request as one conversation.
        headers["References"] = headers["In-Reply-To"] = f"<request-{first.request_id}@{host}>"
    if first.is_urgent:
        headers["Importance"] = "high"
    return headers
