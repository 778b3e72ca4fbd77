"""What chats are told of an event: one sentence for people, with a link, and what somebody said about it.

Every event of standard_events.py has its sentence here. What failed comes first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# As much of what somebody said as a chat shows at a glance.
MOST_LINES, MOST_SAID = 3, 300
# {about} is model and version as a link, {who} “ by li.wei” where somebody did it; else fields of the event's data.
SENTENCES = {
    "promotion.requested": "Review wanted: promotion of {about} to {to_stage}, asked for{who}.",
    "promotion.review_requested": "Review wanted of {reviewers}: promotion of {about} to {to_stage}, asked for{who}.",
    "promotion.reviewed": "Reviewed{who}: promotion of {about} to {to_stage}.",
    "promotion.commented": "Comment{who} on the promotion of {about} to {to_stage}.",
    "promotion.dismissed": "Reviews no longer count: promotion of {about} to {to_stage}.",
    "promotion.promoted": "{about} is promoted to {to_stage}{who}.",
    "promotion.rejected": "Rejected{who}: promotion of {about} to {to_stage}.",
    "promotion.withdrawn": "Withdrawn{who}: promotion of {about} to {to_stage}.",
    "promotion.expired": "Expired without a decision: promotion of {about} to {to_stage}.",
    "promotion.emergency": "EMERGENCY: {about} is promoted to {to_stage} past approvals{who}.",
    "promotion.review_due": "An emergency still waits for its review: {about} in {to_stage}.",
    "promotion.reviewed_after": "Emergency reviewed{who}: {about} in {to_stage}.",
    "version.moved": "{about} is moved from {from_stage} to {to_stage}{who}.",
    "version.promoted": "{about} is in production{instead}, promoted{who}.",
    "version.rolled_back": "Rolled back{who}: {about} is in production again, v{taken_out} is not.",
    "deployment.queued": "{about} is to be deployed in {environment}{who}.",
    "deployment.started": "{about} is being deployed in {environment}{who}.",
    "deployment.verifying": "{about} is deployed in {environment} and has to show that it is healthy.",
    "deployment.live": "{about} is live in {environment}.",
    "deployment.failed": "Failed in {environment}: {about}; {way_back}.",
    "deployment.rolled_back": "Rolled back in {environment}: {about}.",
    "deployment.superseded": "{about} is no longer deployed in {environment}.",
    "model.drifted": "Drift: {about} in {environment}, incident #{incident} is open.",
    "model.drift_resolved": "Resolved{who}: {incident_link} on {model}.",
    "model.drift_reopened": "Open again: incident #{incident} on {about}.",
}
# Where nobody is told that he did it, since a deployer or the registry itself reports what happened.
_UNSIGNED = frozenset({"system", ""})


def text_of(told: Mapping[str, Any]) -> str:
    """The message of a chat about an event as standard_events.py wrote it."""
    data = told["data"]
    sentence = SENTENCES[told["type"]].format_map(_facts(data))
    said = [f"> {line}" for line in _said(data.get("text"))]
    return "\n".join([sentence, *said])


def _facts(data: Mapping[str, Any]) -> dict[str, str]:
    facts = {name: _plain(value) for name, value in data.items()}
    version = f" v{facts['version']}" if data.get("version") is not None else ""
    former, by = data.get("former"), data.get("by") or ""
    return facts | {
        "about": _link(data, f"{facts.get('model', '')}{version}"),
        "incident_link": _link(data, f"incident #{facts.get('incident', '')}"),
        "who": "" if by in _UNSIGNED else f" by {_plain(by)}",
        "instead": f" instead of v{former}" if former else "",
        "way_back": _way_back(data),
    }


def _way_back(data: Mapping[str, Any]) -> str:
    if data.get("kind") == "rollback":
        return "this was the rollback"
    target = data.get("rollback_target")
    return f"the rollback target is v{target}" if target else "there is nothing to go back to"


def _link(data: Mapping[str, Any], label: str) -> str:
    return f"<{_escaped(data['url'])}|{label.replace('|', '¦')}>" if data.get("url") else label


def _said(text: Any) -> list[str]:
    """The beginning of what was said, in lines."""
    whole = str(text or "").strip()
    cut = whole[:MOST_SAID].rstrip()
    lines = [line for line in cut.splitlines() if line.strip()]
    shown = [_plain(line) for line in lines[:MOST_LINES]]
    if shown and (len(cut) < len(whole) or len(lines) > MOST_LINES):
        shown[-1] += " …"
    return shown


def _plain(value: Any) -> str:
    """A value as text that a chat reads as text: the three characters that are Slack's own written its way, and nobody
    called by a name behind an at sign, as Mattermost and Rocket.Chat would.
    """
    if isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, list):
        value = ", ".join(str(one) for one in value)
    elif value is None:
        value = ""
    return _escaped(str(value)).replace("@", "@\N{ZERO WIDTH SPACE}")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
