"""Fill an empty database with a big made-up company: `python benchmarks/seed.py --models 100000 --versions 10`.

Works on whatever DATABASE_URL names: COPY on PostgreSQL, executemany on SQLite; secondary indexes are made afterwards,
all in one transaction. Rows are what the verbs would have written (numbers, newest versions, stages and their history,
search documents), but the files they speak of do not exist.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_site.settings")

import django

django.setup()

from django.contrib.auth.hashers import make_password
from django.core.management import call_command
from django.db import connection, models, transaction

from benchmarks import vocabulary
from models_app.models import (
    Alias,
    AuditEvent,
    Blob,
    Manifest,
    ManifestEntry,
    Membership,
    ModelTag,
    ModelVersion,
    RegisteredModel,
    Role,
    SearchDocument,
    SearchMetric,
    Stage,
    StageTransition,
    Team,
    TransitionKind,
    User,
    VersionMetric,
    VersionTag,
)
from models_app.registry.search import index

PASSWORD = "benchmark password"
PEOPLE = 60
CHUNK = 2_000
NOW = datetime.now(UTC).replace(microsecond=0)
POSTGRESQL = connection.vendor == "postgresql"


class Sink:
    """Rows of one table on their way into the database. Fields that are not named get their default."""

    def __init__(self, model: type[models.Model], *names: str) -> None:
        fields = {field.attname: field for field in model._meta.concrete_fields}
        given = [model._meta.get_field(name).attname for name in names]
        rest = [
            name for name in fields if name not in given and not self._is_left_to_the_database(fields[name])
        ]
        self.model = model
        self.columns = [fields[name].column for name in (*given, *rest)]
        self.defaults = tuple(self._default(fields[name]) for name in rest)
        self.rows: list[tuple[Any, ...]] = []
        self.written = 0

    @staticmethod
    def _is_left_to_the_database(field: models.Field) -> bool:
        return field.primary_key and isinstance(field, models.AutoField)

    @staticmethod
    def _default(field: models.Field) -> Any:
        value = field.get_default()
        return (
            "{}"
            if isinstance(field, models.JSONField)
            else stamp(value)
            if isinstance(value, datetime)
            else value
        )

    def add(self, *values: Any) -> None:
        self.rows.append((*values, *self.defaults))

    def flush(self) -> None:
        """Write what has gathered."""
        if not self.rows:
            return
        table = connection.ops.quote_name(self.model._meta.db_table)
        columns = ", ".join(map(connection.ops.quote_name, self.columns))
        with connection.cursor() as cursor:
            if POSTGRESQL:
                with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                    for row in self.rows:
                        copy.write_row(row)
            else:
                marks = ", ".join("?" * len(self.columns))
                connection.connection.executemany(
                    f"INSERT INTO {table} ({columns}) VALUES ({marks})", self.rows
                )
        self.written += len(self.rows)
        self.rows.clear()


def stamp(moment: datetime) -> str:
    """A time both databases read as UTC."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


@contextmanager
def bare_tables() -> Iterator[None]:
    """Without secondary indexes and without checks of references; the indexes are back afterwards."""
    with connection.cursor() as cursor:
        if POSTGRESQL:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute("SET LOCAL maintenance_work_mem = '512MB'")
            cursor.execute(
                """
                SELECT c.relname, pg_get_indexdef(c.oid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
                JOIN pg_class t ON t.oid = i.indrelid
                WHERE t.relname LIKE 'models\\_app\\_%' AND NOT i.indisunique
                """
            )
        else:
            cursor.execute(
                "SELECT name, sql FROM sqlite_master"
                " WHERE type = 'index' AND sql LIKE 'CREATE INDEX%' AND tbl_name LIKE 'models_app_%'"
            )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f'DROP INDEX "{name}"')
        yield
        for name, definition in indexes:
            say(f"index {name}")
            cursor.execute(definition)


_started = time.monotonic()


def say(what: str) -> None:
    print(f"{time.monotonic() - _started:7.1f} s  {what}", flush=True)


