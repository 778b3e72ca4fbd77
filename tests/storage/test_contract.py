"""What every kind of store promises, asked of real servers."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import httpx
import pytest
from django.core.exceptions import ImproperlyConfigured

from models_app.registry.artifacts import arrivals, storage
from models_app.registry.artifacts.arrivals import Way
from models_app.registry.artifacts.stores.base import StoredBytes
from models_app.registry.errors import Damaged, Invalid, NotFound

CONTENT = bytes(range(256)) * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NOTHING = hashlib.sha256(b"").hexdigest()
HOUR = timedelta(hours=1)
MIB = 1 << 20


def put(content=CONTENT, **declared):
    with storage.BlobWriter() as writer:
        writer.write(content)
        return writer.finish(**declared)


def blobs():
    return [kept.key.rpartition("/")[2] for kept in storage.stored()]


def waiting():
    return [kept.key for kept in storage.store().walk("incoming/")]


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_many_at_once(place, tmp_path):
    store, said = storage.store(), []
    here, short, large = b"here before", b"cut short", os.urandom(5 * MIB)
    contents = [here, short, large, b"twice", b"twice", *(bytes([n]) * n for n in range(30))]
    put(here)
    key = storage.blob_name(sha256(short))
    store.bring(io.BytesIO(short[:3]), key, StoredBytes(sha256(short[:3]), 3))
    whole = []
    for number, content in enumerate(contents):
        path = tmp_path / f"{number}.part"
        path.write_bytes(content)
        whole.append((path, storage.blob_name(sha256(content)), StoredBytes(sha256(content), len(content))))
    store.keep(whole, again=said.append)
    assert {storage.read(sha256(content), limit=6 * MIB) for content in contents} == set(contents)
    assert (said[0], set(said) <= {sha256(here), sha256(b"twice")}) == (sha256(here), True)
    assert list(tmp_path.glob("*.part")) == []


def test_bytes_by_digest(place):
    assert put(size=len(CONTENT), sha256=DIGEST) == put()
    assert put(b"").size == 0
    assert blobs() == sorted([DIGEST, NOTHING])
    assert [storage.size_of(digest) for digest in (DIGEST, NOTHING, "0" * 64)] == [len(CONTENT), 0, None]
    assert storage.read_range(DIGEST, start=1000, length=5) == CONTENT[1000:1005]
    assert storage.read_range(DIGEST, start=len(CONTENT) - 3, length=3) == CONTENT[-3:]
    assert storage.read(NOTHING, limit=1) == b""
    with storage.open_blob(DIGEST) as blob:
        blob.seek(-6, os.SEEK_END)
        assert blob.read() == CONTENT[-6:]
    assert waiting() == []
    for _ in range(2):
        storage.delete(DIGEST)
    assert blobs() == [NOTHING]
    for read in (storage.open_blob, lambda digest: storage.read_range(digest, start=0, length=1)):
        with pytest.raises(Damaged, match=f"{DIGEST[:12]} are missing"):
            read(DIGEST)


def test_other_bytes_than_declared_are_nowhere(place):
    for declared in ({"sha256": "0" * 64}, {"size": 1}):
        with pytest.raises(Invalid):
            put(**declared)
    assert (blobs(), waiting()) == ([], [])


def test_two_bring_the_same_bytes_at_once(place):
    with ThreadPoolExecutor(4) as pool:
        assert {stored.sha256 for stored in pool.map(lambda _: put(), range(8))} == {DIGEST}
    assert blobs() == [DIGEST]
    assert storage.read(DIGEST, limit=len(CONTENT)) == CONTENT


def test_damage_is_told_and_healed(place):
    put()
    storage.delete(DIGEST)
    cut(place)
    with pytest.raises(Damaged, match="fewer"):
        storage.read_range(DIGEST, start=0, length=10)
    with pytest.raises(Damaged):
        storage.read_range(DIGEST, start=100, length=10)
    if place != "disk":
        with pytest.raises(Damaged, match="are 3 in storage"):
            address()
    put()
    assert storage.read(DIGEST, limit=len(CONTENT)) == CONTENT


def cut(place):
    key, store = storage.blob_name(DIGEST), storage.store()
    if place == "disk":
        (store.folder / key).write_bytes(b"cut")
    else:
        store.write(key, b"cut")


def test_large_files_take_little_memory(place):
    piece = os.urandom(MIB)
    tracemalloc.start()
    try:
        with storage.BlobWriter() as writer:
            for _ in range(65):
                writer.write(piece)
            stored = writer.finish()
        read = hashlib.sha256()
        for got in storage.BlobStream(stored.sha256, start=0, length=stored.size):
            read.update(got)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert read.hexdigest() == stored.sha256
    assert peak < 48 * MIB


def address():
    return storage.download_address(
        DIGEST,
        size=len(CONTENT),
        disposition='attachment; filename="a b.bin"',
        media_type="application/octet-stream",
        valid=HOUR,
    )


def test_an_address_to_read_from(place, settings):
    with pytest.raises(Damaged) if place != "disk" else pytest.MonkeyPatch.context():
        assert address() is None
    put()
    url = address()
    if place == "disk":
        assert url is None
        return
    answer = httpx.get(url, headers={"Range": "bytes=3-9"})
    assert (answer.status_code, answer.content) == (206, CONTENT[3:10])
    assert answer.headers["Content-Disposition"] == 'attachment; filename="a b.bin"'
    assert answer.headers["Content-Type"] == "application/octet-stream"
    if place != "gs":  # Its emulator looks at no signature.
        name = storage.blob_name(DIGEST)
        assert httpx.get(url.replace(name, storage.blob_name(NOTHING))).status_code == 403
        assert httpx.put(url, content=b"mine").status_code in (400, 403)
    settings.DIRECT_MIN_BYTES = len(CONTENT) + 1
    assert address() is None
    settings.DIRECT_MIN_BYTES, settings.DIRECT_TRANSFER = 1, False
    assert address() is None


def send(arrival, number, content):
    """As a client does: to the store, or to Modelry."""
    target = arrivals.target(arrival, number)
    if target is None:
        arrivals.receive(arrival, number, [content], length=len(content))
        return 200
    answer = httpx.request(target.method, target.url, headers=target.headers, content=content, timeout=30)
    return answer.status_code


def test_one_request_brings_a_file(place):
    arrival = arrivals.begin(size=len(CONTENT), sha256=DIGEST.upper())
    assert arrival.way == {"disk": Way.WHOLE, "s3": Way.DIRECT}.get(place, Way.DIRECT_PARTS)
    assert arrivals.arrived(arrival) == {}
    with pytest.raises(Invalid, match=r"missing|arrive"):
        arrivals.finish(arrival)
    assert send(arrival, 1, CONTENT) in (200, 201)
    assert {number: part.size for number, part in arrivals.arrived(arrival).items()} == {1: len(CONTENT)}
    assert arrivals.finish(arrival) == arrivals.finish(arrival)
    assert blobs() == [DIGEST]
    arrivals.abandon(arrival)
    assert waiting() == []


def test_one_request_with_other_bytes(place):
    arrival = arrivals.begin(size=len(CONTENT), sha256=DIGEST)
    other = CONTENT[::-1]
    if place == "disk":
        with pytest.raises(Invalid):
            send(arrival, 1, other)
    elif place == "s3":
        assert send(arrival, 1, other) == 400
        assert send(arrival, 1, CONTENT + b"!") == 403
    else:
        assert send(arrival, 1, other) in (200, 201)
    with pytest.raises(Invalid):
        arrivals.finish(arrival)
    assert blobs() == []


def test_parts_side_by_side_resumed_and_joined(place):
    whole = os.urandom(11 * MIB)
    arrival = arrivals.begin(size=len(whole), sha256=sha256(whole))
    assert (arrival.part_count, arrival.part_size) == (3, 5 * MIB)
    parts = {number: whole[(number - 1) * 5 * MIB : number * 5 * MIB] for number in (1, 2, 3)}
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(lambda number: send(arrival, number, parts[number]), (3, 1))) <= {200, 201}
    assert arrivals.arrived(arrival).keys() == {1, 3}
    with pytest.raises(Invalid, match="missing: 2"):
        arrivals.finish(arrival)
    for _ in range(2):
        assert send(arrival, 2, parts[2]) in (200, 201)
    assert blobs() == []
    with ThreadPoolExecutor(2) as pool:
        done = set(pool.map(lambda _: arrivals.finish(arrival), range(2)))
    assert done == {arrivals.finish(arrival)} == {storage.StoredBytes(sha256(whole), len(whole))}
    assert storage.read(sha256(whole), limit=len(whole)) == whole
    arrivals.abandon(arrival)
    assert (blobs(), waiting()) == ([sha256(whole)], [])


def test_parts_of_other_bytes(place):
    whole = os.urandom(6 * MIB)
    arrival = arrivals.begin(size=len(whole), sha256="a" * 64)
    for number, content in ((1, whole[: 5 * MIB]), (2, whole[5 * MIB :])):
        send(arrival, number, content)
    with pytest.raises(Invalid, match=sha256(whole)):
        arrivals.finish(arrival)
    with pytest.raises((Invalid, NotFound)):
        arrivals.finish(arrival)
    assert blobs() == []
    arrivals.abandon(arrival)
    assert waiting() == []


def test_what_is_abandoned_is_swept(place):
    arrival = arrivals.begin(size=6 * MIB, sha256="a" * 64)
    send(arrival, 1, bytes(5 * MIB))
    assert arrivals.sweep(HOUR) == 0
    assert arrivals.arrived(arrival).keys() == {1}
    if place == "disk":
        return  # uploads.sweep_abandoned does it there.
    arrivals.sweep(timedelta(hours=-1))
    assert waiting() == []
    if place != "azure":  # Blocks are Azure's own to forget.
        with pytest.raises((Invalid, NotFound)):
            arrivals.finish(arrival)


class Breaking(io.RawIOBase):
    """Zeros that end with an error, as those of a source do which turns out damaged or is lost."""

    left = 12 * MIB

    def readable(self):
        return True

    def tell(self):
        return 12 * MIB - self.left

    def readinto(self, buffer):
        count = min(len(buffer), self.left, MIB)
        if not count:
            raise LookupError("lost")
        self.left -= count
        buffer[:count] = bytes(count)
        return count


@pytest.mark.parametrize("size", [0, 1000, 13 * MIB])
def test_what_another_store_sends(place, size):
    content = os.urandom(size)
    stored = storage.StoredBytes(sha256(content), size)
    name = storage.blob_name(stored.sha256)
    if size:
        with pytest.raises(LookupError):
            storage.store().bring(
                io.BufferedReader(Breaking()), name, storage.StoredBytes("0" * 64, 13 * MIB)
            )
        assert (blobs(), waiting()) == ([], [])
    storage.store().bring(io.BytesIO(content), name, stored)
    assert (blobs(), waiting(), storage.size_of(stored.sha256)) == ([stored.sha256], [], size)
    assert storage.read(stored.sha256, limit=size + 1) == content


COLD = {"s3": "GLACIER_IR", "azure": "Cool", "gs": "COLDLINE"}


def test_archived_bytes_move_to_a_colder_class_and_back(place, use, settings):
    store = storage.store()
    assert (store.cold_class, store.cold_place) == ("", "")
    if place == "disk":
        assert store.cold_classes == ()
        return
    entry = settings.STORAGES["artifacts"]
    for wrong in ("GLACIER", "Archive" if place == "azure" else "nonsense"):
        with pytest.raises(ImproperlyConfigured, match="cold_class is one of"):
            use({**entry, "OPTIONS": {**entry["OPTIONS"], "cold_class": wrong}})
    # However it is written.
    store = use({**entry, "OPTIONS": {**entry["OPTIONS"], "cold_class": COLD[place].lower()}})
    assert store.cold_place.endswith(f" {COLD[place]}")
    put()
    key = storage.blob_name(DIGEST)
    asked = listen(store) if place == "gs" else []
    usual = "STANDARD" if place == "gs" else class_of(place, store, key)
    for cold in (True, True, False):
        store.set_class(key, cold=cold)
        kept = asked[-1] if place == "gs" else class_of(place, store, key)
        assert kept == (COLD[place] if cold else usual)
        assert storage.read(DIGEST, limit=len(CONTENT)) == CONTENT
        assert httpx.get(address()).content == CONTENT
    put()
    assert blobs() == [DIGEST]
    with pytest.raises(FileNotFoundError):
        store.set_class(storage.blob_name(NOTHING), cold=True)


def class_of(place, store, key):
    """As the server says."""
    if place == "s3":
        return store.client.head_object(**store._at(key)).get("StorageClass", "STANDARD")
    return store._blob(key).get_blob_properties().blob_tier


def listen(store):
    """The classes that Google is asked for: its emulator keeps none."""
    asked, session = [], store.client._http
    send = session.request

    def request(method, url, data=None, **options):
        if "/rewriteTo/" in url:
            asked.append(json.loads(data)["storageClass"])
        return send(method, url, data=data, **options)

    session.request = request
    return asked
