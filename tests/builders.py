"""Rows for tests, made by calling the verbs: no test starts from a state that the product cannot reach."""

from __future__ import annotations

import hashlib
from typing import Any

from models_app.models import ModelVersion, RegisteredModel, Stage
from models_app.registry import catalog, promotions
from models_app.registry.access import Actor
from models_app.registry.artifacts import blobs
from models_app.registry.artifacts.blobs import StoredFile

# What production demands, and no more.
COMPLETE: dict[str, Any] = {
    "dataset_name": "transactions",
    "dataset_version": "2026-05",
    "license": "Apache-2.0",
    "metrics": {"f1": 0.91},
}


def stored(path: str = "model.bin", content: bytes = b"weights") -> StoredFile:
    """A file in storage, not yet part of any version."""
    return blobs.receive(path, [content])


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def model(name: str = "risk/fraud-detector", *, by: Actor, **fields: Any) -> RegisteredModel:
    return catalog.register_model(name, by=by, **fields)


def version(
    of: RegisteredModel, *, by: Actor, files: dict[str, bytes] | None = None, **metadata: Any
) -> ModelVersion:
    """The next version of a model with these files (content varies by number unless given)."""
    content = files or {"model.bin": f"weights of {of.name} {of.versions.count() + 1}".encode()}
    return catalog.register_version(
        of, files=[stored(path, data) for path, data in content.items()], metadata=metadata, by=by
    )


def complete_version(of: RegisteredModel, *, by: Actor, **metadata: Any) -> ModelVersion:
    """A version that production would take."""
    return version(of, by=by, **{**COMPLETE, "owner": by.name, **metadata})


def promoted(of: RegisteredModel, *, by: Actor, approver: Actor, **metadata: Any) -> ModelVersion:
    """A version in production."""
    made = complete_version(of, by=by, **metadata)
    promotions.move(made, to=Stage.PRODUCTION, by=approver, reason="good")
    made.refresh_from_db()
    return made
