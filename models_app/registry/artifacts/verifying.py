"""Files that went to a store which cannot vouch for them: the worker reads them, and only then do they count.

Each row of an upload session that waits is read by one worker, who says every while that it is alive; when it is not,
another takes over. When the store does not answer, whoever comes first tries again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.models import UploadFile
from models_app.registry.errors import Invalid, NotFound, TooLarge, Unavailable

from . import arrivals, upload_sessions
from .blobs import StoredFile

# A worker that said nothing for so long is dead.
SILENT = timedelta(minutes=2)
# A store that did not answer is asked again after it.
AGAIN = timedelta(seconds=10)
SAID_EVERY = 20.0

Stop = Callable[[], bool]


class _Stopped(Exception):
    """Asked to stop, or nobody waits for it any more."""


def _waiting() -> QuerySet[UploadFile]:
    dead = Q(worker_at=None) | Q(worker_at__lt=timezone.now() - SILENT)
    return UploadFile.objects.filter(dead, verifying_at__isnull=False)


def any_waiting() -> bool:
    """Whether `verify_next` has anything to do."""
    return _waiting().exists()


def verify_next(*, stop: Stop = lambda: False) -> bool:
    """Read the file that waits longest and settle it; False when none waits. Any number may do so at once.

    Raises Unavailable; the file is read again later then, and says what happened.
    """
    file = _take()
    if file is None:
        return False
    try:
        stored = arrivals.finish(upload_sessions.arrival_of(file), told=_Alive(file, stop))
        upload_sessions.claim(file.session_id, [StoredFile(file.path, stored.sha256, stored.size)])
    except _Stopped:
        _mine(file).update(worker_at=None)
    except Unavailable as error:
        again = timezone.now() - SILENT + AGAIN
        _mine(file).update(trouble=str(error)[:500], worker_at=again)
        raise
    except Invalid as error:
        upload_sessions.begin_anew(file, refusal=error.problems[0].message)
    except (NotFound, TooLarge) as error:
        upload_sessions.begin_anew(file, refusal=str(error))
    return True


def _mine(file: UploadFile) -> QuerySet[UploadFile]:
    """The row, unless another worker took it since we read it."""
    return UploadFile.objects.filter(pk=file.pk, worker_at=file.worker_at)


def _take() -> UploadFile | None:
    while (file := _waiting().order_by("verifying_at", "pk").first()) is not None:
        now = timezone.now()
        if _mine(file).update(worker_at=now):
            file.worker_at = now
            return file
    return None


class _Alive:
    """Says so while it reads. Raises _Stopped when it shall stop, or another took over."""

    def __init__(self, file: UploadFile, stop: Stop) -> None:
        self._file, self._stop, self._said = file, stop, time.monotonic()

    def __call__(self, count: int) -> None:
        if self._stop():
            raise _Stopped
        if time.monotonic() - self._said > SAID_EVERY:
            self._said, now = time.monotonic(), timezone.now()
            if not _mine(self._file).update(worker_at=now):
                raise _Stopped
            self._file.worker_at = now