class Company:
    """Makes rows, model by model."""

    def __init__(self, *, seed: int) -> None:
        self.rng = random.Random(seed)
        self.projects = vocabulary.code_words(self.rng)
        self.users = Sink(User, "id", "username", "password", "first_name", "is_superuser")
        self.teams = Sink(Team, "id", "slug", "name")
        self.memberships = Sink(Membership, "team", "user", "role")
        self.models = Sink(
            RegisteredModel, "id", "name", "team", "owner", "visibility", "purpose", "card", "task", "library",
            "license", "risk_level", "headline_metric", "created_at", "created_by", "updated_at", "last_number",
            "newest", "newest_dev", "newest_staging", "newest_production", "newest_archived", "version_count",
        )  # fmt: skip
        self.tags = Sink(ModelTag, "model", "key", "value")
        self.versions = Sink(
            ModelVersion, "id", "model", "number", "owner", "manifest", "created_at", "created_by", "updated_at",
            "dataset_name", "dataset_version", "code_repository", "code_commit", "training_run_id", "framework",
            "framework_version", "stage", "stage_changed_at", "last_promoted_at", "last_promoted_by",
            "rollback_target", "license",
        )  # fmt: skip
        self.metrics = Sink(VersionMetric, "version", "name", "value", "dataset", "split", "higher_is_better")
        self.version_tags = Sink(VersionTag, "version", "key", "value")
        self.aliases = Sink(Alias, "model", "version", "name")
        self.transitions = Sink(
            StageTransition, "model", "version", "from_stage", "to_stage", "kind", "reason", "by", "at"
        )
        self.blobs = Sink(Blob, "sha256", "size")
        self.manifests = Sink(Manifest, "id", "digest", "file_count", "total_size")
        self.entries = Sink(ManifestEntry, "manifest", "path", "blob", "size")
        self.audit = Sink(AuditEvent, "at", "verb", "actor", "actor_name", "door", "subject", "model_ref")
        written = [field.name for field in SearchDocument._meta.concrete_fields]
        self.documents = Sink(SearchDocument, *written)
        self.document_columns = [SearchDocument._meta.get_field(name).attname for name in written]
        self.document_metrics = Sink(SearchMetric, "document", "name", "value")
        self.sinks = [sink for sink in vars(self).values() if isinstance(sink, Sink)]
        self.team_rows: dict[int, Team] = {}
        self.version_id = 0
        self.taken: set[str] = set()

    def flush(self) -> None:
        for sink in self.sinks:
            sink.flush()

    def people(self) -> None:
        """Teams, and persons with a role in three of them; `bench` may read, `bench-admin` everything."""
        password = make_password(PASSWORD)
        for pk, slug in enumerate(vocabulary.TEAMS, 1):
            self.team_rows[pk] = Team(pk=pk, slug=slug, name=f"{slug.title()} team")
            self.teams.add(pk, slug, f"{slug.title()} team")
        for pk in range(1, PEOPLE + 1):
            name = {1: "bench", 2: "bench-admin"}.get(pk, f"person-{pk}")
            self.users.add(pk, name, password, name.title(), pk == 2)
            for team in self.rng.sample(sorted(self.team_rows), k=3):
                self.memberships.add(team, pk, Role.VIEWER.value if pk == 1 else self.rng.choice(Role.values))

    def model(self, pk: int, versions: int) -> None:
        """A model with its versions and everything that hangs on them."""
        rng = self.rng
        team = self.team_rows[1 + int(len(self.team_rows) * rng.random() ** 1.7)]
        task, metrics, around = vocabulary.TASKS[int(len(vocabulary.TASKS) * rng.random() ** 1.8)]
        library = vocabulary.skewed(rng, vocabulary.LIBRARIES)
        license = vocabulary.skewed(rng, vocabulary.LICENSES)
        word, subject = rng.choice(around.split()), vocabulary.skewed(rng, vocabulary.SUBJECTS, slope=1.3)
        short = self._free_name(team.slug, f"{subject}-{word}-{vocabulary.skewed(rng, vocabulary.KINDS)}")
        age = timedelta(days=30 + 1100 * rng.random() ** 0.7)
        born = NOW - age
        owner = rng.randint(3, PEOPLE)
        tags = {vocabulary.skewed(rng, vocabulary.TAG_WORDS): "" for _ in range(rng.randint(0, 3))}
        for key in rng.sample(sorted(vocabulary.TAG_KEYS), k=rng.randint(0, 2)):
            tags[key] = vocabulary.skewed(rng, vocabulary.TAG_KEYS[key], slope=1.4)
        project = vocabulary.skewed(rng, self.projects)
        row = RegisteredModel(
            pk=pk,
            name=f"{team.slug}/{short}",
            team=team,
            owner_id=owner,
            visibility="team" if rng.random() < 0.04 else "internal",
            purpose=f"{word.title()} {task.split('-')[-1]} for every {subject} in {project}",
            card=vocabulary.card(
                rng, title=short, task=task, words=around, team=team.slug, projects=self.projects
            ),
            task=task,
            library=library,
            license=license,
            risk_level=rng.choice(["", "", "low", "low", "medium", "high"]),
            headline_metric=metrics[0] if rng.random() < 0.8 else "",
            created_at=born,
        )
        for key, value in tags.items():
            self.tags.add(pk, key, value)
        dataset = f"{subject}-{word}-{project}"
        updated, newest = self._versions(row, versions, metrics, dataset, project, age)
        row.updated_at, row.version_count = updated, versions
        self.models.add(
            pk, row.name, team.pk, owner, row.visibility, row.purpose, row.card, task, library, license,
            row.risk_level, row.headline_metric, stamp(born), owner, stamp(updated), versions, newest.pk,
            row.newest_dev_id, row.newest_staging_id, row.newest_production_id, row.newest_archived_id, versions,
        )  # fmt: skip
        row.newest = newest
        words = [word for pair in tags.items() for word in pair]
        document = index.document_of(row, tags=words, datasets=[dataset])
        self.documents.add(
            *(stamp(value) if isinstance(value, datetime) else value
              for value in (getattr(document, column) for column in self.document_columns))
        )  # fmt: skip

    def _free_name(self, team: str, name: str) -> str:
        wanted, number = name, 1
        while f"{team}/{wanted}" in self.taken:
            shape = self.rng.choice(vocabulary.SHAPES)
            wanted, number = f"{name}-{shape}" if number == 1 else f"{name}-{shape}-{number}", number + 1
        self.taken.add(f"{team}/{wanted}")
        return wanted

    def _versions(
        self, row: RegisteredModel, count: int, metrics: list[str], dataset: str, project: str, age: timedelta
    ) -> tuple[datetime, ModelVersion]:
        """Rows of all versions; returns when the model last changed, and its newest version."""
        rng, pk = self.rng, row.pk
        first = self.version_id + 1
        self.version_id += count
        production = max(1, count - rng.randint(0, 3)) if rng.random() < 0.6 else 0
        staging = count if count > production and rng.random() < 0.5 else 0
        config = hashlib.sha256(f"config {pk}".encode()).hexdigest()
        self.blobs.add(config, 512 + pk % 999)
        owner, library, license = row.owner_id, row.library, row.license
        changed, former = NOW - age, None
        quality = rng.random() * 0.4
        for number in range(1, count + 1):
            version = first + number - 1
            at = NOW - age * (1 - (number - rng.random()) / (count + 1))
            changed = at
            stage = Stage.DEV
            if number == production:
                stage = Stage.PRODUCTION
            elif number == staging:
                stage = Stage.STAGING
            elif number < production and (production - number) % 2 == 0:
                stage = Stage.ARCHIVED
            setattr(row, f"newest_{stage}_id", version)
            moved, promoted = at, None
            if stage is not Stage.DEV:
                steps = {Stage.STAGING: 1, Stage.PRODUCTION: 2, Stage.ARCHIVED: 3}[stage]
                path = [Stage.DEV, Stage.STAGING, Stage.PRODUCTION, Stage.ARCHIVED]
                for step in range(steps):
                    moved = at + timedelta(hours=6 * (step + 1))
                    kind = TransitionKind.REPLACED if step == 2 else TransitionKind.MOVE
                    self.transitions.add(
                        pk,
                        version,
                        path[step].value,
                        path[step + 1].value,
                        kind.value,
                        "as planned",
                        owner,
                        stamp(moved),
                    )
                    promoted = moved if step == 1 else promoted
            size = 10_000 + (version * 7919) % 90_000_000
            blob = hashlib.sha256(f"weights {version}".encode()).hexdigest()
            digest = hashlib.sha256(f"manifest {version}".encode()).hexdigest()
            self.blobs.add(blob, size)
            self.manifests.add(version, digest, 2, size + 512)
            self.entries.add(version, "config.json", config, 512 + pk % 999)
            self.entries.add(version, "model.bin", blob, size)
            self.versions.add(
                version, pk, number, owner, version, stamp(at), owner, stamp(moved), dataset, at.strftime("%Y-%m"),
                f"https://git.example.com/{project}", digest[:40], blob[:32], library, f"{1 + number % 3}.{number % 9}",
                stage.value, stamp(moved), stamp(promoted) if promoted else None, owner if promoted else None, former,
                license,
            )  # fmt: skip
            progress = min(0.98, quality + (1 - quality) * (number / (count + 1)) * rng.uniform(0.7, 1.0))
            for name in metrics:
                low, high = vocabulary.RANGES[name]
                value = round(low + (high - low) * progress * rng.uniform(0.95, 1.0), 4)
                self.metrics.add(version, name, value, dataset, "test", high > low)
                if number == (production or count):
                    self.document_metrics.add(pk, name, value)
            if version % 3 == 0:
                self.version_tags.add(version, vocabulary.skewed(rng, vocabulary.TAG_WORDS), "")
            self.audit.add(
                stamp(at), "version.registered", owner, f"person-{owner}", "api", f"{row.name}@{number}", pk
            )
            if promoted:
                former = version
            if number == production:
                self.aliases.add(pk, version, "champion")
            changed = max(changed, moved)
        row.newest_production_id = first + production - 1 if production else None
        row.newest_staging_id = first + staging - 1 if staging else None
        if production:
            row.newest_production = ModelVersion(pk=row.newest_production_id, framework=library)
        return min(changed, NOW), ModelVersion(pk=first + count - 1, framework=library)


