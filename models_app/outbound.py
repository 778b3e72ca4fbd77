"""The one client that may call out to addresses that people name.

It speaks to public addresses only, unless MODELRY_OUTBOUND_ALLOW says otherwise, follows no redirect, and limits how
long a call takes and how much is read. A name is resolved once and the connection goes to the very address that was
checked: an answer of the name server that changes in between changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL = 2000
MAX_REPLY = 64 << 10
TIMEOUT = 15.0
RESOLVING = 5.0
CONNECTING = 5.0
# Most name look-ups at a time: one that hangs cannot be ended.
_resolving = threading.BoundedSemaphore(128)

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# What Python's tables, which differ by release, do not all name.
_NEVER = tuple(
    ipaddress.ip_network(network)
    for network in (
        "168.63.129.16/32",  # a cloud's metadata, at an address that looks public
        "192.0.0.0/24",
        "192.88.99.0/24",
        "64:ff9b:1::/48",
        "2001::/23",
        "3fff::/20",
        "5f00::/16",
        "fec0::/10",
    )
)


class OutboundError(Exception):
    """A call that did not come to an answer; the text says why, and holds nothing secret of the address."""


class Refused(OutboundError):
    """The address may not be called."""


class Unreachable(OutboundError):
    """It may be called, but gave no answer. Another time it might."""


class Busy(Unreachable):
    """It was not even tried, since too much is under way here."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: at most MAX_REPLY bytes of it."""

    status: int
    text: str
    retry_after: int | None = None

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


def host_of(url: str) -> str:
    """`https://host` of an address: what of it may stand in logs, since paths and queries often are the key."""
    try:
        parsed = httpx.URL(url)
        return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"
    except (httpx.InvalidURL, ValueError, TypeError):
        return "?"


def check(url: str, *, resolving: bool = True) -> None:
    """Raises Refused unless this address may be called as things are now, Unreachable when its name is unknown; without
    `resolving` only what can be told of the address itself.
    """
    parsed = read(url)
    if resolving or _literal(parsed.raw_host.decode("ascii")) is not None:
        _addresses(parsed)


def check_shown(url: str) -> None:
    """Raises Refused for an address at which nothing of ours can be, whoever calls: one that holds credentials, or of
    a network's own housekeeping. Private ones are for others to call.
    """
    literal = _literal(read(url, schemes=("http", "https")).raw_host.decode("ascii"))
    if literal is not None and not _is_allowed(literal) and _is_housekeeping(literal):
        raise Refused(f"Nothing serves at {literal}.")


def post(url: str, *, content: bytes, headers: Mapping[str, str], timeout: float = TIMEOUT) -> Reply:
    """Send a POST and read the answer. Raises Refused, Unreachable; `timeout` is for all of it, in seconds."""
    return _call("POST", url, content=content, headers=headers, timeout=timeout)


def get(url: str, *, timeout: float = TIMEOUT) -> Reply:
    """Send a GET and read the answer. Raises as `post` does."""
    return _call("GET", url, content=b"", headers={}, timeout=timeout)


def _call(method: str, url: str, *, content: bytes, headers: Mapping[str, str], timeout: float) -> Reply:
    parsed = read(url)
    deadline = time.monotonic() + timeout
    host = parsed.raw_host.decode("ascii")
    problem: OutboundError = Unreachable(f"{host} has no address.")
    for address in _addresses(parsed):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            return _send_to(address, method, parsed, content, headers, left)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            # Nothing was sent yet, so that the next address may be tried.
            problem = Unreachable(f"Cannot connect to {host}: {_reason(error)}.")
        except httpx.TimeoutException:
            problem = Unreachable(f"{host} did not answer within {timeout:g} seconds.")
            break
        except httpx.HTTPError as error:
            late = time.monotonic() >= deadline
            why = f"did not answer within {timeout:g} seconds" if late else f"broke off: {_reason(error)}"
            problem = Unreachable(f"{host} {why}.")
            break
    raise problem


# --- which addresses ------------------------------------------------------------------------------------------


def read(url: str, *, schemes: Collection[str] = ()) -> httpx.URL:
    """The address, read by the same code that later calls it, of the schemes that may be called unless others are
    given. Raises Refused.
    """
    if len(url) > MAX_URL:
        raise Refused(f"An address has at most {MAX_URL} characters.")
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise Refused("This is no web address.") from error
    schemes = schemes or settings.WEBHOOK_SCHEMES
    if parsed.scheme not in schemes:
        raise Refused(f"An address begins with {' or '.join(f'{scheme}://' for scheme in schemes)}.")
    if not host:
        raise Refused("The address has no host.")
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise Refused(f"There is no port {parsed.port}.")
    if parsed.userinfo:
        raise Refused("Credentials do not belong into an address.")
    if looks_numeric(host) and _literal(host) is None:
        raise Refused(f"“{host}” is no way to write an IP address.")
    return parsed.copy_with(fragment=None)


