"""The filter language: every operator with every key, and what is refused."""

from __future__ import annotations

from .case import (
    INVALID,
    REFUSED,
    Case,
    Expected,
    get,
    post,
)

STRINGS = ("=", "!=", "LIKE", "ILIKE")
LISTS = ("IN", "NOT IN")
NUMBERS = ("<", "<=", ">", ">=")
ALL = (*STRINGS, *LISTS, *NUMBERS)


def models(filter="", **more):
    return get("registered-models/search", filter=filter, **more)


def versions(filter="", **more):
    return get("model-versions/search", filter=filter, **more)


def runs(filter="", **more):
    return post("runs/search", **{"experiment_ids": ["{exp}"], "filter": filter, **more})


def experiments(filter="", **more):
    return post("experiments/search", **{"filter": filter, "max_results": 10, **more})


def value(op: str, text: str) -> str:
    return f"('{text}', 'other')" if op in LISTS else f"'{text}'"


def table(what, search, given, rows):
    """For each key and each operator: taken, if the row names it, else refused."""
    for key, text, taken in rows:
        for op in ALL:
            call = search(f"{key} {op} {text if op not in LISTS else value(op, text.strip(chr(39)))}")
            yield Case(f"{what}: {key} {op} …", call, given=given, **({} if op in taken else INVALID))


WIDER = (
    *(("models", models, text) for text in ("description = 'a'",)),
    *(
        ("versions", versions, text)
        for text in ("version = 1", "current_stage = 'Staging'", "metrics.f1 > 0.9")
    ),
)

CASES = [
    *(
        Case(f"{what}: {text}", search(text), **INVALID, differs="more filters", ours=Expected(200))
        for what, search, text in WIDER
    ),
    # --- which operators which key takes ---
    *table(
        "models",
        models,
        (),
        [("name", "'x'", (*STRINGS, *LISTS)), ("tags.k", "'x'", STRINGS), ("tag.k", "'x'", STRINGS)],
    ),
    *table(
        "versions",
        versions,
        (),
        [
            ("name", "'x'", (*STRINGS, *LISTS)),
            ("run_id", "'x'", (*STRINGS, *LISTS)),
            ("source_path", "'x'", STRINGS),
            ("version_number", "1", ("=", "!=", *NUMBERS)),
            ("tags.k", "'x'", STRINGS),
        ],
    ),
    *table(
        "runs",
        runs,
        (),
        [
            ("run_id", "'x'", (*STRINGS, *LISTS)),
            ("attributes.run_name", "'x'", STRINGS),
            ("status", "'x'", STRINGS),
            ("start_time", "1", ("=", "!=", *NUMBERS)),
            ("metrics.f1", "1", ("=", "!=", *NUMBERS)),
            ("params.p", "'x'", STRINGS),
            ("tags.t", "'x'", STRINGS),
            ("dataset.name", "'x'", (*STRINGS, *LISTS)),
        ],
    ),
    *table(
        "experiments",
        experiments,
        (),
        [
            ("name", "'x'", STRINGS),
            ("creation_time", "1", ("=", "!=", *NUMBERS)),
            ("tags.t", "'x'", STRINGS),
        ],
    ),
    # --- refused ---
    *(
        Case(f"models: refuse {text}", models(text), **INVALID)
        for text in (
            "name = 'a' OR name = 'b'",
            "NOT name = 'a'",
            "(name = 'a')",
            "name = 'a';",
            "name = a",
            "name = 1",
            "nome = 'a'",
            "NAME = 'a'",
            "Name = 'a'",
            "params.x = 'a'",
            "metrics.x > 1",
            "tags.x = 1",
            "tags.x > 'a'",
            "name",
            "name =",
            "= 'a'",
            "name == 'a'",
            "name IN ()",
            "name IN 'a'",
            "name IN ('a'",
            "name IN (1)",
            "name BETWEEN 'a' AND 'b'",
            "name = 'a', name = 'b'",
            "1 = 1",
            "name = 'a' AND OR",
            "'name' = 'a'",
            "name = 'a' UNION SELECT 1",
            "name = 'a' -- x",
            "timestamp > 1",
            "name ~ 'a'",
            "name NOT LIKE 'a'",
            "name = NULL",
        )
    ),
    Case("models: refuse name IS NULL", models("name IS NULL"), status=500, differs="no 500", ours=REFUSED),
    *(
        Case(f"models: refuse {text}", models(text), differs="strict filters", ours=REFUSED)
        for text in (
            "name = 'a' name = 'b'",
            "tags. = 'a'",
            "AND name = 'a'",
        )
    ),
    *(
        Case(f"versions: refuse {text}", versions(text), **INVALID)
        for text in (
            "version_number = 1.5",
            "version_number = 'x'",
            "version_number LIKE '1'",
            "tags.x IN ('a')",
            "run_id IN ()",
            "name = 'a' OR run_id = 'b'",
            "source = 'a'",
            "params.x = '1'",
        )
    ),
]
