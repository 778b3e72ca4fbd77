"""What is done to the storage by the clock, and when it was done last."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.utils import timezone

from models_app.models import StorageTask
from models_app.registry import cold_storage, retention_work, storage_count

from . import integrity, sweep

Stop = Callable[[], bool]
SAMPLE = 2_000
SAMPLE_SECONDS = 900.0
SAMPLE_RATE = 50 << 20
# What people upload is to be counted soon, and a count that takes long is not to run all the time.
SOONEST_COUNT = timedelta(minutes=2)
COUNTING_TAKES_AT_MOST = 100


def _retention(stop: Stop) -> dict[str, Any]:
    return retention_work.run(stop=stop).facts()


def _cold(stop: Stop) -> dict[str, Any]:
    return cold_storage.run(stop=stop).facts()


def _sweep(stop: Stop) -> dict[str, Any]:
    return sweep.sweep(orphans=False, stop=stop).facts()


def _sweep_all(stop: Stop) -> dict[str, Any]:
    return sweep.sweep(stop=stop).facts()


def _sample(stop: Stop) -> dict[str, Any]:
    return integrity.verify_sample(SAMPLE, rate=SAMPLE_RATE, seconds=SAMPLE_SECONDS, stop=stop).facts()


def _count(stop: Stop) -> dict[str, Any]:
    facts = storage_count.count(stop=stop)
    blobs, size = integrity.total()
    return facts | {"blobs": blobs, "bytes": size}


# In this order: first what asks the database only. The whole storage is listed once a day only. Counting takes a
# hundredth of the time at most: every two minutes while the registry is small, at least once a day.
TASKS: dict[str, tuple[timedelta, Callable[[Stop], dict[str, Any]]]] = {
    "retention": (timedelta(hours=1), _retention),
    "count": (timedelta(days=1), _count),
    "sweep": (timedelta(hours=1), _sweep),
    "sweep with listing": (timedelta(days=1), _sweep_all),
    "sample": (timedelta(days=1), _sample),
    # Last: a store may let us do all but this.
    "cold": (timedelta(hours=1), _cold),
}


def _due() -> list[str]:
    known = {task.name: task for task in StorageTask.objects.filter(name__in=TASKS)}
    return [name for name, (every, _) in TASKS.items() if _is_due(known.get(name), every)]


def _is_due(task: StorageTask | None, every: timedelta) -> bool:
    if task is None or task.ended_at is None:
        return True
    if task.name == "count" and task.began_at is not None:
        took = task.ended_at - task.began_at
        every = min(every, max(SOONEST_COUNT, took * COUNTING_TAKES_AT_MOST))
    return task.ended_at < timezone.now() - every


def any_due() -> bool:
    """Whether `run_due` has anything to do."""
    return bool(_due())


def run_due(*, stop: Stop) -> dict[str, dict[str, Any]]:
    """Do what is due; returns what each came to. Two workers at once only do it twice. Raises Unavailable."""
    done: dict[str, dict[str, Any]] = {}
    for name in _due():
        began = timezone.now()
        facts = TASKS[name][1](stop)
        if stop():
            break
        StorageTask.objects.update_or_create(
            name=name, defaults={"facts": facts, "began_at": began, "ended_at": timezone.now()}
        )
        done[name] = facts
    return done
