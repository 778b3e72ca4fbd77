"""Sends what people are told, by Django's mail backend."""

from __future__ import annotations

import logging
import smtplib
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from django.conf import settings
from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import connection

from models_app.registry import mailing
from models_app.registry.mailing import Letter

from .mails import mail

log = logging.getLogger(__name__)

PEOPLE_AT_ONCE = 100
FIRST_PAUSE = 10.0
LONGEST_PAUSE = 300.0


class Down(Exception):
    """The mail server cannot be reached, or wants nothing from us now. Nothing is lost."""


def _never() -> bool:
    return False


def send_due(*, stop: Callable[[], bool] = _never) -> int:
    """Send what is due; returns how many mails were. A mail server that is down is logged."""
    try:
        return _send_due(stop)
    except Down as problem:
        log.warning("mail waits: %s", problem)
        return 0


def _send_due(stop: Callable[[], bool]) -> int:
    people = mailing.people_with_due(limit=PEOPLE_AT_ONCE) if settings.MAIL_IS_ON else []
    if not people:
        return 0
    server = get_connection()
    try:
        # Before anything is claimed: while the server is down, nothing else needs to be noted.
        server.open()
    except (OSError, smtplib.SMTPException) as error:
        raise Down(_reason(error)) from error
    count = 0
    try:
        for person in people:
            while not stop() and (letter := mailing.claim(person)):
                count += _send(letter, server)
    finally:
        with suppress(OSError, smtplib.SMTPException):
            server.close()
    return count


def _send(letter: Letter, server: BaseEmailBackend) -> bool:
    """Send one mail; says whether it went out. Raises Down."""
    try:
        server.send_messages([mail(letter)])
    except smtplib.SMTPRecipientsRefused as error:
        final = all(code >= 500 for code, _ in error.recipients.values())
        mailing.failed(letter, _reason(error), may_retry=not final)
    except smtplib.SMTPDataError as error:
        mailing.failed(letter, _reason(error), may_retry=error.smtp_code < 500)
    except (OSError, smtplib.SMTPException) as error:
        mailing.failed(letter, _reason(error), may_retry=True)
        raise Down(_reason(error)) from error
    except (ValueError, UnicodeError) as error:
        # No mail can be made of it, now or later.
        mailing.failed(letter, type(error).__name__, may_retry=False)
    else:
        mailing.sent(letter)
        return True
    log.warning("no mail to %s: refused", letter.user.username)
    return False


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


class Post:
    """`send_due` beside everything else: a mail server that hangs delays no webhook. After a failure it pauses."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._pause = 0.0
        self._not_before = 0.0

    def begin(self) -> None:
        """Send what is due, unless that is under way or the server was just found down."""
        under_way = self._thread is not None and self._thread.is_alive()
        if under_way or not settings.MAIL_IS_ON or time.monotonic() < self._not_before:
            return
        if mailing.people_with_due(limit=1):
            self._thread = threading.Thread(target=self._send, name="mail")
            self._thread.start()

    def end(self) -> None:
        """Wait till the mail under way is sent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def _send(self) -> None:
        try:
            _send_due(self._stopping.is_set)
            self._pause = 0.0
        except Down as problem:
            self._rest()
            log.warning("mail waits %g seconds: %s", self._pause, problem)
        except Exception:
            # What was claimed comes back when its lease ends.
            self._rest()
            log.exception("sending mail failed")
        finally:
            connection.close()

    def _rest(self) -> None:
        self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)
        self._not_before = time.monotonic() + self._pause
