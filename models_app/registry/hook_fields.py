"""What a webhook's fields may be. Each scheme and kind has its own idea of a secret and an address."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from models_app import outbound
from models_app.models import Environment, Stage, WebhookKind, WebhookScheme, WebhookStatus

from . import hook_events, secrets
from .errors import FieldProblem, Invalid
from .metadata import clean_text

MAX_DESCRIPTION = 5_000
MAX_SECRET = 1_000
MAX_PATTERNS = 20
MAX_PATTERN = 256
MAX_ENVIRONMENTS = 50
# Standard Webhooks: how a secret is written, and how many bytes it may hold.
SECRET_PREFIX = "whsec_"
SECRET_BYTES = range(24, 65)
_NAME = re.compile(r"(?=.{1,63}\Z)[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_TOKEN = re.compile(rf"[!-~]{{1,{MAX_SECRET}}}")
_REF = re.compile(r"[^\s\x00-\x20]{1,255}")
# Of these kinds, how the path of an address ends, and an example of one.
_PATHS = {
    WebhookKind.GITHUB: (
        re.compile(r"/repos/[^/]+/[^/]+/dispatches"),
        "https://api.github.com/repos/OWNER/REPOSITORY/dispatches",
    ),
    WebhookKind.GITLAB: (
        re.compile(r"/projects/[^/]+/trigger/pipeline"),
        "https://gitlab.example.com/api/v4/projects/ID/trigger/pipeline",
    ),
}


def clean(fields: dict[str, Any], *, scheme: str, kind: str) -> dict[str, Any]:
    """Checked fields as the table keeps them; raises Invalid listing every problem."""
    found: dict[str, Any] = {}
    problems: list[FieldProblem] = []
    for name, value in fields.items():
        try:
            found |= _clean_field(name, value, scheme, kind)
        except Invalid as error:
            problems.extend(error.problems)
    if problems:
        raise Invalid.many(problems)
    return found


def _clean_field(name: str, value: Any, scheme: str, kind: str) -> dict[str, Any]:
    if name == "name":
        if not isinstance(value, str) or not _NAME.fullmatch(value):
            raise Invalid(
                name, "1 to 63 letters, digits, “.”, “_” and “-”, starting and ending with a letter or digit."
            )
        return {name: value}
    if name == "url":
        url = _clean_url(value, kind)
        return {"url": url, "host": host_of(url)}
    if name == "events":
        return {name: _clean_events(value, scheme)}
    if name == "description":
        return {name: clean_text(name, value, limit=MAX_DESCRIPTION, lines=True)}
    if name == "secret":
        return {name: secrets.encrypt(check_secret(value, scheme=scheme, kind=kind))}
    if name == "status":
        if value not in WebhookStatus.values:
            raise Invalid(name, f"One of {', '.join(WebhookStatus.values)}.")
        return {name: WebhookStatus(value)}
    if name == "ref":
        return {name: _clean_ref(value, kind)}
    if name == "models":
        return {"model_patterns": _clean_patterns(value)}
    if name == "stages":
        wanted = list(dict.fromkeys(value))
        if unknown := [one for one in wanted if one not in Stage.values]:
            raise Invalid(name, f"There is no stage “{str(unknown[0])[:64]}”.")
        return {name: wanted}
    if name == "environments":
        return {name: _clean_environments(value)}
    raise Invalid(str(name)[:100], "There is no such field.")


# --- addresses ------------------------------------------------------------------------------------------------


def _clean_url(value: Any, kind: str) -> str:
    text = clean_text("url", value, limit=outbound.MAX_URL)
    if not text:
        raise Invalid("url", "A webhook needs an address.")
    try:
        outbound.check(text)
    except outbound.OutboundError as error:
        raise Invalid("url", str(error)) from error
    if kind in _PATHS:
        pattern, example = _PATHS[WebhookKind(kind)]
        if not re.search(pattern.pattern + r"\Z", urlsplit(text).path):
            raise Invalid("url", f"An address as {example} is wanted.")
    return text


def host_of(url: str) -> str:
    """Host and port: what a receiver is known by when it is slow."""
    return urlsplit(url).netloc.lower()[:300]


def _clean_ref(value: Any, kind: str) -> str:
    if kind != WebhookKind.GITLAB:
        if value:
            raise Invalid("ref", "Only GitLab pipelines run on a branch or tag.")
        return ""
    if not isinstance(value, str) or not _REF.fullmatch(value):
        raise Invalid("ref", "A pipeline runs on a branch or tag: say which.")
    return value


# --- secrets --------------------------------------------------------------------------------------------------


def new_secret() -> str:
    """A secret as Standard Webhooks write them."""
    return SECRET_PREFIX + base64.b64encode(os.urandom(32)).decode()


def check_secret(value: Any, *, scheme: str, kind: str) -> str:
    """Give the secret back if it is one of this kind. Raises Invalid("secret")."""
    if kind == WebhookKind.SLACK:
        if value:
            raise Invalid("secret", "Chats ask for none: the address is the secret.")
        return ""
    if kind != WebhookKind.GENERIC:
        if not isinstance(value, str) or not _TOKEN.fullmatch(value):
            raise Invalid("secret", "The token to call with, without spaces.")
        return value
    if not isinstance(value, str) or len(value) > MAX_SECRET or not _encodable(value):
        raise Invalid("secret", f"A text of at most {MAX_SECRET} characters.")
    if scheme == WebhookScheme.STANDARD:
        key_in(value)
    return value


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def key_in(secret: str) -> bytes:
    """The bytes of a Standard Webhooks secret. Raises Invalid("secret")."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise Invalid(
            "secret",
            f"Written as {SECRET_PREFIX} and the base64 of {SECRET_BYTES[0]} to {SECRET_BYTES[-1]} random bytes.",
        )
    return key


# --- what is heard --------------------------------------------------------------------------------------------


def _clean_events(value: Iterable[Any], scheme: str) -> list[str]:
    names = list(dict.fromkeys(value))
    if not names:
        raise Invalid("events", "A webhook needs at least one event.")
    return [check_event(name, scheme) for name in names]


def check_event(name: str, scheme: str) -> str:
    """Give the name back if it is one of an event of this scheme; raises Invalid("events") listing those there are."""
    examples = hook_events.examples(scheme)
    if name not in examples:
        known = ", ".join(examples)
        raise Invalid("events", f"There is no event “{str(name)[:100]}”. There are: {known}.")
    return name


def _clean_patterns(value: Iterable[Any]) -> list[str]:
    patterns = list(dict.fromkeys(clean_text("models", one, limit=MAX_PATTERN) for one in value))
    if len(patterns) > MAX_PATTERNS:
        raise Invalid("models", f"At most {MAX_PATTERNS} patterns.")
    return [pattern for pattern in patterns if pattern]


def _clean_environments(value: Iterable[Any]) -> list[str]:
    names = list(dict.fromkeys(clean_text("environments", one, limit=63) for one in value))
    if len(names) > MAX_ENVIRONMENTS:
        raise Invalid("environments", f"At most {MAX_ENVIRONMENTS}.")
    there = Environment.objects.filter(name__in=names, deleted_at=None).values_list("name", flat=True)
    if unknown := sorted({*names}.difference(there)):
        raise Invalid("environments", f"There is no environment “{unknown[0]}”.")
    return names
