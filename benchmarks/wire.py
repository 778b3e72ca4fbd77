"""A light HTTP/1.1 driver: many kept connections from one thread, so that the server and not the driver is measured."""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

MakeRequest = Callable[[], bytes]


def request(
    method: str, path: str, body: Mapping | None = None, *, headers: Mapping[str, str] | None = None
) -> bytes:
    """The bytes of a call: a query for GET, else JSON."""
    content = b""
    lines = ["Host: 127.0.0.1", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    if method == "GET" and body:
        path += "?" + urlencode(body, doseq=True, quote_via=quote)
    elif body is not None:
        content = json.dumps(body).encode()
        lines.append("Content-Type: application/json")
    if method != "GET":
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode() + content


@dataclass
class Taken:
    """How long answers took, in seconds, and which were not 200."""

    durations: list[float] = field(default_factory=list)
    wrong: dict[int, int] = field(default_factory=dict)
    example: str = ""
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.durations) / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.durations)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self.received = bytearray()
        self.end = -1
        self.chunked = False

    def send(self, content: bytes) -> None:
        self.received.clear()
        self.end, self.chunked, self.began = -1, False, time.perf_counter()
        self.socket.sendall(content)

    def is_whole(self) -> bool:
        """Whether what arrived is a whole answer."""
        data = self.received
        if self.end < 0 and not self.chunked:
            head = data.find(b"\r\n\r\n")
            if head < 0:
                return False
            names = bytes(data[:head]).lower()
            self.chunked = b"transfer-encoding: chunked" in names
            at = names.find(b"content-length:")
            self.end = head + 4 + (int(names[at + 15 :].split(b"\r\n")[0]) if at >= 0 else 0)
        return data.endswith(b"0\r\n\r\n") if self.chunked else len(data) >= self.end


def drive(port: int, make: MakeRequest, *, connections: int, seconds: float, taken: Taken) -> None:
    """Ask over some connections for some seconds; answers are added to `taken`."""
    selector = selectors.DefaultSelector()
    opened = [_Connection(port) for _ in range(connections)]
    start = time.perf_counter()
    end = start + seconds
    for connection in opened:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.send(make())
    running = len(opened)
    while running:
        for key, _ in selector.select(60):
            connection = key.data
            part = connection.socket.recv(1 << 18)
            if not part:
                raise SystemExit(f"The server closed a connection after {bytes(connection.received[:500])!r}")
            connection.received += part
            if not connection.is_whole():
                continue
            now = time.perf_counter()
            taken.durations.append(now - connection.began)
            status = int(connection.received[9:12])
            if status != 200:
                taken.wrong[status] = taken.wrong.get(status, 0) + 1
                taken.example = taken.example or connection.received.partition(b"\r\n\r\n")[2].decode(
                    errors="replace"
                )
            if now < end:
                connection.send(make())
            else:
                running -= 1
                selector.unregister(connection.socket)
    taken.seconds += time.perf_counter() - start
    for connection in opened:
        connection.socket.close()


def call(
    port: int, method: str, path: str, body: Mapping | None = None, *, headers: Mapping[str, str]
) -> dict:
    """One call, and its answer."""
    connection = _Connection(port)
    connection.send(request(method, path, body, headers=headers))
    while not connection.is_whole():
        part = connection.socket.recv(1 << 16)
        if not part:
            break
        connection.received += part
    connection.socket.close()
    head, _, content = bytes(connection.received).partition(b"\r\n\r\n")
    if int(head[9:12]) != 200:
        raise SystemExit(f"{method} {path}: {head[:15].decode()} {content[:500].decode(errors='replace')}")
    if connection.chunked:
        content = content[content.find(b"\r\n") + 2 : content.rfind(b"\r\n0\r\n")]
    return json.loads(content) if content.strip() else {}
