"""Migrations form one line, and the models say no more than they do."""

import pytest
from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader

OURS = ["models_app"]


@pytest.mark.parametrize("app", OURS)
def test_one_line(app):
    loader = MigrationLoader(None)
    names = sorted(name for label, name in loader.disk_migrations if label == app)
    for before, name in zip([None, *names], names, strict=False):
        inside = [parent for label, parent in loader.disk_migrations[app, name].dependencies if label == app]
        assert inside == ([before] if before else []), f"{name} does not follow {before}"
    assert [int(name.split("_")[0]) for name in names] == list(range(1, len(names) + 1))


@pytest.mark.django_db
def test_nothing_is_missing():
    call_command("makemigrations", *OURS, check=True, dry_run=True, verbosity=0)
