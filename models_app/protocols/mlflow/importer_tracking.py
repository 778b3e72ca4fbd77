"""Moving in what another server tracked: experiments, runs with their files, logged models with theirs."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from models_app.models import Experiment, LoggedModel, Run, RunStatus
from models_app.registry import datasets, moving_in
from models_app.registry.artifacts import trees
from models_app.registry.artifacts.blobs import StoredFile
from models_app.registry.moving_in import LoggedFacts, Outcome, RunFacts, storable
from models_app.registry.run_metrics import Point

from .importer_files import Job, by_path
from .importer_source import Remote, Row
from .wire import EPOCH

CONTEXT = "mlflow.data.context"
VERSIONS_TAG = "mlflow.modelVersions"
# Points that are written together; a metric's are always.
MANY_POINTS = 50_000
_LATEST = 253_402_300_799_000
_OVER = (RunStatus.FINISHED, RunStatus.FAILED, RunStatus.KILLED)


def moment(milliseconds: Any) -> datetime:
    """A time as the source writes it; one that no calendar has is the nearest."""
    return EPOCH + timedelta(milliseconds=min(max(int(milliseconds or 0), 0), _LATEST))


def pairs(rows: Any) -> dict[str, str]:
    """Key and value rows; no value is an empty one."""
    return {str(row["key"]): str(row.get("value") or "") for row in rows or []}


def points_of(rows: Any) -> list[Point]:
    return [
        Point(
            storable(str(row["key"]), 250),
            float(row.get("value") or 0),
            moment(row.get("timestamp")),
            int(row.get("step") or 0),
            dataset_name=str(row.get("dataset_name") or ""),
            dataset_digest=str(row.get("dataset_digest") or ""),
        )
        for row in rows or []
    ]


class Tracking:
    """Remembers which experiment of the source is which one here."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.experiments: dict[str, Experiment] = {}
        self._to_put_away: dict[int, tuple[Experiment, datetime]] = {}
        self._links: dict[str, tuple[list[str], dict[str, int]]] = {}
        # The highest number that a model's versions ever had, as far as logged models tell.
        self.highest: defaultdict[str, int] = defaultdict(int)

    def experiment(self, row: Row) -> None:
        """Move in an experiment, without what is in it."""
        job, name = self.job, str(row.get("name") or "")
        with job.report.guard("experiment", name):
            deleted = row.get("lifecycle_stage") == "deleted"
            known = Experiment.objects.filter(name=name).first()
            if job.options.dry_run:
                job.report.count("experiments", Outcome.SAME if known else Outcome.NEW)
                return
            created_at = moment(row.get("creation_time"))
            if deleted and known and known.deleted_at is not None:
                # It was moved in before, and nothing can have come to it since.
                job.report.count("experiments", Outcome.SAME)
                return
            made, outcome = moving_in.experiment(
                name,
                by=job.by,
                origin=job.origin,
                created_at=created_at,
                updated_at=moment(row.get("last_update_time") or row.get("creation_time")),
                tags=pairs(row.get("tags")),
            )
            self.experiments[str(row["experiment_id"])] = made
            if deleted and made.created_at == created_at:
                self._to_put_away[made.pk] = (made, moment(row.get("last_update_time")))
            job.report.count("experiments", outcome)

    def finish(self) -> None:
        """When all runs and logged models are there: what read and wrote what, and which experiments were deleted."""
        job = self.job
        for uid, (read, wrote) in self._links.items():
            with job.report.guard("run", uid):
                for absent in moving_in.link(uid, read=read, wrote=wrote, by=job.by):
                    job.report.leave_out("run", uid, f"its logged model {absent} is not here")
        self._links.clear()
        for experiment, at in self._to_put_away.values():
            with job.report.guard("experiment", experiment.name):
                moving_in.put_away_experiment(experiment, at=at, by=job.by)

    # --- runs -----------------------------------------------------------------------------------------------

    def runs(self, experiment_id: str) -> None:
        """Move in the runs of an experiment that is here."""
        job = self.job
        if experiment_id not in self.experiments and not job.options.dry_run:
            return
        with job.report.guard("experiment", experiment_id):
            for row in job.source.runs(experiment_id, deleted=job.options.with_deleted):
                self.run(row)
                job.said("")

    def run(self, row: Row) -> None:
        """Move in one run."""
        info = row.get("info") or {}
        uid = str(info.get("run_id") or info.get("run_uuid"))
        with self.job.report.guard("run", uid):
            self._run(uid, row, info, row.get("data") or {})

    def _run(self, uid: str, row: Row, info: Row, data: Row) -> None:
        job = self.job
        if job.options.dry_run:
            known = Run.objects.filter(uid=uid).first()
            job.report.count("runs", Outcome.SAME if known else Outcome.NEW)
            if known is None or known.deleted_at is None:
                remotes = job.source.files_of_run(uid, str(info.get("artifact_uri") or ""))
                job.plan(remotes, by_path(trees.files_in(known.tree_id)) if known else {})
            return
        facts = _run_facts(uid, row, info, data)
        latest = points_of(data.get("metrics"))
        full = job.options.verify or facts.status not in _OVER
        keys = [point.key for point in latest] if full else moving_in.lacking(uid, latest)
        batches = self._histories(uid, keys)
        experiment = self.experiments[str(info["experiment_id"])]
        made, outcome = moving_in.run(
            facts, experiment=experiment, points=next(batches), by=job.by, origin=job.origin
        )
        job.report.count("runs", outcome)
        if made.deleted_at is not None:
            return
        for batch in batches:
            moving_in.points(made, batch, by=job.by)
        self._note_links(uid, row)
        with job.report.guard("files", f"run {uid}"):
            remotes = job.source.files_of_run(uid, str(info.get("artifact_uri") or ""))
            self._copy_into("run", made, remotes)
        if info.get("lifecycle_stage") == "deleted" and experiment.pk not in self._to_put_away:
            moving_in.put_away_run(made, by=job.by)

    def _histories(self, uid: str, keys: Sequence[str]) -> Iterator[list[Point]]:
        """The points of these metrics, in one piece or more; at least one."""
        batch: list[Point] = []
        for rows in self.job.pool.map(lambda key: self.job.source.history(uid, key), keys):
            batch += points_of(rows)
            if len(batch) >= MANY_POINTS:
                yield batch
                batch = []
        yield batch

    def _note_links(self, uid: str, row: Row) -> None:
        read = [str(item["model_id"]) for item in (row.get("inputs") or {}).get("model_inputs") or []]
        outputs = (row.get("outputs") or {}).get("model_outputs") or []
        wrote = {str(item["model_id"]): int(item.get("step") or 0) for item in outputs}
        if read or wrote:
            self._links[uid] = (read, wrote)

    def _copy_into(self, kind: str, holder: Run | LoggedModel, remotes: Sequence[Remote]) -> bool:
        def keep(files: list[StoredFile]) -> None:
            trees.put(holder, files, by=self.job.by)

        have = by_path(trees.files_in(holder.tree_id))
        return self.job.copy(kind, holder.uid, remotes, have=have, keep=keep).complete

    # --- logged models --------------------------------------------------------------------------------------

    def logged_models(self, experiment_id: str) -> None:
        """Move in the logged models of an experiment that is here."""
        job = self.job
        if experiment_id not in self.experiments and not job.options.dry_run:
            return
        with job.report.guard("experiment", experiment_id):
            for row in job.source.logged_models(experiment_id):
                self.logged_model(row)
                job.said("")

    def logged_model(self, row: Row) -> None:
        """Move in one logged model."""
        info = row.get("info") or {}
        uid = str(info.get("model_id"))
        with self.job.report.guard("logged model", uid):
            self._logged_model(uid, info, row.get("data") or {})

    def _logged_model(self, uid: str, info: Row, data: Row) -> None:
        job, uri = self.job, str(info.get("artifact_uri") or "")
        if job.options.dry_run:
            known = LoggedModel.objects.filter(uid=uid).first()
            job.report.count("logged models", Outcome.SAME if known else Outcome.NEW)
            remotes = job.source.files_of_logged_model(uid, uri)
            job.plan(remotes, by_path(trees.files_in(known.tree_id)) if known else {})
            return
        facts = _logged_facts(uid, info, data)
        self._note_numbers(facts.tags)
        experiment = self.experiments[str(info["experiment_id"])]
        made, outcome = moving_in.logged_model(facts, experiment=experiment, by=job.by, origin=job.origin)
        job.report.count("logged models", outcome)
        if made is None:
            return
        measured: defaultdict[str, list[Point]] = defaultdict(list)
        for line, point in zip(data.get("metrics") or [], points_of(data.get("metrics")), strict=True):
            measured[str(line.get("run_id") or facts.source_run)].append(point)
        for absent in moving_in.logged_model_points(made, measured, by=job.by):
            job.report.leave_out("logged model", uid, f"measured by the run {absent}, which is not here")
        complete = False
        with job.report.guard("files", f"logged model {uid}"):
            complete = self._copy_into("logged model", made, job.source.files_of_logged_model(uid, uri))
        moving_in.finish_logged_model(made, facts, complete=complete, by=job.by)

    def _note_numbers(self, tags: Mapping[str, str]) -> None:
        """A logged model is marked with the versions made of it, also with those that are deleted now."""
        try:
            for row in json.loads(tags.get(VERSIONS_TAG) or "[]"):
                name = str(row["name"])
                self.highest[name] = max(self.highest[name], int(row["version"]))
        except (ValueError, TypeError, KeyError):
            return


