"""Talking to the registry, and moving bytes to and from signed addresses. Standard library only.

What may be repeated is, with growing pauses, so that a restarted server or a lost connection is not the end. The token
goes to the registry only: never to an address where a file is sent, nor to where the registry redirects.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import ssl
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any
from urllib.parse import urljoin, urlsplit

OK, UNEXPECTED, USAGE, REFUSED, UNMET, NETWORK, DAMAGED, LOCAL, FAILED = range(9)
PIECE = 1 << 20
# So small files go out together.
LITTLE = 64 << 10
TRIES = 8
LONGEST_PAUSE = 10.0
AGAIN = {408, 425, 429, 500, 502, 503, 504}
# Putting the parts of a very large file together takes a while.
PATIENCE = 900.0


class Failure(Exception):
    """What ends a command: one sentence, and the exit code."""

    def __init__(self, why: str, code: int = UNEXPECTED, *, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(why)
        self.code = code
        self.problem = dict(problem or {})


class _Again(Exception):
    """Worth another try; `pause` is how long the server asks to wait."""

    def __init__(self, why: str, pause: float = 0.0) -> None:
        super().__init__(why)
        self.pause = pause


class Section:
    """`length` bytes of a file from `start`, read when they are sent."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        self.path, self.start, self.length = path, start, length

    def send(self, connection: http.client.HTTPConnection) -> None:
        with reading(self.path) as file:
            if isinstance(connection.sock, ssl.SSLSocket) or not self.length:
                file.seek(self.start)
                left = self.length
                while left and (piece := file.read(min(left, PIECE))):
                    connection.send(piece)
                    left -= len(piece)
            else:
                left = self.length - connection.sock.sendfile(file, self.start, self.length)
        if left:
            raise Failure(f"{self.path} became shorter while it was sent.", LOCAL)


def reading(path: Path) -> IO[bytes]:
    """The file, to read. Raises Failure: what is wrong here is not wrong with the line."""
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error.strerror}.", LOCAL) from error


