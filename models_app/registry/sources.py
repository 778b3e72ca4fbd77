"""How the source that a client names becomes a version: its files sealed at once, its facts filled in.

runs:/<run>/<folder>                                   what a run wrote
models:/<logged model>                                 what a run logged as one model
models:/<name>/<number>                                a copy of another version
mlflow-artifacts:/<experiment>/<run>/artifacts/…       the first two, by their place here
mlflow-artifacts:/<experiment>/models/<logged model>/artifacts/…
mlflow-artifacts:/versions/<id>                        the third
s3://…, gs://…, dbfs:/…                                somewhere else: the version only points there
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from models_app.formats import licenses, mlmodel
from models_app.models import (
    LoggedModel,
    LoggedModelMetric,
    LoggedModelStatus,
    Manifest,
    ModelVersion,
    RegisteredModel,
    Run,
    RunLatestMetric,
)

from . import catalog
from .access import Actor, Right, get_version, require_on, unflat, versions_for
from .artifacts import blobs, storage, trees
from .artifacts.blobs import StoredFile
from .errors import Invalid, NotFound
from .logged_models import get_logged_model
from .metadata import MAX_ITEMS, VERSION_FIELDS, clean_tags, clean_text
from .runs import get_run
from .tags import PROMPT_TEXT

MAX_SOURCE = 2000
# Written for a person or a place, not for the content: a copy does not take them over.
_OF_ONE_VERSION = frozenset({"description", "owner", "serving_endpoint"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_LOCAL = frozenset({"file", "local"})
_LOGGED = re.compile(r"m-[0-9a-zA-Z]+")
_GREATEST = 1.79e308


@dataclass(frozen=True, slots=True)
class Origin:
    """What a source leads to. Without files and manifest it is elsewhere."""

    files: list[StoredFile] = field(default_factory=list)
    manifest: Manifest | None = None
    run: Run | None = None
    logged_model: LoggedModel | None = None
    facts: dict[str, Any] | None = None
    place: str = ""


def register_version(
    model: RegisteredModel,
    *,
    source: str,
    by: Actor,
    run_id: str = "",
    model_id: str = "",
    run_link: str = "",
    description: str = "",
    tags: Mapping[str, str] | None = None,
) -> ModelVersion:
    """Seal what a source leads to into the next version of a model. Later writes there change nothing.

    `run_id` and `model_id` are what the client says it comes from; a source within another run or logged model is
    refused. A version of a prompt is its text. Raises Invalid, NotFound, Forbidden as catalog.register_version.
    """
    require_on(by, Right.REGISTER, model)
    text = clean_text("source", source, limit=MAX_SOURCE)
    tags = clean_tags(tags or {})
    origin = _prompt(tags) if model.is_prompt else find(text, by=by, run_id=run_id, model_id=model_id)
    facts = facts_of(origin, tags) if origin.facts is None else origin.facts
    if model.owner_id is None and by.user is not None:
        facts["owner"] = by.user
    if run_id and origin.run is None:
        facts["training_run_id"] = run_id
    return catalog.register_version(
        model,
        files=origin.files,
        manifest=origin.manifest,
        logged_model=origin.logged_model,
        metadata={
            **facts,
            "run": origin.run or "",
            "source": origin.place or text,
            "run_link": run_link,
            "description": description,
            "tags": tags,
        },
        by=by,
    )


def _prompt(tags: Mapping[str, str]) -> Origin:
    text = tags.get(PROMPT_TEXT, "")
    return Origin(files=[blobs.receive("prompt.txt", [text.encode()])] if text else [])


def find(source: str, *, by: Actor, run_id: str = "", model_id: str = "") -> Origin:
    """What a source leads to. Raises Invalid("source") for a bad or empty one, NotFound for runs and models that are
    not there.
    """
    _refuse_detours(source)
    match = _SCHEME.match(source)
    scheme = match[1].lower() if match else ""
    if scheme in ("", *_LOCAL):
        raise _invalid(
            source, "A local path means nothing here; log the model to a run, or name an object store."
        )
    rest = source[len(scheme) + 1 :]
    if scheme == "runs":
        return _of_runs_uri(source, rest, by, run_id, model_id)
    if scheme == "models":
        return _of_models_uri(source, rest, by, run_id, model_id)
    if scheme == "mlflow-artifacts":
        return _of_place(source, rest, by, run_id, model_id)
    if "?" in source or "#" in source:
        raise _invalid(source, "It may have no query and no fragment.")
    return Origin(run=_run_if_known(run_id, by))


def _invalid(source: str, why: str) -> Invalid:
    return Invalid("", f"Invalid model version source: '{source[:500]}'. {why}")


def _refuse_detours(source: str) -> None:
    """Raises Invalid for `..`, backslashes and control characters, in whatever encoding."""
    text = source
    for _ in range(10):
        if (
            "\\" in text
            or any(ord(char) < 32 or ord(char) == 127 for char in text)
            or ".." in re.split(r"[/:;?#&=]", text)
        ):
            raise _invalid(source, "It must be an absolute place, without “..” in it.")
        following = unquote(text)
        if following == text:
            return
        text = following
    raise _invalid(source, "It is encoded too many times.")


def _named_otherwise(source: str, what: str) -> Invalid:
    return _invalid(source, f"The {what} request parameter must identify what contains the source.")


def _run_if_known(run_id: str, by: Actor) -> Run | None:
    try:
        return get_run(run_id, by=by) if run_id else None
    except NotFound:
        # Some run elsewhere: its id is kept as text.
        return None


# --- runs:/ and what runs wrote -----------------------------------------------------------------------------


def _of_runs_uri(source: str, rest: str, by: Actor, run_id: str, model_id: str) -> Origin:
    if rest.startswith("//"):
        raise _invalid(source, "It must be runs:/ with the run's id and a folder.")
    uid, _, folder = rest.strip("/").partition("/")
    return _of_run(source, uid, folder, by, run_id, model_id)


def _of_run(
    source: str, uid: str, folder: str, by: Actor, run_id: str, model_id: str, *, experiment: str = ""
) -> Origin:
    if run_id and run_id != uid:
        raise _named_otherwise(source, "run_id")
    run = get_run(uid, by=by)
    if experiment and experiment != str(run.experiment_id):
        raise _named_otherwise(source, "run_id")
    files = trees.files_in(run.tree, folder.strip("/"))
    if files:
        logged = get_logged_model(model_id, by=by) if model_id else None
        if logged is not None and logged.source_run_id != run.pk:
            raise _named_otherwise(source, "model_id")
        return Origin(files=files, run=run, logged_model=logged)
    # The client of today writes no files into the run, but a logged model of that name.
    models = LoggedModel.objects.filter(source_run=run, name=folder.strip("/"), deleted_at=None)
    found = models.order_by("-created_at", "-id").values_list("uid", flat=True).first()
    if found is None:
        raise _invalid(source, "There are no files; log the model first.")
    return _of_logged_model(source, found, "", by, run_id, model_id)


# --- models:/ -----------------------------------------------------------------------------------------------


def _of_models_uri(source: str, rest: str, by: Actor, run_id: str, model_id: str) -> Origin:
    if rest.startswith("//"):
        raise _invalid(source, "It must be models:/ with a logged model's id, or a name and a version.")
    parts = rest.strip("/").split("/")
    if len(parts) == 1 and _LOGGED.fullmatch(parts[0]):
        return _of_logged_model(source, parts[0], "", by, run_id, model_id)
    if len(parts) != 2 or not (parts[1].isascii() and parts[1].isdigit()):
        raise _invalid(source, "It must be models:/ with a logged model's id, or a name and a version.")
    version = get_version(unflat(unquote(parts[0])), parts[1], by=by)
    return _of_version(source, version, run_id, model_id)


def _of_logged_model(
    source: str, uid: str, folder: str, by: Actor, run_id: str, model_id: str, *, experiment: str = ""
) -> Origin:
    if model_id and model_id != uid:
        raise _named_otherwise(source, "model_id")
    logged = get_logged_model(uid, by=by)
    if experiment and experiment != str(logged.experiment_id):
        raise _named_otherwise(source, "model_id")
    run = logged.source_run
    if run_id and (run is None or run.uid != run_id):
        raise _named_otherwise(source, "run_id")
    if logged.status != LoggedModelStatus.READY:
        raise _invalid(source, f"The logged model {uid} is not ready: its files are not all there.")
    files = trees.files_in(logged.tree, folder)
    if not files:
        raise _invalid(source, "There are no files; log the model first.")
    return Origin(files=files, run=run, logged_model=logged)


def _of_version(source: str, version: ModelVersion, run_id: str, model_id: str) -> Origin:
    logged = version.logged_model
    if run_id and run_id != version.training_run_id:
        raise _named_otherwise(source, "run_id")
    if model_id and (logged is None or model_id != logged.uid):
        raise _named_otherwise(source, "model_id")
    if version.model.is_prompt:
        raise _invalid(source, "Versions of prompts are no models.")
    facts = {
        name: value
        for name in VERSION_FIELDS
        if name not in _OF_ONE_VERSION and (value := getattr(version, name))
    }
    facts["metrics"] = [
        {"name": row.name, "value": row.value, "dataset": row.dataset, "split": row.split}
        | {"higher_is_better": row.higher_is_better}
        for row in version.metrics.all()
    ]
    facts["risk_flags"] = [flag.name for flag in version.risk_flags.all()]
    return Origin(
        manifest=version.manifest,
        run=version.run,
        logged_model=logged,
        facts=facts,
        place="" if version.manifest else version.source,
    )


# --- mlflow-artifacts:/ -------------------------------------------------------------------------------------


def _of_place(source: str, rest: str, by: Actor, run_id: str, model_id: str) -> Origin:
    if rest.startswith("//"):
        # A host may stand there; these places are this server's.
        rest = rest[2:].partition("/")[2]
    match rest.strip("/").split("/"):
        case ["versions", key] if key.isascii() and key.isdigit() and len(key) < 19:
            version = versions_for(by).filter(pk=int(key)).first()
            if version is None:
                raise NotFound(f"There is no version at {source[:200]} that you may see.")
            return _of_version(source, version, run_id, model_id)
        case [experiment, "models", uid, "artifacts", *folder]:
            path = "/".join(folder)
            return _of_logged_model(source, uid, path, by, run_id, model_id, experiment=experiment)
        case [experiment, uid, "artifacts", *folder]:
            path = "/".join(folder)
            return _of_run(source, uid, path, by, run_id, model_id, experiment=experiment)
    raise _invalid(source, "There is no run, logged model or version at such a place.")


# --- facts --------------------------------------------------------------------------------------------------


def facts_of(origin: Origin, tags: Mapping[str, str]) -> dict[str, Any]:
    """What the files, the run and the logged model say of a version. A run's code and data are taken over by
    catalog.register_version.
    """
    facts = {"metrics": _metrics(origin.run, origin.logged_model), **_of_mlmodel(origin.files)}
    with suppress(ValueError):
        facts["license"] = licenses.normalise(tags.get("license", "").strip()[:200])
    return {name: value for name, value in facts.items() if value}


def _of_mlmodel(files: list[StoredFile]) -> dict[str, Any]:
    entry = next((file for file in files if file.path == mlmodel.NAME), None)
    if entry is None or entry.size > mlmodel.MAX_BYTES:
        return {}
    try:
        read = mlmodel.read(storage.read(entry.sha256, limit=mlmodel.MAX_BYTES))
    except ValueError:
        # Whatever it is, it is kept as a file; only its facts stay unknown.
        return {}
    facts: dict[str, Any] = {
        "framework": _printable(read.framework),
        "framework_version": _printable(read.framework_version),
        "signature": read.signature,
    }
    return facts


def _printable(text: str) -> str:
    return "".join(char for char in text if char.isprintable())


def _metrics(run: Run | None, logged: LoggedModel | None) -> list[dict[str, Any]]:
    """The last finite value of each metric: of the logged model by dataset, and of the run for those it lacks.

    A client that logs a model without naming a step copies what the run measured at step 0: there the run's own last
    value counts.
    """
    found: dict[tuple[str, str], float] = {}
    measured = set()
    if logged is not None:
        points = LoggedModelMetric.objects.filter(logged_model=logged, is_nan=False)
        rows = points.order_by("step", "at", "id").values_list("key", "dataset_name", "value", "step", "run")
        for key, dataset, value, step, by_run in rows:
            found[key, dataset[:250]] = value
            if dataset or step or run is None or by_run != run.pk:
                measured.add(key)
    if run is not None:
        latest = RunLatestMetric.objects.filter(run=run, is_nan=False)
        found |= {
            (key, ""): value for key, value in latest.values_list("key", "value") if key not in measured
        }
    finite = [(key, value) for key, value in sorted(found.items()) if abs(value) < _GREATEST]
    return [
        {"name": name, "dataset": dataset, "value": value} for (name, dataset), value in finite[:MAX_ITEMS]
    ]
