"""Bodies are streamed, counted and refused before anything refers to them."""

import hashlib
import io

import pytest
from django.http import HttpRequest
from django.test import RequestFactory

from models_app.http import bodies
from models_app.registry.artifacts import storage
from models_app.registry.errors import Forbidden, Invalid, TooLarge

rf = RequestFactory()
BOUNDARY = "----boundary7MA4YWxk"


def part(name, content=b"", *, filename=None, extra=""):
    shown = "" if filename is None else f'; filename="{filename}"'
    head = f'Content-Disposition: form-data; name="{name}"{shown}\r\n{extra}\r\n'
    return head.encode() + content + b"\r\n"


def form(*parts, end=b"--"):
    mark = f"--{BOUNDARY}".encode()
    return b"".join(mark + b"\r\n" + piece for piece in parts) + mark + end + b"\r\n"


def post(body, *, content_type=f"multipart/form-data; boundary={BOUNDARY}", **extra):
    return rf.generic("POST", "/", body, content_type=content_type, **extra)


def chunked(body, content_type="application/octet-stream"):
    """A request as the server hands over a chunked body: no length, an input that ends by itself."""
    request = rf.generic("PUT", "/", b"", content_type=content_type)
    request.META.pop("CONTENT_LENGTH", None)
    request.META |= {
        "HTTP_TRANSFER_ENCODING": "chunked",
        "wsgi.input_terminated": True,
        "wsgi.input": io.BytesIO(body),
    }
    return request


def left_over(artifacts):
    return list((artifacts / "incoming").glob("*"))


def stored_blobs(artifacts):
    return [path for path in (artifacts / "blobs").rglob("*") if path.is_file()]


# --- A raw body ---------------------------------------------------------------------------------------------


def test_a_raw_body_is_stored_under_its_digest(artifacts):
    body = b"weights" * 1000
    stored = bodies.receive_file(rf.generic("PUT", "/", body), path="a/weights.bin")
    assert (stored.path, stored.size) == ("a/weights.bin", 7000)
    assert stored.sha256 == hashlib.sha256(body).hexdigest()
    assert storage.read(stored.sha256, limit=10_000) == body
    assert not left_over(artifacts)


def test_an_empty_body_is_an_empty_file(artifacts):
    stored = bodies.receive_file(rf.generic("PUT", "/", b""), path="empty")
    assert stored.size == 0
    assert storage.read(stored.sha256, limit=10) == b""


def test_pieces_come_one_by_one():
    pieces = list(bodies.chunks(rf.generic("PUT", "/", b"x" * (2 * bodies.PIECE + 5))))
    assert [len(piece) for piece in pieces] == [bodies.PIECE, bodies.PIECE, 5]


def test_a_body_that_ends_early_is_refused(artifacts):
    request = rf.generic("PUT", "/", b"x" * 100)
    request.META["wsgi.input"] = io.BytesIO(b"x" * 60)
    request._stream = request.META["wsgi.input"]
    with pytest.raises(Invalid, match="after 60 of 100 bytes"):
        bodies.receive_file(request, path="weights.bin")
    assert not left_over(artifacts)
    assert not stored_blobs(artifacts)


def test_too_long_is_refused_before_reading(artifacts):
    request = rf.generic("PUT", "/", b"x" * 100)
    request._stream = None
    with pytest.raises(TooLarge) as caught:
        bodies.receive_file(request, path="weights.bin", limit=99)
    assert caught.value.limit == 99
    assert not left_over(artifacts)


def test_a_chunked_body_is_counted_while_it_comes(artifacts):
    with pytest.raises(TooLarge):
        bodies.receive_file(chunked(b"x" * 100), path="weights.bin", limit=99, size=100)
    assert not left_over(artifacts)


def test_a_chunked_body_needs_something_to_check_it_by():
    with pytest.raises(Invalid, match="declared size or sha256"):
        bodies.receive_file(chunked(b"abc"), path="weights.bin")
    assert bodies.receive_file(chunked(b"abc"), path="weights.bin", size=3).size == 3


@pytest.mark.parametrize(
    "declared", [{"size": 4}, {"size": 0}, {"sha256": "0" * 64}, {"size": 3, "sha256": "f" * 64}]
)
def test_other_bytes_than_declared_are_refused(artifacts, declared):
    with pytest.raises(Invalid):
        bodies.receive_file(rf.generic("PUT", "/", b"abc"), path="weights.bin", **declared)
    assert not left_over(artifacts)
    assert not stored_blobs(artifacts)


