#!/usr/bin/env python3
"""Serve an MLflow model on a local port, and switch to another without a gap.

    python serve.py run 8080                 serve, and wait for orders (a service of its own: systemd, a container)
    modelry deploy-agent --environment prod --exec "python serve.py deploy" --observe "python serve.py running"

    curl http://127.0.0.1:8080/health/3      2xx if it is version 3 that answers: http://127.0.0.1:8080/health/{version}
                                             is the environment's health check
    curl http://127.0.0.1:8080/invocations -H 'Content-Type: application/json' -d '{"dataframe_split": {...}}'

`run` opens the port once and never closes it. Each version gets a process of its own that inherits the open port:

1. start new:  it loads the model, while the old one goes on answering
2. check:      it predicts the model's own input example, if there is one
3. switch:     the old one takes no more connections; those that come wait in the port's queue; the new one takes them
4. stop old:   only when the new one has said that it answers; it finishes what it has begun, and ends

A model that crashes in 1, 2 or 3 has changed nothing: the old one takes connections again. `deploy` gives the order,
waits, and exits with 1 then, so that the agent reports failure and the registry goes back by itself.

What dies later is started again, after longer pauses each time. `running` prints the version that answers; while none
does, an empty line and why. A new order goes before what is being loaded.
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
SWITCHED_WITHIN = 10.0
# A caller has so long to say what it wants.
HEARD_WITHIN = 5.0
# What dies sooner than that after it was loaded has died once more; pauses between tries double.
STEADY = 60.0
FIRST_PAUSE, LAST_PAUSE = 1.0, 60.0
FACTS = ("model", "version", "digest", "path")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


# --- One version, in a process of its own ---------------------------------------------------------------------


def serve_one(port: socket.socket, facts: dict[str, str], parent: socket.socket) -> None:
    """Load, check, say that we are ready; answer after `go`, pause at `hold`, end when the parent says no more."""
    from mlflow.pyfunc import load_model
    from mlflow.pyfunc.scoring_server import invocations

    model = load_model(facts["path"])
    example = model.metadata.load_input_example(facts["path"])
    if example is not None:
        model.predict(example)
    schema = model.metadata.get_input_schema()

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
    parent.sendall(b"ready\n")
    answering = None
    while (word := parent.recv(10)) in (b"go\n", b"hold\n"):
        if word == b"go\n":
            answering = threading.Thread(target=server.serve_forever, args=(0.02,))
            answering.start()
            parent.sendall(b"answers\n")
        elif answering:
            server.shutdown()
            answering.join()
            parent.sendall(b"holds\n")
    if answering:
        server.shutdown()
    server.server_close()


# --- The one that keeps the port ------------------------------------------------------------------------------


class Version:
    """A process that serves one version. `private` are sockets of its parent: closed there, they have to be closed."""

    def __init__(self, port: socket.socket, facts: dict[str, str], private: list[socket.socket]) -> None:
        self.facts = facts
        self.talk, other = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                # Whoever ends the service ends its parent, which ends us in time.
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                for one in (self.talk, *private):
                    one.close()
                serve_one(port, facts, other)
                code = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(code)
        other.close()

    def says(self, word: bytes, seconds: float) -> bool:
        """Whether that is what it says next."""
        self.talk.settimeout(seconds)
        with suppress(OSError):
            return self.talk.recv(20) == word
        return False

    def does(self, word: bytes, answer: bytes, seconds: float) -> bool:
        """Tell it, and whether it does."""
        with suppress(OSError):
            self.talk.sendall(word)
            return self.says(answer, seconds)
        return False

    def end(self) -> None:
        """It answers what it has begun, and ends."""
        self.talk.close()

    def kill(self) -> None:
        """Gone when this returns."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self.talk.close()

    def is_alive(self) -> bool:
        with suppress(ChildProcessError):
            return os.waitpid(self.pid, os.WNOHANG) == (0, 0)
        return False


