"""What is in a stage is listed by the last move, and versions that never moved come last.

SQLite walks the index of that order as it is. PostgreSQL sorts empty values first in a descending index, and so could
not use it: there it is made anew under its name, with empty values last.
"""

from typing import Any

from django.db import migrations

COLUMNS = "(stage, stage_changed_at DESC{nulls}, id DESC)"


def _make(schema_editor: Any, nulls: str) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX version_stage_recent")
        schema_editor.execute(
            f"CREATE INDEX version_stage_recent ON models_app_modelversion {COLUMNS.format(nulls=nulls)}"
        )


def forwards(apps: Any, schema_editor: Any) -> None:
    _make(schema_editor, " NULLS LAST")


def backwards(apps: Any, schema_editor: Any) -> None:
    _make(schema_editor, "")


class Migration(migrations.Migration):
    dependencies = [("models_app", "0006_tree_entry_folded")]

    operations = [migrations.RunPython(forwards, backwards)]
