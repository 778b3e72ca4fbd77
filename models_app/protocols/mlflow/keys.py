"""What this protocol lets a metric, a param or a tag be called, and how long what is said of it may be.

The core takes more; clients of this protocol may make files or paths of names.
"""

from __future__ import annotations

import posixpath
import re

from .errors import WireError, missing
from .wire import KeyValue

MAX_KEY = 250
MAX_PARAM = 6000
MAX_TAG = 8000
_NAME = re.compile(r"[/\w.\- :]*")


def check(key: str, path: str) -> str:
    """The key as it is. Raises WireError naming the field."""
    if not key:
        raise missing(path)
    if not _NAME.fullmatch(key):
        raise WireError(
            f"Invalid value {key[:100]!r} for parameter '{path}' supplied: Names may only contain alphanumerics, "
            "underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and slashes (/)."
        )
    plain = posixpath.normpath(key)
    if plain != key or plain == "." or plain.startswith(("..", "/")):
        raise WireError(
            f"Invalid value {key[:100]!r} for parameter '{path}' supplied: Names may be treated as files in certain "
            "cases, and must not resolve to other names when treated as such. This name would resolve to "
            f"{plain[:100]!r}"
        )
    if len(key) > MAX_KEY:
        raise WireError(f"'{path}' exceeds the maximum length of {MAX_KEY} characters")
    return key


def params(items: list[KeyValue], path: str = "params") -> dict[str, str]:
    """Long values are cut. Raises WireError for a key that is wrong, or given twice."""
    found: dict[str, str] = {}
    for index, item in enumerate(items):
        if item.key in found:
            raise WireError(
                f"Duplicate parameter keys have been submitted: ['{item.key[:100]}']. Please ensure the request "
                "contains only one param value per param key."
            )
        found[check(item.key, f"{path}[{index}].key")] = (item.value or "")[:MAX_PARAM]
    return found


def tags(items: list[KeyValue], path: str = "tags") -> dict[str, str]:
    """Long values are cut; of two with the same key the later counts. Raises WireError for a wrong key."""
    return {
        check(item.key, f"{path}[{index}].key"): (item.value or "")[:MAX_TAG]
        for index, item in enumerate(items)
    }
