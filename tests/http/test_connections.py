"""A transfer that takes minutes holds no connection to a database server meanwhile; one to SQLite may stay."""

import pytest
from django.db import connection, transaction
from django.test import RequestFactory

from models_app.http import bodies, ranges
from models_app.http.connections import LONG, let_go
from tests.builders import stored

rf = RequestFactory()


@pytest.fixture
def connected(transactional_db):
    connection.ensure_connection()
    return lambda: connection.connection is not None


def let_gone(connected) -> bool:
    return connected() == (connection.vendor == "sqlite")


def test_a_long_download_lets_go(connected):
    file = stored("a", b"x" * LONG)
    response = ranges.send_blob(rf.get("/"), sha256=file.sha256, size=file.size, path="a")
    assert let_gone(connected)
    response.close()


def test_a_long_upload_lets_go(connected):
    bodies.receive_file(rf.generic("PUT", "/", b"x" * LONG), path="a")
    assert let_gone(connected)


def test_a_short_one_keeps_it(connected):
    bodies.receive_file(rf.generic("PUT", "/", b"x"), path="a")
    assert connected()
    let_go(None)
    assert let_gone(connected)


def test_never_inside_a_transaction(connected):
    with transaction.atomic():
        let_go(None)
        assert connected()
