"""`manage.py rebuild_search`: make all search documents anew, for example after their words are chosen differently."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from models_app.registry.search import index


class Command(BaseCommand):
    help = "Rebuild what search looks at, for every model. Safe while the registry is in use."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--batch", type=int, default=500, help="Models per transaction (default 500).")

    def handle(self, *args: Any, **options: Any) -> None:
        done = 0
        for done in index.rebuild_all(options["batch"]):
            if options["verbosity"] > 1:
                self.stdout.write(f"{done} models")
        self.stdout.write(f"Search documents of {done} models rebuilt.")
