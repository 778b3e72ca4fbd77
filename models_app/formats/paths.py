"""Rules for the paths of artifact files: the one place that decides what a file in a version may be called."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from itertools import pairwise

MAX_PATH = 1000
MAX_PART_BYTES = 255
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_WINDOWS_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    name + digit for name in ("com", "lpt") for digit in "123456789¹²³"
}
_WINDOWS_FORBIDDEN = set('<>:"|?*')


def check_path(path: str) -> str:
    """Give a relative POSIX path back if it is safe on every file system; raises ValueError saying why not.

    Safe means: at most 1 000 characters, 255 bytes a part, Unicode normal form C, no way out of the folder, no
    characters that hide or that Windows cannot store.
    """
    if not path:
        raise ValueError("A file needs a path.")
    if len(path) > MAX_PATH:
        raise ValueError(f"The path is longer than {MAX_PATH} characters: {shown(path)}")
    if "\\" in path:
        raise ValueError(f"No backslash in a path: {shown(path)}")
    if any(unicodedata.category(char) in _HIDDEN_CATEGORIES for char in path):
        raise ValueError(f"No control or invisible characters in a path: {shown(path)}")
    if unicodedata.normalize("NFC", path) != path:
        raise ValueError(f"A path must be in Unicode normal form C: {shown(path)}")
    if path.startswith("/"):
        raise ValueError(f"A path must be relative: {shown(path)}")
    for part in path.split("/"):
        _check_part(part, path)
    return path


def _check_part(part: str, path: str) -> None:
    if not part:
        raise ValueError(f"No empty part in a path: {shown(path)}")
    if part in (".", ".."):
        raise ValueError(f"No “.” or “..” in a path: {shown(path)}")
    if len(part.encode()) > MAX_PART_BYTES:
        raise ValueError(f"A part of the path is longer than {MAX_PART_BYTES} bytes: {shown(path)}")
    if part != part.strip() or part.endswith("."):
        raise ValueError(f"No part may start or end with a space, or end with a dot: {shown(path)}")
    if bad := _WINDOWS_FORBIDDEN.intersection(part):
        raise ValueError(f"No {' '.join(sorted(bad))} in a path: {shown(path)}")
    if part.partition(".")[0].rstrip().casefold() in _WINDOWS_DEVICES:
        raise ValueError(f"“{part}” is a device name on Windows: {shown(path)}")


def check_paths(paths: Sequence[str]) -> None:
    """Check each path, and that all of them fit into one folder of a file system that ignores case.

    Raises ValueError for a path that is there twice, for files or folders that differ in case only, and for a file that
    is a folder too.
    """
    for path in paths:
        check_path(path)
    # As if folder by folder, since no path has a character before NUL. Whatever does not fit together has neighbours
    # then that do not, and nothing is kept of each folder of each path.
    ordered = sorted(paths, key=lambda path: path.casefold().replace("/", "\0"))
    for one, other in pairwise(ordered):
        _check_neighbours(one, other)


def _check_neighbours(one: str, other: str) -> None:
    if one == other:
        raise ValueError(f"The path is there twice: {shown(one)}")
    parts, others = one.split("/"), other.split("/")
    for at, (part, twin) in enumerate(zip(parts, others, strict=False), start=1):
        if part.casefold() != twin.casefold():
            return
        if part != twin and (at < min(len(parts), len(others)) or len(parts) == len(others)):
            what = "paths" if at == len(parts) else "folders"
            first, second = "/".join(parts[:at]), "/".join(others[:at])
            raise ValueError(f"Two {what} differ in case only: {shown(first)} and {shown(second)}")
    raise ValueError(f"{shown(one)} is a file and a folder.")


def refusals(paths: Sequence[str], *, most: int = 20) -> list[str]:
    """Why files with these paths are not taken: of each by itself, so many at most; else of all of them together."""
    found = []
    for path in paths:
        try:
            check_path(path)
        except ValueError as error:
            found.append(str(error))
            if len(found) == most:
                return found
    if found:
        return found
    try:
        check_paths(paths)
    except ValueError as error:
        return [str(error)]
    return []


def shown(path: str) -> str:
    """The path as it may stand in a message: escaped and cut."""
    return ascii(path[:80]) if len(path) <= 80 else ascii(path[:77]) + "…"
