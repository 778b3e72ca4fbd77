"""examples/serve without MLflow, in whose place a few lines stand: whatever a new version does, the old one answers."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from tests.agents import until
from tests.live import ROOT, free_port

pytestmark = pytest.mark.sqlite_is_enough

SERVE = ROOT / "examples/serve/serve.py"
# The path of a version says what becomes of it.
PYFUNC = """
import os, socket, threading
from pathlib import Path

class Metadata:
    def load_input_example(self, path): return None
    def get_input_schema(self): return None

class Model:
    metadata = Metadata()

def load_model(path):
    Path(os.environ["SERVE_HOME"], "pid").write_text(str(os.getpid()))
    if path == "never loads":
        threading.Event().wait()
    if path == "dies when it is to answer":
        socket.socket.recv = lambda *_: os._exit(9)
    if path == "dies while it loads":
        os._exit(9)
    return Model()
"""


class Serving:
    """The server on a port of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        package = home / "mlflow/pyfunc"
        package.mkdir(parents=True)
        (home / "mlflow/__init__.py").touch()
        (package / "__init__.py").write_text(PYFUNC)
        (package / "scoring_server.py").write_text("invocations = None")
        told = {"SERVE_HOME": str(home), "PYTHONPATH": str(home), "PATH": os.environ["PATH"]}
        self.process = subprocess.Popen([sys.executable, str(SERVE), "run", str(self.port)], env=told)

    def ask(self, **question: object) -> dict:
        until((self.home / "serve.sock").exists, "it takes orders")
        with socket.socket(socket.AF_UNIX) as orders:
            orders.connect(str(self.home / "serve.sock"))
            orders.sendall(json.dumps(question).encode() + b"\n")
            with orders.makefile() as lines:
                return json.loads(lines.readline())

    def order(self, version: int, path: str = "works") -> str:
        return self.ask(model="risk/m", version=version, digest="", path=path)["wrong"]

    def answers(self, version: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", f"/health/{version}")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def pid(self) -> int:
        return int((self.home / "pid").read_text())


@pytest.fixture
def serving(tmp_path):
    found = Serving(tmp_path)
    yield found
    found.process.terminate()
    assert found.process.wait(60) == 0


def test_the_old_version_answers_whatever_the_new_one_does(serving):
    assert serving.order(1) == ""
    assert serving.order(2, "dies while it loads") == "it did not load"
    assert serving.order(3, "dies when it is to answer") == "it did not begin to answer"
    assert serving.answers(1)
    assert serving.ask(ask="running", model="risk/m") == {"version": "1", "trouble": ""}
    assert serving.ask(nonsense=1)["wrong"].startswith("no order")
    # An order goes before what is being loaded.
    loading, told = serving.pid(), []
    waits = threading.Thread(target=lambda: told.append(serving.order(4, "never loads")))
    waits.start()
    until(lambda: serving.pid() != loading, "it is loaded")
    assert serving.order(5) == ""
    waits.join()
    assert told == ["another version was ordered"]
    assert serving.answers(5)
    # What dies is started again.
    os.kill(serving.pid(), signal.SIGKILL)
    until(lambda: serving.answers(5), "it answers again")
    assert serving.ask(ask="running", model="risk/other")["version"] == ""


class Short:
    """A version that loads, and is dead as soon as it answers."""

    def __init__(self, port: object, facts: dict[str, str], private: list[socket.socket]) -> None:
        self.facts = facts
        self.talk, self.other = socket.socketpair()
        self.other.sendall(b"ready\n")

    def says(self, *_: object) -> bool:
        return True

    does = says

    def end(self) -> None:
        self.talk.close()
        self.other.close()

    def is_alive(self) -> bool:
        return False


def test_what_dies_again_and_again_is_started_after_longer_pauses(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVE_HOME", str(tmp_path))
    spec = importlib.util.spec_from_file_location("serve", SERVE)
    serve = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(serve)
    now, began, told = 0.0, [], []

    def make(*given: object) -> Short:
        began.append(now)
        return Short(*given)

    keeper = serve.Keeper(None, make=make, clock=lambda: now)
    facts = {"model": "risk/m", "version": "7", "digest": "", "path": ""}
    keeper.order(facts, told.append)
    for _ in range(300):
        now += 1
        keeper.step()
    assert told == [""]
    pauses = [round(later - earlier) for earlier, later in pairwise(began)]
    assert pauses[:7] == [1, 2, 3, 5, 9, 17, 33]
    assert max(pauses) == 61
    assert keeper.running("risk/m")["version"] == ""
    assert "version 7 died 11 times" in keeper.running("risk/m")["trouble"]
    if keeper.loading:
        keeper.loading.end()
