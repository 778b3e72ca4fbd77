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


# In this order: first what asks the database only. The whole storage is listed once a day only.
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
    ended = dict(StorageTask.objects.filter(name__in=TASKS).values_list("name", "ended_at"))
    now = timezone.now()
    return [
        name for name, (every, _) in TASKS.items() if (last := ended.get(name)) is None or last < now - every
    ]


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