def test_the_declared_digest_may_be_upper_case():
    digest = hashlib.sha256(b"abc").hexdigest()
    assert (
        bodies.receive_file(rf.generic("PUT", "/", b"abc"), path="a", sha256=digest.upper()).sha256 == digest
    )


def test_a_malformed_length_is_refused():
    request = rf.generic("PUT", "/", b"abc")
    request.META["CONTENT_LENGTH"] = "-3"
    with pytest.raises(Invalid, match="Content-Length"):
        bodies.receive_file(request, path="a")


# --- A form -------------------------------------------------------------------------------------------------


def test_a_form_brings_fields_and_files_in_any_order(artifacts):
    taken = bodies.receive_form(
        post(
            form(
                part("files", b"one", filename="model/a.bin"),
                part("metadata", '{"owner": "zoë"}'.encode()),
                part("files", b"", filename="empty.txt"),
                part("tag", b"a"),
                part("tag", b"b"),
            )
        )
    )
    assert [(file.path, file.size) for file in taken.files] == [("model/a.bin", 3), ("empty.txt", 0)]
    assert taken.get("metadata") == '{"owner": "zoë"}'
    assert taken.fields["tag"] == ["a", "b"]
    assert taken.as_post().getlist("tag") == ["a", "b"]
    assert storage.read(taken.files[0].sha256, limit=9) == b"one"
    assert not left_over(artifacts)


def test_content_that_looks_like_a_boundary_stays_content():
    content = b"\r\n--" + BOUNDARY.encode()[:-1] + b"\r\n" * 3 + b"\r\n--\r\n-"
    taken = bodies.receive_form(post(form(part("files", content, filename="a"))))
    assert storage.read(taken.files[0].sha256, limit=999) == content


@pytest.mark.parametrize("cut", [1, 7, 64, 1000])
def test_pieces_may_break_anywhere(monkeypatch, cut):
    monkeypatch.setattr(bodies, "PIECE", cut)
    content = bytes(range(256)) * 20
    body = form(part("m", b"{}"), part("files", content, filename="a/b"), part("files", b"z", filename="c"))
    if cut == 1:  # the strict parser wants the first boundary in one piece
        monkeypatch.setattr(bodies, "PIECE", len(BOUNDARY) + 4)
    taken = bodies.receive_form(post(body))
    assert taken.files[0].sha256 == hashlib.sha256(content).hexdigest()
    assert [file.path for file in taken.files] == ["a/b", "c"]


def test_what_follows_the_last_boundary_means_nothing(monkeypatch):
    body = form(part("m", b"{}"))
    monkeypatch.setattr(bodies, "PIECE", len(body) - 1)
    assert bodies.receive_form(post(body)).get("m") == "{}"


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "/etc/passwd",
        "a//b",
        "C:\\evil",
        "\\\\host\\share",
        "a%0D%0Ab",
        "a%22b",
        "con",
        "a/../b",
        "x" * 1001,
    ],
)
def test_a_hostile_file_name_is_refused_and_not_repaired(artifacts, name):
    with pytest.raises(Invalid) as caught:
        bodies.receive_form(post(form(part("files", b"x", filename=name))))
    assert caught.value.problems[0].field == "files"
    assert not stored_blobs(artifacts)


def test_names_of_other_scripts_come_through():
    taken = bodies.receive_form(post(form(part("files", b"x", filename="modèles/模型 1.bin"))))
    assert taken.files[0].path == "modèles/模型 1.bin"
    star = b"Content-Disposition: form-data; name=files; filename=_.bin; filename*=utf-8''d%C3%A9f%2Fa.bin"
    star += b"\r\n\r\nx\r\n"
    assert bodies.receive_form(post(form(star))).files[0].path == "déf/a.bin"


def test_no_file_chosen_is_no_file():
    taken = bodies.receive_form(post(form(part("files", b"", filename=""), part("m", b"1"))))
    assert taken.files == []
    with pytest.raises(Invalid, match="needs a file name"):
        bodies.receive_form(post(form(part("files", b"x", filename=""))))


