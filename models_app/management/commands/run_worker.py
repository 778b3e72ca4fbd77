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
from models_app.tasks.deliveries import Sender, deliver
from models_app.tasks.dispatcher import Dispatcher, dispatch
from models_app.tasks.governance import Prover, keep_up, prove_audit
from models_app.tasks.notices import Post, send_due
from models_app.tasks.periodic import tidy
from models_app.tasks.storage import Housekeeper, Verifiers, add_up, keep_clean, verify_all

log = logging.getLogger(__name__)

TIDY_EVERY = 3600.0
KEEP_UP_EVERY = 5.0
TICK = 0.5


class Command(BaseCommand):
    help = "Run the background worker until SIGTERM or Ctrl-C. Several may run at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="Do what is waiting, then end.")
        parser.add_argument(
            "--poll", type=float, default=0.1, help="Seconds between looks at an empty outbox."
        )

    def handle(self, *args: Any, once: bool, poll: float, **options: Any) -> None:
        if once:
            self._once()
            return
        stop = threading.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stop.set())
        sender, post, watch = Sender(), Post(), deployments.Watch()
        keeper, verifiers = Housekeeper(), Verifiers()
        dispatcher = Dispatcher(poll=poll, then=sender.wake)
        try:
            sender.begin()
            dispatcher.begin()
            watch.begin()
            self._keep_going(stop, post, keeper, verifiers)
        finally:
            dispatcher.end()
            watch.end()
            keeper.end()
            verifiers.end()
            post.end()
            sender.end()

    def _once(self) -> None:
        tidy()
        while True:
            busy = dispatch() > 0
            if keep_up() > 0:
                busy = True
            else:
                prove_audit()
                keep_clean()
            busy = deployments.keep_up() > 0 or busy
            busy = add_up() + deliver() + send_due() > 0 or busy
            busy = verify_all() or busy
            if not busy:
                return

    def _keep_going(
        self,
        stop: threading.Event,
        post: Post,
        keeper: Housekeeper,
        verifiers: Verifiers,
    ) -> None:
        next_tidy = next_keep_up = 0.0
        prover = Prover()
        while not stop.is_set():
            try:
                if time.monotonic() >= next_tidy:
                    tidy()
                    next_tidy = time.monotonic() + TIDY_EVERY
                if time.monotonic() >= next_keep_up:
                    # While there is more to seal than a batch holds, go on at once.
                    more = keep_up() > 0
                    next_keep_up = time.monotonic() + (0 if more else KEEP_UP_EVERY)
                    add_up()
                    if not more:
                        prover.begin()
                        keeper.begin()
                verifiers.begin()
                post.begin()
            except Exception:
                # A database that is away for a while must not end the worker.
                log.exception("worker will try again")
                close_old_connections()
                stop.wait(5)
                continue
            stop.wait(TICK)
