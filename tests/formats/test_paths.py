"""What a file in a version may be called."""

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models_app.formats.paths import check_path, check_paths


@pytest.mark.parametrize(
    "path",
    [
        "model.bin",
        "a/b/c.safetensors",
        ".gitattributes",
        "with space/and-dash_1.txt",
        "modèle/模型.bin",
        "a..b",
        "...x",
        "x" * 255,
        "/".join(["d" * 99] * 10),
        "é" * 127,
        "console.log",
        "100%/a+b=c;d&e'f,g(h)[i]{j}!@#$^~`",
    ],
)
def test_good_paths_come_back_unchanged(path):
    assert check_path(path) == path


@pytest.mark.parametrize(
    "path, why",
    [
        ("", "needs a path"),
        ("x/" * 500 + "y", "longer than 1000"),
        ("../etc/passwd", "“..”"),
        ("a/../b", "“..”"),
        ("./a", "“.”"),
        ("a/.", "“.”"),
        ("..", "“..”"),
        ("/etc/passwd", "relative"),
        ("a//b", "empty part"),
        ("a/", "empty part"),
        ("C:\\windows", "backslash"),
        ("..\\up", "backslash"),
        ("c:/windows", "No : in"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x7fb", "control"),
        ("a\x85b", "control"),
        ("safe\u202egnp.exe", "invisible"),
        ("a\u200bb", "invisible"),
        ("\ufeffa", "invisible"),
        ("a\u2028b", "invisible"),
        ("a\ue000b", "invisible"),
        ("a\ud800b", "invisible"),
        ("a\u2066b", "invisible"),
        ("e\u0301", "normal form C"),
        ("\u212b", "normal form C"),
        ("x" * 256, "255 bytes"),
        ("é" * 128, "255 bytes"),
        ("CON", "device"),
        ("a/nul.txt", "device"),
        ("Com1.tar.gz/x", "device"),
        ("lpt9", "device"),
        ("con .txt", "device"),
        ("com¹", "device"),
        ("conin$", "device"),
        ("a. ", "space"),
        ("a./b", "dot"),
        ("a /b", "space"),
        (" a", "space"),
        ("a\u3000", "space"),
        ("a\u00a0/b", "space"),
        ("a?b", r"No \? in"),
        ("a*b|c", r"No \* \| in"),
        ('a"b', 'No " in'),
    ],
)
def test_bad_paths_are_refused_with_a_reason(path, why):
    with pytest.raises(ValueError, match=why) as caught:
        check_path(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "paths, why",
    [
        (["a", "a"], "there twice: 'a'"),
        (["Model.bin", "model.bin"], "differ in case only"),
        (["straße", "STRASSE"], "differ in case only"),
        (["İx", "i\u0307x"], "differ in case only"),
        (["a", "a/b"], "file and a folder"),
        (["a/b/c", "a"], "file and a folder"),
        (["A/b", "a"], "file and a folder"),
        (["Data/a", "data/b"], "in case only"),
        (["ok", "../up"], "“..”"),
    ],
)
def test_paths_that_do_not_go_together(paths, why):
    with pytest.raises(ValueError, match=why):
        check_paths(paths)


def test_paths_that_go_together():
    check_paths([])
    check_paths(["a/b", "a/c", "ab", "b/a", "a.b/c"])
    check_paths([f"shards/{number:05}/part.bin" for number in range(10_000)])


anything = st.text(alphabet=st.characters() | st.sampled_from("/.\\ :ab"), max_size=40)


@given(anything)
def test_what_passes_is_harmless(path):
    try:
        check_path(path)
    except ValueError:
        return
    assert os.path.normpath(path) == path
    assert os.path.commonpath(["/root", os.path.join("/root", path)]) == "/root"
    assert unicodedata.normalize("NFC", path) == path
    assert path.encode().decode() == path
    assert path.isprintable() or any(unicodedata.category(char) == "Zs" for char in path)


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "A", "b", "é", "É"]), min_size=1, max_size=3).map("/".join), max_size=6
    )
)
def test_what_passes_together_can_be_written_anywhere(paths):
    """No two paths meet on a file system that ignores case."""
    try:
        check_paths(paths)
    except ValueError:
        return
    files = {path.casefold() for path in paths}
    folders = {
        path.casefold().rsplit("/", depth)[0] for path in paths for depth in range(1, path.count("/") + 1)
    }
    assert len(files) == len(paths)
    assert not files & folders
