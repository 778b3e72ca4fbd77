"""What the worker does with versions that no policy keeps: mark, wait, look again under the lock, archive or delete."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from models_app.models import ModelVersion, RetentionMark, Stage, Then

from . import approvals, catalog, lifecycle, retention
from .access import Actor
from .errors import NotFound, RegistryError
from .retention import Rules
from .retention_plan import let_go, why

log = logging.getLogger(__name__)

AT_ONCE = 5_000
# What one pass does at most; the next one goes on.
MOST_MARKED = 20_000
MOST_DONE = 1_000
REASON = "Retention: {why}"


@dataclass(slots=True)
class Done:
    """What a pass did: versions marked, marks taken away, versions archived, deleted, and refused by what came up."""

    marked: int = 0
    spared: int = 0
    archived: int = 0
    deleted: int = 0
    refused: int = 0

    def facts(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


Stop = Callable[[], bool]


def run(*, wait: timedelta | None = None, stop: Stop = lambda: False) -> Done:
    """Mark what no policy keeps, and archive or delete what has been marked for longer than `wait` (else the setting's)
    and is still let go. Any number may run at once; a pass does so much at most.
    """
    done, rules = Done(), retention.saved()
    everything = let_go(ModelVersion.objects.all(), rules)
    _spare(done, everything)
    _mark(done, everything, rules, stop)
    limit = timezone.now() - (settings.RETENTION_WAIT if wait is None else wait)
    for mark in _due(limit):
        if stop():
            break
        _carry_out(mark, done)
    return done


def _spare(done: Done, everything: Any) -> None:
    """Take the marks from what is kept again, or goes another way now."""
    for then in Then.values:
        kept = RetentionMark.objects.filter(then=then)
        kept = kept.exclude(version__in=everything.filter(then=then).values("pk"))
        done.spared += kept.delete()[0]


def _mark(done: Done, everything: Any, rules: Rules, stop: Stop) -> None:
    last = 0
    while done.marked < MOST_MARKED and not stop():
        rows = everything.filter(pk__gt=last, retention_mark=None).order_by("pk")
        page = list(rows.values_list("pk", "then", "kind", "model__team")[:AT_ONCE])
        if not page:
            return
        last = page[-1][0]
        marks = [
            RetentionMark(
                version_id=pk, then=then, why=why(rules.of(kind, team), kind)[:300], marked_at=timezone.now()
            )
            for pk, then, kind, team in page
        ]
        try:
            # Who else runs may have marked some.
            RetentionMark.objects.bulk_create(marks, ignore_conflicts=True)
        except IntegrityError:
            # Somebody deletes one of them just now: the next pass marks the others.
            continue
        done.marked += len(marks)


def _due(limit: Any) -> Iterator[RetentionMark]:
    """The marks that are old enough, oldest first, each once."""
    rows = RetentionMark.objects.filter(marked_at__lte=limit).order_by("marked_at", "pk")
    yield from list(rows.select_related("version__model")[:MOST_DONE])


def _carry_out(mark: RetentionMark, done: Done) -> None:
    """One version, in a transaction of its own. What somebody changed meanwhile is seen under the lock."""
    try:
        with transaction.atomic():
            _archive_or_delete(mark, done)
    except NotFound:
        return  # It is gone already.
    except RegistryError as error:
        done.refused += 1
        log.warning("retention leaves %s: %s", mark.version, error)


def _archive_or_delete(mark: RetentionMark, done: Done) -> None:
    version, by = lifecycle.lock_version(mark.version), Actor.system()
    siblings = ModelVersion.objects.filter(model=version.model)
    still = let_go(siblings, retention.saved()).filter(pk=version.pk, then=mark.then).exists()
    held = RetentionMark.objects.filter(pk=mark.pk).first()
    if held is None:
        return
    if not still:
        done.spared += held.delete()[0]
        return
    reason = REASON.format(why=held.why)
    if mark.then == Then.DELETE:
        catalog.delete_version(version, by=by, reason=reason)
        done.deleted += 1
        return
    found = approvals.judge(version, to=Stage.ARCHIVED, asked=False)
    if found.missing:
        done.refused += 1
        return
    lifecycle.change_stage(
        version, to=Stage.ARCHIVED, by=by, reason=reason, policy=approvals.names(found.case)
    )
    held.delete()
    done.archived += 1
