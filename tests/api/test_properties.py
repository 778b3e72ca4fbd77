"""What holds for any input: names have one address, bodies are read or refused, cursors page through everything."""

import json
from contextlib import suppress
from urllib.parse import unquote

from django.urls import resolve, reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from models_app.api.parsing import read_json
from models_app.registry.errors import Invalid
from models_app.registry.names import check_model_name

QUICK = settings(max_examples=200, deadline=None, derandomize=True, database=None)
PART = st.text(min_size=1, max_size=12) | st.sampled_from(
    ["a b", "versions", "rollback", "ü", "50%", "a?b#c", "..."]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def valid(name: str) -> bool:
    try:
        check_model_name(name)
    except Invalid:
        return False
    return True


@QUICK
@given(
    parts=st.lists(PART, min_size=1, max_size=2), path=st.sampled_from(["model.bin", "a/versions/b", "ü/%41"])
)
def test_every_name_that_a_model_may_have_has_one_address(parts, path):
    name = "/".join(parts)
    if not valid(name):
        return
    addresses = [
        ("model", {"name": name}),
        ("rename", {"name": name}),
        ("versions", {"name": name}),
        ("transitions", {"name": name}),
        ("alias", {"name": name, "alias": "versions"}),
        ("version", {"name": name, "revision": "versions"}),
        ("file", {"name": name, "revision": "1", "path": path}),
        ("archive", {"name": name, "revision": "1", "kind": "zip"}),
    ]
    for view, wanted in addresses:
        found = resolve(unquote(reverse(f"api:{view}", kwargs=wanted)))
        assert (found.url_name, found.kwargs) == (view, wanted)


@QUICK
@given(value=VALUES)
def test_what_is_json_is_read_as_it_is_or_refused(value):
    try:
        found = read_json(json.dumps(value).encode())
    except Invalid:
        return
    assert found == value


@QUICK
@given(data=st.binary() | st.text(alphabet='{}[]",:1e-\\u0d8N ').map(str.encode))
def test_any_bytes_are_read_or_refused(data):
    with suppress(Invalid):
        read_json(data)
