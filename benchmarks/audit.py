"""What the audit costs writers: `python benchmarks/audit.py`, on the PostgreSQL that DATABASE_URL names (empty, its own).

Threads move versions of different models to and fro, with the audit's record written and with that insert taken out,
in turns, while a sealer links what was recorded; then 1, 2, 4 and 8 threads, which would not gain if a lock serialised
them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "registry_site.settings")

import django

django.setup()

from django.core.management import call_command
from django.db import connection

from models_app.models import AuditEvent, AuditLink, ModelVersion
from models_app.registry import audit_chain, promotions
from models_app.registry.access import Actor
from tests import builders, people

WRITERS = 8


@contextmanager
def without_audit() -> Iterator[None]:
    """Transitions that leave no record."""
    with mock.patch("models_app.registry.audit.record"):
        yield


def rate(versions: list[ModelVersion], by: Actor, *, seconds: float) -> float:
    """Transitions a second, each version moved by a thread of its own, while a sealer runs."""
    stop = threading.Event()
    counts = [0] * len(versions)

    def write(place: int, version: ModelVersion) -> None:
        while not stop.is_set():
            version.refresh_from_db()
            to = "dev" if version.stage == "staging" else "staging"
            promotions.move(version, to=to, by=by, reason="benchmark")
            counts[place] += 1
        connection.close()

    def seal() -> None:
        while not stop.wait(0.1):
            audit_chain.seal()
        connection.close()

    threads = [threading.Thread(target=write, args=pair) for pair in enumerate(versions)]
    threads.append(threading.Thread(target=seal))
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    return sum(counts) / seconds


def waits() -> int:
    """Locks that somebody waits for at this moment."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return int(cursor.fetchone()[0])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    call_command("migrate", verbosity=0)
    who = people.build()
    models = [builders.model(f"risk/m{n}", by=who.alice) for n in range(WRITERS)]
    versions = [builders.version(model, by=who.bob) for model in models]
    audit_chain.SETTLED *= 0
    rate(versions, who.root, seconds=1)
    with_it, without_it, waited = [], [], []
    for _ in range(given.rounds):
        watch = threading.Timer(given.seconds / 2, lambda: (waited.append(waits()), connection.close()))
        watch.start()
        with_it.append(rate(versions, who.root, seconds=given.seconds))
        watch.join()
        with without_audit():
            without_it.append(rate(versions, who.root, seconds=given.seconds))
    now, bare = statistics.median(with_it), statistics.median(without_it)
    print(
        f"{WRITERS} writers: {now:.0f} transitions a second with audit, {bare:.0f} without: {now / bare:.2f}"
    )
    print(f"locks waited for, looked at once a round: {waited}")
    for writers in (1, 2, 4, 8):
        print(f"{writers} writers: {rate(versions[:writers], who.root, seconds=given.seconds):.0f} a second")
    while audit_chain.seal():
        pass
    assert audit_chain.verify().problem == ""
    print(
        f"{AuditEvent.objects.count()} records, {AuditLink.objects.count()} of them sealed; the chain holds"
    )


if __name__ == "__main__":
    main()
