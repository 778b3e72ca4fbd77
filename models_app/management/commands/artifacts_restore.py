"""Put back the bytes of damaged artifacts, from a backup or from whoever has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.registry.artifacts import integrity
from models_app.registry.errors import RegistryError


class Command(BaseCommand):
    help = (
        "Store these files again under their digests, if something here has such bytes. Names do not matter."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", type=Path, nargs="+", metavar="FILE")

    def handle(self, *args: Any, files: list[Path], **options: Any) -> None:
        problems = 0
        for path in files:
            try:
                sha256, was_damaged = integrity.restore(path)
                what = "restored" if was_damaged else "was whole:"
                self.stdout.write(f"{path}: {what} {sha256}")
            except (RegistryError, OSError) as error:
                problems += 1
                why = error.strerror if isinstance(error, OSError) else error
                self.stderr.write(f"{path}: {why}")
        if problems:
            raise CommandError(f"{problems} of {len(files)} files were not restored.")
