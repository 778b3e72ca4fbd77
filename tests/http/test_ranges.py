"""Stored files as answers: whole, in part, or not at all; never as something a browser runs."""

from datetime import UTC, datetime
from email.message import Message

import pytest
from django.test import RequestFactory
from django.utils.http import http_date
from hypothesis import given
from hypothesis import strategies as st

from models_app.http import ranges
from models_app.http.conditional import etag_of, mark, settled
from models_app.registry.artifacts import storage
from models_app.registry.artifacts.archives import Member, archive_of
from models_app.registry.errors import Damaged
from tests.builders import stored

CONTENT = bytes(range(256)) * 4
WHEN = datetime(2026, 5, 4, 12, 0, 1, 500_000, tzinfo=UTC)
rf = RequestFactory()


def ask(method="GET", *, path="dir/model.bin", content=CONTENT, inline=False, **headers):
    file = stored(path, content)
    request = rf.generic(
        method, "/", headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    response = ranges.send_blob(
        request, sha256=file.sha256, size=file.size, path=path, last_modified=WHEN, inline=inline
    )
    body = b"".join(response) if response.streaming else response.content
    response.close()
    return response, body


def etag(content=CONTENT):
    return f'"{stored("x", content).sha256}"'


def test_the_whole_file():
    response, body = ask()
    assert response.status_code == 200
    assert body == CONTENT
    assert response["Content-Length"] == str(len(CONTENT))
    assert response["ETag"] == etag()
    assert response["Accept-Ranges"] == "bytes"
    assert response["Last-Modified"] == http_date(WHEN.timestamp())
    assert response["Content-Disposition"] == 'attachment; filename="model.bin"'
    assert response["Cache-Control"] == "private, no-cache"


def test_head_has_the_headers_and_opens_nothing(artifacts):
    whole, _ = ask()
    head, body = ask("HEAD", Range="bytes=0-3")
    assert body == b""
    assert dict(head.items()) == dict(whole.items())


@pytest.mark.parametrize(
    "wanted, start, end",
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, 1024),
        ("bytes=5-9", 5, 10),
        ("bytes=1000-99999999999999999999", 1000, 1024),
        ("bytes=-1", 1023, 1024),
        ("bytes=-5000", 0, 1024),
        ("Bytes = 1 - 2", 1, 3),
    ],
)
def test_a_range(wanted, start, end):
    response, body = ask(Range=wanted)
    assert response.status_code == 206
    assert body == CONTENT[start:end]
    assert response["Content-Range"] == f"bytes {start}-{end - 1}/1024"
    assert response["Content-Length"] == str(end - start)


@pytest.mark.parametrize("wanted", ["bytes=1024-", "bytes=99999999999999999999-", "bytes=-0"])
def test_a_range_outside(wanted):
    response, body = ask(Range=wanted)
    assert (response.status_code, body) == (416, b"")
    assert response["Content-Range"] == "bytes */1024"


@pytest.mark.parametrize(
    "wanted",
    [
        "bytes=5-4",
        "bytes=-",
        "bytes=a-b",
        "lines=1-2",
        "bytes=0-1,5-6",
        "bytes=" + "9" * 5000 + "-",
        "bytes=٣-",
    ],
)
def test_no_range_of_ours_is_ignored(wanted):
    response, body = ask(Range=wanted)
    assert (response.status_code, body) == (200, CONTENT)


def test_an_empty_file_has_no_ranges():
    assert ask(content=b"")[0].status_code == 200
    assert ask(content=b"", Range="bytes=0-")[0].status_code == 416


@given(text=st.text(alphabet="bytes=-0123456789 ,", max_size=30), size=st.integers(0, 2000))
def test_any_range_lies_inside(text, size):
    found = ranges.parse_range(text, size)
    if found is not None:
        start, length = found
        assert 0 <= start <= start + length <= size


