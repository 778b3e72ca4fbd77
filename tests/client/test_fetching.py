"""Hashing what arrives, segment by segment."""

import hashlib
import os
import threading

import pytest

from models_app.client import fetching
from models_app.client.fetching import Fetching, Following
from models_app.client.push import in_parallel
from models_app.client.transfer import Failure


@pytest.fixture
def small_segments(monkeypatch):
    monkeypatch.setattr(fetching, "SEGMENT", 1000)
    monkeypatch.setattr(fetching, "SHORTLY", 0.01)


def begin(folder, name: str, content: bytes) -> Fetching:
    one = Fetching(hashlib.sha256(content).hexdigest(), len(content), name, folder / name)
    one.open()
    return one


@pytest.mark.parametrize("parallel", [1, 4])
def test_files_are_hashed_in_whatever_order_their_segments_come(small_segments, tmp_path, parallel):
    contents = [os.urandom(5500), os.urandom(3000), os.urandom(10)]
    files = [begin(tmp_path, f"f{number}", content) for number, content in enumerate(contents)]
    contents_of = dict(zip((one.sha256 for one in files), contents, strict=True))

    def put(one: Fetching, number: int) -> None:
        with one.part.open("r+b") as file:
            file.seek(number * 1000)
            file.write(contents_of[one.sha256][number * 1000 :][: one.length(number)])

    # The third segment was there before.
    put(files[0], 2)
    files[0].left.discard(2)
    jobs = [(one, number) for one in files for number in sorted(one.left)]
    segments = iter(jobs)
    with Following(files[:2]) as following:

        def fetch(_: object) -> None:
            with following.next(segments) as (one, number):
                put(one, number)

        in_parallel(parallel, fetch, jobs)
    for one in files:
        one.close()
    assert following.digests == {one.sha256: one.sha256 for one in files[:2]}
    assert following._ready == 0


def test_a_failure_lets_all_others_go(small_segments, tmp_path):
    one = begin(tmp_path, "f", bytes(9000))
    jobs = [(one, number) for number in sorted(one.left)]
    segments = iter(jobs)
    following = Following([one])

    def run() -> None:
        with following:

            def fetch(_: object) -> None:
                with following.next(segments) as (_one, number):
                    if number == 1:
                        raise Failure("no")

            in_parallel(4, fetch, jobs)

    failed: list[BaseException] = []

    def catch() -> None:
        try:
            run()
        except Failure as error:
            failed.append(error)

    thread = threading.Thread(target=catch, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    assert str(failed[0]) == "no"
    assert not following.is_alive()
    one.close()
