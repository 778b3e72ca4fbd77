"""Remove artifacts that nobody refers to any more, now instead of by the clock."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.registry.artifacts import sweep
from models_app.registry.artifacts.sweep import Planned, Swept, Tally
from models_app.registry.errors import Unavailable
from models_app.templatetags.modelry import bytes_


class Command(BaseCommand):
    help = "Remove artifacts that nobody refers to: what is found is marked, and removed when it still is so later."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="Only tell what would happen, and how much it is."
        )
        parser.add_argument(
            "--grace-hours", type=float, help="Wait so long instead of MODELRY_SWEEP_GRACE_HOURS."
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="Answer in JSON.")

    def handle(
        self, *args: Any, dry_run: bool, grace_hours: float | None, as_json: bool, **options: Any
    ) -> None:
        if grace_hours is not None and grace_hours < 0:
            raise CommandError("--grace-hours is 0 or more.")
        grace = None if grace_hours is None else timedelta(hours=grace_hours)
        try:
            found = sweep.plan(grace=grace) if dry_run else sweep.sweep(grace=grace)
        except Unavailable as error:
            raise CommandError(f"{error.why} {error.next_step}") from error
        self.stdout.write(json.dumps(found.facts()) if as_json else _words(found))


def _words(found: Swept) -> str:
    dry_run = isinstance(found, Planned)
    would = "would be " if dry_run else ""
    lines = [
        f"Files of deleted runs and logged models {would}taken away: {found.files}",
        f"Manifests {would}removed: {found.manifests}, {would}marked: {found.manifests_marked}",
        f"Bytes without a row{' found' if dry_run else ' marked'}: {_much(found.orphans)}",
        f"Blobs {would}marked: {_much(found.marked)}",
        f"Blobs {would}removed: {_much(found.removed)}",
    ]
    if isinstance(found, Planned):
        lines += [
            f"Blobs marked already, that wait: {_much(found.waiting)}",
            "Not yet, though no version names them:",
            f"  In listings that go first, marked or not: {_much(found.in_listings)}",
            f"  In uploads that became versions less than a day ago: {_much(found.in_uploads)}",
            f"  Stored too short a time ago to be marked: {_much(found.young)}",
        ]
    return "\n".join(lines)


def _much(tally: Tally) -> str:
    return f"{tally.count} ({bytes_(tally.bytes)})"
