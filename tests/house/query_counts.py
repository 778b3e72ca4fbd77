"""How many queries an address costs: as many as written down, and no more with fifty rows than with one.

    def test_it(small_and_large, assert_query_count): …

`tests/house/test_query_counts.py` holds the table of addresses. WRITE=1 writes query_counts.json anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from django.db import connection
from django.test.utils import CaptureQueriesContext

BASELINE = Path(__file__).with_name("query_counts.json")
MANY = 50


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
    for name, (few, _) in with_one.items():
        many, texts = with_many[name]
        if many != few:
            told.append(f"{name}: {few} queries with one row, {many} with {MANY}: {most_repeated(texts)}")
    now = {name: count for name, (count, _) in sorted(with_one.items())}
    if os.environ.get("WRITE"):
        BASELINE.write_text(json.dumps(now, indent=2) + "\n")
    known = baseline()
    for name in sorted(now.keys() | known.keys()):
        if now.get(name) != known.get(name):
            told.append(f"{name}: {now.get(name)} queries, the baseline says {known.get(name)}")
    return told


def most_repeated(texts: list[str]) -> str:
    """The query that repeats most, numbers aside."""
    import re
    from collections import Counter

    shapes = Counter(re.sub(r"\d+|'[^']*'", "?", text)[:300] for text in texts)
    shape, times = shapes.most_common(1)[0] if shapes else ("", 0)
    return f"{times} × {shape}"
