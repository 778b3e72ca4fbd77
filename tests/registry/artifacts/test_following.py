"""A file is hashed while its parts arrive; the note of it counts only when nothing was written after it was read."""

import hashlib
import threading
import time

import pytest

from models_app.registry.artifacts import following, parts, storage

PARTS = [b"first part", b"other part", b"end"]
WHOLE = b"".join(PARTS)
DIGEST = hashlib.sha256(WHOLE).hexdigest()
pytestmark = pytest.mark.sqlite_is_enough


@pytest.fixture(autouse=True)
def _room(monkeypatch):
    """Room of this test's own: others may have left uploads that nobody ends."""
    monkeypatch.setattr(following, "_room", threading.BoundedSemaphore(following.AT_ONCE))


@pytest.fixture
def upload(artifacts):
    parts.open_for("u")
    return storage.incoming() / "u.parts"


@pytest.fixture
def rereads(monkeypatch):
    """How often joining read the whole again."""
    real, seen = hashlib.file_digest, []

    def file_digest(file, name):
        seen.append(1)
        return real(file, name)

    monkeypatch.setattr(parts.hashlib, "file_digest", file_digest)
    return seen


def send(number: int, content: bytes | None = None) -> str:
    content = PARTS[number - 1] if content is None else content
    return parts.receive("u", number, [content], of=3, length=len(content), limit=100, are_lengths_fixed=True)


def join(tags: dict[int, str]) -> str:
    return parts.join("u", tags, limit=100).sha256


def wait_till_read(folder) -> None:
    end = time.monotonic() + 20
    while not (folder / "hashed").exists():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_in_any_order(upload, rereads, order):
    tags = {number: send(number) for number in order}
    assert (join(tags), rereads) == (DIGEST, [])


def test_a_part_that_came_again_is_read_again(upload, rereads):
    tags = {number: send(number) for number in (1, 2, 3)}
    wait_till_read(upload)
    tags[2] = send(2, b"OTHER part")
    other = WHOLE.replace(b"other", b"OTHER")
    assert (join(tags), rereads) == (hashlib.sha256(other).hexdigest(), [1])


def test_a_part_that_broke_off_and_came_again_is_read_once(upload, rereads):
    with pytest.raises(parts.Invalid):
        parts.receive("u", 1, [b"fir"], of=3, length=10, limit=100, are_lengths_fixed=True)
    tags = {number: send(number) for number in (2, 3, 1)}
    assert (join(tags), rereads) == (DIGEST, [])


def test_a_part_that_another_still_writes_is_not_trusted(upload, rereads, monkeypatch):
    """Two senders of one part: the slower began before the faster was whole, and ends after the reader came by."""
    monkeypatch.setattr(following, "UNCLEAN", 0.05)
    go, begun = threading.Event(), threading.Event()

    def slowly():
        begun.set()
        assert go.wait(20)
        yield b"FIRST part"

    late = threading.Thread(
        target=lambda: parts.receive("u", 1, slowly(), of=3, length=10, limit=100, are_lengths_fixed=True),
        daemon=True,
    )
    late.start()
    assert begun.wait(20)
    tags = {number: send(number) for number in (1, 2, 3)}
    end = time.monotonic() + 20
    while not (upload / "lock").read_bytes():
        assert time.monotonic() < end
        time.sleep(0.005)
    go.set()
    late.join(20)
    other = WHOLE.replace(b"first", b"FIRST")
    assert (join(tags), rereads) == (hashlib.sha256(other).hexdigest(), [1])


def test_parts_that_could_lie_over_each_other_are_read_when_all_are_there(upload, rereads):
    """Of MLflow's uploads nobody knows the sizes: a part sent as a shorter one would be written into its neighbour."""
    tags = {1: parts.receive("u", 1, [PARTS[0]], of=3, length=10, limit=100)}
    assert not (upload / "following").exists()
    with pytest.raises(parts.Invalid):
        parts.receive("u", 2, [b"EVIL"], of=3, length=5, limit=100)
    tags |= {
        n: parts.receive("u", n, [PARTS[n - 1]], of=3, length=len(PARTS[n - 1]), limit=100) for n in (2, 3)
    }
    stored = WHOLE.replace(b"first part", b"firstEVILt")
    assert (join(tags), rereads) == (hashlib.sha256(stored).hexdigest(), [1])


def test_what_a_killed_process_left_is_done_without(upload, rereads, monkeypatch):
    monkeypatch.setattr(following, "follow", lambda *_, **__: None)
    (upload / "following").touch()
    (upload / "hashing").write_text("half a not")
    assert (join({number: send(number) for number in (1, 2, 3)}), rereads) == (DIGEST, [1])


def test_an_upload_that_is_given_up_lets_its_reader_go(artifacts):
    for number in range(following.AT_ONCE + 1):
        parts.open_for(f"{number}")
        parts.receive(f"{number}", 1, [b"first"], of=3, length=5, limit=100, are_lengths_fixed=True)
        parts.forget(f"{number}")
    end, free = time.monotonic() + 20, 0
    while free < following.AT_ONCE:
        free += following._room.acquire(blocking=False)
        assert time.monotonic() < end
        time.sleep(0.001)
    for _ in range(free):
        following._room.release()


def test_a_part_far_ahead_of_what_is_read_waits_till_the_reading_comes_near(tmp_path):
    following._reads(tmp_path, 1)
    let_through = []

    def come(number: int) -> threading.Thread:
        thread = threading.Thread(
            target=lambda: (following.hold_back(tmp_path, number), let_through.append(number))
        )
        thread.start()
        return thread

    near, far = come(1 + following.AHEAD), come(2 + following.AHEAD)
    near.join(20)
    assert let_through == [1 + following.AHEAD]
    following._reads(tmp_path, 2)
    far.join(20)
    assert let_through == [1 + following.AHEAD, 2 + following.AHEAD]
    following._reads(tmp_path, None)


def test_nothing_waits_for_a_part_that_did_not_come(upload, monkeypatch):
    monkeypatch.setattr(following, "HELD_BACK", 3600.0)
    content = b"x"
    for number in range(9, 1, -1):  # The thread waits for the first all the while.
        parts.receive("u", number, [content], of=9, length=1, limit=100, are_lengths_fixed=True)
    assert set(parts.arrived("u")) == set(range(2, 10))


def test_what_waits_goes_on_when_the_reading_hangs(tmp_path, monkeypatch):
    monkeypatch.setattr(following, "HELD_BACK", 0.01)
    following._reads(tmp_path, 1)
    following.hold_back(tmp_path, 100)
    following._reads(tmp_path, None)
