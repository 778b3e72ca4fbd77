"""What a page shows of a file is decided by its bytes, and is always small."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.formats.previews import (
    MAX_CELL,
    MAX_COLUMNS,
    MAX_IMAGE,
    MAX_ROWS,
    NEEDED,
    PreviewKind,
    image_type,
    kind_of,
    needed_bytes,
    preview,
)

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
TENSORS = (2).to_bytes(8, "little") + b"{}"


def show(path, data):
    return preview(path, data[: needed_bytes(path, data)], size=len(data))


@pytest.mark.parametrize(
    "path, data, kind",
    [
        ("a.txt", b"hello", PreviewKind.TEXT),
        ("README", "grüße".encode(), PreviewKind.TEXT),
        ("empty", b"", PreviewKind.TEXT),
        ("a.JSON", b"{}", PreviewKind.JSON),
        ("a.csv", b"a,b", PreviewKind.CSV),
        ("a.png", PNG, PreviewKind.IMAGE),
        ("a.jpg", b"\xff\xd8\xff\xe0", PreviewKind.IMAGE),
        ("a.gif", b"GIF89a", PreviewKind.IMAGE),
        ("a.webp", b"RIFF\0\0\0\0WEBP", PreviewKind.IMAGE),
        ("a.svg", SVG, PreviewKind.TEXT),
        ("a.png", SVG, PreviewKind.TEXT),
        ("page.html", b"<html>", PreviewKind.TEXT),
        ("a.safetensors", TENSORS, PreviewKind.SAFETENSORS),
        ("a.safetensors", b"text", PreviewKind.NONE),
        ("a.txt", b"a\0b", PreviewKind.NONE),
        ("a.json", b"\xff\xfe\xfd\xfc\xfb", PreviewKind.NONE),
        ("a.bin", bytes(range(1, 32)) * 4, PreviewKind.NONE),
        ("a.pkl", b"\x80\x04\x95", PreviewKind.NONE),
    ],
)
def test_the_kind(path, data, kind):
    assert kind_of(path, data) == kind
    found = show(path, data)
    assert found.kind == kind
    assert bool(found.why) == (kind is PreviewKind.NONE)


def test_svg_is_no_image():
    assert image_type(SVG) is None


def test_json_is_set_out():
    assert show("a.json", b'{"b":[1,"\xc3\xa9"]}').text == json.dumps(
        {"b": [1, "é"]}, indent=2, ensure_ascii=False
    )
    assert show("a.json", b"{broken").text == "{broken"
    nested = b"[" * 3000 + b"]" * 3000
    assert len(show("a.json", nested).text) <= 4 * NEEDED


def test_long_text_is_cut_between_characters():
    data = "é".encode() * NEEDED
    found = preview("a.txt", data[: NEEDED - 1], size=len(data))
    assert found.cut
    assert set(found.text) == {"é"}


def test_csv_is_bounded():
    wide = ",".join(["x" * 500] * 100)
    found = show("a.csv", "\n".join([wide] * 30).encode())
    assert found.cut
    assert all(len(row) == MAX_COLUMNS for row in found.rows)
    assert all(len(cell) == MAX_CELL for row in found.rows for cell in row)
    assert len(show("a.csv", b"1,2\n" * 1000).rows) == MAX_ROWS
    small = show("a.csv", b'name;value\n"a;b";1\n')
    assert (small.rows, small.cut) == ([["name", "value"], ["a;b", "1"]], False)
    assert show("a.tsv", b"a\tb,c").rows == [["a", "b,c"]]


def test_a_huge_image_is_not_shown():
    assert preview("a.png", PNG, size=MAX_IMAGE + 1).kind is PreviewKind.NONE


def test_a_broken_header_says_why():
    found = show("a.safetensors", (2).to_bytes(8, "little") + b"[]")
    assert found.kind is PreviewKind.NONE
    assert "JSON object" in found.why


@given(
    st.sampled_from(["a.json", "a.csv", "a.tsv", "a.safetensors", "a.txt", "a"]),
    st.binary(max_size=200) | st.text(alphabet='{}[],"\n\r;\t1a', max_size=200).map(str.encode),
    st.integers(0, 100),
)
def test_any_file_can_be_asked_for(path, data, more):
    found = preview(path, data, size=len(data) + more)
    assert found.kind in PreviewKind