class Many:
    """Files as one form, each read when it is its turn."""

    def __init__(self, files: list[tuple[str, Path, int]]) -> None:
        self.boundary = os.urandom(16).hex()
        self.files = files
        self.length = len(self._end()) + sum(len(self._head(name)) + size for name, _, size in files)

    def _head(self, name: str) -> bytes:
        return (
            f'\r\n--{self.boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        ).encode()

    def _end(self) -> bytes:
        return f"\r\n--{self.boundary}--\r\n".encode()

    def send(self, connection: http.client.HTTPConnection) -> None:
        waiting = bytearray()
        for name, path, size in self.files:
            waiting += self._head(name)
            if size <= LITTLE:
                with reading(path) as file:
                    content = file.read()
                if len(content) != size:
                    raise Failure(f"{path} changed while it was sent.", LOCAL)
                waiting += content
            if size > LITTLE or len(waiting) >= PIECE:
                connection.send(bytes(waiting))
                waiting.clear()
            if size > LITTLE:
                Section(path, 0, size).send(connection)
        connection.send(bytes(waiting + self._end()))


class Server:
    """A registry: its address, and the token that is sent to it."""

    def __init__(self, url: str, token: str, *, tries: int = TRIES, patience: float = PATIENCE) -> None:
        try:
            parts = urlsplit(url)
            is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_one = False
        if not is_one:
            raise Failure(f"“{url}” is no address like https://registry.example.com.", USAGE)
        self.url, self._token, self._tries, self._patience = url.rstrip("/"), token, tries, patience
        self._local = threading.local()

    def impatient(self, patience: float) -> Server:
        """The same, asked once and waited for that many seconds: for who decides by itself when to ask again."""
        return Server(self.url, self._token, tries=1, patience=patience)

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # Reading the certificates of all authorities takes longer than most calls; http needs none.
        return ssl.create_default_context()

    # --- Asking -----------------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: Any = None, *, key: str = "") -> Any:
        """The JSON answer to a call. `key` makes a POST repeatable. Raises Failure."""
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content is not None else {}
        if key:
            headers["Idempotency-Key"] = key
        return self._answer(method, f"{self.url}/api/v1/{path}", content, headers)

    def pages(self, path: str) -> Iterator[Any]:
        """All rows of a list."""
        query = "limit=200"
        while True:
            page = self.ask("GET", f"{path}?{query}")
            yield from page["items"]
            if not page["next"]:
                return
            query = urlsplit(page["next"]).query

    def send_many(self, path: str, files: Many) -> Any:
        """Small files in one request."""
        headers = {"Content-Type": f"multipart/form-data; boundary={files.boundary}"}
        return self._answer("POST", f"{self.url}/api/v1/{path}", files, headers)

    def send_part(self, target: Mapping[str, Any], section: Section) -> None:
        """A part to its signed address, without the token."""
        url = urljoin(self.url + "/", target["url"])
        self._repeat(lambda: self._read(target["method"], url, section, dict(target["headers"]), token=False))

    def _answer(self, method: str, url: str, body: Any, headers: Mapping[str, str]) -> Any:
        content = self._repeat(lambda: self._read(method, url, body, dict(headers), token=True))
        try:
            return json.loads(content) if content else None
        except ValueError as error:
            raise Failure(f"{self.url} does not answer like a registry.", NETWORK) from error

    def _read(self, method: str, url: str, body: Any, headers: dict[str, str], *, token: bool) -> bytes:
        with self._response(method, url, body, headers, token=token) as response:
            content = response.read()
            if response.status >= 300:
                if response.status == 401:
                    self.require_token()
                raise _refusal(response, content)
            self._local.pause = _retry_after(response)
            return content

    def require_token(self) -> None:
        """Raises Failure where there is none to send."""
        if not self._token:
            raise Failure(
                "No token: set MODELRY_TOKEN, or `modelry login URL`. Tokens are made at "
                f"{self.url}/account/tokens/.",
                REFUSED,
            )

    @property
    def pause(self) -> float:
        """Seconds after which the last answer to this thread said to ask again."""
        return getattr(self._local, "pause", 0.0)

    def fetch(
        self, path: str, *, length: int, whole: bool, into: IO[bytes], told: Callable[[int], None]
    ) -> str:
        """Bytes of a file to where `into` stands; goes on where a connection was lost. `whole` asks without a range.
        Tells of each piece that is there, and returns the digest of all.
        """
        start, digest, left = into.tell(), hashlib.sha256(), length

        def once() -> None:
            nonlocal left
            ranged = not whole or left < length
            headers = {"Range": f"bytes={start + length - left}-{start + length - 1}"} if ranged else {}
            url, token = f"{self.url}/api/v1/{path}", True
            for _ in range(3):
                with self._response("GET", url, None, dict(headers), token=token) as response:
                    if response.status in (301, 302, 303, 307, 308):
                        url, token = urljoin(url, response.headers.get("Location", "")), False
                        response.read()
                        continue
                    if response.status != (206 if ranged else 200):
                        raise _refusal(response, response.read(PIECE))
                    buffer = memoryview(bytearray(PIECE))
                    while left and (count := response.readinto(buffer[: min(left, PIECE)])):
                        write_all(into, buffer[:count])
                        if whole:
                            digest.update(buffer[:count])
                        left -= count
                        told(count)
                    if left:
                        raise _Again("The connection was lost.")
                    return
            raise Failure("The registry redirects in circles.", NETWORK)

        self._repeat(once)
        return digest.hexdigest() if whole else ""

    def status(self, url: str) -> int:
        """What an address anywhere answers, asked once and without the token; redirects are not followed."""
        with self._response("GET", url, None, {}, token=False) as response:
            response.read(PIECE)
            return response.status

    def stream(self, path: str, take: Callable[[IO[bytes]], None]) -> None:
        """Hand an answer to `take` while it arrives; when it breaks off, again from the beginning."""

        def once() -> None:
            with self._response("GET", f"{self.url}/api/v1/{path}", None, {}, token=True) as response:
                if response.status != 200:
                    raise _refusal(response, response.read(PIECE))
                take(response)  # type: ignore[arg-type]

        self._repeat(once)

    # --- Connections ------------------------------------------------------------------------------------------

    def _repeat(self, once: Callable[[], Any]) -> Any:
        for turn in range(self._tries):
            try:
                return once()
            except (_Again, OSError, http.client.HTTPException) as error:
                if isinstance(error, ssl.SSLCertVerificationError):
                    raise Failure(f"{self.url}: its certificate is not trusted: {error}.", NETWORK) from error
                said = error
            if turn + 1 < self._tries:
                pause = min(0.25 * 2**turn, LONGEST_PAUSE) * random.uniform(0.7, 1.3)
                time.sleep(max(getattr(said, "pause", 0.0), pause))
        if isinstance(said, _Again):
            raise Failure(f"{self.url}: {said}", NETWORK) from said
        raise Failure(f"{self.url} cannot be reached: {said or type(said).__name__}.", NETWORK) from said

    @contextmanager
    def _response(
        self, method: str, url: str, body: Any, headers: dict[str, str], *, token: bool
    ) -> Iterator[http.client.HTTPResponse]:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Failure("The registry names an address that is none.", NETWORK)
        if token and self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        connection, target = self._connection(parts, url)
        done = False
        try:
            connection.putrequest(method, target, skip_accept_encoding=True)
            length = len(body) if isinstance(body, bytes) else getattr(body, "length", 0)
            if body is not None or method in ("POST", "PUT"):
                headers.setdefault("Content-Length", str(length))
            headers.setdefault("User-Agent", "modelry-client")
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            try:
                if isinstance(body, bytes):
                    connection.send(body)
                elif body is not None:
                    body.send(connection)
            except OSError as error:
                # Who refuses early may have said why.
                if not isinstance(error, BrokenPipeError | ConnectionResetError):
                    raise
            response = connection.getresponse()
            yield response
            done = response.isclosed() and not response.will_close
        finally:
            if not done:
                self._drop(connection)

    def _connection(self, parts: Any, url: str) -> tuple[http.client.HTTPConnection, str]:
        """This thread's connection to there, through a proxy where the environment says so."""
        kept = self._local.__dict__.setdefault("kept", {})
        key = (parts.scheme, parts.netloc)
        path = parts.path + (f"?{parts.query}" if parts.query else "") or "/"
        port = parts.port or (443 if parts.scheme == "https" else 80)
        proxy = None
        if not urllib.request.proxy_bypass(f"{parts.hostname}:{port}"):
            proxy = urllib.request.getproxies().get(parts.scheme)
        target = url if proxy and parts.scheme == "http" else path
        if key in kept:
            return kept[key], target
        host, at = parts.hostname, port
        if proxy:
            through = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
            host, at = through.hostname or "", through.port or 3128
        options: dict[str, Any] = {"timeout": self._patience, "blocksize": PIECE}
        if parts.scheme == "https":
            made: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, at, context=self._tls, **options
            )
            if proxy:
                made.set_tunnel(parts.hostname, port)
        else:
            made = http.client.HTTPConnection(host, at, **options)
        kept[key] = made
        return made, target

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        kept = self._local.__dict__.get("kept", {})
        for key in [key for key, one in kept.items() if one is connection]:
            del kept[key]


