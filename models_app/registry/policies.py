"""What a stage demands of a version."""

from __future__ import annotations

from models_app.models import ModelVersion, Stage

from .errors import PolicyUnmet, Requirement


def requirements(version: ModelVersion, *, to: str) -> list[Requirement]:
    """What the stage demands, each met or not; empty when it demands nothing."""
    if to != Stage.PRODUCTION:
        return []
    count = version.metrics.count()
    held = Requirement(
        "content",
        "Files held by the registry",
        "source",
        False,
        f"It only points to {version.source or 'nothing'}; register a version with its files.",
    )
    return [
        *([held] if version.manifest_id is None else []),
        Requirement(
            "dataset_version",
            "Dataset version",
            "dataset_version",
            bool(version.dataset_version),
            version.dataset_version or "Which version of the data was it trained on?",
        ),
        Requirement(
            "metrics",
            "At least one metric",
            "metrics",
            count > 0,
            f"{count} recorded" if count else "How good is it?",
        ),
        Requirement(
            "owner",
            "Owner",
            "owner",
            version.owner_id is not None,
            version.owner.display_name if version.owner else "Who answers for it?",
        ),
        Requirement(
            "license",
            "License",
            "license",
            bool(version.license),
            version.license or "Under which license may it be used?",
        ),
    ]


def check(version: ModelVersion, *, to: str) -> None:
    """Raises PolicyUnmet listing what the stage demands and the version lacks."""
    missing = [requirement for requirement in requirements(version, to=to) if not requirement.met]
    if missing:
        labels = ", ".join(requirement.label.lower() for requirement in missing)
        raise PolicyUnmet(
            f"{version} cannot go to {to}: it lacks {labels}.",
            subject=str(version),
            missing=missing,
            next_step="Fill in what is missing on the version's page, then ask again.",
        )
