"""Emptying the database between tests, audit and all: what triggers refuse, tests have to lift for a moment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from models_app.models import Experiment

TABLES = [
    "models_app_auditevent",
    "models_app_auditlink",
    "models_app_auditcheckpoint",
    "models_app_policyversion",
]


@contextmanager
def lifted() -> Iterator[None]:
    """Inside, audit rows and texts of policies can be changed: as somebody with all rights on the database could."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            for table in TABLES:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            again = [f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in TABLES]
        else:
            cursor.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'models_app_%_stays_%'"
            )
            found = cursor.fetchall()
            for name, _ in found:
                cursor.execute(f"DROP TRIGGER {name}")
            again = [sql for _, sql in found]
    yield
    with connection.cursor() as cursor:
        for sql in again:
            cursor.execute(sql)


def let_flush(monkeypatch) -> None:
    """Django empties tables after tests that commit: let it, and put back the row that a migration made."""
    flush = type(connection.ops).execute_sql_flush

    def emptied(self, sql_list):
        with lifted():
            flush(self, sql_list)
        Experiment.objects.create(pk=0, name="Default")

    monkeypatch.setattr(type(connection.ops), "execute_sql_flush", emptied)
