"""Moving in another server's registered models and prompts, version by version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models_app.models import LoggedModel, ManifestEntry, ModelVersion, RegisteredModel, Run, Team
from models_app.registry import moving_in_models, names
from models_app.registry.access import unflat
from models_app.registry.artifacts import blobs, trees
from models_app.registry.artifacts.blobs import StoredFile
from models_app.registry.errors import Invalid, RegistryError
from models_app.registry.moving_in import Outcome
from models_app.registry.moving_in_models import ModelFacts, VersionFacts
from models_app.registry.tags import PROMPT_TEXT, mark_prompt

from .importer_files import Job, by_path
from .importer_source import Remote, Row, SourceError, SourceGone, place
from .importer_tracking import moment, pairs
from .locations import SCHEME, place_of
from .registry_rows import stage_of


def name_here(name: str, job: Job) -> tuple[str, Team | None]:
    """What a model of the source is called here, and whose it is. Raises Invalid("name")."""
    exact = unflat(name)
    if "/" not in exact and job.options.prefix is not None:
        exact = f"{job.options.prefix.slug}/{exact}"
    names.check_model_name(exact)
    namespace, _ = names.split_name(exact)
    if not namespace:
        return exact, job.options.team
    return exact, Team.objects.filter(slug=namespace).first()


def logged_model_in(source: str, uri: str = "") -> str:
    """The uid of the logged model that a version was made of, if its source or location says so."""
    if source.startswith("models:/m-"):
        return source.removeprefix("models:/").strip("/").partition("/")[0]
    found = place_of(place(uri)) if uri.startswith(SCHEME) else None
    return found.key if found is not None and found.kind == "logged model" else ""


class Models:
    """Moves in models; `highest` says of some which number their versions went up to."""

    def __init__(self, job: Job, highest: dict[str, int]) -> None:
        self.job = job
        self._highest = highest

    def model(self, row: Row, versions: Sequence[Row] | None = None) -> None:
        """Move in a model with its versions, then its aliases."""
        name = str(row.get("name") or "")
        with self.job.report.guard("model", name):
            self._model(name, row, versions)

    def _model(self, name: str, row: Row, versions: Sequence[Row] | None) -> None:
        job, report = self.job, self.job.report
        exact, team = name_here(name, job)
        facts = ModelFacts(
            name=exact,
            created_at=moment(row.get("creation_timestamp")),
            updated_at=moment(row.get("last_updated_timestamp")),
            description=str(row.get("description") or ""),
            tags=pairs(row.get("tags")),
        )
        found = job.source.versions(name) if versions is None else versions
        if job.options.dry_run:
            self._plan(name, facts, found)
            return
        if team is None:
            raise Invalid("team", "no team owns plain names: say --team or --prefix")
        model, outcome = moving_in_models.model(facts, team=team, by=job.by, origin=job.origin)
        report.count("models", outcome)
        for version in found:
            with report.guard("version", f"{name}/{version.get('version')}"):
                self._version(name, model, version)
            job.said("")
        aliases = {str(item["alias"]): int(item["version"]) for item in row.get("aliases") or []}
        highest = max([self._highest.get(name, 0), *(int(version["version"]) for version in found)])
        pointed, refused = moving_in_models.settle(
            model, aliases=aliases, highest=highest, updated_at=facts.updated_at, by=job.by
        )
        report.counts["aliases"]["set"] += pointed
        for why in refused:
            report.problem("alias", name, why)

    def _plan(self, name: str, facts: ModelFacts, versions: Sequence[Row]) -> None:
        report = self.job.report
        model = moving_in_models.find(facts.name, created_at=facts.created_at)
        report.count("models", Outcome.SAME if model else Outcome.NEW)
        for row in versions:
            subject = f"{name}/{row.get('version')}"
            with report.guard("version", subject):
                made = moment(row.get("creation_timestamp"))
                known = (
                    moving_in_models.find_version(model, int(row["version"]), created_at=made)
                    if model
                    else None
                )
                report.count("versions", Outcome.SAME if known else Outcome.NEW)
                if (known is None or known.manifest is None) and not mark_prompt(facts.tags):
                    uri, remotes = self._there(name, row)
                    found = place_of(place(uri)) if uri.startswith(SCHEME) else None
                    if found is None or found.kind == "version":
                        # What is in a run or logged model comes with it.
                        self.job.plan(remotes, {})

    def _there(self, name: str, row: Row) -> tuple[str, list[Remote]]:
        """Where a version's files are, and which. Raises NoFiles, SourceError."""
        number, source = str(row["version"]), str(row.get("source") or "")
        uri = self.job.source.location(name, number)
        run_id = str(row.get("run_id") or "")
        return uri, self.job.source.files_of_version(name, number, uri, run_id=run_id, source=source)

    def _version(self, name: str, model: RegisteredModel, row: Row) -> None:
        job, report = self.job, self.job.report
        facts, subject = self._facts(row), f"{name}/{row['version']}"
        known = moving_in_models.find_version(model, facts.number, created_at=facts.created_at)
        sealed = known is not None and known.manifest is not None
        lacks = ""
        if model.is_prompt:
            text = facts.tags.get(PROMPT_TEXT, "")
            if text and not sealed:
                facts = replace(facts, files=[blobs.receive("prompt.txt", [text.encode("utf-8", "replace")])])
        else:
            try:
                uri, remotes = self._there(name, row)
                facts = replace(facts, logged_model=facts.logged_model or _logged(logged_model_in("", uri)))
                if known is not None and sealed:
                    self._compare(subject, known, remotes)
                else:
                    facts, lacks = self._with_files(subject, facts, uri, remotes)
            except SourceGone:
                raise
            except SourceError as error:
                lacks = "" if sealed else str(error)
        try:
            _, outcome = moving_in_models.version(model, facts, by=job.by, origin=job.origin)
        except RegistryError as error:
            if not facts.files:
                raise
            # Its listing cannot be sealed; the rest of it can be kept.
            lacks = error.why
            facts = replace(facts, files=None)
            _, outcome = moving_in_models.version(model, facts, by=job.by, origin=job.origin)
        report.count("versions", outcome)
        if lacks:
            report.problem("version", subject, f"only points to its source, without files: {lacks}")
        status = str(row.get("status") or "READY")
        if status != "READY":
            report.leave_out("version", subject, f"its status was {status}; here a version has none")

    def _facts(self, row: Row) -> VersionFacts:
        run_id, source = str(row.get("run_id") or ""), str(row.get("source") or "")
        return VersionFacts(
            number=int(row["version"]),
            created_at=moment(row.get("creation_timestamp")),
            updated_at=moment(row.get("last_updated_timestamp")),
            stage=stage_of(str(row.get("current_stage") or "None")),
            source=source,
            description=str(row.get("description") or ""),
            run_id=run_id,
            run_link=str(row.get("run_link") or ""),
            tags=pairs(row.get("tags")),
            run=Run.objects.filter(uid=run_id).first() if run_id else None,
            logged_model=_logged(str(row.get("model_id") or "") or logged_model_in(source)),
        )

    def _with_files(
        self, subject: str, facts: VersionFacts, uri: str, remotes: Sequence[Remote]
    ) -> tuple[VersionFacts, str]:
        """The facts with files, from here where run or logged model brought them; or why there are none."""
        copied = self.job.copy("version", subject, remotes, have=_brought(facts, uri))
        if not copied.complete:
            return facts, "not all of its files could be had"
        return replace(facts, files=copied.files), ""

    def _compare(self, subject: str, known: ModelVersion, remotes: Sequence[Remote]) -> None:
        """Whether a sealed version still is what the source has: by paths and sizes, or by every byte."""
        rows = ManifestEntry.objects.filter(manifest=known.manifest).values_list("path", "blob_id", "size")
        have = by_path(StoredFile(*row) for row in rows)
        if len(have) != len(remotes) or any(
            (there := have.get(file.path)) is None or file.size not in (None, there.size) for file in remotes
        ):
            self.job.report.problem(
                "version", subject, "is sealed here with other files than the source has now"
            )
        elif self.job.options.verify:
            self.job.copy("version", subject, remotes, have=have)


def _logged(uid: str) -> LoggedModel | None:
    return LoggedModel.objects.filter(uid=uid, deleted_at=None).first() if uid else None


def _brought(facts: VersionFacts, uri: str) -> dict[str, StoredFile]:
    """The files at a location that came with a run or a logged model already."""
    found = place_of(place(uri)) if uri.startswith(SCHEME) else None
    if found is None:
        holder: Run | LoggedModel | None = facts.logged_model
        folder = ""
    elif found.kind == "run":
        holder, folder = Run.objects.filter(uid=found.key).first(), found.path
    elif found.kind == "logged model":
        holder, folder = _logged(found.key), found.path
    else:
        return {}
    return by_path(trees.files_in(holder.tree_id, folder)) if holder is not None else {}
