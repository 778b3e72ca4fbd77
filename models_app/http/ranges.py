"""Stored bytes as answers: whole, in part, or not at all when the client has them.

What people upload is never served as something a browser runs: markup comes as plain text or for saving only, and every
answer is sandboxed.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import PurePosixPath

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header, parse_http_date_safe

from models_app.http.conditional import mark, settled
from models_app.http.connections import let_go
from models_app.models import ModelVersion
from models_app.registry.artifacts.archives import Archive, archive_of_version
from models_app.registry.artifacts.integrity import noticing
from models_app.registry.artifacts.storage import BlobStream, check_on_disk, download_address

IMAGES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
}
# fmt: off
TEXTS = {
    ".txt", ".md", ".rst", ".log", ".csv", ".tsv", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".py", ".sh", ".sql",
    ".xml", ".html", ".htm", ".xhtml", ".svg", ".js", ".css", ".tex", ".jinja",
}
# fmt: on
TYPES = {
    **IMAGES,
    **dict.fromkeys(TEXTS, "text/plain; charset=utf-8"),
    ".json": "application/json",
    ".zip": "application/zip",
    ".tar": "application/x-tar",
}
ANYTHING = "application/octet-stream"
SANDBOX = "default-src 'none'; sandbox"
# A client repeats its conditions where it is sent, and the store has other ETags and dates than we.
ONLY_OURS = {"HTTP_IF_RANGE", "HTTP_IF_MATCH", "HTTP_IF_MODIFIED_SINCE", "HTTP_IF_UNMODIFIED_SINCE"}
ADDRESS_VALID = timedelta(hours=6)


def send_blob(
    request: HttpRequest,
    *,
    sha256: str,
    size: int,
    path: str,
    last_modified: datetime | None = None,
    inline: bool = False,
    media_type: str = "",
    direct: bool = False,
) -> HttpResponseBase:
    """A stored file, answering GET and HEAD with Range, If-Range and the other conditions of RFC 9110.

    The file is for saving under the last part of `path`; `inline` shows images and text in the browser instead.
    `media_type` is for doors whose clients expect another one than our own.
    `direct` lets an object store send the bytes: the answer then is a redirect to a signed address there.
    Several ranges at once are answered with the whole file, as the standard allows. Raises Damaged when the bytes are
    missing or more or fewer than they were, Unavailable when the store does not answer.
    """
    etag = f'"{sha256}"'
    answer = settled(request, etag=etag, last_modified=last_modified)
    if answer is not None:
        return answer
    start, length, status = 0, size, 200
    wanted = request.META.get("HTTP_RANGE", "")
    if wanted and request.method == "GET" and _still_the_same(request, etag, last_modified):
        found = parse_range(wanted, size)
        if found is not None:
            start, length = found
            status = 206 if length else 416
    if status == 416:
        answer = HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
        return mark(answer, etag=etag, last_modified=last_modified)
    if direct and request.method == "GET" and not ONLY_OURS & request.META.keys():
        address = download_address(
            sha256,
            size=size,
            disposition=disposition(path),
            media_type=media_type or content_type(path),
            valid=ADDRESS_VALID,
        )
        if address is not None:
            answer = mark(HttpResponseRedirect(address), etag=etag, last_modified=last_modified)
            answer.headers["Cache-Control"] = "no-store"
            return answer
    with noticing(sha256, size):
        check_on_disk(sha256, size)
    headers = {
        "Content-Type": media_type or content_type(path),
        "Content-Length": str(length),
        "Content-Disposition": disposition(path, inline=inline and shows_inline(path)),
        "Accept-Ranges": "bytes",
        **_guards(),
    }
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
    if request.method == "HEAD":
        answer = HttpResponse(headers=headers)
    else:
        stream = BlobStream(sha256, start=start, length=length)
        let_go(length)
        answer = StreamingHttpResponse(stream, status=status, headers=headers)
    return mark(answer, etag=etag, last_modified=last_modified)


def send_archive(
    request: HttpRequest, archive: Archive, *, name: str, digest: str, last_modified: datetime | None = None
) -> HttpResponseBase:
    """A whole version as one file, `name` plus the archive's suffix. `digest` is the manifest's: it names the bytes."""
    etag = f'"{digest}{archive.suffix}"'
    answer = settled(request, etag=etag, last_modified=last_modified)
    if answer is not None:
        return answer
    headers = {
        "Content-Type": archive.media_type,
        "Content-Length": str(archive.size),
        "Content-Disposition": disposition(name + archive.suffix),
        "Accept-Ranges": "none",
        **_guards(),
    }
    if request.method == "HEAD":
        answer = HttpResponse(headers=headers)
    else:
        let_go(archive.size)
        answer = StreamingHttpResponse(iter(archive), headers=headers)
    return mark(answer, etag=etag, last_modified=last_modified)


def send_version(request: HttpRequest, version: ModelVersion, *, kind: str, name: str) -> HttpResponseBase:
    """All files of a version as one archive. Raises as `archive_of_version`."""
    archive = archive_of_version(version, kind=kind)
    at = version.created_at
    digest = f"{version.manifest.digest}-{int(at.timestamp())}" if version.manifest else ""
    return send_archive(request, archive, name=name, digest=digest, last_modified=at)


_RANGE = re.compile(r"bytes[ \t]*=[ \t]*(\d{0,20})[ \t]*-[ \t]*(\d{0,20})[ \t]*", re.ASCII | re.IGNORECASE)


def parse_range(text: str, size: int) -> tuple[int, int] | None:
    """Start and length of the one range that is asked for; length 0 when it lies outside; None for no range of ours."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    first, last = match[1], match[2]
    if first:
        start = int(first)
        if last and int(last) < start:
            return None
        end = min(int(last) + 1 if last else size, size)
        return (start, end - start) if start < size else (0, 0)
    if not last:
        return None
    length = min(int(last), size)
    return size - length, length


def _still_the_same(request: HttpRequest, etag: str, last_modified: datetime | None) -> bool:
    """Whether If-Range allows a part: the client's other parts must be of the same bytes."""
    condition = request.META.get("HTTP_IF_RANGE", "").strip()
    if not condition or condition == etag:
        return True
    when = parse_http_date_safe(condition)
    return when is not None and last_modified is not None and when == int(last_modified.timestamp())


def content_type(path: str) -> str:
    """What a stored file is served as, by its name: never as anything that a browser would run."""
    return TYPES.get(PurePosixPath(path).suffix.lower(), ANYTHING)


def shows_inline(path: str) -> bool:
    """Whether a browser may show the file instead of saving it."""
    return PurePosixPath(path).suffix.lower() in {*IMAGES, *TEXTS, ".json"}


def disposition(path: str, *, inline: bool = False) -> str:
    """Content-Disposition (RFC 6266) with the last part of a path as name, whatever characters it has."""
    name = path.rpartition("/")[2]
    name = "".join(char if char.isprintable() else "_" for char in name) or "file"
    return content_disposition_header(not inline, name) or "attachment"


def _guards() -> dict[str, str]:
    return {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": SANDBOX}
