"""Check what teams and models are said to hold against their versions, and set it right."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.registry import storage_use
from models_app.registry.storage_use import Drift
from models_app.templatetags.modelry import bytes_


class Command(BaseCommand):
    help = "Add up the sizes of all versions, and tell (or set right) which sums are not that. While others register."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rebuild", action="store_true", help="Set right what is wrong.")

    def handle(self, *args: Any, rebuild: bool, **options: Any) -> None:
        wrong = storage_use.rebuild() if rebuild else list(storage_use.check())
        for drift in wrong:
            self.stdout.write(_words(drift))
        if wrong and not rebuild:
            raise CommandError(f"{len(wrong)} sums are wrong. Set them right with --rebuild.")
        self.stdout.write(f"{len(wrong)} sums set right." if wrong else "All sums are right.")


def _words(drift: Drift) -> str:
    return f"{drift.whose}: {bytes_(drift.kept)} ({drift.kept}) instead of {bytes_(drift.actual)} ({drift.actual})"
