"""Move stored artifacts to another store while Modelry serves; docs/storage.md tells the whole way."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.management.progress import Bar, rate
from models_app.registry.artifacts import moving, storage
from models_app.registry.artifacts.moving import Moved
from models_app.registry.artifacts.stores.base import Store
from models_app.registry.errors import Conflict, Unavailable
from models_app.templatetags.modelry import bytes_
from registry_site.artifacts import artifact_storage, how_to_use


class Command(BaseCommand):
    help = (
        "Copy all artifacts to another store, verified on the way, while Modelry serves. What is there already is not "
        "copied again: a run that was stopped goes on. Exit status 1 while the target lacks anything."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--to", required=True, metavar="URL", help="As MODELRY_ARTIFACTS would say it.")
        parser.add_argument(
            "--from",
            dest="source",
            metavar="URL",
            help="Where they are: else MODELRY_ARTIFACTS or, if that is the target, MODELRY_ARTIFACTS_FALLBACK.",
        )
        parser.add_argument("--dry-run", action="store_true", help="Only tell how much there is to copy.")
        parser.add_argument("--parallel", type=int, default=4, metavar="N", help="Blobs at once (4).")
        parser.add_argument("--rate", metavar="100M", help="Read so many bytes per second at most.")
        parser.add_argument(
            "--remove-source",
            action="store_true",
            help="When the target has everything and is in use (MODELRY_ARTIFACTS): remove it from the source.",
        )
        parser.add_argument("--json", action="store_true", dest="as_json", help="Answer in JSON.")

    def handle(self, *args: Any, **options: Any) -> None:
        to, dry_run = options["to"], options["dry_run"]
        if not 1 <= options["parallel"] <= 64:
            raise CommandError("--parallel is 1 to 64.")
        if options["remove_source"] and _entry(to) != settings.STORAGES["artifacts"]:
            raise CommandError("--remove-source is for a target in use: set MODELRY_ARTIFACTS to it first.")
        try:
            target, source = _store(to, may_be_new=True), _store(options["source"] or _other(to))
            done = moving.plan(target) if dry_run else _move(source, target, options)
        except Conflict as error:
            raise CommandError(f"{error.why} {error.next_step}") from error
        except Unavailable as error:
            raise CommandError(f"{error.why} {error.next_step} Begin again: it goes on there.") from error
        self.stdout.write(json.dumps(done.facts()) if options["as_json"] else _words(done, dry_run=dry_run))
        if done.missing or done.lost or done.damaged:
            sys.exit(1)


def _entry(address: str) -> dict[str, Any]:
    try:
        return artifact_storage(address, secrets=settings.ARTIFACTS_SECRETS, said_in="--to or --from")
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from error


def _store(address: str, *, may_be_new: bool = False) -> Store:
    try:
        return storage.made(_entry(address), may_be_new=may_be_new)
    except ImproperlyConfigured as error:
        raise CommandError(f"{address}: {error} {how_to_use(_entry(address)['BACKEND'])}") from error


def _other(to: str) -> str:
    """Where artifacts are that are not there yet."""
    if _entry(to) != settings.STORAGES["artifacts"]:
        return str(settings.ARTIFACTS)
    if settings.ARTIFACTS_FALLBACK:
        return str(settings.ARTIFACTS_FALLBACK)
    raise CommandError("The target is in use already: say --from where the rest is.")


def _move(source: Store, target: Store, options: dict[str, Any]) -> Moved:
    moving.require_apart(source, target)
    with_bar = sys.stderr.isatty() and not options["as_json"]
    bar = Bar(moving.plan(target).blobs) if with_bar else None

    def told(done: Moved) -> None:
        if bar is not None:
            bar.show(done.blobs, done.bytes)

    pace = rate(options["rate"]) if options["rate"] else None
    done = moving.move(source, target, parallel=options["parallel"], rate=pace, told=told)
    if options["remove_source"]:
        moving.remove_source(source, target, done)
    return done


def _words(done: Moved, *, dry_run: bool) -> str:
    what, blobs = "To copy" if dry_run else "Copied", "blob" if done.blobs == 1 else "blobs"
    lines = [f"{what}: {done.blobs} {blobs}, {bytes_(done.bytes)}."]
    lines += [f"DAMAGED at the source, not copied: {sha256}" for sha256 in done.damaged]
    lines += [f"LOST, not at the source: {sha256}" for sha256 in done.lost]
    if done.damaged or done.lost:
        lines.append("Run artifacts_verify: it names the versions they hit, and how they are restored.")
    if done.missing:
        lines.append(f"{done.missing} blobs came meanwhile: run it again.")
    elif not dry_run and not done.damaged and not done.lost:
        lines.append("The target has everything.")
    if done.removed:
        lines.append(f"Removed from the source: {done.removed} blobs.")
    return "\n".join(lines)
