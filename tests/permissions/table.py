"""docs/permissions.md as data: who may do what, through which doors, with which scope of a token."""

from __future__ import annotations

from pathlib import Path

DOC = Path(__file__).resolve().parents[2] / "docs/permissions.md"
# Column of the table → who tries it: tests/people.py says which role each has. `private` is about risk/secret.
ROLES = {
    "nobody": "anonymous",
    "nobody, public site": "anonymous",
    "viewer": "dave",
    "contributor": "bob",
    "owner": "alice",
    "approver": "carol",
    "admin": "erin",
    "stranger": "charlie",
    "stranger, private": "charlie",
    "site admin": "root",
}
SCOPES = ("read", "write", "promote")
CELLS = {"yes", "no", "asks", "–"}


def _rows(head: str) -> dict[str, dict[str, str]]:
    """Every table whose first column has this name, as one: first cell → column → cell."""
    found: dict[str, dict[str, str]] = {}
    columns: list[str] = []
    for line in DOC.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            columns = []
        elif cells[0] == head:
            columns = cells
        elif columns and set(cells[0]) != {"-"}:
            assert cells[0] not in found, f"{cells[0]} has two rows"
            assert len(cells) == len(columns), f"{cells[0]}: a cell is missing"
            found[cells[0]] = dict(zip(columns, cells, strict=True))
    return found


def roles() -> dict[str, dict[str, str]]:
    """Verb → role → cell; the doors are under `doors`."""
    found = _rows("verb")
    wrong = [
        (verb, role)
        for verb, cells in found.items()
        for role in ROLES
        if cells.get(role, "").partition(" ")[0] not in CELLS
    ]
    assert not wrong, f"cells are yes, no, asks or –: {wrong}"
    return found


def scopes() -> dict[str, dict[str, str]]:
    """Verb → scope → yes or no."""
    return _rows("verb by token")


def doors(row: dict[str, str]) -> list[str]:
    return [door.strip() for door in row["doors"].split(",")]
