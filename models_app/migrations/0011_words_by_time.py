"""The word index knows when: on PostgreSQL it also holds the day and the 32 days in which a document was updated.

So the newest documents that have a common word are found without gathering all that have it. SQLite's index stays.
"""

from typing import Any

from django.db import migrations

# registry/search/postgres.py asks with the same expression. Days count from 1970; the larger blocks are negative.
DAY = "((updated_at AT TIME ZONE 'UTC')::date - DATE '1970-01-01')"
BLOCKS = f"(ARRAY[{DAY}, -({DAY} >> 5)])"


def _make(schema_editor: Any, columns: str) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX doc_words")
        schema_editor.execute(
            f"CREATE INDEX doc_words ON models_app_searchdocument USING gin ({columns}) "
            "WITH (gin_pending_list_limit = 256)"
        )


def forwards(apps: Any, schema_editor: Any) -> None:
    _make(schema_editor, f"words, {BLOCKS}")


def backwards(apps: Any, schema_editor: Any) -> None:
    _make(schema_editor, "words")


class Migration(migrations.Migration):
    dependencies = [("models_app", "0010_audit_verification")]

    operations = [migrations.RunPython(forwards, backwards)]
