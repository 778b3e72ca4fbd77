"""Moving in: another MLflow server's experiments, runs, logged models and registered models, over its REST calls.

Everything keeps its id, number, stage and time. Each thing is written in a transaction of its own and looked for before
it is written, so that a move can be ended at any point and begun again.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from models_app.registry.access import Actor
from models_app.registry.moving_in import require_mover

from .importer_files import Job, Options, Report
from .importer_models import Models, logged_model_in
from .importer_source import Row, Source, SourceError, SourceGone
from .importer_tracking import Tracking

# Told after every step: what is done by then, how many steps are done, of how many; and a line worth reading, or "".
Progress = Callable[[Report, int, int, str], None]


class Importer:
    """One move. `report` is whole also when it ends early."""

    def __init__(self, source: Source, *, by: Actor, options: Options, progress: Progress) -> None:
        require_mover(by)
        self.report = Report(source.origin)
        self._progress = progress
        self._done, self._total = 0, 1
        self._pool = ThreadPoolExecutor(options.jobs, thread_name_prefix="moving-in")
        self._job = Job(source, by, options, self.report, self._say, self._pool)
        self._tracking = Tracking(self._job)
        self._models = Models(self._job, self._tracking.highest)

    def run(self) -> Report:
        """Move everything that was asked for. What cannot be moved is in the report; raises nothing of the source's."""
        try:
            if self._job.options.only_models:
                self._only(list(dict.fromkeys(self._job.options.only_models)))
            else:
                self._everything()
        except SourceError as error:
            self.report.interrupted = str(error)
        except KeyboardInterrupt:
            self.report.interrupted = "stopped by hand; begin again to go on"
        finally:
            self._pool.shutdown(cancel_futures=True)
        return self.report

    def _say(self, line: str) -> None:
        self._progress(self.report, self._done, self._total, line)

    def _step(self, line: str = "") -> None:
        self._done += 1
        self._say(line)

    def _everything(self) -> None:
        source, options, tracking = self._job.source, self._job.options, self._tracking
        experiments = list(source.experiments(deleted=options.with_deleted))
        models = list(source.models())
        self._total = 2 * len(experiments) + len(models)
        self._say(f"{len(experiments)} experiments and {len(models)} registered models")
        for row in experiments:
            tracking.experiment(row)
            tracking.runs(str(row.get("experiment_id")))
            self._step(f"runs of “{row.get('name')}”")
        for row in experiments:
            tracking.logged_models(str(row.get("experiment_id")))
            self._step()
        if not options.dry_run:
            tracking.finish()
        for row in models:
            self._models.model(row)
            self._step(f"model “{row.get('name')}”")

    # --- some models only -----------------------------------------------------------------------------------

    def _only(self, wanted: list[str]) -> None:
        found = {str(row.get("name")): row for row in self._job.source.models() if row.get("name") in wanted}
        self._total = len(wanted)
        for name in wanted:
            if name not in found:
                self.report.problem("model", name, "the source has no model of this name")
            else:
                versions = self._job.source.versions(name)
                for row in versions:
                    with self.report.guard("version", f"{name}/{row.get('version')}"):
                        self._origin_of(name, row)
                self._tracking.finish()
                self._models.model(found[name], versions)
            self._step(f"model “{name}”")

    def _origin_of(self, name: str, row: Row) -> None:
        """Move in the run and the logged model that a version came from."""
        source, number = self._job.source, str(row["version"])
        run_id = str(row.get("run_id") or "")
        try:
            uri = source.location(name, number)
        except SourceGone:
            raise
        except SourceError:
            uri = ""
        logged_id = logged_model_in(str(row.get("source") or ""), uri)
        if run_id:
            self._run(run_id)
        if logged_id:
            with self.report.guard("logged model", logged_id):
                logged = source.logged_model(logged_id)
                made_by = str(logged["info"].get("source_run_id") or "")
                if made_by and made_by != run_id:
                    self._run(made_by)
                if self._experiment(str(logged["info"]["experiment_id"])):
                    self._tracking.logged_model(logged)

    def _run(self, run_id: str) -> None:
        with self.report.guard("run", run_id):
            row = self._job.source.run(run_id)
            if row["info"].get("lifecycle_stage") == "deleted" and not self._job.options.with_deleted:
                self.report.leave_out("run", run_id, "it is deleted; --with-deleted brings it")
            elif self._experiment(str(row["info"]["experiment_id"])):
                self._tracking.run(row)

    def _experiment(self, experiment_id: str) -> bool:
        """Whether what is in that experiment may come."""
        if experiment_id in self._tracking.experiments:
            return True
        row = self._job.source.experiment(experiment_id)
        if row.get("lifecycle_stage") == "deleted" and not self._job.options.with_deleted:
            self.report.leave_out(
                "experiment", str(row.get("name")), "it is deleted; --with-deleted brings it"
            )
            return False
        self._tracking.experiment(row)
        return self._job.options.dry_run or experiment_id in self._tracking.experiments