def _refusal(response: http.client.HTTPResponse, content: bytes) -> Exception:
    """What an answer that is no success comes to."""
    status = response.status
    try:
        problem = json.loads(content)
        problem = problem if isinstance(problem, dict) else {}
    except ValueError:
        problem = {}
    said = " ".join(str(problem[name]) for name in ("detail", "next_step") if problem.get(name))
    said = said or f"The server answered {status} {response.reason}."
    damaged = str(problem.get("type", "")).endswith(":damaged")
    under_way = status == 409 and "Idempotency-Key is under way" in said
    if (status in AGAIN and not damaged) or under_way:
        return _Again(said, _retry_after(response))
    code = REFUSED
    if problem.get("missing") or problem.get("promotion_request"):
        code = UNMET
    elif status in (301, 302, 303, 307, 308):
        code, said = NETWORK, f"The server redirects to {response.headers.get('Location')}: use that address."
    elif status == 422 or damaged:
        code = DAMAGED
    return Failure(said, code, problem=problem)


def _retry_after(response: http.client.HTTPResponse) -> float:
    pause = response.headers.get("Retry-After", "")
    return float(pause) if pause.isdigit() and int(pause) <= 60 else 0.0


def write_all(file: IO[bytes], data: memoryview) -> None:
    """All of it: a file without a buffer may take less at once. Raises Failure when the disk does not take it."""
    try:
        while data:
            data = data[file.write(data) :]
    except OSError as error:
        raise Failure(f"{file.name} cannot be written: {error.strerror}.", LOCAL) from error


class Progress:
    """How far it is: a bar on a terminal, else a line per stage. On standard error, so that output stays clean."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._lock = threading.Lock()
        self._quiet, self._bar = quiet, sys.stderr.isatty() and not quiet
        self._label, self._done, self._total, self._shown = "", 0, 0, 0.0

    def begin(self, label: str, total: int) -> None:
        with self._lock:
            self._label, self._done, self._total, self._shown = label, 0, total, 0.0
            if not self._bar and not self._quiet:
                print(f"{label}: {size(total)}", file=sys.stderr, flush=True)

    def add(self, count: int) -> None:
        with self._lock:
            self._done += count
            now = time.monotonic()
            if self._bar and (now - self._shown > 0.1 or self._done >= self._total):
                self._shown = now
                part = self._done / self._total if self._total else 1.0
                bar = "█" * int(part * 30) + "░" * (30 - int(part * 30))
                told = f"\r{self._label:<10} {bar} {part:4.0%}  {size(self._done)} of {size(self._total)}   "
                print(told, end="\n" if self._done >= self._total else "", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        if not self._quiet:
            print(line, file=sys.stderr, flush=True)


def size(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
