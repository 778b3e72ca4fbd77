"""What may be called, and what a receiver can do to us. Against real sockets."""

from __future__ import annotations

import ipaddress
import logging
import ssl
import subprocess
import time

import pytest

from models_app import outbound
from models_app.outbound import Refused, Unreachable
from tests.receiver import drip, raw, receiver


@pytest.fixture(autouse=True)
def _http_too(settings):
    settings.WEBHOOK_SCHEMES = ["https", "http"]
    settings.OUTBOUND_ALLOW = []


@pytest.fixture
def loopback(settings):
    settings.OUTBOUND_ALLOW = ["127.0.0.0/8"]


@pytest.fixture
def names(monkeypatch):
    """What names resolve to: `names["evil.example"] = ["127.0.0.1"]`; a list of lists is one answer after the other."""
    known: dict[str, list] = {}

    def resolve(host):
        if host not in known:
            raise Unreachable(f"Cannot find {host}: no such name.")
        answer = known[host]
        answer = answer.pop(0) if isinstance(answer[0], list) else answer
        return [ipaddress.ip_address(one) for one in answer]

    monkeypatch.setattr(outbound, "resolve", resolve)
    return known


def post(url, **options):
    return outbound.post(url, content=b"{}", headers={"Content-Type": "application/json"}, **options)


PRIVATE = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "239.1.1.1",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_addresses_that_are_not_public_are_refused(address, names):
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(Refused, match="not a public address"):
        outbound.check(f"https://{host}/")
    names["evil.example"] = [address]
    with pytest.raises(Refused, match="not a public address"):
        outbound.check("https://evil.example/")
    names["half.example"] = ["93.184.215.14", address]
    with pytest.raises(Refused, match="not a public address"):
        outbound.check("https://half.example/")


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::808:808"]
)
def test_public_addresses_pass(address, names):
    names["good.example"] = [address]
    outbound.check("https://good.example/")


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "0",
        "1.2.3.4.5",
        "256.1.1.1",
        "8.8.2056",
    ],
)
def test_other_ways_to_write_an_ip_address_are_refused(host):
    with pytest.raises(Refused):
        outbound.check(f"https://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.com",
        "//hooks.example.com/",
        "ftp://hooks.example.com/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "https://",
        "https:///path",
        "https://user:secret@hooks.example.com/",
        "https://user@hooks.example.com/",
        "https://hooks.example.com\\@127.0.0.1/",
        "https://hooks.example.com:99999/",
        "https://hooks.example.com:port/",
        "https://[::1/",
        "https://hooks.example.com/\r\nX: y",
        "https://" + "a" * 3000,
    ],
)
def test_what_is_no_address_to_call_is_refused(url, names):
    names["hooks.example.com"] = ["93.184.215.14"]
    with pytest.raises(Refused):
        outbound.check(url)


def test_schemes_are_a_setting(settings, names):
    names["good.example"] = ["93.184.215.14"]
    settings.WEBHOOK_SCHEMES = ["https"]
    with pytest.raises(Refused, match="begins with https://"):
        outbound.check("http://good.example/")


def test_a_real_look_up_of_localhost_is_refused():
    with pytest.raises(Refused, match="localhost leads to"):
        outbound.check("http://localhost:8000/")


def test_an_unknown_name_is_unreachable():
    with pytest.raises(Unreachable, match="Cannot find"):
        outbound.check("https://nowhere.invalid/")


@pytest.mark.parametrize(
    "allow",
    [["127.0.0.1"], ["127.0.0.0/8"], ["10.0.0.0/8", "Inside.Example"], ["inside.example."]],
)
def test_operators_allow_addresses_and_hosts(settings, names, allow):
    names["inside.example"] = ["127.0.0.1"]
    settings.OUTBOUND_ALLOW = allow
    outbound.check("http://inside.example/")
    with pytest.raises(Refused):
        outbound.check("http://192.168.0.1/")


def test_an_allowed_network_counts_for_wrapped_addresses_too(settings):
    settings.OUTBOUND_ALLOW = ["10.0.0.0/8", "fd00::/8"]
    outbound.check("http://[::ffff:10.1.1.1]/")
    outbound.check("http://[fd00::1]/")


def test_a_post_arrives_as_sent(loopback, names):
    names["hooks.example"] = ["127.0.0.1"]
    with receiver() as told:
        port = told.url.split(":")[2].split("/")[0]
        reply = post(f"http://hooks.example:{port}/a?b=c#d")
    assert (reply.status, reply.text, reply.ok) == (200, "thanks", True)
    (got,) = told.received
    assert (got.path, got.body) == ("/a?b=c", b"{}")
    assert got.headers["Host"] == f"hooks.example:{port}"
    assert got.headers["Content-Type"] == "application/json"


