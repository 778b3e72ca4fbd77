"""The URL map: written down in docs/url-map.md (WRITE=1 writes it anew), free of clashes with model names."""

import os
import re
from pathlib import Path

from django.contrib.admindocs.views import simplify_regex
from django.urls import URLPattern, URLResolver, get_resolver

from models_app.registry.names import RESERVED, RESERVED_SECOND

ROOT = Path(__file__).resolve().parents[2]
MAP = ROOT / "docs/url-map.md"
HEAD = """# URL map

Written by `WRITE=1 script/test tests/house/test_urls.py`; a test compares. Order matters: the first that fits answers.
Django's own admin addresses below `/admin/` are left out.

| path | name | answered by |
| --- | --- | --- |
"""


def rows(resolver: URLResolver, prefix: str = "/", namespace: str = ""):
    """Path, URL name and view of every address, in order."""
    for entry in resolver.url_patterns:
        path = prefix + readable(str(entry.pattern))
        if isinstance(entry, URLPattern):
            view = getattr(entry.callback, "view_class", getattr(entry.callback, "cls", entry.callback))
            name = f"{namespace}{entry.name}" if entry.name else ""
            yield path, name, f"{view.__module__}.{view.__qualname__}"
        elif path == "/admin/":
            yield path, "admin:…", "django.contrib.admin"
        else:
            yield from rows(entry, path, f"{namespace}{entry.namespace}:" if entry.namespace else namespace)


def readable(pattern: str) -> str:
    return simplify_regex(pattern).lstrip("/") if pattern.startswith("^") else pattern


ROWS = list(rows(get_resolver()))


def test_the_map_is_written_down():
    text = HEAD + "".join(f"| `{path}` | {name} | {view} |\n" for path, name, view in ROWS)
    if os.environ.get("WRITE"):
        MAP.write_text(text)
    assert MAP.read_text() == text, (
        "Addresses changed: WRITE=1 script/test tests/house/test_urls.py, and look at it."
    )


def test_no_two_views_claim_one_address():
    shapes = [re.sub(r"<(?:(\w+):)?\w+>", r"<\1>", path) for path, _, _ in ROWS]
    assert sorted({shape for shape in shapes if shapes.count(shape) > 1}) == []


def test_names_are_given_once():
    names = [name for _, name, _ in ROWS if name]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_no_model_can_be_named_like_an_address():
    first = {path.split("/")[1] for path, _, _ in ROWS} | {"static"}
    words = {word for word in first if word and "<" not in word}
    assert sorted(words - RESERVED) == []


def test_tabs_of_a_model_are_no_second_names():
    tabs = {found[1] for path, _, _ in ROWS if (found := re.match(r"/models/<model:\w+>/([\w-]+)/", path))}
    assert sorted(tabs - RESERVED_SECOND) == []


def test_apis_have_no_trailing_slash_and_pages_have_one():
    for path, name, _ in ROWS:
        if path.startswith("/api/v1/"):
            assert not path.endswith("/"), path
        elif name.startswith("web:") and "." not in path.rsplit("/", 1)[-1] and "path:" not in path:
            assert path.endswith("/"), path
