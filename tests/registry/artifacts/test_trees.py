"""Files of runs and logged models: what is put is found, and nothing collides."""

from __future__ import annotations

import pytest

from models_app.models import Blob, TreeEntry
from models_app.registry import runs
from models_app.registry.artifacts import trees
from models_app.registry.artifacts.blobs import StoredFile
from models_app.registry.errors import Forbidden, Invalid, NotFound
from tests.builders import stored

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(people):
    return runs.create_run(by=people.bob)


@pytest.fixture
def put(run, people):
    def put(*paths, content=b"x"):
        trees.put(run, [stored(path, content) for path in paths], by=people.bob)
        run.refresh_from_db()
        return run.tree

    return put


def test_nothing_is_there_before_the_first_file(run):
    assert (trees.files_in(None), trees.listing(None), trees.find(None, "a")) == ([], [], None)
    assert run.tree is None


def test_files_come_back(put):
    tree = put("model/MLmodel", "model/data/ünïcode ü.bin", "plot.png", "model.txt", "model-2/x")
    assert [file.path for file in trees.files_in(tree, "model")] == ["data/ünïcode ü.bin", "MLmodel"]
    assert len(trees.files_in(tree)) == 5
    assert trees.listing(tree) == [
        ("model", True, 0),
        ("model-2", True, 0),
        ("model.txt", False, 1),
        ("plot.png", False, 1),
    ]
    assert trees.listing(tree, "model/") == [("MLmodel", False, 1), ("data", True, 0)]
    assert trees.listing(tree, "plot.png") == trees.listing(tree, "nowhere") == []
    sha256 = stored("x", b"x").sha256
    assert trees.find(tree, "model/MLmodel") == (sha256, 1)
    assert trees.find(tree, "model") is trees.find(tree, "model/mlmodel") is None
    assert Blob.objects.filter(sha256=sha256).exists()


def test_another_content_replaces_the_first(put):
    put("a/b", content=b"one")
    tree = put("a/b", content=b"three")
    assert [(file.path, file.size) for file in trees.files_in(tree)] == [("a/b", 5)]


@pytest.mark.parametrize(
    "there, then",
    [
        ("a/b", "a/B"),
        ("a/b", "A/c"),
        ("a/b/c", "A/x"),
        ("x/y/z", "x/Y/q/r"),
        ("straße", "STRASSE"),
        ("Ä/x", "ä/y"),
        ("a", "a/b"),
        ("a", "A/b"),
        ("a/b", "a"),
        ("a/b", "A"),
        ("a/b/c", "a/b"),
    ],
)
def test_collisions_are_refused(put, people, run, there, then):
    others = ["0", "zz", "a!", "a-b", "m/n", "a0", "ß/x"]
    tree = put(there, *others)
    for path in (then, f"{then}"):
        with pytest.raises(Invalid):
            put(path)
    assert {file.path for file in trees.files_in(tree)} == {there, *others}


@pytest.mark.parametrize("path", ["a/b", "a.b", "a-b", "a b", "ab", "a/b/c", "A-b"])
def test_neighbours_are_no_collisions(put, path):
    tree = put("a/b/d", "a-c", "ab2") if path != "a/b" else put("a/c")
    put(path)
    assert trees.find(tree, path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a/%2e%2e/b",
        "a/%252e%252e/b",
        "a\\..\\b",
        "a%5C..%5Cb",
        "C:\\x",
        "C:/x",
        "a\x00b",
        "a//b",
        "./a",
        "x" * 300,
        "/".join(["abcdefgh"] * 120),
        "ΐ" * 120 + "/" + "/".join("ΐ" * 100 for _ in range(8)),
        "a\u202eb",
    ],
)
def test_hostile_paths_change_nothing(put, run, path):
    with pytest.raises(Invalid):
        put("fine", path)
    assert not TreeEntry.objects.exists()
    run.refresh_from_db()
    assert run.tree is None


def test_a_path_is_in_normal_form(put):
    tree = put("e\u0301.txt")
    assert trees.find(tree, "\u00e9.txt")


def test_removing(put, run, people):
    tree = put("a/b", "a/c/d", "ab", "a-")
    assert trees.remove(run, "a", by=people.bob) == 2
    assert [file.path for file in trees.files_in(tree)] == ["a-", "ab"]
    assert trees.remove(run, "ab", by=people.bob) == 1
    with pytest.raises(NotFound):
        trees.remove(run, "ab", by=people.bob)
    assert trees.remove(run, "", by=people.bob) == 1
    assert trees.files_in(tree) == []


def test_who_may_write(run, people):
    for actor in (people.dave, people.carol):
        with pytest.raises(Forbidden):
            trees.put(run, [stored()], by=actor)
    trees.put(run, [stored()], by=people.bob)
    with pytest.raises(Forbidden):
        trees.remove(run, "model.bin", by=people.dave)


def test_a_deleted_run_takes_nothing(run, put, people):
    put("a")
    type(run).objects.update(deleted_at=run.started_at)
    for change in (
        lambda: trees.put(run, [stored()], by=people.bob),
        lambda: trees.remove(run, "a", by=people.bob),
    ):
        with pytest.raises(Invalid, match="active"):
            change()


def test_a_put_into_a_large_tree_costs_what_it_costs_in_a_small_one(
    run, put, people, django_assert_max_num_queries
):
    put(*(f"images/{number}.png" for number in range(200)))
    with django_assert_max_num_queries(8):
        trees.put(run, [StoredFile("images/x.png", stored().sha256, 7)], by=people.bob)
