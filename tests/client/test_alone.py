"""The client without a server: what it refuses by itself, and that it needs nothing but Python."""

import subprocess
import sys

import pytest

from models_app.client import push
from models_app.client.pull import safe_path, split_name
from models_app.client.single_file import source
from models_app.client.transfer import Failure, Progress, Server
from tests.live import ROOT


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "a\\b", "C:x", "", "a//b", "a\nb", "."])
def test_hostile_paths_are_refused(path):
    with pytest.raises(Failure) as failure:
        safe_path(path)
    assert failure.value.code == 6


def test_names():
    assert split_name("risk/x@production") == ("risk/x", "production")
    assert split_name("risk/x") == ("risk/x", "latest")
    assert safe_path("a/b c.txt") == "a/b c.txt"


def test_the_one_file_and_the_package_need_only_python(tmp_path):
    (tmp_path / "client.py").write_text(source())
    done = subprocess.run([sys.executable, "-I", "-S", tmp_path / "client.py", "--help"], capture_output=True)
    assert done.returncode == 0, done.stderr
    alone = f"import sys; sys.path[:0] = [{str(ROOT)!r}]; import models_app.client.cli"
    assert subprocess.run([sys.executable, "-I", "-S", "-c", alone]).returncode == 0


def test_unreachable_servers_are_said_so(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(Failure) as failure:
        Server("http://127.0.0.1:9", "", tries=1).ask("GET", "me")
    assert failure.value.code == 5
    with pytest.raises(Failure) as failure:
        Server("ftp://example", "")
    assert failure.value.code == 2


def test_the_file_is_served_with_an_etag(client):
    first = client.get("/client.py")
    assert first.content.decode() == source()
    assert client.get("/client.py", headers={"If-None-Match": first["ETag"]}).status_code == 304


class Reading:
    """A registry whose worker is done with all files at the third look, or never is."""

    def __init__(self, *left: int) -> None:
        self.left = list(left)

    def ask(self, *_):
        return {"arrived": 0, "verifying": self.left.pop(0) if len(self.left) > 1 else self.left[0]}


def test_a_push_waits_while_its_files_are_read(monkeypatch, tmp_path):
    monkeypatch.setattr(push, "FIRST_LOOK", 0.0)
    (tmp_path / "a").touch()
    files = dict(zip("ab", push.find_files(tmp_path) * 2, strict=True))
    server = Reading(2, 1, 0)
    push.Push(server, None, Progress(quiet=True), parallel=1)._complete("uploads/x", ["a", "b"], files)
    assert server.left == [0]
    monkeypatch.setattr(push, "VERIFIED_WITHIN", -1.0)
    with pytest.raises(Failure, match="worker") as failure:
        push.Push(Reading(1), None, Progress(quiet=True), parallel=1)._complete("uploads/x", ["a"], files)
    assert failure.value.code == 5
