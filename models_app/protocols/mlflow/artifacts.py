"""Files of runs, logged models and versions: put, get, list, delete, and what browsers and other clients ask for.

Large files in parts and by signed addresses are in transfers.py.
"""

from __future__ import annotations

import mimetypes
from pathlib import PurePosixPath
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import path

from models_app.http.bodies import receive_file
from models_app.http.ranges import ANYTHING, IMAGES, send_blob
from models_app.registry import access, runs
from models_app.registry.access import Actor
from models_app.registry.artifacts import trees
from models_app.registry.artifacts.trees import Listed
from models_app.registry.errors import Invalid, NotFound
from models_app.registry.logged_models import get_logged_model

from . import locations, places, transfers
from .errors import WireError, missing
from .locations import Place
from .places import File, invalid_paths
from .wire import Nothing, by_method, bytes_call, call

# fmt: off
TEXTS = {
    "txt", "log", "err", "cfg", "conf", "cnf", "cf", "ini", "properties", "prop", "hocon", "toml", "yaml", "yml",
    "xml", "json", "js", "py", "py3", "csv", "tsv", "md", "rst", "ipynb", "MLmodel", "MLproject",
}
# fmt: on
# What a browser would run is text to it.
MARKUP = {"html", "htm", "xhtml", "svg", "mjs", "css"}


def media_type(name: str) -> str:
    """As clients of this protocol expect it, and never anything that a browser would run."""
    suffix = PurePosixPath(name).suffix
    kind = suffix[1:] or name
    if kind in TEXTS or kind.lower() in MARKUP:
        return "text/plain"
    if suffix.lower() in IMAGES:
        return IMAGES[suffix.lower()]
    guessed = mimetypes.guess_type(name)[0] or ANYTHING
    return guessed if guessed.startswith(("audio/", "video/")) or guessed == "application/pdf" else ANYTHING


def send(request: HttpRequest, file: File, *, direct: bool = False) -> HttpResponseBase:
    """A file as an answer; `direct` for who follows to an object store."""
    return send_blob(
        request,
        sha256=file.sha256,
        size=file.size,
        path=file.path,
        last_modified=file.changed_at,
        media_type=media_type(file.path.rpartition("/")[2]),
        direct=direct,
    )


# --- The files themselves -------------------------------------------------------------------------------------


@bytes_call("GET", "HEAD")
@invalid_paths()
def download(request: HttpRequest, actor: Actor, path: str) -> HttpResponseBase:
    place = places.parse(path)
    if place is None:
        raise NotFound(f"No such artifact: '{path[:200]}'")
    return send(request, places.file_at(place, by=actor), direct=True)


@bytes_call("PUT")
@invalid_paths()
def upload(request: HttpRequest, actor: Actor, path: str) -> dict[str, Any]:
    """Who may not write there learns it before the bytes are read."""
    if path.endswith("/"):
        raise WireError("Invalid path: a file's name does not end with “/”.")
    place = places.parse(path)
    holder = places.holder(place, by=actor)
    trees.require_writing(holder, by=actor)
    if place is None or not place.path:
        raise WireError("Invalid path: this is a folder.")
    trees.put(holder, [receive_file(request, path=place.path)], by=actor)
    return {}


@bytes_call("DELETE")
@invalid_paths()
def remove(request: HttpRequest, actor: Actor, path: str) -> dict[str, Any]:
    place = places.parse(path)
    holder = places.holder(place, by=actor)
    trees.remove(holder, place.path if place else "", by=actor)
    return {}


class ListFolder(msgspec.Struct):
    path: str = ""


@call(ListFolder, "GET")
@invalid_paths()
def list_folder(request: HttpRequest, actor: Actor, message: ListFolder) -> dict[str, Any]:
    """Paths are relative to the folder. Nothing there is an empty answer: clients find out so what kind a model is."""
    access.require_reading(actor)
    place = places.parse(message.path)
    return files(places.listing(place, by=actor)) if place is not None else {}


def files(listed: list[Listed], *, below: str = "") -> dict[str, Any]:
    """A listing; with `below`, paths begin with it."""
    if not listed:
        return {}
    start = f"{below}/" if below else ""
    return {
        "files": [
            {"path": start + name, "is_dir": True}
            if is_dir
            else {"path": start + name, "is_dir": False, "file_size": size}
            for name, is_dir, size in listed
        ]
    }


# --- As other clients ask: by run, by logged model, by version ----------------------------------------------------


class ListOfRun(msgspec.Struct):
    run_id: str = ""
    run_uuid: str = ""
    path: str = ""
    page_token: str = ""


class ListOfModel(msgspec.Struct):
    artifact_directory_path: str = ""
    page_token: str = ""


