"""Addresses of environments: a template with places for what is deployed.

What is put in never decides where a call goes. A model's name may hold nearly every character: in the host only a
valid label stands, elsewhere everything is percent-encoded, and what comes out is read again by the code that calls
before anybody may call or show it.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

from models_app import outbound
from models_app.models import Environment, ModelVersion

from .errors import Conflict, Invalid
from .metadata import clean_text, clean_url
from .names import flat, split_name

# As long as an address is kept.
MAX_ADDRESS = 500
# What a template may say, with an example of each.
PLACES = {
    "model": "vision--defects",
    "name": "defects",
    "team": "vision",
    "version": "13",
    "environment": "eu",
    "digest": "0" * 64,
    "address": "https://models.example.com/defects",
}
ADDRESS = "{address}"
_SHAPE = re.compile(
    r"(https?)://((?:[^/?#:\[\]]|\[[0-9A-Fa-f:.]+\])+)(:[0-9]{1,5})?((?:[/?#].*)?)", re.IGNORECASE
)
# RFC 1123, 2.1.
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_UNWANTED = re.compile(r"[\s\\\x00-\x1f\x7f]")

Encode = Callable[[str, str], str]


class CannotFill(Conflict):
    """No address comes of this template for this version."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """`{address}` as a whole, or scheme, host and port; and what comes behind."""

    scheme: str
    host: str
    port: str
    rest: str

    @property
    def is_behind_address(self) -> bool:
        return not self.scheme


def _split(template: str) -> _Parts:
    """Raises ValueError saying what is wrong with it."""
    if _UNWANTED.search(template):
        raise ValueError("An address has no spaces and no backslash.")
    if template.startswith(ADDRESS):
        parts = _Parts("", "", "", template.removeprefix(ADDRESS))
        if parts.rest and parts.rest[0] not in "/?":
            raise ValueError(f"Behind {ADDRESS} comes a path.")
    else:
        if "@" in re.split("[/?#]", template.partition("://")[2])[0]:
            raise ValueError("Credentials do not belong into an address.")
        found = _SHAPE.fullmatch(template)
        if found is None:
            raise ValueError("Begins with https:// or http:// and a host, then a port of digits and a path.")
        parts = _Parts(found[1].lower(), found[2], found[3] or "", found[4])
        _check_host(parts.host)
    if ADDRESS in parts.host + parts.rest:
        raise ValueError(f"{ADDRESS} can only be the beginning.")
    return parts


def _check_host(host: str) -> None:
    if "%" in host:
        raise ValueError("A host has no percent sign.")
    _, brace, behind = host.rpartition("}")
    end = behind.rpartition(".")[2]
    if brace and (not behind.startswith(".") or not _LABEL.fullmatch(end) or outbound.looks_numeric(end)):
        raise ValueError(
            "The end of the host has to be fixed, as .example.com: what is put in must not choose it."
        )


# --- when it is made ------------------------------------------------------------------------------------------


def check(field: str, value: Any, *, may_follow: bool) -> str:
    """Give the template back if addresses can come of it; `may_follow` lets it begin with {address}. Raises Invalid."""
    text = clean_text(field, value, limit=MAX_ADDRESS)
    if not text:
        return ""
    places = [place for place in PLACES if may_follow or place != "address"]
    known = ", ".join(f"{{{place}}}" for place in places)
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise Invalid(field, f"Braces stand for {known}.") from error
    for _, place, detail, conversion in parts:
        if place is not None and (place not in places or detail or conversion):
            raise Invalid(field, f"There is {known}; not “{{{place}}}”.")
    try:
        clean_url(field, _filled(text, PLACES, address=PLACES["address"]))
    except ValueError as error:
        raise Invalid(field, str(error)) from error
    return text


def check_where(field: str, template: str, *, is_called: bool) -> None:
    """Whether a template leads where addresses may lead: for what the registry itself calls the rules of webhooks hold,
    for what others call, that it is no address of a machine's own link. May look a name up. Raises Invalid.
    """
    if not template or template.startswith(ADDRESS):
        return
    address = _filled(template, PLACES, address="")
    is_fixed = "{" not in _split(template).host
    try:
        # A name that is not known yet may be so when it is called, and is looked at again then.
        with suppress(outbound.Unreachable):
            if is_called:
                outbound.check(address, resolving=is_fixed)
            else:
                outbound.check_shown(address)
    except outbound.Refused as error:
        raise Invalid(field, str(error)) from error


# --- when it is filled ----------------------------------------------------------------------------------------


def fill(template: str, version: ModelVersion, environment: Environment, *, address: str = "") -> str:
    """The address for a version; empty for no template. Raises CannotFill saying why none comes of it."""
    if not template:
        return ""
    model = version.model
    values = {
        "model": flat(model.name),
        "name": split_name(model.name)[1],
        "version": str(version.number),
        "environment": environment.name,
        "digest": version.manifest.digest if version.manifest else "",
    }
    if "{team}" in template:
        values["team"] = model.team.slug
    try:
        return _filled(template, values, address=address)
    except ValueError as error:
        raise CannotFill(
            f"No address comes of “{template}” for {version}: {error}",
            next_step=f"Rename the model, or have the address in {environment} changed.",
        ) from error


def of_deployment(version: ModelVersion, environment: Environment) -> tuple[str, str]:
    """Where a version is to serve, and why it cannot be deployed there: no address comes of the environment's."""
    health = environment.health_check
    try:
        serving = fill(environment.serving_address, version, environment)
        fill(health, version, environment, address=serving or PLACES["address"])
    except CannotFill as error:
        return "", f"{error.why} {error.next_step}"
    return serving, ""


