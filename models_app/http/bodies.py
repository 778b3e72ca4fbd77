"""Request bodies as streams: a raw body in pieces, and a form whose files go straight into storage.

Django's own parser is not used for artifacts: it strips folders from file names and takes a form that ended early for
a whole one. A server answers a lost connection with an early end of the body, so every length is checked here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from django.http import HttpRequest, HttpResponse, QueryDict, UnreadablePostError
from django.middleware.csrf import CsrfViewMiddleware
from multipart import MultipartError, MultipartSegment, ParserLimitReached, PushMultipartParser

from models_app.formats.paths import check_path
from models_app.http import limits
from models_app.http.connections import let_go
from models_app.registry.artifacts.blobs import StoredFile
from models_app.registry.artifacts.storage import BlobWriter, place
from models_app.registry.errors import Forbidden, Invalid, TooLarge

# Larger pieces cost more: each then is memory fresh from the system, 1 MiB took twice the time in the kernel.
PIECE = 256 << 10
FILE_FIELDS = ("files", "file")
# What stands around the files of a form, generously.
FORM_OVERHEAD = 1 << 20
SEND_AGAIN = "Send the whole body again."


def chunks(request: HttpRequest, *, limit: int | None = None) -> Iterator[bytes]:
    """The raw body in pieces, each read when it is asked for.

    Raises TooLarge past `limit` bytes (before the first piece when the length is declared), and Invalid("body") when
    the body ends before its declared length.
    """
    limit = limits.file_bytes() if limit is None else limit
    declared = declared_length(request)
    if declared is not None and declared > limit:
        raise _too_large(limit)
    let_go(declared)
    read = request.read if declared is not None else request.META["wsgi.input"].read
    received = 0
    while True:
        try:
            piece = read(PIECE)
        except (UnreadablePostError, OSError) as error:
            raise _ended_early(received, declared) from error
        if not piece:
            break
        received += len(piece)
        if received > limit:
            raise _too_large(limit)
        yield piece
    if declared is not None and received < declared:
        raise _ended_early(received, declared)


def size_at_least(request: HttpRequest) -> int:
    """Bytes of the files in a form, as far as its declared length tells: what surrounds them is allowed for."""
    return max(0, (declared_length(request) or 0) - FORM_OVERHEAD)


def declared_length(request: HttpRequest) -> int | None:
    """Content-Length; None for a chunked body, whose end the server finds. Raises Invalid for a malformed header."""
    text = request.META.get("CONTENT_LENGTH") or ""
    if text:
        if not (text.isascii() and text.isdigit()):
            raise Invalid("Content-Length", "This is no length.")
        return int(text)
    chunked = "chunked" in request.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    return None if chunked and request.META.get("wsgi.input_terminated") else 0


def receive_file(
    request: HttpRequest,
    *,
    path: str,
    size: int | None = None,
    sha256: str | None = None,
    limit: int | None = None,
) -> StoredFile:
    """Store the raw body as the file `path`; `size` and `sha256` are what the sender declared, if it did.

    A chunked body that lost its connection looks like a whole one, so it must come with a size or digest, unless it is
    empty (as some clients send empty files). Raises Invalid("path", "body", "size" or "sha256") and TooLarge; nothing
    is stored then.
    """
    path = _checked(path, "path")
    unchecked = declared_length(request) is None and size is None and sha256 is None
    with BlobWriter(limit=limit) as writer:
        for piece in chunks(request, limit=limit):
            if unchecked:
                raise Invalid(
                    "body",
                    "A chunked body needs a declared size or sha256, to tell a whole one from a broken one.",
                    next_step="Send Content-Length, or declare the file's size or sha256.",
                )
            writer.write(piece)
        stored = writer.finish(size=size, sha256=sha256)
    return StoredFile(path, stored.sha256, stored.size)


@dataclass(slots=True)
class Form:
    """What a multipart form brought: text fields by name, and files, already stored, by their path."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    files: list[StoredFile] = field(default_factory=list)

    def get(self, name: str, default: str = "") -> str:
        """The last value of a text field."""
        return self.fields.get(name, [default])[-1]

    def as_post(self) -> QueryDict:
        """The text fields in the shape that Django's forms read."""
        post = QueryDict(mutable=True)
        for name, values in self.fields.items():
            post.setlist(name, values)
        return post


def is_multipart(request: HttpRequest) -> bool:
    """Whether the body says that it is a multipart form."""
    return request.content_type == "multipart/form-data"


