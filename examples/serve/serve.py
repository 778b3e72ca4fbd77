#!/usr/bin/env python3
"""Serve an MLflow model on a local port, and switch to another without a gap.

    python serve.py run 8080                 serve, and wait for orders (a service of its own: systemd, a container)
    modelry deploy-agent --environment prod --exec "python serve.py deploy"

    curl http://127.0.0.1:8080/health/3      2xx if it is version 3 that answers: http://127.0.0.1:8080/health/{version}
                                             is the environment's health check
    curl http://127.0.0.1:8080/invocations -H 'Content-Type: application/json' -d '{"dataframe_split": {...}}'

`run` opens the port once and never closes it. Each version gets a process of its own that inherits the open port:

1. start new:  it loads the model, while the old one goes on answering
2. check:      it predicts the model's own input example, if there is one
3. switch:     the old one takes no more connections; those that come wait in the port's queue; the new one takes them
4. stop old:   it answers what it has begun, and ends

A model that crashes in 1 or 2 has changed nothing. `deploy` gives the order, waits, and exits with 1 then, so that the
agent reports failure and the registry goes back by itself.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOME = Path(os.environ.get("SERVE_HOME", "."))
ORDERS, SERVED = HOME / "serve.sock", HOME / "served.json"
LOADED_WITHIN = float(os.environ.get("MODELRY_HEALTH_WINDOW") or 300)
DRAINED_WITHIN = 30.0
FACTS = ("model", "version", "digest", "path")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# --- One version, in a process of its own ---------------------------------------------------------------------


def serve_one(port: socket.socket, facts: dict[str, str], parent: socket.socket) -> None:
    """Load, check, say that we are ready, wait for the word, answer till SIGTERM."""
    from mlflow.pyfunc import load_model
    from mlflow.pyfunc.scoring_server import invocations

    model = load_model(facts["path"])
    example = model.metadata.load_input_example(facts["path"])
    if example is not None:
        model.predict(example)
    schema = model.metadata.get_input_schema()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    parent.sendall(b"ready\n")
    if parent.recv(10) != b"go\n":
        return

    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_GET(self) -> None:
            here = self.path in ("/health", f"/health/{facts['version']}")
            self.answer(200 if here else 404, json.dumps({**facts, "path": None}))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = self.headers.get("Content-Type") or "application/json"
            try:
                result = invocations(body, kind, model, schema)
            except Exception as error:
                self.answer(400, json.dumps({"error": str(error)}))
            else:
                self.answer(result.status, result.response)

        def answer(self, status: int, text: str) -> None:
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
    # Closing the server waits for the answers that are under way.
    server.daemon_threads = False
    server.socket.close()
    server.socket = port
    threading.Thread(target=lambda: (stop.wait(), server.shutdown()), daemon=True).start()
    server.serve_forever(poll_interval=0.02)
    parent.sendall(b"quiet\n")
    server.server_close()


# --- The one that keeps the port ------------------------------------------------------------------------------


class Version:
    """A process that serves one version."""

    def __init__(self, port: socket.socket, facts: dict[str, str]) -> None:
        self.facts = facts
        self.talk, other = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                self.talk.close()
                serve_one(port, facts, other)
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(code)
        other.close()

    def hears(self, word: bytes, seconds: float) -> bool:
        self.talk.settimeout(seconds)
        with suppress(OSError):
            return self.talk.recv(20) == word
        return False

    def stop(self) -> None:
        """Returns when it takes no more connections."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        self.hears(b"quiet\n", DRAINED_WITHIN)

    def is_alive(self) -> bool:
        with suppress(ChildProcessError):
            return os.waitpid(self.pid, os.WNOHANG) == (0, 0)
        return False


class Keeper:
    """Keeps the port, and one version that answers on it."""

    def __init__(self, port: socket.socket) -> None:
        self.port, self.current, self.leaving = port, None, []

    def switch(self, facts: dict[str, str]) -> str:
        """Serve another version; what went wrong, or nothing."""
        if self.current and self.current.facts == facts and self.current.is_alive():
            return ""
        new = Version(self.port, facts)
        if not new.hears(b"ready\n", LOADED_WITHIN):
            with suppress(ProcessLookupError):
                os.kill(new.pid, signal.SIGKILL)
            os.waitpid(new.pid, 0)
            return "it did not load"
        old, self.current = self.current, new
        if old:
            old.stop()
            self.leaving.append(old)
        new.talk.sendall(b"go\n")
        part = SERVED.with_suffix(".part")
        part.write_text(json.dumps(facts))
        part.replace(SERVED)
        return ""

    def look_after(self) -> None:
        """Bury who has left, and start anew who died."""
        self.leaving = [old for old in self.leaving if old.is_alive()]
        if self.current and not self.current.is_alive():
            facts, self.current = self.current.facts, None
            say(f"version {facts['version']} died; it is started again")
            self.switch(facts)


def run(number: int) -> None:
    """Serve what was served last, and take orders."""
    importlib.import_module("mlflow.pyfunc.scoring_server")  # Once, here: whoever is forked has it already.
    port = socket.create_server(("127.0.0.1", number), backlog=512)
    keeper = Keeper(port)
    stopped = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopped.append(1))
    if SERVED.exists():
        keeper.switch(json.loads(SERVED.read_text()))
    ORDERS.unlink(missing_ok=True)
    orders = socket.socket(socket.AF_UNIX)
    orders.bind(str(ORDERS))
    ORDERS.chmod(0o600)
    orders.listen()
    say(f"serving on http://127.0.0.1:{number}")
    while not stopped:
        if select.select([orders], [], [], 0.5)[0]:
            caller, _ = orders.accept()
            with caller, caller.makefile("rw") as lines:
                wrong = keeper.switch(json.loads(lines.readline()))
                with suppress(OSError):
                    lines.write(json.dumps({"wrong": wrong}) + "\n")
                    lines.flush()
        keeper.look_after()
    ORDERS.unlink(missing_ok=True)
    if keeper.current:
        keeper.current.stop()


# --- What the agent runs --------------------------------------------------------------------------------------


def deploy() -> int:
    """Order what the agent says in its environment; 1 when it does not serve."""
    facts = {name: os.environ[f"MODELRY_{name.upper()}"] for name in FACTS}
    began = time.monotonic()
    with socket.socket(socket.AF_UNIX) as orders:
        orders.connect(str(ORDERS))
        with orders.makefile("rw") as lines:
            lines.write(json.dumps(facts) + "\n")
            lines.flush()
            answer = lines.readline()
    wrong = json.loads(answer)["wrong"] if answer else "the server ended"
    took = time.monotonic() - began
    say(f"{facts['model']} {facts['version']}: {wrong or f'serves after {took:.1f} s'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run(int(sys.argv[2]))
    elif sys.argv[1:] == ["deploy"]:
        sys.exit(deploy())
    else:
        sys.exit(__doc__)
