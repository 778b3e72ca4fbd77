"""How many queries an address costs: as many as written down, and no more with twenty rows than with one.

tests/house/test_query_counts.py holds the table of addresses; WRITE=1 writes query_counts.json anew.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from django.db import connection
from django.test.utils import CaptureQueriesContext

BASELINE = Path(__file__).with_name("query_counts.json")
MANY = 20


def counted(call: Callable[[], object]) -> tuple[int, list[str]]:
    """Number and text of the queries behind a call."""
    with CaptureQueriesContext(
        connection,
    ) as captured:
        call()
    texts = [query["sql"] for query in captured.captured_queries]
    # Savepoints and transactions are no round trips worth a number on a page.
    texts = [text for text in texts if not text.startswith(("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT"))]
    return len(texts), texts


def baseline() -> dict[str, int]:
    return json.loads(BASELINE.read_text()) if BASELINE.exists() else {}


def problems(
    with_one: dict[str, tuple[int, list[str]]], with_many: dict[str, tuple[int, list[str]]]
) -> list[str]:
    """What grew with the rows, and what differs from the baseline (unless WRITE=1 sets it anew)."""
    told = []
    for name, (few, before) in with_one.items():
        many, after = with_many[name]
        if many != few:
            more = "\n    ".join(what_came_on_top(before, after))
            told.append(f"{name}: {few} queries with one row, {many} with {MANY}:\n    {more}")
    now = {name: count for name, (count, _) in sorted(with_one.items())}
    if os.environ.get("WRITE"):
        BASELINE.write_text(json.dumps(now, indent=2) + "\n")
    known = baseline()
    for name in sorted(now.keys() | known.keys()):
        if now.get(name) != known.get(name):
            told.append(f"{name}: {now.get(name)} queries, the baseline says {known.get(name)}")
    return told


def what_came_on_top(before: list[str], after: list[str]) -> list[str]:
    """The queries of `after` that `before` has not, numbers and texts aside."""
    shapes = Counter(shape(text) for text in after)
    shapes.subtract(Counter(shape(text) for text in before))
    return [f"{times} × {text[:600]}" for text, times in shapes.most_common(5) if times > 0]


def shape(sql: str) -> str:
    values = re.sub(r"\d+|'[^']*'", "?", sql)
    return re.sub(r"\?(, \?)+", "?, …", re.sub(r"SELECT .*? FROM", "SELECT … FROM", values))
