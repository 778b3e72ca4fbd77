"""Prove that the audit is what it was, or name the first record that is not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.registry import audit_chain


class Command(BaseCommand):
    help = "Compute the audit's chain anew. Exit status 1 and the first broken record when it does not hold."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--checkpoint", type=Path, help="Also compare with a checkpoint kept elsewhere.")
        parser.add_argument("--public-key", default="", help="The key (hex) one trusts for it.")

    def handle(self, *args: Any, checkpoint: Path | None, public_key: str, **options: Any) -> None:
        quiet = options["verbosity"] == 0
        found = audit_chain.prove(progress=None if quiet else self._told)
        if found.problem:
            raise CommandError(f"The chain breaks at link {found.links + 1}: {found.problem}")
        if checkpoint is not None:
            try:
                kept = json.loads(checkpoint.read_text())
            except (OSError, ValueError) as error:
                raise CommandError(f"{checkpoint} is no checkpoint: {error}") from error
            if why := audit_chain.why_not_valid(kept, public_key=public_key):
                raise CommandError(why)
        self.stdout.write(
            f"The chain holds: {found.links} records, {found.waiting} wait to be sealed, head {found.head}."
        )

    def _told(self, links: int) -> None:
        self.stderr.write(f"{links} records …")
