"""Where things are in the words of the protocol: `mlflow-artifacts:/` and a path that this server resolves.

<experiment>/<run>/artifacts/…               what a run wrote, mutable
<experiment>/models/<logged model>/artifacts/…   what it logged as one model, mutable till it is ready
versions/<version id>/…                      a sealed version, read-only
"""

from __future__ import annotations

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