def _run_facts(uid: str, row: Row, info: Row, data: Row) -> RunFacts:
    status = str(info.get("status") or "RUNNING").lower()
    tags = pairs(data.get("tags"))
    return RunFacts(
        uid=uid,
        name=str(info.get("run_name") or tags.get("mlflow.runName") or ""),
        status=status,
        started_at=moment(info.get("start_time")),
        ended_at=moment(info["end_time"]) if info.get("end_time") else None,
        user_name=str(info.get("user_id") or ""),
        params=pairs(data.get("params")),
        tags=tags,
        reads=[
            read for item in (row.get("inputs") or {}).get("dataset_inputs") or [] if (read := _read(item))
        ],
    )


def _read(item: Row) -> datasets.Read | None:
    """A dataset that a run read; None for one without name or digest, which nobody could recognise."""
    what, tags = item.get("dataset") or {}, moving_in.storable_pairs(pairs(item.get("tags")))
    text = {
        key: storable(str(what.get(key) or ""))
        for key in ("name", "digest", "source_type", "source", "schema", "profile")
    }
    context = tags.get(CONTEXT, "")
    if len(context) <= datasets.MAX_CONTEXT:
        tags.pop(CONTEXT, None)
    return datasets.Read(**text, context=context, tags=tags) if text["name"] and text["digest"] else None


def _logged_facts(uid: str, info: Row, data: Row) -> LoggedFacts:
    status = str(info.get("status") or "").removeprefix("LOGGED_MODEL_").lower()
    return LoggedFacts(
        uid=uid,
        name=str(info.get("name") or uid),
        status="failed" if status == "upload_failed" else status,
        created_at=moment(info.get("creation_timestamp_ms")),
        updated_at=moment(info.get("last_updated_timestamp_ms")),
        model_type=str(info.get("model_type") or ""),
        status_message=str(info.get("status_message") or ""),
        source_run=str(info.get("source_run_id") or ""),
        params=pairs(data.get("params")),
        tags=pairs(info.get("tags")),
    )
