"""How a message is put for whoever receives it: the exact request of every kind of webhook.

Pure: the body of an event as standard_events.py (or MLflow's words, hook_events.py) wrote it goes in, a call comes out.
`shown_headers` and `shown_body` are what a log may keep of it: everything but secrets.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
https://docs.github.com/en/rest/repos/repos#create-a-repository-dispatch-event
https://docs.gitlab.com/ci/triggers/
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks/
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from models_app.models import WebhookKind, WebhookScheme

from . import chat_texts

JSON = "application/json"
HIDDEN = "••••"
# Of each scheme, the names of what carries id, time and signature.
_HEADERS = {
    WebhookScheme.MLFLOW: ("X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature"),
    WebhookScheme.STANDARD: ("webhook-id", "webhook-timestamp", "webhook-signature"),
}


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be told, and when this attempt is made (seconds since 1970)."""

    uid: str
    body: str
    stamp: int


@dataclass(frozen=True, slots=True)
class Call:
    """A POST: headers and content as they go out, and as a log shows them."""

    headers: dict[str, str]
    content: bytes
    shown_headers: dict[str, str]
    # Empty where it is the message's own body.
    shown_body: str = ""


def signed(message: Message, *, scheme: str, keys: Sequence[bytes]) -> Call:
    """The message itself, signed with every key: both schemes sign `id.timestamp.body` with HMAC-SHA256 and differ in
    the names.
    """
    names = _HEADERS[WebhookScheme(scheme)]
    content = message.body.encode()
    stamp = str(message.stamp)
    headers = {"Content-Type": JSON, names[0]: message.uid, names[1]: stamp}
    to_sign = b".".join((message.uid.encode(), stamp.encode(), content))
    marks = [base64.b64encode(hmac.digest(key, to_sign, hashlib.sha256)).decode() for key in keys]
    if marks:
        headers[names[2]] = " ".join(f"v1,{mark}" for mark in marks)
    # A signature tells nobody the secret.
    return Call(headers, content, headers)


def for_github(message: Message, *, token: str) -> Call:
    """A `repository_dispatch` whose `event_type` is the event and whose `client_payload` is the message with its id.

    GitHub takes ten properties in the payload at most; a message has five.
    """
    told = _read(message)
    body = json.dumps({"event_type": told["type"][:100], "client_payload": {"id": message.uid, **told}})
    headers = {
        "Content-Type": JSON,
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    return Call(
        {**headers, "Authorization": f"Bearer {token}"},
        body.encode(),
        {**headers, "Authorization": f"Bearer {HIDDEN}"},
        body,
    )


def for_gitlab(message: Message, *, token: str, ref: str) -> Call:
    """A pipeline of this branch or tag. Its variables: MODELRY_EVENT, _ID, _PAYLOAD (the message) and one for every
    plain fact of it, as MODELRY_MODEL, MODELRY_VERSION, MODELRY_URL; what people wrote is in the payload only.
    """
    told = _read(message)
    variables = {
        f"MODELRY_{name.upper()}": _plain(value)
        for name, value in told["data"].items()
        if isinstance(value, str | int | float) and name != "text"
    }
    variables |= {
        "MODELRY_EVENT": told["type"],
        "MODELRY_ID": message.uid,
        "MODELRY_PAYLOAD": message.body,
    }
    fields = {"ref": ref, **{f"variables[{name}]": value for name, value in variables.items()}}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return Call(
        headers,
        urlencode({"token": token, **fields}).encode(),
        headers,
        urlencode({"token": HIDDEN, **fields}, safe=HIDDEN),
    )


def for_slack(message: Message) -> Call:
    """A text as Slack's incoming webhooks take it; Mattermost and Rocket.Chat take the same."""
    body = json.dumps({"text": chat_texts.text_of(_read(message))})
    headers = {"Content-Type": JSON}
    return Call(headers, body.encode(), headers, body)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(message: Message) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(message.body)
    return told


def call(message: Message, *, kind: str, scheme: str, token: str, ref: str, keys: Sequence[bytes]) -> Call:
    """The call of this kind. `keys` sign where receivers check signatures, `token` is what the others ask for."""
    if kind == WebhookKind.GITHUB:
        return for_github(message, token=token)
    if kind == WebhookKind.GITLAB:
        return for_gitlab(message, token=token, ref=ref)
    if kind == WebhookKind.SLACK:
        return for_slack(message)
    return signed(message, scheme=scheme, keys=keys)
