"""A real server process on a free port, with its own data folder and database: what faults and real runs are tried on.

Run as a module it prepares a migrated database: make the standing people, print a token for each as JSON.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.migrated import Original as Migrated

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Template:
    """A migrated database with the standing people, made once for all processes of a test run and copied for every
    server. `folder` is theirs together.
    """

    def __init__(self, folder: Path, static: Path, migrated: Migrated) -> None:
        self.folder, self.static, self.migrated = folder, static, migrated
        self.server = migrated.server
        folder.mkdir(exist_ok=True)
        with self._facts() as facts:
            if not facts:
                facts |= self._make()
            facts["users"] = facts.get("users", 0) + 1
            self.name: str = facts["name"]
            self.tokens: dict[str, str] = facts["tokens"]

    def _make(self) -> dict[str, Any]:
        name = f"live_template_{secrets.token_hex(4)}"
        self.migrated.copy_to(name if self.server else str(self.folder / f"{name}.sqlite3"))
        done = subprocess.run(
            [sys.executable, "-m", "tests.live"],
            env=self.environment(self.folder, self.url(name)),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            check=True,
        )
        return {"name": name, "tokens": json.loads(done.stdout)}

    @contextmanager
    def _facts(self) -> Iterator[dict[str, Any]]:
        """What the processes know of it together: nothing while there is none. Changes are written."""
        with (self.folder / "facts.json").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            facts = json.loads(file.read() or "{}")
            yield facts
            file.truncate(0)
            file.write(json.dumps(facts))

    def url(self, name: str) -> str:
        """The address of the database of that name on the server of this test run."""
        if not self.server:
            return f"sqlite:///{self.folder / name}.sqlite3"
        return self.migrated.address(name)

    def environment(self, home: Path, database_url: str) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("MODELRY_", "GRANIAN_"))
        }
        return {
            **kept,
            "DJANGO_SETTINGS_MODULE": "registry_site.settings",
            "DATABASE_URL": database_url,
            "MODELRY_HOME": str(home),
            "MODELRY_SECRET_KEY": "of-the-tests-" * 5,
            "MODELRY_STATIC_ROOT": str(self.static),
            "PYTHONUNBUFFERED": "1",
        }

    @contextmanager
    def copy(self) -> Iterator[str]:
        """The address of a fresh copy, gone afterwards."""
        name = f"live_{secrets.token_hex(6)}"
        if self.server:
            self.migrated.sql(f'CREATE DATABASE "{name}" TEMPLATE "{self.name}"')
            yield self.url(name)
            self.migrated.sql(f'DROP DATABASE "{name}" WITH (FORCE)')
            return
        target = self.folder / f"{name}.sqlite3"
        shutil.copy(self.folder / f"{self.name}.sqlite3", target)
        yield self.url(name)
        for path in self.folder.glob(f"{name}.sqlite3*"):
            path.unlink()

    def close(self) -> None:
        """Whoever is the last to need it takes it away."""
        with self._facts() as facts:
            facts["users"] -= 1
            if not facts["users"]:
                facts.clear()
                if self.server:
                    self.migrated.sql(f'DROP DATABASE "{self.name}" WITH (FORCE)')


class LiveServer:
    """granian serving Modelry: `url`, `home`, `tokens["bob"]`, `client("bob")`; `kill()` is SIGKILL, then `start()`."""

    def __init__(self, template: Template, home: Path, database_url: str) -> None:
        self.home, self.database_url, self.tokens = home, database_url, dict(template.tokens)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = template.environment(home, database_url)
        self.log = home / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[httpx.Client] = []

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *, workers: int = 1) -> None:
        """Until it answers."""
        command = [sys.executable, "-m", "granian", "--interface", "wsgi", "--http", "1", "--no-ws"]
        command += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", str(workers)]
        command += [
            "--blocking-threads",
            "8",
            "--http1-buffer-size",
            "131072",
            "--log-level",
            "warning",
            "registry_site.wsgi:application",
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self.environment, cwd=ROOT, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as probe:
                probe.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                if b" 200 " in probe.recv(100):
                    return
            time.sleep(0.05)
        raise RuntimeError(f"The server did not start:\n{self.log.read_text()}")

    def kill(self) -> None:
        """SIGKILL, all of it at once: nobody gets to tidy up."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def manage(self, *arguments: str) -> str:
        """What manage.py prints, on this server's data."""
        return self.python(str(ROOT / "manage.py"), *arguments)

    def python(self, *arguments: str, source: str | None = None) -> str:
        """Run Python with this server's settings; `source` runs after django.setup()."""
        if source is not None:
            arguments = ("-c", f"import django\ndjango.setup()\n{source}")
        done = subprocess.run(
            [sys.executable, *arguments], env=self.environment, cwd=ROOT, capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(f"{arguments} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def client(self, name: str | None = None, **options):
        """An httpx client with that person's token (all scopes); without a name, nobody's. Closed with the server."""
        headers = {"Authorization": f"Bearer {self.tokens[name]}"} if name else {}
        client = httpx.Client(base_url=self.url, headers=headers, timeout=60, **options)
        self._clients.append(client)
        return client

    def browser(self, name: str) -> httpx.Client:
        """An httpx client that has logged in as that person, with the form, and follows redirects."""
        from tests.people import PASSWORD

        browser = self.client(follow_redirects=True)
        browser.get("/login/")
        form = {
            "username": name,
            "password": PASSWORD,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        }
        browser.post("/login/", data=form, headers={"Referer": self.url}).raise_for_status()
        return browser

    def close(self) -> None:
        """Stop, and let go of everything."""
        for client in self._clients:
            client.close()
        self.stop()


_WORKS = """
from django.core.management import call_command
call_command("run_worker")
"""


class Worker:
    """The background worker of a live server in a process of its own; `first` is Python that runs before each start."""

    def __init__(self, live: LiveServer, *, first: str = "") -> None:
        self._live, self._first = live, first
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        source = f"import django\ndjango.setup()\n{self._first}\n{_WORKS}"
        with self._live.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", source],
                env=self._live.environment,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@contextmanager
def serve(template: Template, home: Path, **environment: str) -> Iterator[LiveServer]:
    """A started server on a fresh copy of the template, with these settings."""
    home.mkdir(parents=True, exist_ok=True)
    with template.copy() as database_url:
        server = LiveServer(template, home, database_url)
        server.environment |= environment
        try:
            server.start()
            yield server
        finally:
            server.close()


def collect_static(cache: Path) -> Path:
    """The static files as production serves them, collected once for as long as they stay as they are."""
    import hashlib

    found = sorted(path for path in (ROOT / "static").rglob("*") if path.is_file())
    state = hashlib.sha256(repr([(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in found]).encode())
    target = cache / f"static-{state.hexdigest()[:16]}"
    if not target.exists():
        part = cache / f"part-{secrets.token_hex(4)}"
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "registry_site.settings"}
        subprocess.run(
            [sys.executable, "manage.py", "collectstatic", "--no-input", "--verbosity", "0"],
            env={**environment, "MODELRY_STATIC_ROOT": str(part), "MODELRY_HOME": str(cache)},
            cwd=ROOT,
            check=True,
        )
        try:
            part.rename(target)
        except OSError:  # Another test process was first.
            shutil.rmtree(part)
    return target


def _prepare() -> None:
    import django

    django.setup()
    from django.contrib.auth.hashers import PBKDF2PasswordHasher
    from django.db import connection

    from tests import people as standing
    from tests.migrated import settle

    # Seven passwords take two seconds else.
    PBKDF2PasswordHasher.iterations = 1000
    made = standing.build()
    print(json.dumps({name: standing.token(getattr(made, name)) for name in standing.NAMES}))
    settle(connection)


if __name__ == "__main__":
    _prepare()
