"""What stands behind a location: files to list and read for who may see them, and the run or model to write to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from models_app.models import ManifestEntry
from models_app.registry import runs
from models_app.registry.access import Actor, versions_for
from models_app.registry.artifacts import manifests, trees
from models_app.registry.artifacts.blobs import StoredFile
from models_app.registry.artifacts.trees import Listed
from models_app.registry.errors import Forbidden, Invalid, NotFound
from models_app.registry.logged_models import logged_models_for

from .errors import WireError
from .locations import Place, place_of


class File(NamedTuple):
    """A file that can be sent."""

    path: str
    sha256: str
    size: int
    changed_at: datetime


@contextmanager
def invalid_paths() -> Iterator[None]:
    """A path that no tree takes is told in the words of the protocol; also a decorator."""
    try:
        yield
    except Invalid as error:
        problem = error.problems[0]
        if problem.field == "path":
            raise WireError(f"Invalid path: {problem.message}") from error
        raise


def parse(path: str) -> Place | None:
    """What a path of a request names; None when nothing can be there. Raises Invalid("path") for a hostile one."""
    whole = path.rstrip("/") if not path.startswith("/") else path
    return place_of(trees.clean_path(whole)) if whole else None


def listing(place: Place, *, by: Actor) -> list[Listed]:
    """One level of a place. Raises NotFound for a place that is not there or not for this actor."""
    if place.kind == "version":
        manifest, _ = _version(place, by)
        start = f"{place.path}/" if place.path else ""
        rows = ManifestEntry.objects.filter(manifest=manifest, path__startswith=start).order_by()
        return trees.one_level(
            StoredFile(path[len(start) :], sha256, size)
            for path, sha256, size in rows.values_list("path", "blob_id", "size")
        )
    return trees.listing(_tree(place, by), place.path)


def file_at(place: Place, *, by: Actor) -> File:
    """The file at a place. Raises NotFound when there is none, also for a folder."""
    found: File | None = None
    if place.kind == "version":
        manifest, created = _version(place, by)
        entry = manifests.entry(manifest, place.path)
        if entry is not None:
            found = File(entry.path, entry.blob_id, entry.size, created)
    elif row := trees.entry(_tree(place, by), place.path):
        found = File(row.path, row.blob_id, row.blob.size, row.changed_at)
    if found is None:
        raise NotFound(
            f"No such artifact: '{place.path[:200]}'", next_step="List the folder to see what is there."
        )
    return found


def _tree(place: Place, by: Actor) -> int | None:
    """The tree of a run or logged model; None before its first file."""
    rows: Any = runs.runs_for(by) if place.kind == "run" else logged_models_for(by)
    found = list(
        rows.filter(uid=place.key, experiment=place.experiment)
        .order_by()
        .values_list("tree_id", flat=True)[:1]
    )
    if not found:
        raise NotFound(f"There is no {place.kind} {place.key} in experiment {place.experiment}.")
    return found[0]


def _version(place: Place, by: Actor) -> tuple[int, datetime]:
    found = versions_for(by).filter(pk=int(place.key)).values_list("manifest_id", "created_at").first()
    if found is None or found[0] is None:
        raise NotFound(f"There is no version {place.key} with files.")
    return found


def holder(place: Place | None, *, by: Actor) -> trees.Holder:
    """The run or logged model that takes files there. Raises NotFound, Forbidden for a sealed version."""
    if place is None:
        raise WireError(
            "Invalid path: files are kept in <experiment>/<run>/artifacts/ and <experiment>/models/<model>/artifacts/."
        )
    if place.kind == "version":
        raise Forbidden(
            "A registered version is sealed: its files never change.", next_step="Register another version."
        )
    if any("#" in form for form in (place.path, *trees.decoded(place.path))):
        # Clients decode what is listed, and one such name makes them refuse the whole folder.
        raise WireError("Invalid path: no “#” in a path, nor what decodes to it.")
    rows: Any = runs.runs_for(by) if place.kind == "run" else logged_models_for(by)
    # Only what writing asks for: this stands before every file that comes.
    columns = ("uid", "deleted_at", "tree", "experiment__deleted_at", "experiment__team__slug")
    found: trees.Holder | None = (
        rows.select_related(None)
        .select_related("experiment__team")
        .only(*columns)
        .filter(uid=place.key, experiment=place.experiment)
        .first()
    )
    if found is None:
        raise NotFound(f"There is no {place.kind} {place.key} in experiment {place.experiment}.")
    return found
