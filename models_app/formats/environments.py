"""What a model needs to run: the Python and packages that its client wrote beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass

REQUIREMENTS = "requirements.txt"
PYTHON_ENV = "python_env.yaml"
# As many bytes of each file as are looked at.
LOOK_AT = 32 << 10
MAX_PACKAGES = 300
_PYTHON = re.compile(r"^python:\s*['\"]?([\w.]{1,20})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Environment:
    """`python` is its version or "", `packages` are requirement lines as pip reads them."""

    python: str
    packages: list[str]


def read(*, requirements: bytes = b"", python_env: bytes = b"") -> Environment:
    """From the first bytes of both files; either may be missing."""
    lines = requirements[:LOOK_AT].decode(errors="replace").splitlines()
    packages = [line.strip()[:200] for line in lines if line.strip() and not line.lstrip().startswith("#")]
    python = _PYTHON.search(python_env[:LOOK_AT].decode(errors="replace"))
    return Environment(python[1] if python else "", packages[:MAX_PACKAGES])
