"""A policy's text only grows, version by version: the database refuses to change or delete one, as with the audit."""

from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

TABLE = "models_app_policyversion"

POSTGRESQL = [
    """
    CREATE FUNCTION models_app_text_stays() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'Policy texts stay: % of % is refused.', TG_OP, TG_TABLE_NAME;
    END $$
    """,
    f"CREATE TRIGGER {TABLE}_stays BEFORE UPDATE OR DELETE OR TRUNCATE ON {TABLE} "
    "FOR EACH STATEMENT EXECUTE FUNCTION models_app_text_stays()",
]
POSTGRESQL_BACK = [f"DROP TRIGGER {TABLE}_stays ON {TABLE}", "DROP FUNCTION models_app_text_stays"]
SQLITE = [
    f"CREATE TRIGGER {TABLE}_stays_{verb.lower()} BEFORE {verb} ON {TABLE} "
    f"BEGIN SELECT RAISE(ABORT, 'Policy texts stay: {verb} of {TABLE} is refused.'); END"
    for verb in ("UPDATE", "DELETE")
]
SQLITE_BACK = [f"DROP TRIGGER {TABLE}_stays_{verb}" for verb in ("update", "delete")]


def _run(schema_editor: Any, statements: dict[str, list[str]]) -> None:
    for statement in statements[schema_editor.connection.vendor]:
        schema_editor.execute(statement, params=None)


def forwards(apps: Any, schema_editor: Any) -> None:
    _run(schema_editor, {"postgresql": POSTGRESQL, "sqlite": SQLITE})


def backwards(apps: Any, schema_editor: Any) -> None:
    _run(schema_editor, {"postgresql": POSTGRESQL_BACK, "sqlite": SQLITE_BACK})


class Migration(migrations.Migration):
    dependencies = [("models_app", "0013_upload_at_store")]

    operations = [
        migrations.AlterField(
            model_name="policyversion",
            name="policy",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="versions",
                to="models_app.policy",
            ),
        ),
        migrations.AlterField(
            model_name="policyversion",
            name="created_by",
            field=models.ForeignKey(
                db_constraint=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RunPython(forwards, backwards),
    ]
