"""How much of anything a request may bring or ask for. What operators may change is read from the settings."""

from __future__ import annotations

from django.conf import settings

PAGE = 25
MAX_PAGE = 200
FORM_FIELDS = 1000
# A path of 1 000 characters takes up to 4 000 bytes, more when it is percent-encoded.
PART_HEADER_BYTES = 16 << 10
PREVIEW_BYTES = 256 << 10


def file_bytes() -> int:
    """The largest file."""
    return int(settings.MAX_FILE_BYTES)


def files_per_version() -> int:
    """The most files in a version, and so in a form."""
    return int(settings.MAX_FILES_PER_VERSION)


def json_bytes() -> int:
    """The longest JSON body, and the most that text fields of a form may hold together."""
    return int(settings.MAX_JSON_BYTES)


def page_size(text: str | None) -> int:
    """How many rows a page may have, as a query parameter asks. Raises ValueError unless it is a number from 1."""
    if not text:
        return PAGE
    if not (text.isascii() and text.isdigit()) or len(text) > 6 or int(text) < 1:
        raise ValueError(f"A whole number from 1 to {MAX_PAGE} is needed.")
    return min(int(text), MAX_PAGE)
