"""Audit records as files of any size: written while they are sent, a few at a time in memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from models_app.registry.audit_chain import exported

CHUNK = 1000
COLUMNS = (
    "position",
    "id",
    "at",
    "verb",
    "actor_name",
    "token_prefix",
    "door",
    "address",
    "request_id",
    "subject",
    "refused",
    "reason",
    "policy",
    "before",
    "after",
    "hash",
)
# What spreadsheets take for a formula at the beginning of a cell.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
TYPES = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl"}


def send_records(rows: QuerySet[Any], *, kind: str, head_only: bool = False) -> HttpResponseBase:
    """All of these audit records as a download, csv or jsonl, oldest first: one query, however many they are."""
    headers = {"Content-Type": TYPES[kind], "Content-Disposition": f'attachment; filename="audit.{kind}"'}
    if head_only:
        return HttpResponse(headers=headers)
    lines = csv_lines if kind == "csv" else json_lines
    return StreamingHttpResponse(_encoded(lines(exported(rows, chunk=CHUNK))), headers=headers)


def json_lines(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """One JSON object a line."""
    for record in records:
        yield json.dumps(record, ensure_ascii=False) + "\n"


def csv_lines(records: Iterable[dict[str, Any]]) -> Iterator[str]:
    """A head and a row per record; no cell begins like a formula."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(COLUMNS)
    for record in records:
        writer.writerow([_cell(record[name]) for name in COLUMNS])
        yield written.getvalue()
        written.seek(0)
        written.truncate()
    yield written.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False) if value else ""
    return "'" + value if isinstance(value, str) and value.startswith(FORMULA) else value


def _encoded(lines: Iterable[str], *, size: int = 64 << 10) -> Iterator[bytes]:
    """Lines joined to pieces that are worth sending."""
    piece: list[str] = []
    length = 0
    for line in lines:
        piece.append(line)
        length += len(line)
        if length >= size:
            yield "".join(piece).encode()
            piece, length = [], 0
    yield "".join(piece).encode()