def _below(path: str) -> str:
    """A path within a run or model. Raises Invalid("path")."""
    return trees.clean_path(path.rstrip("/")) if path.rstrip("/") or path.startswith("/") else ""


def run_place(actor: Actor, run_id: str, path: str) -> Place:
    """A path within a run's files. Raises NotFound, Invalid("path")."""
    if not run_id:
        raise missing("run_id")
    run = runs.get_run(run_id, by=actor)
    return Place("run", run.uid, _below(path), run.experiment_id)


@call(ListOfRun, "GET")
@invalid_paths()
def list_of_run(request: HttpRequest, actor: Actor, message: ListOfRun) -> dict[str, Any]:
    """Paths are relative to the run's root."""
    place = run_place(actor, message.run_id or message.run_uuid, message.path)
    root = locations.of_run(place.experiment or 0, place.key)
    return {"root_uri": root} | files(places.listing(place, by=actor), below=place.path)


@call(ListOfModel, "GET")
@invalid_paths()
def list_of_model(request: HttpRequest, actor: Actor, message: ListOfModel, model_id: str) -> dict[str, Any]:
    """Paths are relative to the logged model's root."""
    model = get_logged_model(model_id, by=actor)
    below = _below(message.artifact_directory_path)
    root = locations.of_logged_model(model.experiment_id, model.uid)
    return {"root_uri": root} | files(trees.listing(model.tree_id, below), below=below)


class ArtifactOfRun(msgspec.Struct):
    path: str
    run_id: str = ""
    run_uuid: str = ""


class ArtifactOfVersion(msgspec.Struct):
    name: str
    version: str
    path: str


@call(ArtifactOfRun, "GET", "HEAD")
@invalid_paths()
def get_artifact(request: HttpRequest, actor: Actor, message: ArtifactOfRun) -> HttpResponseBase:
    place = run_place(actor, message.run_id or message.run_uuid, message.path)
    return send(request, places.file_at(place, by=actor))


@call(ArtifactOfVersion, "GET", "HEAD")
@invalid_paths()
def get_version_artifact(request: HttpRequest, actor: Actor, message: ArtifactOfVersion) -> HttpResponseBase:
    if not (message.version.isascii() and message.version.isdigit()):
        raise Invalid("version", "A version is a whole number.")
    found = access.get_version(access.unflat(message.name), message.version, by=actor)
    place = Place("version", str(found.pk), _below(message.path))
    return send(request, places.file_at(place, by=actor))


class PresignedUpload(msgspec.Struct):
    path: str
    run_id: str = ""
    model_id: str = ""
    expiration: int | str = ""


@call(PresignedUpload)
def presigned_upload(request: HttpRequest, actor: Actor, message: PresignedUpload) -> HttpResponse:
    """Only for runs whose files go straight to a cloud storage; here they come through the server."""
    raise WireError(
        "Presigned upload is not supported for proxied artifact storage: put the file to this server instead."
    )


class PresignedDownload(msgspec.Struct):
    run_id: str
    path: str
    expiration: int | str = ""


@call(PresignedDownload)
@invalid_paths()
def presigned_download(request: HttpRequest, actor: Actor, message: PresignedDownload) -> dict[str, Any]:
    file = places.file_at(run_place(actor, message.run_id, message.path), by=actor)
    return {
        "presigned_url": transfers.address_of(request, file),
        "headers": {},
        "file_size": file.size,
    }


@call(Nothing, "GET")
@invalid_paths()
def presigned(request: HttpRequest, actor: Actor, message: Nothing, path: str) -> dict[str, Any]:
    place = places.parse(path)
    if place is None:
        raise NotFound(f"No such artifact: '{path[:200]}'")
    file = places.file_at(place, by=actor)
    return {"url": transfers.address_of(request, file), "headers": {}, "file_size": file.size}


# Relative to /api/2.0/mlflow/ and /ajax-api/2.0/mlflow/.
routes = [
    path("artifacts/list", list_of_run),
    path("artifacts/presigned-upload-url", presigned_upload),
    path("artifacts/presigned-download-url", presigned_download),
    path("logged-models/<str:model_id>/artifacts/directories", list_of_model),
]
# Relative to /api/2.0/mlflow-artifacts/: the files themselves.
proxied = [
    path("artifacts", list_folder),
    path("artifacts/<path:path>", by_method(GET=download, HEAD=download, PUT=upload, DELETE=remove)),
    path("presigned/<path:path>", presigned),
    *transfers.proxied,
]
# At the root: what a browser opens.
direct = [
    path("get-artifact", get_artifact),
    path("model-versions/get-artifact", get_version_artifact),
]