def receive_form(
    request: HttpRequest,
    *,
    file_fields: Collection[str] = FILE_FIELDS,
    before_files: Callable[[Form], None] | None = None,
    before_storing: Callable[[Form], None] | None = None,
    limit: int | None = None,
) -> Form:
    """Read a multipart form: parts named in `file_fields` are stored as files, every other part is text.

    A file's path is its `filename` as sent, folders and all; a path that breaks the rules is refused before its bytes
    are read. `before_files` sees the text fields so far just before the first file is taken (at the end if there is
    none) and may raise; so may `before_storing`, which sees all of it. Raises Invalid("body") for a broken form,
    Invalid(field) for a broken part, TooLarge past the limits; nothing is stored then.
    """
    reader = _FormReader(
        file_fields=file_fields, before_files=before_files, before_storing=before_storing, limit=limit
    )
    most = limits.files_per_version()
    boundary = _boundary(request)
    closing, tail = f"\r\n--{boundary}--".encode(), b""
    keep = len(closing) + 2
    try:
        parser = PushMultipartParser(
            boundary,
            strict=True,
            max_header_size=limits.PART_HEADER_BYTES,
            max_segment_count=most + limits.FORM_FIELDS,
        )
        with reader, parser:
            for piece in chunks(request, limit=most * limits.file_bytes()):
                if closing in tail:
                    continue  # What follows the last boundary means nothing, and the strict parser would refuse it.
                for event in parser.parse(piece):
                    reader.take(event)
                tail = (tail + piece[-keep:])[-keep:]
    except ParserLimitReached as error:
        raise TooLarge(
            f"The form has more parts or longer part headers than is taken: {error}.", limit=most
        ) from error
    except MultipartError as error:
        if "Unexpected end" in str(error):
            raise Invalid(
                "body", "The form ended before its closing boundary.", next_step=SEND_AGAIN
            ) from error
        raise Invalid("body", f"The multipart form is malformed: {error}.") from error
    return reader.form


def check_csrf(request: HttpRequest, form: Form) -> None:
    """Refuse a form that another site sent with the visitor's cookies: for `before_files` of csrf_exempt views.

    Reading request.POST makes Django parse the stream, so its own check cannot run before such a view.
    Raises Forbidden.
    """
    request.POST = form.as_post()  # type: ignore[assignment]
    guard = _CsrfGuard(HttpResponse)
    guard.process_request(request)
    if guard.process_view(request, HttpResponse, (), {}) is not None:
        raise Forbidden(
            "The form came without its protection token, or with an old one.",
            next_step="Load the page again and send the form from there.",
        )


class _CsrfGuard(CsrfViewMiddleware):
    def _reject(self, request: HttpRequest, reason: str) -> str:
        return reason


