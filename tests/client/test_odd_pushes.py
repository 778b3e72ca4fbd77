"""Pushes and pulls of what is odd on this machine, ended at odd moments, or done twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

from models_app.client import push as pushing
from models_app.client import transfer
from tests.client.test_push_pull import Shell, content, folder
from tests.live import serve

pytestmark = pytest.mark.sqlite_is_enough


@pytest.fixture(scope="module")
def live(live_template, tmp_path_factory):
    with serve(live_template, tmp_path_factory.mktemp("odd")) as server:
        yield server


@pytest.fixture
def modelry(live, tmp_path):
    return Shell(live, tmp_path)


def test_a_version_without_files_replaces_nothing(modelry, live, tmp_path):
    modelry("push", folder(tmp_path / "model"), "--model", "risk/pointing", "--create")
    with live.client("bob") as bob:
        made = bob.post("/api/v1/models/risk/pointing/versions", json={"source": "https://example.com/m"})
    assert made.json()["version"] == 2
    kept = folder(tmp_path / "kept", **{"serving.bin": b"it serves"})
    before = content(kept)
    told = modelry("pull", "risk/pointing@2", kept, "--force", code=3)
    assert "https://example.com/m" in told["error"]
    assert content(kept) == before


def test_a_pull_into_the_working_folder(modelry, tmp_path):
    model = folder(tmp_path / "model")
    modelry("push", model, "--model", "risk/here", "--create")
    here = tmp_path / "here"
    here.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "models_app.client", "pull", "risk/here", "."],
        env={**modelry.environment("bob"), "PYTHONPATH": os.getcwd()},
        cwd=here,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, str(here)), done.stderr
    assert content(here) == content(model)


def test_a_seal_that_was_not_heard_is_not_done_twice(modelry, tmp_path):
    """Killed between the registry's yes and hearing of it."""
    model = folder(tmp_path / "model")
    tell = ("push", model, "--model", "risk/unheard", "--create", "--metric", "f1=0.5")
    modelry.more = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.getcwd()}"}
    (tmp_path / "sitecustomize.py").write_text(
        "import os\n"
        "from models_app.client.transfer import Server\n"
        "ask = Server.ask\n"
        "def deaf(self, method, path, *rest, **more):\n"
        "    answer = ask(self, method, path, *rest, **more)\n"
        "    if path.endswith('/seal'):\n"
        "        os._exit(9)\n"
        "    return answer\n"
        "Server.ask = deaf\n"
    )
    modelry(*tell, code=9)
    (tmp_path / "sitecustomize.py").unlink()
    assert (modelry(*tell)["version"], modelry(*tell)["version"]) == (1, 2)
    # Another command is another version.
    assert modelry(*tell, "--metric", "f1=0.6")["version"] == 3


def test_two_pushes_of_one_folder_at_once_end_well(modelry, tmp_path):
    """They may share an upload, and are one version then: it is the same command."""
    model = folder(tmp_path / "model", **{f"{n}.bin": os.urandom(1 << 20) for n in range(40)})
    modelry("push", folder(tmp_path / "first"), "--model", "risk/both", "--create")
    both = [modelry.start("push", model, "--model", "risk/both", "--json") for _ in range(2)]
    ends = [(process.communicate(timeout=60), process.returncode) for process in both]
    assert [code for _, code in ends] == [0, 0], ends
    told = [json.loads(out)["version"] for (out, _), _ in ends]
    assert modelry("pull", "risk/both", tmp_path / "out")["version"] == max(told)
    assert sorted(told) in ([2, 2], [2, 3])
    assert content(tmp_path / "out") == content(model)


def test_a_file_that_vanishes_is_no_trouble_of_the_line(tmp_path):
    with pytest.raises(transfer.Failure, match=r"gone.bin cannot be read: No such file") as failure:
        transfer.Many([("0" * 64, tmp_path / "gone.bin", 5)]).send(None)
    assert failure.value.code == transfer.LOCAL
    with pytest.raises(transfer.Failure) as failure:
        transfer.Section(tmp_path / "gone.bin", 0, 5).send(None)
    assert failure.value.code == transfer.LOCAL


def test_names_that_are_no_text_and_names_in_pieces(tmp_path):
    (tmp_path / "cafe\u0301.bin").write_bytes(b"x")
    (file,) = pushing.find_files(tmp_path / "cafe\u0301.bin")
    assert file.path == "caf\u00e9.bin"
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.bin", os.O_CREAT | os.O_WRONLY))
    with pytest.raises(transfer.Failure, match="not UTF-8") as failure:
        pushing.find_files(tmp_path)
    assert failure.value.code == transfer.LOCAL


def test_what_is_broken_here_has_its_code(modelry, tmp_path):
    model = folder(tmp_path / "model")
    tell = ("push", model, "--model", "risk/broken", "--create")
    cache = tmp_path / "cache-bob"
    cache.mkdir()
    (cache / "known.sqlite3").write_bytes(b"no database at all" * 99)
    assert modelry(*tell)["version"] == 1
    shutil.rmtree(cache)
    told = modelry(*tell, "--metrics-file", tmp_path / "none.json", code=7)
    assert "none.json cannot be read: No such file" in told["error"]
    login = tmp_path / ".config/modelry/login.json"
    login.parent.mkdir(parents=True)
    login.write_text("{")
    assert "modelry login" in modelry(*tell, code=2)["error"]
    login.unlink()
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    assert "no token" in modelry(*tell, "--token-file", tmp_path / "token", code=2)["error"]
    assert "no address" in modelry(*tell, "--url", "http://host:abc", code=2)["error"]
    modelry.more = {"MODELRY_TOKEN": ""}
    told = modelry(*tell, code=3)
    assert "MODELRY_TOKEN" in told["error"]
    assert "modelry login" in told["error"]


def test_the_address_may_come_after_the_command(modelry, live, tmp_path):
    modelry.more = {"MODELRY_URL": "http://127.0.0.1:9"}
    model = folder(tmp_path / "model")
    assert modelry("push", model, "--model", "risk/after", "--create", "--url", live.url)["version"] == 1
    assert modelry("--url", live.url, "pull", "risk/after", tmp_path / "out")["version"] == 1
    assert content(tmp_path / "out") == content(model)
