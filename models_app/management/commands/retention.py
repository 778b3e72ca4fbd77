"""Archive and delete what no retention policy keeps, now instead of by the clock; or tell what that would be."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.registry import people, retention_work
from models_app.registry.access import Actor
from models_app.registry.errors import NotFound
from models_app.registry.retention_plan import Plan, plan
from models_app.registry.retention_work import Done
from models_app.templatetags.modelry import bytes_


class Command(BaseCommand):
    help = "Mark versions that no retention policy keeps, and archive or delete those that were marked long enough."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Only tell which would go, and why.")
        parser.add_argument("--team", default="", help="With --dry-run: only models of this team, by slug.")
        parser.add_argument("--limit", type=int, default=100, help="With --dry-run: list so many at most.")
        parser.add_argument("--wait-days", type=float, help="Instead of MODELRY_RETENTION_WAIT_DAYS.")
        parser.add_argument("--json", action="store_true", dest="as_json", help="Answer in JSON.")

    def handle(
        self,
        *args: Any,
        dry_run: bool,
        team: str,
        limit: int,
        wait_days: float | None,
        as_json: bool,
        **options: Any,
    ) -> None:
        if dry_run:
            found = self._plan(team, limit)
            self.stdout.write(json.dumps(found.facts()) if as_json else _planned(found))
            return
        if team:
            raise CommandError("--team goes with --dry-run.")
        if wait_days is not None and wait_days < 0:
            raise CommandError("--wait-days is 0 or more.")
        done = retention_work.run(wait=None if wait_days is None else timedelta(days=wait_days))
        self.stdout.write(json.dumps(done.facts()) if as_json else _done(done))

    def _plan(self, team: str, limit: int) -> Plan:
        by = Actor.system(door="shell")
        try:
            return plan(by=by, team=people.get_team(team, by=by) if team else None, limit=max(limit, 0))
        except NotFound as error:
            raise CommandError(error.why) from error


def _planned(found: Plan) -> str:
    lines = [
        f"Would be deleted: {_versions(found.deleted)}, which makes {'at least ' if found.at_least else ''}"
        f"{bytes_(found.freed.bytes)} free",
        f"Would be archived: {_versions(found.archived)}",
    ]
    if found.cold_class:
        lines.append(f"Would be in {found.cold_class}: {_versions(found.cold)}")
    for going in found.items:
        due = f"{going.due_at:%Y-%m-%d %H:%M} UTC" if going.due_at else "not marked yet"
        lines.append(f"  {going.version}  {going.then}, {due}. {going.why}")
    if more := found.deleted + found.archived - len(found.items):
        lines.append(f"  and {more} more")
    return "\n".join(lines)


def _versions(count: int) -> str:
    return f"{count} version{'' if count == 1 else 's'}"


def _done(done: Done) -> str:
    return "\n".join(f"{name.capitalize()}: {count}" for name, count in done.facts().items())
