"""Secrets that have to be read again, kept encrypted. What only has to be compared is hashed instead (people.py).

The key is derived from SECRET_KEY. While it is being changed, the former one stands in MODELRY_SECRET_KEY_FALLBACKS:
secrets are read with either and written with the new one.
"""

from __future__ import annotations

import base64
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

from .errors import Damaged


def encrypt(text: str) -> str:
    """The text as it may be stored; nothing stays nothing."""
    return _box().encrypt(text.encode()).decode("ascii") if text else ""


def decrypt(stored: str) -> str:
    """The text again. Raises Damaged when no key that is set fits."""
    try:
        return _box().decrypt(stored.encode()).decode() if stored else ""
    except InvalidToken as error:
        raise Damaged(
            "A stored secret was encrypted with another secret key.",
            next_step="Add the former key to MODELRY_SECRET_KEY_FALLBACKS, or set the secret again.",
        ) from error


def renewed(stored: str) -> str | None:
    """The same secret under the current key; None when it is already. Raises Damaged."""
    if not stored:
        return None
    try:
        _fernet(settings.SECRET_KEY).decrypt(stored.encode())
    except InvalidToken:
        return encrypt(decrypt(stored))
    return None


def _box() -> MultiFernet:
    return MultiFernet([_fernet(key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


@cache
def _fernet(key: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"modelry.secrets.1").derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))