class Keeper:
    """Keeps the port, one version that answers on it, and one that is being loaded. `clock` counts seconds."""

    def __init__(self, port: socket.socket, *, make=Version, clock=time.monotonic) -> None:
        self.port, self.make, self.clock = port, make, clock
        self.current, self.loading, self.leaving = None, None, []
        self.private: list[socket.socket] = []
        self.wanted: dict[str, str] | None = None
        self.since, self.deadline, self.again_at, self.deaths = 0.0, 0.0, 0.0, 0
        self.tell = self.no_one

    def no_one(self, wrong: str) -> None:
        """Nobody waits for it: it was started again."""

    def order(self, facts: dict[str, str], tell) -> None:
        """Serve another version; `tell` gets what went wrong, or nothing. What is being loaded is given up for it."""
        if self.current and self.current.facts == facts and self.current.is_alive():
            self.give_up("another version was ordered")
            tell("")
            return
        self.give_up("another version was ordered")
        self.load(facts, tell)

    def load(self, facts: dict[str, str], tell) -> None:
        self.private = [one for one in self.private if one.fileno() >= 0]
        talks = [self.current.talk] if self.current else []
        self.loading, self.tell = self.make(self.port, facts, [*self.private, *talks]), tell
        self.deadline = self.clock() + LOADED_WITHIN

    def give_up(self, why: str) -> None:
        if self.loading:
            self.loading.kill()
            self.loading = None
            self.tell(why)

    def step(self) -> None:
        """Go on with what is being loaded, bury who has left, start anew who died."""
        if self.loading and select.select([self.loading.talk], [], [], 0)[0]:
            new, self.loading = self.loading, None
            wrong = self.switch(new) if new.says(b"ready\n", 0) else "it did not load"
            if wrong:
                new.kill()
                self.died_again()
            self.tell(wrong)
        elif self.loading and self.clock() > self.deadline:
            self.give_up(f"it did not load within {LOADED_WITHIN:g} seconds")
            self.died_again()
        self.leaving = [(old, till) for old, till in self.leaving if self.is_leaving(old, till)]
        if self.current and not self.current.is_alive():
            self.current.end()
            self.current = None
            if self.clock() - self.since > STEADY:
                self.deaths = 0
            self.died_again()
            say(self.trouble())
        if not self.current and not self.loading and self.wanted and self.clock() >= self.again_at:
            self.load(self.wanted, self.no_one)

    def switch(self, new: Version) -> str:
        """From the old one to the new one; what went wrong, or nothing: then the old one answers as before."""
        old = self.current
        if old:
            old.does(b"hold\n", b"holds\n", SWITCHED_WITHIN)
        if not new.does(b"go\n", b"answers\n", SWITCHED_WITHIN):
            if old:
                old.does(b"go\n", b"answers\n", SWITCHED_WITHIN)
            return "it did not begin to answer"
        if old:
            old.end()
            self.leaving.append((old, self.clock() + DRAINED_WITHIN))
        if new.facts != self.wanted:
            self.deaths = 0
        self.current, self.since, self.wanted = new, self.clock(), new.facts
        part = SERVED.with_suffix(".part")
        part.write_text(json.dumps(new.facts))
        part.replace(SERVED)
        return ""

    def is_leaving(self, old: Version, till: float) -> bool:
        if old.is_alive() and self.clock() > till:
            old.kill()
        return old.is_alive()

    def died_again(self) -> None:
        """The first time it is started again at once, then after longer pauses."""
        if not self.current:
            pause = min(FIRST_PAUSE * 2 ** (self.deaths - 1), LAST_PAUSE) if self.deaths else 0.0
            self.deaths += 1
            self.again_at = self.clock() + pause

    def trouble(self) -> str:
        """Why nothing answers."""
        if not self.wanted:
            return "nothing was ordered yet"
        times = "once" if self.deaths == 1 else f"{self.deaths} times"
        left = max(self.again_at - self.clock(), 0)
        return f"version {self.wanted['version']} died {times}; it is started again after {left:.0f} s"

    def running(self, model: str) -> dict[str, str]:
        """What `running` tells."""
        if model and self.wanted and self.wanted["model"] != model:
            return {"version": "", "trouble": f"{self.wanted['model']} is served here"}
        if self.current and self.current.is_alive():
            died = f"it died {self.deaths} times" if self.deaths > 1 else ""
            return {"version": self.current.facts["version"], "trouble": died}
        return {"version": "", "trouble": self.trouble()}