class _FormReader:
    """Sorts the parser's events into text fields and stored files."""

    def __init__(
        self,
        *,
        file_fields: Collection[str],
        before_files: Callable[[Form], None] | None,
        before_storing: Callable[[Form], None] | None,
        limit: int | None,
    ) -> None:
        self.form = Form()
        self._file_fields = frozenset(file_fields)
        self._before_files = before_files
        self._before_storing = before_storing
        self._limit = limit
        self._name = ""
        self._path: str | None = None
        self._writer: BlobWriter | None = None
        self._ended: list[BlobWriter] = []
        self._text = bytearray()
        self._text_room = limits.json_bytes()
        self._field_room = limits.FORM_FIELDS

    def __enter__(self) -> _FormReader:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._ask_before_files()
                if self._before_storing is not None:
                    self._before_storing(self.form)
                place(self._ended)
        finally:
            for writer in self._ended if self._writer is None else [*self._ended, self._writer]:
                writer.discard()

    def take(self, event: MultipartSegment | bytes | None) -> None:
        if event is None:
            self._end()
        elif isinstance(event, MultipartSegment):
            self._start(event)
        else:
            self._add(event)

    def _start(self, part: MultipartSegment) -> None:
        self._name = part.name or ""
        if not self._name:
            raise Invalid("body", "A part of the form has no name.")
        self._path = None
        self._text.clear()
        if self._name not in self._file_fields:
            self._field_room -= 1
            if self._field_room < 0:
                raise TooLarge(
                    f"At most {limits.FORM_FIELDS} text fields in a form.", limit=limits.FORM_FIELDS
                )
            return
        filename = _filename(part, self._name)
        if filename is None:
            raise Invalid(self._name, "A file needs a file name.")
        self._path = filename
        if filename:
            _checked(filename, self._name)
            if len(self.form.files) >= limits.files_per_version():
                raise TooLarge(
                    f"At most {limits.files_per_version()} files at once.",
                    limit=limits.files_per_version(),
                    next_step="Pack small files into an archive.",
                )
            self._ask_before_files()
            self._writer = BlobWriter(limit=self._limit)

    def _add(self, piece: bytes) -> None:
        if self._writer is not None:
            self._writer.write(piece)
        elif self._path is not None:
            raise Invalid(self._name, "A file needs a file name.")
        else:
            self._text_room -= len(piece)
            if self._text_room < 0:
                raise TooLarge(
                    f"“{self._name[:60]}” is too long: the text of a form may have {limits.json_bytes()} bytes.",
                    limit=limits.json_bytes(),
                    next_step=f"Send files in the field “{self._any_file_field()}”.",
                )
            self._text += piece

    def _end(self) -> None:
        if self._writer is not None and self._path:
            stored = self._writer.end()
            self._ended.append(self._writer)
            self._writer = None
            self.form.files.append(StoredFile(self._path, stored.sha256, stored.size))
        elif self._path is None:
            try:
                text = self._text.decode()
            except UnicodeDecodeError as error:
                raise Invalid(
                    self._name,
                    "This is not UTF-8 text.",
                    next_step=f"Send files in the field “{self._any_file_field()}”.",
                ) from error
            self.form.fields.setdefault(self._name, []).append(text)
        # What is left is an empty part without a file name: a browser's way to say that no file was chosen.

    def _ask_before_files(self) -> None:
        ask, self._before_files = self._before_files, None
        if ask is not None:
            ask(self.form)

    def _any_file_field(self) -> str:
        return "files" if "files" in self._file_fields else min(self._file_fields, default="files")


_PARAMETER = re.compile(r';[ \t]*([\w-]+\*?)[ \t]*=[ \t]*("(?:\\.|[^"\\])*"|[^;"\s]+)[ \t]*', re.ASCII)


def _filename(part: MultipartSegment, name: str) -> str | None:
    """The file name of a part exactly as its sender meant it, None without one. Nothing is cut off or repaired."""
    values = [value for header, value in part.headerlist if header == "Content-Disposition"]
    found = _parameters(values[0]) if len(values) == 1 else None
    if found is None:
        raise Invalid(name, "The part's Content-Disposition is malformed.")
    if "filename*" in found:  # RFC 5987, sent by .NET and some others beside a mangled plain name
        charset, _, rest = found["filename*"].partition("'")
        try:
            if charset.lower() != "utf-8":
                raise ValueError(charset)
            return unquote(rest.partition("'")[2], errors="strict")
        except ValueError as error:
            raise Invalid(name, "The part's filename* is not UTF-8.") from error
    filename = found.get("filename")
    if filename is None:
        return None
    # What browsers escape, and only that: https://html.spec.whatwg.org/#multipart-form-data
    return filename.replace("%0D", "\r").replace("%0A", "\n").replace("%22", '"')


def _parameters(value: str) -> Mapping[str, str] | None:
    found: dict[str, str] = {}
    position = max(value.find(";"), 0)
    while position < len(value):
        match = _PARAMETER.match(value, position)
        if match is None or match[1].lower() in found:
            return None
        text = match[2]
        found[match[1].lower()] = text[1:-1] if text.startswith('"') else text
        position = match.end()
    return found


def _boundary(request: HttpRequest) -> str:
    boundary = (request.content_params or {}).get("boundary", "")
    if not is_multipart(request) or not boundary:
        raise Invalid("Content-Type", "This must be multipart/form-data with a boundary.")
    if len(boundary) > 70 or not boundary.isascii() or not boundary.isprintable():
        raise Invalid("Content-Type", "The boundary is malformed.")
    return boundary


def _checked(path: str, name: str) -> str:
    try:
        return check_path(path)
    except ValueError as error:
        raise Invalid(name, str(error)) from error


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"At most {limit} bytes are taken here.", limit=limit)


def _ended_early(received: int, declared: int | None) -> Invalid:
    of = "" if declared is None else f" of {declared}"
    return Invalid("body", f"The body ended after {received}{of} bytes.", next_step=SEND_AGAIN)
