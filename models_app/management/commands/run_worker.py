"""The background worker: hands on what the verbs wrote to the outbox, tells webhooks and people, and tidies up by the
clock.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections

from models_app.tasks import deployments
from models_app.tasks.deliveries import Turns, deliver
from models_app.tasks.dispatcher import dispatch
from models_app.tasks.governance import Prover, keep_up, prove_audit
from models_app.tasks.notices import Post, send_due
from models_app.tasks.periodic import tidy
from models_app.tasks.storage import Housekeeper, Verifiers, add_up, keep_clean, verify_all

log = logging.getLogger(__name__)

TIDY_EVERY = 3600.0
KEEP_UP_EVERY = 5.0


class Command(BaseCommand):
    help = "Run the background worker until SIGTERM or Ctrl-C. Several may run at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Do what is waiting, then end.")
        parser.add_argument(
            "--poll", type=float, default=0.5, help="Seconds between looks at an empty outbox."
        )

    def handle(self, *args: Any, once: bool, poll: float, **options: Any) -> None:
        stop = threading.Event()
        if not once:
            for name in (signal.SIGTERM, signal.SIGINT):
                signal.signal(name, lambda *_: stop.set())
        turns, post, keeper, verifiers = Turns(), Post(), Housekeeper(), Verifiers()
        watch = deployments.Watch()
        try:
            self._work(stop, turns, post, keeper, verifiers, watch, once=once, poll=poll)
        finally:
            watch.end()
            keeper.end()
            verifiers.end()
            post.end()
            turns.end()

    def _work(
        self,
        stop: threading.Event,
        turns: Turns,
        post: Post,
        keeper: Housekeeper,
        verifiers: Verifiers,
        watch: deployments.Watch,
        *,
        once: bool,
        poll: float,
    ) -> None:
        next_tidy = next_keep_up = 0.0
        prover = Prover()
        while not stop.is_set():
            try:
                if time.monotonic() >= next_tidy:
                    tidy()
                    next_tidy = time.monotonic() + TIDY_EVERY
                busy = dispatch() > 0
                if time.monotonic() >= next_keep_up:
                    # While there is more to seal than a batch holds, go on at once.
                    more = keep_up() > 0
                    next_keep_up = time.monotonic() + (0 if more else KEEP_UP_EVERY)
                    busy = add_up() > 0 or busy
                    if not more:
                        prove_audit() if once else prover.begin()
                        keep_clean() if once else keeper.begin()
                if once:
                    busy = deployments.keep_up() > 0 or busy
                    busy = deliver() + send_due() > 0 or busy
                    busy = verify_all() or busy
                else:
                    watch.begin()
                    verifiers.begin()
                    turns.begin()
                    post.begin()
            except Exception:
                if once:
                    raise
                # A database that is away for a while must not end the worker.
                log.exception("worker will try again")
                close_old_connections()
                stop.wait(5)
                continue
            if once and not busy:
                return
            if not busy:
                stop.wait(poll)
