"""Calls of the tracking half of the protocol, as the tests make them."""

from __future__ import annotations

from typing import Any

from .registry_asking import good

NOW = 1_760_000_000_000


def make_experiment(client, name: str = "fraud", **fields: Any) -> str:
    """Its id."""
    return good(client, "experiments/create", name=name, **fields)["experiment_id"]


def make_run(client, experiment: str = "0", **fields: Any) -> str:
    """Its id."""
    made = good(client, "runs/create", experiment_id=experiment, start_time=NOW, **fields)
    return made["run"]["info"]["run_id"]


def log(client, run: str, *metrics: dict[str, Any], params=None, tags=None) -> None:
    """A batch; metrics without a time are of now, params and tags are dicts."""
    good(
        client,
        "runs/log-batch",
        run_id=run,
        metrics=[{"timestamp": NOW, "step": 0} | metric for metric in metrics],
        params=pairs(params),
        tags=pairs(tags),
    )


def pairs(items: dict[str, str] | None) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in (items or {}).items()]


def get_run(client, run: str) -> dict[str, Any]:
    return good(client, "runs/get", "GET", run_id=run)["run"]


def metrics_of(client, run: str) -> dict[str, Any]:
    return {metric["key"]: metric["value"] for metric in get_run(client, run)["data"].get("metrics", [])}


def tags_of(row: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in row.get("tags", [])}


def found(client, filter: str = "", *, experiments=("0",), **fields: Any) -> list[str]:
    """Names of the runs that a search finds, in its order."""
    answer = good(client, "runs/search", experiment_ids=list(experiments), filter=filter, **fields)
    return [run["info"]["run_name"] for run in answer.get("runs", [])]
