"""MODELRY_ARTIFACTS read: one address becomes STORAGES["artifacts"]. For people it stands in docs/storage.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

STORES = "models_app.registry.artifacts.stores"
# What may stand behind the “?”, and what the storage class calls it.
S3 = {
    "cold_class": "cold_class",
    "endpoint_url": "endpoint_url",
    "public_url": "public_url",
    "region": "region_name",
    "addressing_style": "addressing_style",
    "profile": "session_profile",
    "ca_bundle": "verify",
}
AZURE = {
    "account_name": "account_name",
    "cold_class": "cold_class",
    "endpoint_suffix": "endpoint_suffix",
    "public_url": "public_url",
}
GOOGLE = {
    "cold_class": "cold_class",
    "project": "project_id",
    "endpoint_url": "endpoint_url",
    "public_url": "public_url",
    "sign_as": "sa_email",
}


def artifact_storage(
    address: str, *, secrets: Mapping[str, str] | None = None, said_in: str = "MODELRY_ARTIFACTS"
) -> dict[str, Any]:
    """The entry of STORAGES; `secrets` go to the storage as they are. Raises ImproperlyConfigured, which names where
    the address was said.
    """
    try:
        return _entry(address, secrets=secrets or {})
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"{said_in}: {error}") from None


def _entry(address: str, *, secrets: Mapping[str, str]) -> dict[str, Any]:
    found = urlsplit(address)
    prefix = unquote(found.path).strip("/")
    asked = dict(parse_qsl(found.query, keep_blank_values=True))
    if found.scheme == "file":
        _only(asked, {}, "file")
        if found.netloc not in ("", "localhost") or not prefix:
            raise ImproperlyConfigured("A folder is file:///with/three/slashes.")
        return {"BACKEND": f"{STORES}.disk.DiskStore", "OPTIONS": {"location": f"/{prefix}"}}
    if found.scheme == "memory":
        _only(asked, {}, "memory")
        return {"BACKEND": f"{STORES}.memory.MemoryStore"}
    if found.scheme not in ("s3", "azure", "gs"):
        if address.startswith("/"):
            raise ImproperlyConfigured(f"A folder is said as file://{address[:200]}.")
        raise ImproperlyConfigured(f"“{found.scheme or address[:40]}” is none of file, s3, azure and gs.")
    if not found.hostname or "@" in found.netloc or ":" in found.netloc:
        raise ImproperlyConfigured(
            f"{found.scheme}:// is followed by the name of a bucket or container only; "
            "credentials have variables of their own, see docs/storage.md."
        )
    backend, name, known = {
        "s3": ("s3.S3Store", "bucket_name", S3),
        "azure": ("azure.AzureStore", "azure_container", AZURE),
        "gs": ("google.GoogleStore", "bucket_name", GOOGLE),
    }[found.scheme]
    options = {name: found.netloc, "location": prefix} | _only(asked, known, found.scheme)
    if found.scheme == "azure":
        options |= {key: value for key, value in secrets.items() if value}
    return {"BACKEND": f"{STORES}.{backend}", "OPTIONS": options}


def how_to_use(backend: str) -> str:
    """What to do where a storage class cannot be used: libraries of some come with extras of their own."""
    extra = next((name for name in ("azure", "google") if f".{name}." in backend), "")
    return f"Install modelry[{extra}]." if extra else "See docs/storage.md."


def _only(asked: Mapping[str, str], known: Mapping[str, str], scheme: str) -> dict[str, Any]:
    if unknown := sorted(asked.keys() - known.keys()):
        allowed = ", ".join(sorted(known)) or "nothing"
        raise ImproperlyConfigured(f"{scheme}:// takes {allowed} behind the “?”, not {unknown[0]}.")
    return {known[key]: value for key, value in asked.items() if value}