@pytest.mark.parametrize(
    "body",
    [
        form(part("files", b"x" * 50, filename="a"))[:-4][: -len(BOUNDARY)],  # cut off in the last boundary
        form(part("m", b"{}"), end=b""),  # never closed
        b"",
        b"no form at all",
        form(b"Content-Type: text/plain\r\n\r\nx\r\n"),  # no disposition
        form(b"Content-Disposition: form-data\r\n\r\nx\r\n"),  # no name
        form(b'Content-Disposition: form-data; name=""\r\n\r\nx\r\n'),
        form(b'Content-Disposition: attachment; name="files"; filename="a"\r\n\r\nx\r\n'),
        form(b'Content-Disposition: form-data; name="files"; filename="a"; filename="b"\r\n\r\nx\r\n'),
        form(b'Content-Disposition: form-data; name="files"; filename="a\r\n\r\nx\r\n'),
        form(b"Content-Disposition: form-data; name=files; filename*=utf-8''%ff\r\n\r\nx\r\n"),
        form(b"Content-Disposition: form-data; name=files; filename*=nope''a\r\n\r\nx\r\n"),
        form(b"\xff\xfe: form-data\r\n\r\nx\r\n"),
        form(part("files", b"x")),  # a file without file name
        form(part("metadata", b"\xff\xfe")),  # not text
        form(part("files", b"abc", filename="a", extra="Content-Length: 2\r\n")),
        form(part("m", b"{}")).replace(b"\r\n", b"\n"),
    ],
)
def test_a_broken_form_is_refused(artifacts, body):
    with pytest.raises(Invalid):
        bodies.receive_form(post(body))
    assert not left_over(artifacts)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=" + "x" * 71,
        "application/json",
        "",
    ],
)
def test_without_boundary_it_is_no_form(content_type):
    with pytest.raises(Invalid, match="Content-Type"):
        bodies.receive_form(post(b"x", content_type=content_type))


def test_limits_of_a_form(settings, artifacts):
    settings.MAX_FILES_PER_VERSION = 2
    settings.MAX_JSON_BYTES = 100
    settings.MAX_FILE_BYTES = 50
    for parts in (
        [part("files", b"x", filename=f"{number}") for number in range(3)],
        [part("metadata", b"x" * 60), part("more", b"x" * 41)],
        [part("files", b"x" * 51, filename="a")],
        [part(f"field{number}", b"") for number in range(1001)],
        [part("files", b"x", filename="a", extra="X-Long: " + "y" * 17_000 + "\r\n")],
    ):
        with pytest.raises(TooLarge):
            bodies.receive_form(post(form(*parts)))
        assert not left_over(artifacts)


def test_files_wait_for_what_must_be_asked_first(artifacts):
    def refuse(seen):
        assert seen.get("token") == "t"
        raise Forbidden("No.", next_step="")

    with pytest.raises(Forbidden):
        bodies.receive_form(
            post(form(part("token", b"t"), part("files", b"x", filename="a"))), before_files=refuse
        )
    assert not stored_blobs(artifacts)
    with pytest.raises(Forbidden):
        bodies.receive_form(post(form(part("token", b"t"))), before_files=refuse)


def test_a_form_of_another_site_is_refused():
    def send(token, cookie):
        request = post(form(part("csrfmiddlewaretoken", token.encode())))
        request._dont_enforce_csrf_checks = False
        request.COOKIES["csrftoken"] = cookie
        return bodies.receive_form(request, before_files=lambda seen: bodies.check_csrf(request, seen))

    assert send("a" * 32, "a" * 32).files == []
    with pytest.raises(Forbidden, match="protection token"):
        send("b" * 32, "a" * 32)


def test_a_form_is_stored_whole_or_not_at_all(artifacts):
    good = part("files", b"x", filename="good")
    for bad in (part("files", b"x", filename="../bad"), part("text", b"\xff")):
        with pytest.raises(Invalid):
            bodies.receive_form(post(form(good, bad)))
    with pytest.raises(Invalid):
        bodies.receive_form(post(form(good)[:-10]))
    assert not stored_blobs(artifacts)
    assert not left_over(artifacts)


def test_ten_thousand_files_in_one_form():
    names = [f"shards/{number:05}.bin" for number in range(10_000)]
    taken = bodies.receive_form(post(form(*(part("files", b"same", filename=name) for name in names))))
    assert [file.path for file in taken.files] == names


def test_django_sees_no_second_body():
    request = post(form(part("m", b"1")))
    assert isinstance(request, HttpRequest)
    bodies.receive_form(request)
    assert not request.POST