class Caller:
    """One who gives orders, on its connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(HEARD_WITHIN)
        self.connection = connection

    def order(self) -> dict[str, str]:
        with self.connection.makefile() as lines:
            return json.loads(lines.readline())

    def tell(self, **answer: str) -> None:
        with suppress(OSError), self.connection:
            self.connection.sendall(json.dumps(answer).encode() + b"\n")


def run(number: int) -> None:
    """Serve what was served last, and take orders."""
    importlib.import_module("mlflow.pyfunc.scoring_server")  # Once, here: whoever is forked has it already.
    port = socket.create_server(("127.0.0.1", number), backlog=512)
    keeper = Keeper(port)
    stopped = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stopped.append(1))
    if SERVED.exists():
        keeper.wanted = json.loads(SERVED.read_text())
    ORDERS.unlink(missing_ok=True)
    orders = socket.socket(socket.AF_UNIX)
    orders.bind(str(ORDERS))
    ORDERS.chmod(0o600)
    orders.listen()
    keeper.private.append(orders)
    say(f"serving on http://127.0.0.1:{number}")
    while not stopped:
        heard = [orders, *([keeper.loading.talk] if keeper.loading else [])]
        if orders in select.select(heard, [], [], 0.2)[0]:
            take(keeper, Caller(orders.accept()[0]))
        keeper.step()
    ORDERS.unlink(missing_ok=True)
    keeper.give_up("the server was ended")
    if keeper.current:
        keeper.current.end()
        keeper.leaving.append((keeper.current, time.monotonic() + DRAINED_WITHIN))
    while keeper.leaving:
        keeper.leaving = [(old, till) for old, till in keeper.leaving if keeper.is_leaving(old, till)]
        time.sleep(0.02)


def take(keeper: Keeper, caller: Caller) -> None:
    """Do as the caller says, who hears of it when it is done."""
    try:
        order = caller.order()
        if order.get("ask") == "running":
            caller.tell(**keeper.running(str(order.get("model") or "")))
        else:
            facts = {name: str(order[name]) for name in FACTS}
            keeper.private.append(caller.connection)
            keeper.order(facts, lambda wrong: caller.tell(wrong=wrong))
    except (OSError, ValueError, LookupError, AttributeError) as error:
        caller.tell(wrong=f"no order: {error!r}")


# --- What the agent runs --------------------------------------------------------------------------------------


def ask(question: dict[str, str]) -> dict[str, str]:
    """What the server answers; nothing when it ended."""
    with socket.socket(socket.AF_UNIX) as orders:
        orders.connect(str(ORDERS))
        with orders.makefile("rw") as lines:
            lines.write(json.dumps(question) + "\n")
            lines.flush()
            answer = lines.readline()
    return json.loads(answer) if answer else {}


def deploy() -> int:
    """Order what the agent says in its environment; 1 when it does not serve."""
    facts = {name: os.environ[f"MODELRY_{name.upper()}"] for name in FACTS}
    began = time.monotonic()
    wrong = ask(facts).get("wrong", "the server ended")
    took = time.monotonic() - began
    say(f"{facts['model']} {facts['version']}: {wrong or f'serves after {took:.1f} s'}")
    return 1 if wrong else 0


def running() -> int:
    """Print the version that answers, of the model that is asked for; an empty line and why when none does."""
    try:
        told = ask({"ask": "running", "model": os.environ.get("MODELRY_MODEL", "")})
    except OSError as error:
        told = {"trouble": f"the server does not run: {error}"}
    say(f"{told.get('version', '')}\n{told.get('trouble', '')}".rstrip("\n") or "\n")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        run(int(sys.argv[2]))
    elif sys.argv[1:] == ["deploy"]:
        sys.exit(deploy())
    elif sys.argv[1:] == ["running"]:
        sys.exit(running())
    else:
        sys.exit(__doc__)
