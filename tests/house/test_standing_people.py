"""The people whom every test knows are written as rows; they must be the people whom the verbs make."""

from datetime import datetime

import pytest
from django.db import transaction

from tests import people


class Undo(Exception):
    pass


def rows_of(build) -> dict[str, list[dict]]:
    """What it writes into which table, without ids and times."""
    found = {}
    try:
        with transaction.atomic():
            before = {
                table: set(table._base_manager.values_list("pk", flat=True)) for table in people.tables()
            }
            build()
            for table, keys in before.items():
                rows = table._base_manager.exclude(pk__in=keys).order_by("pk").values()
                found[table.__name__] = [plain(row) for row in rows]
            raise Undo
    except Undo:
        return {name: rows for name, rows in found.items() if rows}


def plain(row: dict) -> dict:
    return {
        key: value
        for key, value in row.items()
        if not key.endswith(("id", "password")) and not isinstance(value, datetime)
    }


@pytest.mark.django_db
def test_they_are_as_the_verbs_make_them():
    remembered = people.Remembered()
    first, again = rows_of(remembered.build), rows_of(remembered.build)
    assert {"User", "Team", "Membership", "AuditEvent"} <= first.keys()
    assert again == first
