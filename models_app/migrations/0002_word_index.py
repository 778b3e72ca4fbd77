"""The word index over search documents, in each database's own way.

PostgreSQL: a generated `tsvector` column with a GIN index. SQLite: an FTS5 table over the document's texts, kept in
step by triggers. A later migration that alters SearchDocument rebuilds its table on SQLite and so loses the triggers:
it has to reverse these steps first and apply them again afterwards.
"""

from typing import Any

from django.db import migrations

# The part of a name after its slash, where people begin to type. registry/search/ uses the same expressions.
POSTGRESQL_SHORT_NAME = "(substr(name_lower, strpos(name_lower, '/') + 1))"
SQLITE_SHORT_NAME = "substr(name_lower, instr(name_lower, '/') + 1)"

INLINE = ["name", "name_lower", "visibility", "task", "library", "license", "risk_level"]

POSTGRESQL = [
    # Names and keywords also unstemmed and with stop words: identifiers are not English.
    """
    ALTER TABLE models_app_searchdocument ADD COLUMN words tsvector GENERATED ALWAYS AS (
        setweight(to_tsvector('english', title), 'A') || setweight(to_tsvector('simple', title), 'A')
        || setweight(to_tsvector('english', summary), 'B')
        || setweight(to_tsvector('english', keywords), 'C') || setweight(to_tsvector('simple', keywords), 'C')
        || setweight(to_tsvector('english', body), 'D')
    ) STORED
    """,
    # Long texts leave the row, so that a scan over many matches reads few pages; what is sorted and counted stays.
    "ALTER TABLE models_app_searchdocument SET (toast_tuple_target = 256)",
    f"ALTER TABLE models_app_searchdocument {', '.join(f'ALTER {name} SET STORAGE PLAIN' for name in INLINE)}",
    # A short pending list: searches read all of it.
    """
    CREATE INDEX doc_words ON models_app_searchdocument USING gin (words) WITH (gin_pending_list_limit = 256)
    """,
    # In the order of characters, an index serves exact names, beginnings of names and lists by name.
    'CREATE INDEX doc_by_name ON models_app_searchdocument (name_lower COLLATE "C", model_id)',
    f'CREATE INDEX doc_short_name ON models_app_searchdocument ({POSTGRESQL_SHORT_NAME} COLLATE "C")',
]
POSTGRESQL_BACK = [
    "DROP INDEX doc_short_name",
    "DROP INDEX doc_by_name",
    "ALTER TABLE models_app_searchdocument RESET (toast_tuple_target)",
    f"ALTER TABLE models_app_searchdocument {', '.join(f'ALTER {name} SET STORAGE EXTENDED' for name in INLINE)}",
    "ALTER TABLE models_app_searchdocument DROP COLUMN words",
]

SQLITE = [
    """
    CREATE VIRTUAL TABLE models_app_searchwords USING fts5(
        title, summary, keywords, body,
        content = 'models_app_searchdocument', content_rowid = 'model_id',
        tokenize = 'porter unicode61', prefix = '2 3'
    )
    """,
    """
    CREATE TRIGGER models_app_searchwords_insert AFTER INSERT ON models_app_searchdocument BEGIN
        INSERT INTO models_app_searchwords (rowid, title, summary, keywords, body)
        VALUES (new.model_id, new.title, new.summary, new.keywords, new.body);
    END
    """,
    """
    CREATE TRIGGER models_app_searchwords_delete AFTER DELETE ON models_app_searchdocument BEGIN
        INSERT INTO models_app_searchwords (models_app_searchwords, rowid, title, summary, keywords, body)
        VALUES ('delete', old.model_id, old.title, old.summary, old.keywords, old.body);
    END
    """,
    """
    CREATE TRIGGER models_app_searchwords_update AFTER UPDATE ON models_app_searchdocument
    WHEN (old.model_id, old.title, old.summary, old.keywords, old.body)
        IS NOT (new.model_id, new.title, new.summary, new.keywords, new.body)
    BEGIN
        INSERT INTO models_app_searchwords (models_app_searchwords, rowid, title, summary, keywords, body)
        VALUES ('delete', old.model_id, old.title, old.summary, old.keywords, old.body);
        INSERT INTO models_app_searchwords (rowid, title, summary, keywords, body)
        VALUES (new.model_id, new.title, new.summary, new.keywords, new.body);
    END
    """,
    "CREATE INDEX doc_by_name ON models_app_searchdocument (name_lower, model_id)",
    f"CREATE INDEX doc_short_name ON models_app_searchdocument ({SQLITE_SHORT_NAME})",
    "INSERT INTO models_app_searchwords (models_app_searchwords) VALUES ('rebuild')",
]
SQLITE_BACK = [
    "DROP INDEX doc_short_name",
    "DROP INDEX doc_by_name",
    "DROP TRIGGER models_app_searchwords_update",
    "DROP TRIGGER models_app_searchwords_delete",
    "DROP TRIGGER models_app_searchwords_insert",
    "DROP TABLE models_app_searchwords",
]


def _run(schema_editor: Any, statements: dict[str, list[str]]) -> None:
    for statement in statements[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def forwards(apps: Any, schema_editor: Any) -> None:
    _run(schema_editor, {"postgresql": POSTGRESQL, "sqlite": SQLITE})


def backwards(apps: Any, schema_editor: Any) -> None:
    _run(schema_editor, {"postgresql": POSTGRESQL_BACK, "sqlite": SQLITE_BACK})


class Migration(migrations.Migration):
    dependencies = [("models_app", "0001_initial")]

    operations = [migrations.RunPython(forwards, backwards)]
