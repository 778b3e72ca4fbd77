"""Files that went to a store which cannot vouch for them: the worker reads them, and only then do they count.

Each row of an upload session that waits is read by one worker, whose lease is extended as long as it is alive; when it
is not, another takes over. When the store does not answer, whoever comes first tries again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

from django.db import DatabaseError, connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.models import UploadFile
from models_app.registry.errors import Invalid, NotFound, TooLarge, Unavailable

from . import arrivals, upload_sessions
from .blobs import StoredFile

# A worker that did not extend its lease is dead.
LEASE = timedelta(seconds=30)
EXTENDED_EVERY = 8.0
# A store that did not answer is asked again after it.
AGAIN = timedelta(seconds=10)

log = logging.getLogger(__name__)
Stop = Callable[[], bool]


class _Stopped(Exception):
    """Asked to stop, or nobody waits for it any more."""


def _waiting() -> QuerySet[UploadFile]:
    free = Q(lease_until=None) | Q(lease_until__lt=timezone.now())
    return UploadFile.objects.filter(free, verifying_at__isnull=False)


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
        with _Lease(file, stop) as lease:
            stored = arrivals.finish(upload_sessions.arrival_of(file), told=lease.check)
        upload_sessions.claim(file.session_id, [StoredFile(file.path, stored.sha256, stored.size)])
    except _Stopped:
        _mine(file).update(lease_until=None)
    except Unavailable as error:
        _mine(file).update(trouble=str(error)[:500], lease_until=timezone.now() + AGAIN)
        raise
    except Invalid as error:
        upload_sessions.begin_anew(file, refusal=error.problems[0].message)
    except (NotFound, TooLarge) as error:
        upload_sessions.begin_anew(file, refusal=str(error))
    return True


def _mine(file: UploadFile) -> QuerySet[UploadFile]:
    """The row, unless another worker took it since we read it."""
    return UploadFile.objects.filter(pk=file.pk, lease_until=file.lease_until)


def _extend(file: UploadFile) -> bool:
    """Whether the file is still ours, or was free: then it is ours for longer."""
    until = timezone.now() + LEASE
    if not _mine(file).update(lease_until=until):
        return False
    file.lease_until = until
    return True


def _take() -> UploadFile | None:
    while (file := _waiting().order_by("verifying_at", "pk").first()) is not None:
        if _extend(file):
            return file
    return None


class _Lease:
    """Extends it beside the work, as nobody hears from a store while it copies a large file."""

    def __init__(self, file: UploadFile, stop: Stop) -> None:
        self._file, self._stop, self._lost = file, stop, False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._extend, name="lease of an upload", daemon=True)

    def __enter__(self) -> _Lease:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def check(self, count: int) -> None:
        """Raises _Stopped when the worker shall stop, or another took over."""
        if self._lost or self._stop():
            raise _Stopped

    def _extend(self) -> None:
        try:
            while not self._lost and not self._ended.wait(EXTENDED_EVERY):
                try:
                    self._lost = not _extend(self._file)
                except DatabaseError as error:
                    log.warning("the lease of an upload could not be extended: %s", error)
                    connection.close()
        finally:
            connection.close()
