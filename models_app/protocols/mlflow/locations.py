"""Where things are in the words of the protocol: `mlflow-artifacts:/` and a path that this server resolves.

<experiment>/<run>/artifacts/…               what a run wrote, mutable
<experiment>/models/<logged model>/artifacts/…   what it logged as one model, mutable till it is ready
versions/<version id>/…                      a sealed version, read-only
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

SCHEME = "mlflow-artifacts:/"


def of_run(experiment_id: int, run_uid: str) -> str:
    """A run's artifact_uri."""
    return f"{SCHEME}{experiment_id}/{run_uid}/artifacts"


def of_logged_model(experiment_id: int, uid: str) -> str:
    """A logged model's artifact_uri."""
    return f"{SCHEME}{experiment_id}/models/{uid}/artifacts"


def of_version(version_id: int) -> str:
    """Where a sealed version is downloaded from."""
    return f"{SCHEME}versions/{version_id}"


def of_experiment(experiment_id: int) -> str:
    """An experiment's artifact_location."""
    return f"{SCHEME}{experiment_id}"


@dataclass(frozen=True, slots=True)
class Place:
    """What a location names: `key` is a uid, or a version's id; `path` is below its root, "" the root itself."""

    kind: Literal["run", "logged model", "version"]
    key: str
    path: str
    experiment: int | None = None


_ID = r"[0-9]{1,18}"
_PLACES = re.compile(
    rf"(?:(?P<experiment>{_ID})/(?:(?P<run>[0-9a-f]{{32}})|models/(?P<model>m-[0-9a-f]{{32}}))/artifacts"
    rf"|versions/(?P<version>{_ID}))(?:/(?P<path>.*))?",
    re.DOTALL | re.ASCII,
)


def place_of(path: str) -> Place | None:
    """What a path names; None for a path of another shape. What the place's own path may be is the tree's to say."""
    found = _PLACES.fullmatch(path)
    if found is None:
        return None
    below = (found["path"] or "").rstrip("/")
    if found["version"]:
        return Place("version", found["version"], below)
    kind: Literal["run", "logged model"] = "run" if found["run"] else "logged model"
    return Place(kind, found["run"] or found["model"], below, int(found["experiment"]))
