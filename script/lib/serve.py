"""Start the app server and the worker, say where to find them, begin again what dies, and end both when told."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parent.parent.parent
# Measured on two cores; the environment may say otherwise (granian reads GRANIAN_* itself).
GRANIAN = {
    "GRANIAN_INTERFACE": "wsgi",
    "GRANIAN_HTTP": "1",
    # A fast upload holds several times this; more of it is hardly faster.
    "GRANIAN_HTTP1_BUFFER_SIZE": "131072",
    "GRANIAN_WEBSOCKETS": "false",
    "GRANIAN_WORKERS": "2",
    # Each upload, download or waiting agent holds a thread; with few, some slow ones would stop the site.
    "GRANIAN_BLOCKING_THREADS": "64",
    "GRANIAN_RESPAWN_FAILED_WORKERS": "true",
    # Its only warning is about the threads above.
    "GRANIAN_LOG_LEVEL": "error",
}
GRACE = 10.0
# What ends more often than so many times in so many seconds will not do better the next time.
MOST_ENDS, WITHIN = 5, 60.0


class Ended(Exception):
    """Somebody asked for the end."""


def main() -> int:
    host, port = os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "8000")
    if not port.isdigit() or not 0 < int(port) < 65536:
        return fail(f"PORT must be a number from 1 to 65535, not “{port}”.")
    if taken := why_taken(host, int(port)):
        return fail(taken)
    address = f"http://{shown(host)}:{port}"
    environment = {
        **GRANIAN,
        # Mails can be read where the worker writes them.
        "MODELRY_EMAIL_URL": "consolemail://",
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "GRANIAN_HOST": host,
        "GRANIAN_PORT": port,
    }
    if host not in ("127.0.0.1", "localhost", "::1"):
        environment.setdefault("MODELRY_ALLOWED_HOSTS", ",".join(names_of_this_machine(host)))

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, asked_to_end)
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        told = prepare(environment)
        begin = {
            "app server": lambda: start(["granian", "registry_site.wsgi:application"], environment),
            # It is asked by nobody, and has to know for its mails where the site is.
            "worker": lambda: start(
                ["manage.py", "run_worker", "--skip-checks"],
                {"MODELRY_PUBLIC_URL": address, **environment},
            ),
        }
        children.update({name: work() for name, work in begin.items()})
        wait_for(address, children)
        welcome(address, told)
        return watch(children, begin)
    except Ended:
        return 0
    except subprocess.CalledProcessError as error:
        return error.returncode or 1
    except RuntimeError as error:
        return fail(str(error))
    finally:
        end(children.values())


def asked_to_end(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise Ended


def why_taken(host: str, port: int) -> str:
    """A sentence when nothing can listen there, else nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return f"Cannot listen on {host}:{port} ({error.strerror}). Choose another: PORT={port + 1} ./script/server"
    return ""


def shown(host: str) -> str:
    """The host as a person on this machine would open it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def names_of_this_machine(host: str) -> list[str]:
    name = socket.gethostname()
    names = {"localhost", "127.0.0.1", "[::1]", name, socket.getfqdn(), host}
    with contextlib.suppress(OSError):
        names |= {str(found[4][0]) for found in socket.getaddrinfo(name, None, socket.AF_INET)}
    return sorted(names)


def prepare(environment: dict[str, str]) -> dict[str, object]:
    """Database, demo data, static files; returns what there is to tell."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "script/lib/prepare.py")],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
    )
    told: dict[str, object] = json.loads(done.stdout)
    return told


def start(command: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A child in a session of its own, so that it and all it starts can be ended as one."""
    module = ["-m"] if command[0] == "granian" else []
    return subprocess.Popen(
        [sys.executable, *module, *command],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509  (no threads here)
    )


def end_with_parent() -> None:
    """In a child: be told to end also when this script is killed and cannot say so (Linux)."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def wait_for(address: str, children: dict[str, subprocess.Popen[bytes]]) -> None:
    """Until the site answers; raises RuntimeError when a child ends first or it takes a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for name, child in children.items():
            if child.poll() is not None:
                raise RuntimeError(f"The {name} ended with status {child.returncode} while starting.")
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/healthz", timeout=2):
            return
        time.sleep(0.05)
    raise RuntimeError(f"{address}/healthz did not answer within a minute.")


def watch(
    children: dict[str, subprocess.Popen[bytes]], begin: dict[str, Callable[[], subprocess.Popen[bytes]]]
) -> int:
    """Begin again what was killed; till one of them ends again and again."""
    ends: list[float] = []
    while True:
        for name, child in children.items():
            if child.poll() is not None:
                said = f"The {name} ended with status {child.returncode}"
                ends = [at for at in ends if at > time.monotonic() - WITHIN] + [time.monotonic()]
                if len(ends) > MOST_ENDS:
                    return fail(f"{said}, again; ending the rest.")
                print(f"{said}; beginning it again.", file=sys.stderr, flush=True)
                end([child])
                children[name] = begin[name]()
        time.sleep(0.3)


def end(children: object) -> None:
    """SIGTERM to each child's whole group, SIGKILL after a while to what is left of it."""
    running = list(children)  # type: ignore[call-overload]
    for child in running:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    for child in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(max(0.1, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def welcome(address: str, told: dict[str, object]) -> None:
    lines = ["", f"  Modelry runs at {address}", ""]
    logins = told.get("logins") or []
    if isinstance(logins, list) and logins:
        wide = max(len(login["username"]) for login in logins)
        lines.append("  Log in as              password")
        for login in logins:
            lines.append(f"    {login['username']:<{max(wide, 20)}} {login['password']:<20} {login['role']}")
        lines.append("")
    if not told.get("anybody"):
        lines += ["  Nobody can log in yet. Make the first person:"]
        lines += ["    ./script/manage create_user NAME --site-admin", ""]
    if token := told.get("token"):
        lines += ["  From a script:"]
        if Path(os.environ["MODELRY_HOME"]) != ROOT / "var":
            lines.append(
                f"    export MODELRY_HOME={shlex.quote(os.environ['MODELRY_HOME'])}     # for ./script/manage"
            )
        lines += [
            f"    export MODELRY_URL={address}",
            f"    export MODELRY_TOKEN={token}",
            '    curl -H "Authorization: Bearer $MODELRY_TOKEN" "$MODELRY_URL/api/v1/stages/production"',
            "",
        ]
    lines += [f"  Data lives in {os.environ['MODELRY_HOME']}. Ctrl-C ends everything.", ""]
    print("\n".join(lines), flush=True)


def fail(message: str) -> int:
    print(message, file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
