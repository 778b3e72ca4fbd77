from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from models_app.registry import bundle_check


class Command(BaseCommand):
    help = "Check a version's signed bundle, without database and network."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--public-key", default="", metavar="HEX", help="The registry's key that you trust."
        )

    def handle(self, *args: Any, file: Path, public_key: str, **options: Any) -> None:
        if not file.is_file():
            raise CommandError(f"There is no file {file}.")
        found = bundle_check.check(file, public_key=public_key)
        if found.problems:
            raise CommandError(
                "The bundle does not hold:\n" + "\n".join(f"  {one}" for one in found.problems)
            )
        waiting = f", {found.unsealed} of them not sealed yet" if found.unsealed else ""
        self.stdout.write(f"{found.members} files are as they were signed.")
        self.stdout.write(f"{found.records} audit records fit their links{waiting}.")
        if found.position is not None:
            self.stdout.write(f"The chain stood at position {found.position}, signed by the same key.")
        told = "the key you trust" if public_key else "the key it brings: compare it with one you trust"
        self.stdout.write(f"Signed by {found.public_key}, {told}.")
