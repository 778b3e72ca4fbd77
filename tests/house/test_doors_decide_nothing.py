"""Doors call verbs. What changes a row lives in registry/, once, with its checks and its audit."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOORS = ["web", "admin", "api", "protocols", "tasks", "templatetags", "http"]
WRITES = {
    "save",
    "asave",
    "create",
    "acreate",
    "get_or_create",
    "update_or_create",
    "bulk_create",
    "bulk_update",
    "update",
    "aupdate",
    "delete",
    "adelete",
    "select_for_update",
}
# Receivers that are no rows.
HARMLESS = {
    "request.session": "Django's session is HTTP state, not the registry's",
    "digest": "a hash",
    "hasher": "a hash",
}


def writes(source: str) -> list[tuple[int, str]]:
    """Line and text of each call that looks like a write through the ORM."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES:
            receiver = ast.unparse(node.func.value)
            if receiver not in HARMLESS and not receiver.startswith("super()"):
                found.append((node.lineno, ast.unparse(node.func)))
    return found


@pytest.mark.parametrize("door", DOORS)
def test_no_writes_in(door):
    found = [
        f"{path.relative_to(ROOT)}:{line} {text}"
        for path in sorted((ROOT / "models_app" / door).rglob("*.py"))
        if "migrations" not in path.parts
        for line, text in writes(path.read_text())
    ]
    assert not found, "Call a verb of models_app.registry (and merge dicts with | instead of .update)."


def test_the_test_sees_writes():
    source = "row.save()\nModel.objects.filter(a=1).update(b=2)\nrequest.session.save()\nprint(row.name)"
    assert [line for line, _ in writes(source)] == [1, 2]


def test_doors_do_not_ask_which_storage_it_is():
    names = ("FileSystemStorage", "S3Storage", "AzureStorage", "GoogleCloudStorage", "connection.vendor")
    found = [
        f"{path.relative_to(ROOT)} names {name}"
        for door in DOORS
        for path in sorted((ROOT / "models_app" / door).rglob("*.py"))
        for name in names
        if name in path.read_text()
    ]
    assert not found
