"""Move in what another MLflow server keeps."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from models_app.models import Team
from models_app.protocols.mlflow.importer import Importer
from models_app.protocols.mlflow.importer_files import Options, Report
from models_app.protocols.mlflow.importer_source import Source, SourceError
from models_app.registry.access import Actor

BAR = 24


class Command(BaseCommand):
    help = "Copy another MLflow server's experiments, runs, models and files. May be ended and begun again at any time."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--from", dest="uri", required=True, metavar="URI", help="As in MLFLOW_TRACKING_URI."
        )
        parser.add_argument("--team", help="Who owns models with plain names.")
        parser.add_argument("--prefix", metavar="TEAM", help="Call them TEAM/name instead.")
        parser.add_argument("--with-deleted", action="store_true", help="Deleted experiments and runs too.")
        parser.add_argument(
            "--only-models", nargs="+", default=[], metavar="NAME", help="With the runs they are of."
        )
        parser.add_argument(
            "--verify", action="store_true", help="Fetch every file again and compare its SHA-256."
        )
        parser.add_argument("--dry-run", action="store_true", help="Say what would be copied.")
        parser.add_argument("--jobs", type=int, default=4, help="Files fetched at a time.")
        parser.add_argument("--report", type=Path, metavar="FILE", help="Where to write the report as JSON.")
        parser.add_argument("--token-file", type=Path, metavar="FILE", help="Holds a token of the source.")

    def handle(self, *args: Any, uri: str, **options: Any) -> None:
        if not 1 <= options["jobs"] <= 64:
            raise CommandError("--jobs: 1 to 64.")
        chosen = self._options(options)
        try:
            token = options["token_file"].read_text().strip() if options["token_file"] else ""
            source = self.source(uri, token)
        except (OSError, SourceError) as error:
            raise CommandError(str(error)) from error
        self._began = self._shown = time.monotonic()
        importer = Importer(source, by=Actor.system(door="shell"), options=chosen, progress=self._progress)
        try:
            report = importer.run()
        finally:
            source.close()
        self._end_bar()
        if options["report"]:
            options["report"].write_text(json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n")
        self._print(report, dry_run=chosen.dry_run)
        if not report.ok:
            sys.exit(1)

    def source(self, uri: str, token: str) -> Source:
        """The server to copy from. A token that is given counts; otherwise what MLflow's own clients would use."""
        if token:
            return Source(uri, token=token)
        return Source(
            uri,
            token=settings.MLFLOW_SOURCE_TOKEN,
            user=settings.MLFLOW_SOURCE_USERNAME,
            password=settings.MLFLOW_SOURCE_PASSWORD,
        )

    def _options(self, options: dict[str, Any]) -> Options:
        team = self._team(options["team"])
        if team is None and not options["prefix"]:
            teams = list(Team.objects.all()[:2])
            if len(teams) != 1:
                raise CommandError("Say --team or --prefix: somebody has to own models with plain names.")
            team = teams[0]
        return Options(
            team=team,
            prefix=self._team(options["prefix"]),
            with_deleted=options["with_deleted"],
            verify=options["verify"],
            dry_run=options["dry_run"],
            only_models=options["only_models"],
            jobs=options["jobs"],
        )

    def _team(self, slug: str | None) -> Team | None:
        if not slug:
            return None
        team = Team.objects.filter(slug=slug).first()
        if team is None:
            raise CommandError(f"There is no team “{slug}”.")
        return team

    # --- what is seen ---------------------------------------------------------------------------------------

    def _progress(self, report: Report, done: int, total: int, line: str) -> None:
        """A bar on a terminal; elsewhere a line for each experiment and model."""
        now = time.monotonic()
        if not self.stderr.isatty():
            if line:
                self.stderr.write(f"{done}/{total} {line}")
            return
        if now - self._shown < 0.1 and done < total:
            return
        self._shown = now
        filled = BAR * done // max(total, 1)
        runs, versions = (sum(report.counts[kind].values()) for kind in ("runs", "versions"))
        speed = size(report.bytes / max(now - self._began, 0.1))
        self.stderr.write(
            f"\r\033[K[{'#' * filled}{'.' * (BAR - filled)}] {done}/{total}  {runs} runs, {versions} versions, "
            f"{report.files} files, {size(report.bytes)} ({speed}/s)",
            ending="",
        )
        self.stderr.flush()

    def _end_bar(self) -> None:
        if self.stderr.isatty():
            self.stderr.write("")

    def _print(self, report: Report, *, dry_run: bool) -> None:
        out = self.stdout.write
        out(f"{'Would copy' if dry_run else 'Copied'} from {report.origin}")
        for kind, counter in report.counts.items():
            out(
                f"  {kind:<14} "
                + ", ".join(f"{number} {outcome}" for outcome, number in sorted(counter.items()))
            )
        checked = f", {report.verified} verified" if report.verified else ""
        out(f"  {'files':<14} {report.files} fetched, {size(report.bytes)}{checked}")
        for title, rows in (("Left out", report.left_out), ("Could not be copied", report.problems)):
            if rows:
                out(f"{title}: {len(rows)}")
                for row in rows:
                    out(f"  {row['kind']} {row['subject']}: {row['why']}")
        if report.interrupted:
            out(f"Ended early: {report.interrupted}")


def size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
