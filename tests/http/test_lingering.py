"""A refused client may finish sending, and so gets to read the refusal."""

import io

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from models_app.http import lingering
from models_app.http.lingering import Linger

rf = RequestFactory()
BODY = b"x" * 300_000


def send(status, *, method="PUT", read=0, **headers):
    """How many bytes of the body nobody has read in the end."""
    request = rf.generic(method, "/", BODY, headers=headers)
    source = request._stream = io.BytesIO(BODY)

    def view(asked):
        asked.read(read) if read else None
        return HttpResponse(status=status)

    assert Linger(view)(request).status_code == status
    return len(BODY) - source.tell()


def test_a_refused_body_is_read_to_its_end():
    assert send(401) == 0
    assert send(422, read=1000) == 0


def test_an_accepted_one_is_the_views_business():
    assert send(201) == len(BODY)
    assert send(404, method="GET") == len(BODY)


def test_who_waits_to_be_told_is_not_told_to_send():
    assert send(401, Expect="100-continue") == len(BODY)
    assert send(422, read=1000, Expect="100-continue") == 0


def test_patience_ends(monkeypatch):
    monkeypatch.setattr(lingering, "PATIENCE", -1)
    assert send(401) == len(BODY) - lingering.PIECE


def test_chunked_bodies_too():
    request = rf.generic("PUT", "/", b"")
    request.META.pop("CONTENT_LENGTH", None)
    source = io.BytesIO(BODY)
    request.META |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": source}
    Linger(lambda _: HttpResponse(status=400))(request)
    assert source.read() == b""


@pytest.mark.parametrize("error", [OSError])
def test_a_lost_client_is_no_error(error):
    request = rf.generic("PUT", "/", BODY)

    class Lost(io.BytesIO):
        def read(self, *_):
            raise error

    request._stream = Lost()
    assert Linger(lambda _: HttpResponse(status=400))(request).status_code == 400
