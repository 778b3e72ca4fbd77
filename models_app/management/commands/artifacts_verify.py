"""Read stored artifacts again, and tell which are not what they were."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.management import progress
from models_app.management.progress import Bar
from models_app.registry.artifacts import integrity
from models_app.registry.artifacts.integrity import Checked, Hit
from models_app.registry.errors import Unavailable
from models_app.templatetags.modelry import bytes_


class Command(BaseCommand):
    help = (
        "Read and hash stored artifacts. Goes on where a run before was stopped. Exit status 1 when any is damaged: "
        "those are moved aside, and answered as damaged till the same bytes are stored again (artifacts_restore)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sample", metavar="N|P%", help="Only so many, or so many percent, by chance.")
        parser.add_argument("--rate", metavar="100M", help="Read so many bytes per second at most.")
        parser.add_argument("--restart", action="store_true", help="Begin anew instead of going on.")
        parser.add_argument("--json", action="store_true", dest="as_json", help="Answer in JSON.")

    def handle(
        self,
        *args: Any,
        sample: str | None,
        rate: str | None,
        restart: bool,
        as_json: bool,
        **options: Any,
    ) -> None:
        blobs, _ = integrity.total()
        wanted = _count(sample, blobs) if sample else blobs
        bar = Bar(wanted) if sys.stderr.isatty() and not as_json else None

        def told(done: Checked) -> None:
            if bar is not None:
                bar.show(done.blobs, done.bytes)

        pace = progress.rate(rate) if rate else None
        try:
            if sample:
                done = integrity.verify_sample(wanted, rate=pace, told=told)
            else:
                done = integrity.verify_all(restart=restart, rate=pace, told=told)
        except Unavailable as error:
            raise CommandError(f"{error.why} {error.next_step} Begin again: it goes on there.") from error
        hits = list(integrity.damaged())
        self.stdout.write(_json(done, hits) if as_json else _words(done, hits))
        if hits:
            sys.exit(1)


def _count(text: str, of: int) -> int:
    number = text.removesuffix("%")
    if not number.isdigit() or not int(number) or (text.endswith("%") and int(number) > 100):
        raise CommandError("--sample is a number, or 1% to 100%.")
    return -(-of * int(number) // 100) if text.endswith("%") else min(int(number), of)


def _json(done: Checked, hits: list[Hit]) -> str:
    found = [
        {"sha256": hit.sha256, "size": hit.size, "damage": hit.damage, "named_by": hit.named_by}
        for hit in hits
    ]
    return json.dumps({**done.facts(), "healed": done.healed, "damaged": found})


def _words(done: Checked, hits: list[Hit]) -> str:
    lines = [f"Read {done.blobs} blobs, {bytes_(done.bytes)}."]
    lines += [f"Whole again: {sha256}" for sha256 in done.healed]
    for hit in hits:
        lines.append(f"DAMAGED {hit.sha256} ({bytes_(hit.size)}): {hit.damage}")
        lines += [f"  {name}" for name in hit.named_by] or ["  Nothing refers to it."]
    lines.append(
        f"{len(hits)} damaged: artifacts_restore FILE puts one back."
        if hits
        else "All of them are what they were."
    )
    return "\n".join(lines)