def told_health(version: ModelVersion, environment: Environment, address: str) -> str:
    """What a deployer is told to ask: the template itself as long as no address comes of it."""
    try:
        return fill(environment.health_check, version, environment, address=address)
    except CannotFill:
        return environment.health_check


def _filled(template: str, values: dict[str, str], *, address: str) -> str:
    """Raises ValueError saying why there is no address."""
    parts = _split(template)
    rest = _with(parts.rest, values, _encoded)
    if parts.is_behind_address:
        if not address:
            raise ValueError("nobody said yet where it serves.")
        if rest and not set("?#").isdisjoint(address):
            raise ValueError("where it serves is an address with a query, behind which no path can stand.")
        # A path behind one that ends in a slash.
        made = address.rstrip("/") + rest if rest.startswith("/") else address + rest
        _read(made)
    else:
        host = _with(parts.host, values, _as_label)
        if host != parts.host and any(not _LABEL.fullmatch(label) for label in host.split(".")):
            raise ValueError(f"“{host[:100]}” is no host name.")
        front = f"{parts.scheme}://{host}{parts.port}"
        made = front + rest
        wanted, found = _read(front), _read(made)
        if (wanted.scheme, wanted.raw_host, wanted.port) != (found.scheme, found.raw_host, found.port):
            raise ValueError("what is put in would change where it leads.")
    if len(made) > MAX_ADDRESS:
        raise ValueError(f"it would be longer than {MAX_ADDRESS} characters.")
    return made


def _with(text: str, values: dict[str, str], encode: Encode) -> str:
    return "".join(
        literal + (encode(place, values[place]) if place else "")
        for literal, place, _, _ in string.Formatter().parse(text)
    )


def _encoded(place: str, value: str) -> str:
    if value in ("", ".", ".."):
        raise ValueError(f"there is no {place} to put in.")
    return quote(value, safe="")


def _as_label(place: str, value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError(
            f"the {place} “{value[:100]}” cannot stand in the name of a host, "
            "which takes up to 63 letters, digits and hyphens."
        )
    return value


def _read(address: str) -> httpx.URL:
    """As the code reads it that calls. Raises ValueError."""
    try:
        return outbound.read(address, schemes=("http", "https"))
    except outbound.Refused as error:
        raise ValueError(str(error)) from error