def test_the_address_that_was_checked_is_the_one_that_is_called(settings, names):
    # The second answer would be another machine: nobody asks for it.
    settings.OUTBOUND_ALLOW = ["127.0.0.2"]
    names["rebinding.example"] = [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]]
    with receiver() as told:
        port = told.url.split(":")[2].split("/")[0]
        with pytest.raises(Unreachable, match="Cannot connect"):
            post(f"http://rebinding.example:{port}/")
    assert told.received == []
    assert len(names["rebinding.example"]) == 2


def test_it_is_checked_again_at_every_call(names):
    names["rebinding.example"] = [["93.184.215.14"], ["127.0.0.1"]]
    outbound.check("http://rebinding.example/")
    with pytest.raises(Refused):
        post("http://rebinding.example/")


def test_the_next_address_is_tried_when_nobody_listens(loopback, names):
    names["two.example"] = ["127.0.0.3", "127.0.0.1"]
    with receiver() as told:
        port = told.url.split(":")[2].split("/")[0]
        assert post(f"http://two.example:{port}/").ok


def test_redirects_are_not_followed(settings):
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    with receiver() as inner, receiver() as told:
        told.answer(307, Location=inner.url)
        reply = post(told.url)
        told.answer(302, Location="http://169.254.169.254/latest/meta-data/")
        assert post(told.url).status == 302
    assert (reply.status, reply.ok, inner.received) == (307, False, [])


def test_nobody_listens(loopback):
    with raw(lambda connection: None) as port:
        pass
    with pytest.raises(Unreachable, match=r"Cannot connect to 127\.0\.0\.1"):
        post(f"http://127.0.0.1:{port}/")


def test_a_receiver_that_hangs_up_or_talks_nonsense(loopback):
    for said in (
        b"",
        b"HTTP/1.1 two hundred\r\n\r\n",
        b"\0\0\0\0",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx",
    ):
        with (
            raw(lambda connection, said=said: connection.sendall(said)) as port,
            pytest.raises(Unreachable, match="broke off"),
        ):
            post(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "beginning, piece",
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["silence", "headers", "body", "chunks"],
)
def test_time_is_limited_however_slowly_it_comes(loopback, beginning, piece):
    def talk(connection):
        connection.sendall(beginning)
        drip(connection, piece, times=60)

    with raw(talk) as port:
        began = time.monotonic()
        with pytest.raises(Unreachable, match=r"did not answer within 0\.4 seconds"):
            post(f"http://127.0.0.1:{port}/", timeout=0.4)
        assert time.monotonic() - began < 2.8


def test_little_is_read_however_much_comes(loopback):
    def talk(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10_000):
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")

    with raw(talk) as port:
        reply = post(f"http://127.0.0.1:{port}/")
    assert reply.text == "x" * outbound.MAX_REPLY


def test_endless_headers_end(loopback):
    def talk(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        drip(connection, b"X-A: " + b"b" * 60_000 + b"\r\n", every=0, times=1000)

    with raw(talk) as port, pytest.raises(Unreachable, match="broke off"):
        post(f"http://127.0.0.1:{port}/")


def test_what_comes_can_be_stored(loopback):
    with receiver() as told:
        told.answer(500, b"bad \x00 \xff", Retry_After="7", Content_Encoding="gzip")
        reply = post(told.url)
    assert (reply.status, reply.text, reply.retry_after) == (500, "bad � �", 7)
    with receiver() as told:
        told.answer(503, Retry_After="tomorrow")
        assert post(told.url).retry_after is None


def test_proxies_of_the_environment_are_not_used(loopback, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with receiver() as told:
        assert post(told.url).ok


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for hooks.example, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=hooks.example"]
    made += ["-addext", "subjectAltName=DNS:hooks.example"]
    subprocess.run(made, cwd=folder, check=True, capture_output=True)
    return folder


def test_the_certificate_must_be_of_the_name_though_the_address_is_called(
    loopback, names, certificate, monkeypatch
):
    names["hooks.example"] = names["other.example"] = ["127.0.0.1"]
    monkeypatch.setattr(
        outbound, "_trusted", lambda: ssl.create_default_context(cafile=certificate / "cert.pem")
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    asked = []
    context.sni_callback = lambda connection, name, _: asked.append(name)
    with receiver(tls=context) as told:
        port = told.url.split(":")[2].split("/")[0]
        assert post(f"https://hooks.example:{port}/").ok
        with pytest.raises(Unreachable, match="CERTIFICATE_VERIFY_FAILED"):
            post(f"https://other.example:{port}/")
    assert asked == ["hooks.example", "other.example"]


@pytest.mark.parametrize("name", ["httpx", "httpcore"])
def test_libraries_do_not_log_whole_addresses(name):
    assert not logging.getLogger(f"{name}.anything").isEnabledFor(logging.INFO)


def test_what_is_shown_of_an_address():
    assert outbound.host_of("https://hooks.example.com:444/services/T0/B0/secret?k=v") == (
        "https://hooks.example.com:444"
    )
    assert outbound.host_of("https://[::1") == "?"