def sizes(rng: random.Random, models_wanted: int, mean: int) -> list[int]:
    """How many versions each model has: few have many, and the mean is as asked."""
    shares = rng.choices((0.2, 0.5, 1, 2, 5), weights=(25, 30, 25, 15, 5), k=models_wanted)
    counts = [max(1, round(mean * share)) for share in shares]
    rest = models_wanted * mean - sum(counts)
    while rest > 0 or (rest < 0 and max(counts) > 1):
        place = rng.randrange(models_wanted)
        step = max(-counts[place] + 1, min(mean, rest)) if rest < 0 else min(mean, rest)
        counts[place] += step
        rest -= step
    return counts


def seed(*, models_wanted: int, versions_each: int, seed_number: int) -> None:
    call_command("migrate", verbosity=0)
    if RegisteredModel.objects.exists() or User.objects.exists():
        sys.exit("The database is not empty; give DATABASE_URL an empty one.")
    if not POSTGRESQL:
        with connection.cursor() as cursor:
            for pragma in (
                "journal_mode = MEMORY",
                "synchronous = OFF",
                "foreign_keys = OFF",
                "cache_size = -500000",
            ):
                cursor.execute(f"PRAGMA {pragma}")
    company = Company(seed=seed_number)
    with transaction.atomic(), bare_tables():
        company.people()
        for pk, count in enumerate(sizes(company.rng, models_wanted, versions_each), 1):
            company.model(pk, count)
            if pk % CHUNK == 0:
                company.flush()
                say(f"{pk} models, {company.version_id} versions")
        company.flush()
        say(f"{models_wanted} models, {company.version_id} versions")
        if POSTGRESQL:
            from django.core.management.color import no_style

            with connection.cursor() as cursor:
                for statement in connection.ops.sequence_reset_sql(
                    no_style(), [sink.model for sink in company.sinks]
                ):
                    cursor.execute(statement)
    with connection.cursor() as cursor:
        say("statistics")
        if POSTGRESQL:
            cursor.execute("VACUUM ANALYZE")
        else:
            cursor.execute("ANALYZE")
            cursor.execute("PRAGMA journal_mode = WAL")
    for sink in company.sinks:
        print(f"{sink.written:>10}  {sink.model._meta.db_table}")
    say(f"done; log in as bench or bench-admin, password “{PASSWORD}”")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument(
        "--versions", type=int, default=10, help="Mean number of versions per model (default 10)."
    )
    parser.add_argument("--seed", type=int, default=1, help="Another seed makes another company.")
    options = parser.parse_args()
    seed(
        models_wanted=max(1, options.models), versions_each=max(1, options.versions), seed_number=options.seed
    )


if __name__ == "__main__":
    main()