def looks_numeric(host: str) -> bool:
    """Whether a C library might take the name for an IPv4 address: 127.1, 0x7f000001, 0177.0.0.1, 2130706433."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    return ":" in host or last.isdigit() or last.startswith("0x")


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _addresses(url: httpx.URL) -> list[Address]:
    """Where the address leads, all checked. One that must not be called spoils the others."""
    host = url.raw_host.decode("ascii")
    literal = _literal(host)
    found = [literal] if literal is not None else resolve(host)
    if host.rstrip(".").lower() not in _allowed_hosts():
        for address in found:
            if not is_public(address) and not _is_allowed(address):
                what = f"{address} is" if literal else f"{host} leads to {address}, which is"
                raise Refused(
                    f"{what} not a public address. An operator can allow it with MODELRY_OUTBOUND_ALLOW."
                )
    return found


def is_public(address: Address) -> bool:
    """Whether an address is one of the open internet, also where IPv6 only wraps an IPv4 one."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if inner := address.ipv4_mapped or address.sixtofour:
            return is_public(inner)
    if any(address in network for network in _NEVER):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _is_housekeeping(address: Address) -> bool:
    one = _mapped(address) or address
    return (
        one.is_link_local
        or one.is_multicast
        or one.is_unspecified
        or one.is_reserved
        or any(one in network for network in _NEVER)
    )


def resolve(host: str) -> list[Address]:
    """The addresses of a name, in the order to try. Raises Unreachable."""
    answer: list[Address] = []
    problem: list[str] = []

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            # A scope (fe80::1%eth0) is cut off: such addresses are never public.
            answer.extend(
                dict.fromkeys(ipaddress.ip_address(str(row[4][0]).partition("%")[0]) for row in found)
            )
        except (OSError, UnicodeError, ValueError) as error:
            problem.append(getattr(error, "strerror", None) or "no such name")
        finally:
            _resolving.release()

    if not _resolving.acquire(timeout=RESOLVING):
        raise Busy(f"Too many names are being looked up; {host} had to wait too long.")
    thread = threading.Thread(target=ask, daemon=True, name="resolving")
    thread.start()
    thread.join(RESOLVING)
    if thread.is_alive():
        raise Unreachable(f"Looking up {host} took longer than {RESOLVING:g} seconds.")
    if problem or not answer:
        raise Unreachable(f"Cannot find {host}: {problem[0] if problem else 'it has no address'}.")
    return answer


def _is_allowed(address: Address) -> bool:
    inner = _mapped(address)
    candidates = [address, *([inner] if inner else [])]
    return any(one in network for network in _allowed_networks() for one in candidates)


def _mapped(address: Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one only wraps."""
    return address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None


def _allowed_hosts() -> frozenset[str]:
    return _split(tuple(settings.OUTBOUND_ALLOW))[0]


def _allowed_networks() -> tuple[Any, ...]:
    return _split(tuple(settings.OUTBOUND_ALLOW))[1]


@cache
def _split(allow: tuple[str, ...]) -> tuple[frozenset[str], tuple[Any, ...]]:
    """Names, and networks; what is no network is a name."""
    hosts, networks = set(), []
    for item in allow:
        try:
            networks.append(ipaddress.ip_network(item.strip("[]"), strict=False))
        except ValueError:
            hosts.add(item.rstrip(".").lower())
    return frozenset(hosts), tuple(networks)


# --- the call itself ------------------------------------------------------------------------------------------


def _send_to(
    address: Address,
    method: str,
    url: httpx.URL,
    content: bytes,
    headers: Mapping[str, str],
    timeout: float,
) -> Reply:
    """Send to this one address; name and certificate stay those of the URL."""
    with _Watch(timeout) as watch, _client(timeout) as client:
        request = client.build_request(
            method,
            url.copy_with(host=str(address)),
            content=content,
            headers={
                "User-Agent": "Modelry",
                # What is packed could unpack to any size.
                "Accept-Encoding": "identity",
                **headers,
                "Host": url.netloc.decode("ascii"),
            },
            extensions={"sni_hostname": url.raw_host.decode("ascii"), "trace": watch.see},
        )
        response = client.send(request, stream=True, follow_redirects=False)
        try:
            return Reply(response.status_code, _text(response), _retry_after(response))
        finally:
            response.close()


@contextmanager
def _client(timeout: float) -> Iterator[httpx.Client]:
    limits = httpx.Timeout(timeout, connect=min(timeout, CONNECTING))
    # No proxies from the environment: behind one, its address would be checked instead of the receiver's.
    with httpx.Client(trust_env=False, verify=_trusted(), timeout=limits) as client:
        yield client


@cache
def _trusted() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def _text(response: httpx.Response) -> str:
    """The beginning of the body, as a database can keep it."""
    taken = b""
    for piece in response.iter_raw():
        taken += piece
        if len(taken) >= MAX_REPLY:
            break
    return taken[:MAX_REPLY].decode("utf-8", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def _retry_after(response: httpx.Response) -> int | None:
    value = response.headers.get("Retry-After", "")
    return min(int(value), 86_400) if value.isascii() and value.isdigit() and len(value) < 10 else None


def _reason(error: Exception) -> str:
    """Why, without the address that libraries like to repeat."""
    text = str(error).partition("\n")[0]
    return text[:200].rstrip(".") if text and "://" not in text else type(error).__name__


class _Watch:
    """Ends the connection when time is up. The client's own timeouts begin anew with every byte that trickles in."""

    def __init__(self, timeout: float) -> None:
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(timeout, self._end)
        self._timer.daemon = True
        self._late = False

    def see(self, event: str, info: Mapping[str, Any]) -> None:
        """Told by the transport of every step; takes note of the socket."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            self._socket = info["return_value"].get_extra_info("socket")
            if self._late:
                self._end()

    def _end(self) -> None:
        self._late = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> _Watch:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