@pytest.mark.parametrize(
    "headers, status",
    [
        ({"If_None_Match": etag}, 304),
        ({"If_None_Match": lambda: "W/" + etag()}, 304),
        ({"If_None_Match": lambda: '"other", ' + etag()}, 304),
        ({"If_None_Match": lambda: '"other"'}, 200),
        ({"If_Modified_Since": lambda: http_date(WHEN.timestamp())}, 304),
        ({"If_Modified_Since": lambda: http_date(WHEN.timestamp() - 9)}, 200),
        ({"If_None_Match": lambda: '"other"', "If_Modified_Since": lambda: http_date(WHEN.timestamp())}, 200),
        ({"If_Match": lambda: '"other"'}, 412),
        ({"If_Match": etag}, 200),
        ({"If_Unmodified_Since": lambda: http_date(WHEN.timestamp() - 9)}, 412),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditions(method, headers, status):
    response, body = ask(method, **{name: value() for name, value in headers.items()})
    assert response.status_code == status
    if status == 304:
        assert body == b""
        assert response["ETag"] == etag()


@pytest.mark.parametrize(
    "condition, status",
    [
        (etag, 206),
        (lambda: '"other"', 200),
        (lambda: "W/" + etag(), 200),
        (lambda: http_date(WHEN.timestamp()), 206),
        (lambda: http_date(WHEN.timestamp() - 9), 200),
        (lambda: "nonsense", 200),
    ],
)
def test_if_range(condition, status):
    assert ask(Range="bytes=0-1", If_Range=condition())[0].status_code == status


@pytest.mark.django_db
def test_missing_bytes_are_told_before_the_answer_starts(artifacts):
    file = stored()
    storage.delete(file.sha256)
    with pytest.raises(Damaged):
        ranges.send_blob(rf.get("/"), sha256=file.sha256, size=file.size, path="a")


@pytest.mark.parametrize(
    "path", ["page.html", "x.svg", "x.xhtml", "x.HTM", "x.xml", "x.js", "x.exe", "noname", "x.pdf"]
)
@pytest.mark.parametrize("inline", [True, False])
def test_nothing_that_runs(path, inline):
    response, _ = ask(path=path, inline=inline)
    assert response["Content-Type"] in ("text/plain; charset=utf-8", "application/octet-stream")
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"


@pytest.mark.parametrize(
    "path, shown", [("a.png", True), ("a.txt", True), ("a.JSON", True), ("a.bin", False)]
)
def test_inline_only_what_is_harmless(path, shown):
    assert ask(path=path, inline=True)[0]["Content-Disposition"].startswith(
        "inline" if shown else "attachment"
    )
    assert ask(path=path)[0]["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "path, name",
    [
        ("a/b c.bin", "b c.bin"),
        (".gitattributes", ".gitattributes"),
        ('a"b\\c.bin', 'a"b\\c.bin'),
        ("模型.bin", "模型.bin"),
        ("line\r\nSet-Cookie: x.bin", "line__Set-Cookie: x.bin"),
        ("evil\u202egnp.exe", "evil_gnp.exe"),
        ("\ud800.bin", "_.bin"),
        ("a/", "file"),
    ],
)
def test_names_survive_the_header(path, name):
    header = ranges.disposition(path)
    assert header.isascii()
    assert "\n" not in header
    message = Message()
    message["Content-Disposition"] = header
    assert message.get_filename() == name


def test_an_archive():
    file = stored()
    archive = archive_of([Member("model.bin", file.sha256, file.size, WHEN)], kind="zip")

    def send(method="GET", **headers):
        return ranges.send_archive(
            rf.generic(method, "/", headers=headers),
            archive,
            name="fraud-3",
            digest="d" * 64,
            last_modified=WHEN,
        )

    response = send()
    assert len(b"".join(response)) == int(response["Content-Length"]) == archive.size
    assert response["Content-Disposition"] == 'attachment; filename="fraud-3.zip"'
    assert response["Content-Type"] == "application/zip"
    assert send("HEAD")["Content-Length"] == response["Content-Length"]
    assert send(**{"If-None-Match": response["ETag"]}).status_code == 304


def test_answers_of_rows_are_conditional_too():
    tag = etag_of("production", 5, WHEN)
    assert tag == etag_of("production", 5, WHEN) != etag_of("production", 6, WHEN)
    assert settled(rf.get("/"), etag=tag) is None
    answer = settled(rf.get("/", headers={"If-None-Match": tag}), etag=tag, last_modified=WHEN)
    assert answer.status_code == 304
    assert answer["Last-Modified"]
    assert mark(answer, etag=tag)["ETag"] == tag
