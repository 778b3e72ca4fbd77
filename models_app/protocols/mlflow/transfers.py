"""Large files: in parts side by side, and by addresses that need no Authorization, here or at the object store.

An address says by its signature what it is good for (one part of one upload, one file) and till when.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import get_script_prefix, path

from models_app.http import signing
from models_app.http.bodies import chunks, declared_length
from models_app.http.ranges import ANYTHING, disposition, send_blob
from models_app.models import ArtifactUpload
from models_app.registry.access import Actor
from models_app.registry.artifacts import storage, uploads
from models_app.registry.artifacts.trees import Holder
from models_app.registry.errors import Invalid

from . import places
from .errors import WireError, absolute
from .places import File, invalid_paths
from .wire import IntLike, call, signed_call, whole

PROXIED = "api/2.0/mlflow-artifacts/"
# As long as an abandoned upload waits: slow lines may take their time.
PART_VALID = uploads.ABANDONED
FILE_VALID = timedelta(hours=6)
# Clients compare how it begins, and then send the file whole.
UNSUPPORTED = "Multipart upload is not supported for the current artifact repository"


def _address(request: HttpRequest, kind: str, token: str) -> str:
    return absolute(request, f"{get_script_prefix()}{PROXIED}{kind}/{token}")


def address_of(request: HttpRequest, file: File) -> str:
    """An address where the file can be read for some hours, ranges too: the store's own, or one of this server."""
    name = file.path.rpartition("/")[2]
    direct = storage.download_address(
        file.sha256, size=file.size, disposition=disposition(name), media_type=ANYTHING, valid=FILE_VALID
    )
    if direct is not None:
        return direct
    return _address(request, "signed", signing.sign("file", file.sha256, file.size, name))


@signed_call("GET", "HEAD")
def signed_file(request: HttpRequest, token: str) -> HttpResponseBase:
    sha256, size, name = signing.opened("file", token, valid=FILE_VALID)
    return send_blob(request, sha256=sha256, size=size, path=name, media_type=ANYTHING)


class CreateUpload(msgspec.Struct):
    path: str
    num_parts: IntLike = 1


class Part(msgspec.Struct):
    part_number: IntLike
    etag: str
    url: str = ""


class CompleteUpload(msgspec.Struct):
    path: str
    upload_id: str
    parts: list[Part] = []


class AbortUpload(msgspec.Struct):
    path: str
    upload_id: str


def _target(folder: str, name: str, actor: Actor) -> tuple[Holder, str]:
    """The run or logged model, and the path in it. Clients send the file's path on their machine as its name."""
    name = name.replace("\\", "/").rpartition("/")[2]
    if not name:
        raise WireError("Invalid path: a file name is missing.")
    place = places.parse(f"{folder.rstrip('/')}/{name}")
    holder = places.holder(place, by=actor)
    return holder, place.path if place else ""


@call(CreateUpload)
@invalid_paths()
def create(request: HttpRequest, actor: Actor, message: CreateUpload, folder: str) -> dict[str, Any]:
    count = whole(message.num_parts, "num_parts", default=1)
    if not uploads.takes(count):
        raise WireError(UNSUPPORTED, code="NOT_IMPLEMENTED", status=501)
    holder, file = _target(folder, message.path, actor)
    upload = uploads.create_upload(holder, file, part_count=count, by=actor)
    return {
        "upload_id": upload.uid,
        "credentials": [
            {"part_number": number, **_part_target(request, upload, number)} for number in range(1, count + 1)
        ],
    }


def _part_target(request: HttpRequest, upload: ArtifactUpload, number: int) -> dict[str, Any]:
    target = uploads.target(upload, number)
    if target is not None:
        return {"url": target.url, "headers": dict(target.headers)}
    token = signing.sign("part", upload.uid, number, upload.part_count)
    return {"url": _address(request, "mpu/part", token), "headers": {}}


@signed_call("PUT")
def put_part(request: HttpRequest, token: str) -> HttpResponse:
    uid, number, count = signing.opened("part", token, valid=PART_VALID)
    length = declared_length(request)
    if length is None:
        raise Invalid("body", "A part needs its length declared.", next_step="Send Content-Length.")
    tag = uploads.receive_part(uid, number, chunks(request), of=count, length=length)
    return HttpResponse(headers={"ETag": f'"{tag}"'})


@call(CompleteUpload)
@invalid_paths()
def complete(request: HttpRequest, actor: Actor, message: CompleteUpload, folder: str) -> dict[str, Any]:
    holder, file = _target(folder, message.path, actor)
    upload = uploads.get_upload(holder, message.upload_id, file, by=actor)
    uploads.complete_upload(holder, upload, _tags(message.parts), by=actor)
    return {}


def _tags(parts: Iterable[Part]) -> dict[int, str]:
    tags: dict[int, str] = {}
    for part in parts:
        number = whole(part.part_number, "part_number")
        if number in tags:
            raise WireError(f"Invalid value for parameter 'parts' supplied: part {number} is there twice.")
        tags[number] = part.etag.strip().removeprefix("W/").strip('"')
    return tags


@call(AbortUpload)
@invalid_paths()
def abort(request: HttpRequest, actor: Actor, message: AbortUpload, folder: str) -> dict[str, Any]:
    holder, file = _target(folder, message.path, actor)
    uploads.abort_upload(uploads.get_upload(holder, message.upload_id, file, by=actor))
    return {}


proxied = [
    path("mpu/create/<path:folder>", create),
    path("mpu/part/<str:token>", put_part),
    path("mpu/complete/<path:folder>", complete),
    path("mpu/abort/<path:folder>", abort),
    path("signed/<str:token>", signed_file),
]
