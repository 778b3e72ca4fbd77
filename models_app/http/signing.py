"""Addresses that carry a right in themselves: signed, for one purpose, for some time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.signing import BadSignature, SignatureExpired, TimestampSigner

from models_app.registry.errors import Forbidden

MAX_TOKEN = 4000


def sign(purpose: str, *parts: Any) -> str:
    """A text for an address that says what it allows; `opened` for the same purpose gives the parts back."""
    return _signer(purpose).sign_object(list(parts))


def opened(purpose: str, token: str, *, valid: timedelta) -> list[Any]:
    """The parts of a token that was signed for this purpose and is no older than `valid`. Raises Forbidden."""
    try:
        if len(token) > MAX_TOKEN:
            raise BadSignature
        parts: list[Any] = _signer(purpose).unsign_object(token, max_age=valid)
    except SignatureExpired as error:
        raise Forbidden("This address has expired.", next_step="Ask for a new one.") from error
    except (BadSignature, ValueError) as error:
        raise Forbidden("This address was not given out here.", next_step="Ask for one.") from error
    return parts


def _signer(purpose: str) -> TimestampSigner:
    return TimestampSigner(salt=f"modelry.address.{purpose}")
