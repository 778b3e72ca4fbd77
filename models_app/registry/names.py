"""Which names a model, a team and an alias may have."""

from __future__ import annotations

import re
import unicodedata

from models_app.models import Stage

from .errors import Invalid

MAX_NAME = 256

# First segments of our URLs and of the doors to come: a model named so could not be reached.
RESERVED = frozenset(
    {
        "account",
        "admin",
        "ajax-api",
        "api",
        "approvals",
        "audit",
        "client.py",
        "compare",
        "datasets",
        "deployments",
        "docs",
        "environments",
        "favicon.ico",
        "get-artifact",
        "health",
        "healthz",
        "help",
        "incidents",
        "info.lfs",
        "login",
        "logout",
        "model-versions",
        "models",
        "oauth",
        "people",
        "policies",
        "readyz",
        "register",
        "registration",
        "retention",
        "robots.txt",
        "runs",
        "search",
        "static",
        "storage",
        "teams",
        "tfhub",
        "torchhub",
        "version",
        "versions",
        "webhooks",
    }
)
# Tabs of a model's page: as a second segment they would hide it.
RESERVED_SECOND = frozenset(
    {
        "activity",
        "alias",
        "aliases",
        "card",
        "compare",
        "compliance",
        "delete",
        "deployments",
        "download",
        "edit",
        "files",
        "lineage",
        "monitoring",
        "move",
        "register",
        "rename",
        "rollback",
        "settings",
        "tags",
        "transitions",
        "upload",
        "versions",
    }
)
_FORBIDDEN = set("/:@\\")
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_ALIAS = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_VERSION_LIKE = re.compile(r"v?\d+", re.IGNORECASE)


def split_name(name: str) -> tuple[str, str]:
    """`team/name` → (team, name); a plain name → ("", name)."""
    namespace, slash, short = name.partition("/")
    return (namespace, short) if slash else ("", name)


def flat(name: str) -> str:
    """The name as protocols write it whose names have no slash: `team--name`. access.unflat leads back."""
    return name.replace("/", "--", 1)


def check_model_name(name: str) -> str:
    """Give the name back if a model may have it; raises Invalid("name") saying what is wrong."""
    if not isinstance(name, str) or not name:
        raise Invalid("name", "A model needs a name.")
    if len(name) > MAX_NAME:
        raise Invalid("name", f"At most {MAX_NAME} characters; this has {len(name)}.")
    parts = name.split("/")
    if len(parts) > 2:
        raise Invalid("name", "At most one slash: team/name, or a plain name.")
    for part in parts:
        _check_part(part)
    if parts[0].lower() in RESERVED:
        raise Invalid("name", f"“{parts[0]}” is a word of this site's addresses; choose another.")
    if len(parts) == 2 and parts[1].lower() in RESERVED_SECOND:
        raise Invalid("name", f"“{parts[1]}” is a word of this site's addresses; choose another.")
    return name


def _check_part(part: str) -> None:
    if not part:
        raise Invalid("name", "No part of a name may be empty.")
    if part != part.strip():
        raise Invalid("name", "No space at the start or the end.")
    if part in (".", ".."):
        raise Invalid("name", "“.” and “..” are no names.")
    if bad := _FORBIDDEN.intersection(part):
        raise Invalid("name", f"May not contain {' '.join(sorted(bad))}")
    if any(unicodedata.category(char) in _HIDDEN_CATEGORIES for char in part):
        raise Invalid("name", "May not contain control or invisible characters.")
    if unicodedata.normalize("NFC", part) != part:
        raise Invalid("name", "Must be in Unicode normal form C.")


def check_team_slug(slug: str) -> str:
    """1 to 64 of a-z, 0-9 and inner hyphens, not reserved; raises Invalid("slug")."""
    if not _SLUG.fullmatch(slug or ""):
        raise Invalid("slug", "1 to 64 of a-z, 0-9 and hyphens, starting and ending with a letter or digit.")
    if slug in RESERVED or slug.isdigit():
        raise Invalid("slug", f"“{slug}” is a word of this site's addresses; choose another.")
    return slug


def check_alias(alias: str, *, field: str = "alias") -> str:
    """Letters, digits, `_`, `-`, `.`; not a number, a stage or `latest`; raises Invalid(field)."""
    if not _ALIAS.fullmatch(alias or "") or alias.startswith("."):
        raise Invalid(field, "1 to 255 of letters, digits, “_”, “-” and “.”.")
    if alias.lower() == "latest" or alias.lower() in Stage.values or _VERSION_LIKE.fullmatch(alias):
        raise Invalid(field, f"“{alias}” already has a meaning: numbers, stages and “latest” are no aliases.")
    return alias


def one_line(text: str) -> str:
    """Text that fits a line, a mail's subject for one: no breaks, nothing that cannot be seen."""
    seen = (" " if char.isspace() else char for char in text)
    return " ".join(
        "".join(char for char in seen if unicodedata.category(char) not in _HIDDEN_CATEGORIES).split()
    )
