"""Where files can be kept that nobody needs afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOM = 4 << 30


def in_memory() -> str | None:
    """A folder that no disk stands behind, where there is one with room to spare."""
    shared = Path("/dev/shm")  # noqa: S108
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > ROOM else None
