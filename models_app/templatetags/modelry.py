"""What pages say over and over: icons, stages, numbers, sizes, times and people. Built in, so nothing is loaded."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time
from functools import lru_cache
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from models_app.formats import sizes
from models_app.registry.search.facets import FacetValue

register = template.Library()

NOTHING = "–"

# A state's word, its colour class and its icon: the word says it, the others only help.
STATES = {
    "dev": ("Dev", "dev", "flask"),
    "staging": ("Staging", "staging", "circle-dashed"),
    "production": ("Production", "production", "circle-check"),
    "archived": ("Archived", "archived", "archive"),
    "failed": ("Failed", "failed", "circle-x"),
    "pending": ("Pending", "staging", "clock"),
    "running": ("Running", "staging", "refresh"),
    "finished": ("Finished", "production", "check"),
    "open": ("Waiting for review", "staging", "clock"),
    "changes_requested": ("Changes requested", "failed", "edit"),
    "promoted": ("Promoted", "production", "circle-check"),
    "rejected": ("Rejected", "failed", "circle-x"),
    "withdrawn": ("Withdrawn", "archived", "minus"),
    "expired": ("Expired", "archived", "clock"),
    "approved": ("Approved", "production", "circle-check"),
    "queued": ("Queued", "dev", "clock"),
    "deploying": ("Deploying", "staging", "rocket"),
    "verifying": ("Verifying", "staging", "eye"),
    "live": ("Live", "production", "circle-check"),
    "rolled_back": ("Rolled back", "archived", "rollback"),
    "superseded": ("Superseded", "archived", "minus"),
    "drift": ("Drift", "failed", "alert"),
}

_CHOSEN = SafeString(' aria-current="true"')

SPANS = (
    ("year", 31_557_600),
    ("month", 2_629_800),
    ("day", 86_400),
    ("hour", 3_600),
    ("minute", 60),
)


@register.simple_tag
@lru_cache(maxsize=512)
def icon(name: str, label: str = "") -> SafeString:
    """An icon of the sprite: decoration, unless a label gives it a meaning of its own. Pages have many: made once."""
    address = f"{static('icons.svg')}#{name}"
    if label:
        return format_html(
            '<svg class="icon" role="img" aria-label="{}"><use href="{}"></use></svg>',
            label,
            address,
        )
    return format_html('<svg class="icon" aria-hidden="true"><use href="{}"></use></svg>', address)


@register.simple_tag
@lru_cache(maxsize=64)
def stage(value: str) -> SafeString:
    """A stage or state as word, colour and icon."""
    key = str(value or "").lower()
    word, colour, picture = STATES.get(key, (key.capitalize() or NOTHING, "dev", "circle"))
    return format_html('<span class="stage stage-{}">{}{}</span>', colour, icon(picture), word)


@register.simple_tag
def facet_value(value: FacetValue, url: str, at_least: bool) -> SafeString:
    """One value of a facet with its count, as a link. A search shows a hundred of them."""
    return format_html(
        '<li><a class="facet-item" href="{}"{}>{} <span class="count">{}{}</span></a></li>',
        url,
        _CHOSEN if value.selected else "",
        value.label,
        value.count,
        "+" if at_least else "",
    )


def significant(value: float, digits: int = 4) -> str:
    """A number as people write it: `digits` significant ones, thousands apart, no trailing zeros."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size >= 15:
        mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(power)}"
    text = f"{value:,.{max(digits - 1 - size, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def number(value: Any) -> float | None:
    """A finite number, or none; templates hand over an empty string for what is not there."""
    if value is None or value == "":
        return None
    return float(value) if math.isfinite(value) else None


@register.filter
def metric_value(value: float | str | None) -> str:
    """A metric's value with as many digits as mean something."""
    return NOTHING if value is None or value == "" else significant(float(value))


@register.simple_tag
def delta(value: float | None, reference: float | None, higher_is_better: bool | None = None) -> SafeString:
    """The change against a reference, with its sign, an arrow, and, where a direction is known, whether it is good."""
    now, before = number(value), number(reference)
    if now is None or before is None:
        return SafeString("")
    change = now - before
    if math.isclose(now, before, rel_tol=1e-9, abs_tol=1e-12):
        return format_html('<span class="delta">{}</span>', "unchanged")
    picture, sign = ("arrow-up", "+") if change > 0 else ("arrow-down", "−")
    size = sign + significant(abs(change), 3)
    if not isinstance(higher_is_better, bool):
        return format_html('<span class="delta">{}{}</span>', icon(picture), size)
    word = "better" if (change > 0) == higher_is_better else "worse"
    return format_html('<span class="delta delta-{}">{}{} {}</span>', word, icon(picture), size, word)


@register.filter(name="bytes")
def bytes_(value: int | str | None) -> str:
    """A size in units of 1024."""
    if value is None or value == "":
        return NOTHING
    return sizes.in_words(float(value))


def relative(moment: datetime, now: datetime) -> str:
    """How far away a moment is, in words and one unit."""
    seconds = (now - moment).total_seconds()
    for unit, length in SPANS:
        count = int(abs(seconds) // length)
        if count:
            words = f"{count} {unit}{'' if count == 1 else 's'}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "just now"


@register.filter
def ago(value: datetime | date | None, nothing: str = NOTHING) -> str | SafeString:
    """A moment told relatively, exact UTC time in the element and on hover; `nothing` when there is none."""
    if value is None or value == "":
        return nothing
    moment = value if isinstance(value, datetime) else datetime.combine(value, time(), UTC)
    if timezone.is_naive(moment):
        moment = moment.replace(tzinfo=UTC)
    moment = moment.astimezone(UTC)
    return format_html(
        '<relative-time><time datetime="{}" title="{}">{}</time></relative-time>',
        f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        f"{moment:%Y-%m-%d %H:%M:%S} UTC",
        relative(moment, timezone.now()),
    )


@register.filter
def span(seconds: int) -> str:
    """A length of time as people say it, in at most two units: 1 day, 1 h 30 min, 45 s."""
    told = []
    for unit, size in (("day", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            told.append(f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}")
    return " ".join(told[:2]) or "0 s"


@register.filter
def short_digest(value: str | None) -> str:
    """The first twelve characters of a digest, its algorithm left out."""
    return (value or "").rpartition(":")[2][:12] or NOTHING


@register.filter
def person(user: Any) -> str:
    """What to call someone: full name, else user name, else nobody known."""
    if user is None or user == "":
        return "unknown"
    if isinstance(user, str):
        return user
    full = user.get_full_name() if hasattr(user, "get_full_name") else ""
    return full or getattr(user, "username", "") or str(user)
