"""The same models, versions, stages, tags, aliases and runs in both databases: Modelry's by seed.py, MLflow's by COPY."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests import originals

HERE = Path(__file__).resolve().parent
# Modelry's names on this wire, and MLflow's names of stages.
NAME = "replace(m.name, '/', '--')"
STAGE = "CASE v.stage WHEN 'dev' THEN 'None' ELSE initcap(v.stage) END"
MS = "(extract(epoch FROM {}) * 1000)::bigint"
# Table of MLflow → its columns, and what Modelry's database has for them.
COPIES = {
    "registered_models": (
        "workspace, name, creation_time, last_updated_time, description",
        f"SELECT 'default', {NAME}, {MS.format('m.created_at')}, {MS.format('m.updated_at')}, m.purpose"
        " FROM models_app_registeredmodel m",
    ),
    "registered_model_tags": (
        "workspace, name, key, value",
        f"SELECT 'default', {NAME}, t.key, t.value"
        " FROM models_app_modeltag t JOIN models_app_registeredmodel m ON m.id = t.model_id",
    ),
    "model_versions": (
        "workspace, name, version, creation_time, last_updated_time, description, current_stage, source, run_id,"
        " run_link, status",
        f"SELECT 'default', {NAME}, v.number, {MS.format('v.created_at')}, {MS.format('v.updated_at')}, '', {STAGE},"
        " 'mlflow-artifacts:/0/' || v.training_run_id || '/artifacts/model', v.training_run_id, '', 'READY'"
        " FROM models_app_modelversion v JOIN models_app_registeredmodel m ON m.id = v.model_id",
    ),
    "model_version_tags": (
        "workspace, name, version, key, value",
        f"SELECT 'default', {NAME}, v.number, t.key, t.value FROM models_app_versiontag t"
        " JOIN models_app_modelversion v ON v.id = t.version_id JOIN models_app_registeredmodel m ON m.id = v.model_id",
    ),
    "registered_model_aliases": (
        "workspace, name, alias, version",
        f"SELECT 'default', {NAME}, a.name, v.number FROM models_app_alias a"
        " JOIN models_app_modelversion v ON v.id = a.version_id JOIN models_app_registeredmodel m ON m.id = a.model_id",
    ),
}


@dataclass
class Sample:
    """What is asked for: the same on both sides."""

    versions: list[tuple[str, int, str]]
    undecided: list[tuple[str, int]]
    aliased: list[str]
    tags: list[tuple[str, str]]
    words: list[str]


def fill(ours: str, theirs: str, *, models: int, versions: int) -> None:
    """Both databases; those that are filled stay as they are."""
    if not _has_rows(ours, "models_app_registeredmodel"):
        command = [
            sys.executable,
            str(HERE / "seed.py"),
            "--models",
            str(models),
            "--versions",
            str(versions),
        ]
        subprocess.run(
            command, env={**os.environ, "DATABASE_URL": ours}, check=True, stdout=subprocess.DEVNULL
        )
    if _has_rows(theirs, "registered_models"):
        return
    mlflow = originals.environment("mlflow3") / "bin/mlflow"
    store = theirs.replace("postgresql://", "postgresql+psycopg://", 1)
    subprocess.run(
        [str(mlflow), "db", "upgrade", store], env=originals.clean(), check=True, stderr=subprocess.DEVNULL
    )
    with psycopg.connect(ours) as source, psycopg.connect(theirs) as target:
        for table, (columns, select) in COPIES.items():
            reading = source.cursor().copy(f"COPY ({select}) TO STDOUT")  # type: ignore[arg-type]
            writing = target.cursor().copy(f"COPY {table} ({columns}) FROM STDIN")  # type: ignore[arg-type]
            with reading as rows, writing as copy:
                for part in rows:
                    copy.write(part)
    with psycopg.connect(theirs, autocommit=True) as target:
        target.execute("VACUUM ANALYZE")


def _has_rows(url: str, table: str) -> bool:
    with psycopg.connect(url) as connection:
        if not connection.execute("SELECT to_regclass(%s)", [table]).fetchone()[0]:  # type: ignore[index]
            return False
        return connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None  # type: ignore[arg-type]


def sample(ours: str, *, size: int = 5000) -> Sample:
    """Names, numbers, tags and words that are in both, drawn alike in every run."""
    rng = random.Random(3)
    with psycopg.connect(ours) as connection:

        def rows(select: str) -> list:
            return connection.execute(select).fetchall()  # type: ignore[arg-type]

        joined = "models_app_modelversion v JOIN models_app_registeredmodel m ON m.id = v.model_id"
        ids = [row[0] for row in rows("SELECT id FROM models_app_modelversion ORDER BY id")]
        chosen = ",".join(map(str, rng.sample(ids, min(size, len(ids)))))
        versions = rows(f"SELECT {NAME}, v.number, v.training_run_id FROM {joined} WHERE v.id IN ({chosen})")
        undecided = rows(
            f"SELECT {NAME}, v.number FROM {joined} WHERE v.id IN ({chosen}) AND v.stage = 'dev'"
        )
        aliased = rows(
            f"SELECT {NAME} FROM models_app_alias a JOIN models_app_registeredmodel m ON m.id = a.model_id"
            f" WHERE a.name = 'champion' ORDER BY m.id LIMIT {size}"
        )
        tags = rows(
            "SELECT key, value FROM models_app_modeltag WHERE value <> '' GROUP BY key, value ORDER BY key, value"
        )
    words = sorted(
        {word for name, *_ in versions for word in name.partition("--")[2].split("-") if len(word) > 3}
    )
    return Sample(versions, undecided, [row[0] for row in aliased], tags, words)
