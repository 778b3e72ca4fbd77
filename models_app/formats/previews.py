"""What of a file can be shown in a page, decided by its name and its first bytes. Everything is bounded."""

from __future__ import annotations

import codecs
import csv
import io
import json
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePosixPath

from . import safetensors

# As many first bytes as `preview` makes use of.
NEEDED = 256 << 10
MAX_IMAGE = 10 << 20
MAX_ROWS = 200
MAX_COLUMNS = 50
MAX_CELL = 200


class PreviewKind(StrEnum):
    TEXT = "text"
    JSON = "json"
    IMAGE = "image"
    SAFETENSORS = "safetensors"
    CSV = "csv"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Preview:
    """What to show: `text` for text and JSON, `rows` for CSV, `header` for safetensors; images are shown by address.

    `cut` says that there is more in the file than is shown, `why` why there is nothing to show.
    """

    kind: PreviewKind
    text: str = ""
    rows: list[list[str]] = field(default_factory=list)
    header: safetensors.Header | None = None
    cut: bool = False
    why: str = ""


def kind_of(path: str, start: bytes) -> PreviewKind:
    """The kind of a file. A name that promises what the bytes do not keep is not believed."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix == ".safetensors":
        try:
            safetensors.header_length(start)
        except ValueError:
            return PreviewKind.NONE
        return PreviewKind.SAFETENSORS
    if image_type(start) is not None:
        return PreviewKind.IMAGE
    if _text_of(start[:NEEDED]) is None:
        return PreviewKind.NONE
    if suffix in (".json", ".ipynb", ".webmanifest"):
        return PreviewKind.JSON
    if suffix in (".csv", ".tsv"):
        return PreviewKind.CSV
    return PreviewKind.TEXT


def image_type(start: bytes) -> str | None:
    """The media type of an image that browsers may show: PNG, JPEG, GIF or WebP by its first bytes. Never SVG."""
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if start.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if start[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "image/webp"
    return None


def needed_bytes(path: str, start: bytes) -> int:
    """How many first bytes `preview` wants, told from at least 8 of them: safetensors headers may be long."""
    if kind_of(path, start) is PreviewKind.SAFETENSORS:
        return safetensors.header_length(start)
    return NEEDED


def preview(path: str, start: bytes, *, size: int) -> Preview:
    """What to show of a file, from its first `needed_bytes` and its size. Never raises for what is in the file."""
    kind = kind_of(path, start)
    if kind is PreviewKind.SAFETENSORS:
        try:
            return Preview(kind, header=safetensors.read_header(start, size=size))
        except ValueError as error:
            return Preview(PreviewKind.NONE, why=str(error))
    if kind is PreviewKind.IMAGE:
        if size > MAX_IMAGE:
            return Preview(PreviewKind.NONE, why="The image is too large to be shown.")
        return Preview(kind)
    shown = start[:NEEDED]
    cut = size > len(shown)
    text = _text_of(shown)
    if kind is PreviewKind.NONE or text is None:
        return Preview(PreviewKind.NONE, why="This file is not text, and no kind that can be shown.")
    if kind is PreviewKind.JSON and not cut:
        text = _pretty(text)
    if kind is PreviewKind.CSV:
        rows, more = _rows(text, tabs=path.lower().endswith(".tsv"), cut=cut)
        return Preview(kind, text=text, rows=rows, cut=more)
    return Preview(kind, text=text, cut=cut)


def _text_of(start: bytes) -> str | None:
    """UTF-8 text, a character cut at the end forgiven; None for anything else."""
    if b"\0" in start:
        return None
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(start)
    except UnicodeDecodeError:
        return None
    odd = sum(1 for char in text[:4096] if ord(char) < 32 and char not in "\t\n\r\f\x1b")
    return None if odd > len(text[:4096]) // 50 else text


def _pretty(text: str) -> str:
    try:
        data = json.loads(text)
        pretty = json.dumps(data, indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
    # Deep nesting turns little JSON into much white space.
    return pretty if len(pretty) <= 4 * NEEDED else text


def _rows(text: str, *, tabs: bool, cut: bool) -> tuple[list[list[str]], bool]:
    """The first rows and columns, and whether there is more."""
    lines = text.splitlines()
    if cut and lines:
        lines.pop()  # most likely half a line
    reader = csv.reader(io.StringIO("\n".join(lines)), delimiter="\t" if tabs else _delimiter(lines))
    rows: list[list[str]] = []
    try:
        for row in reader:
            if len(rows) == MAX_ROWS:
                return rows, True
            cut = cut or len(row) > MAX_COLUMNS or any(len(cell) > MAX_CELL for cell in row)
            rows.append([cell[:MAX_CELL] for cell in row[:MAX_COLUMNS]])
    except csv.Error:
        cut = True
    return rows, cut


def _delimiter(lines: list[str]) -> str:
    first = lines[0] if lines else ""
    return max(",;\t", key=first.count)
