"""Archives are written while they are read, of a length known before, and the same every time."""

import io
import struct
import subprocess
import tarfile
import zipfile
from datetime import UTC, datetime

import pytest

from models_app.registry.artifacts import archives, storage
from models_app.registry.artifacts.archives import Member, archive_of
from models_app.registry.errors import Damaged
from tests.builders import stored

WHEN = datetime(2026, 5, 4, 13, 37, 42, tzinfo=UTC)
FILES = {
    "README.md": b"# Hello",
    "empty": b"",
    "weights/model.bin": bytes(range(256)) * 1111,
    "modèles/模型 1.bin": b"x" * 512,
    "/".join(["d" * 99] * 10): b"deep",
}


def members(files=FILES):
    made = []
    for path, content in files.items():
        file = stored(path, content)
        made.append(Member(path, file.sha256, file.size, WHEN))
    return made


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("files", [FILES, {}, {"one": b"1"}])
def test_the_length_is_known_before(kind, files):
    archive = archive_of(members(files), kind=kind)
    assert archive.size == sum(len(piece) for piece in archive)


def test_a_zip_holds_every_byte():
    data = b"".join(archive_of(members(), kind="zip"))
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        assert made.testzip() is None
        assert {name: made.read(name) for name in made.namelist()} == FILES
        first = made.infolist()[0]
        assert first.date_time == (2026, 5, 4, 13, 37, 42)
        assert first.compress_type == zipfile.ZIP_STORED
        assert first.external_attr >> 16 == 0o100644


def test_a_tar_holds_every_byte():
    data = b"".join(archive_of(members(), kind="tar"))
    with tarfile.open(fileobj=io.BytesIO(data)) as made:
        found = {info.name: made.extractfile(info).read() for info in made}
        assert found == FILES
        assert made.getmember("README.md").mtime == WHEN.timestamp()
        assert made.getmember("README.md").mode == 0o644


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_same_members_give_the_same_bytes(kind):
    assert b"".join(archive_of(members(), kind=kind)) == b"".join(archive_of(members(), kind=kind))


def test_other_tools_read_them_too(tmp_path):
    for kind, command in (("zip", ["unzip", "-tq"]), ("tar", ["tar", "-tf"])):
        path = tmp_path / f"a.{kind}"
        path.write_bytes(b"".join(archive_of(members(), kind=kind)))
        try:
            subprocess.run([*command, str(path)], check=True, capture_output=True)
        except FileNotFoundError:
            pytest.skip(f"no {command[0]} here")


@pytest.mark.parametrize("limit", ["_BIG", "_MANY"])
def test_a_zip_past_the_old_limits(monkeypatch, limit):
    """Lowered limits make small archives take the 64-bit fields, which zipfile then reads."""
    monkeypatch.setattr(archives, limit, 3)
    if limit == "_BIG":
        whole = archives._central

        def marked(member, *, crc, offset):
            # The old fields must hold the mark that sends readers to the new ones.
            entry = bytearray(whole(member, crc=crc, offset=offset))
            if member.size >= 3:
                struct.pack_into("<LL", entry, 20, 0xFFFFFFFF, 0xFFFFFFFF)
            if offset >= 3:
                struct.pack_into("<L", entry, 42, 0xFFFFFFFF)
            return bytes(entry)

        monkeypatch.setattr(archives, "_central", marked)
    archive = archive_of(members(), kind="zip")
    data = b"".join(archive)
    assert len(data) == archive.size
    assert b"PK\6\6" in data
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        assert made.testzip() is None
        assert {name: made.read(name) for name in made.namelist()} == FILES


def test_lengths_of_huge_archives_need_no_bytes():
    huge = [Member(f"{number}.bin", "0" * 64, 5 << 30, WHEN) for number in range(3)]
    assert archive_of(huge, kind="zip").size > 15 << 30
    assert archive_of([Member("a", "0" * 64, 9 << 30, WHEN)], kind="tar").size > 9 << 30


@pytest.mark.django_db
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_missing_or_short_blob_breaks_the_archive(kind, artifacts):
    made = members({"a": b"abc", "b": b"xyz"})
    path = storage.local_path(made[1].sha256)
    path.chmod(0o600)
    path.write_bytes(b"x")
    with pytest.raises(Damaged):
        b"".join(archive_of(made, kind=kind))
    path.unlink()
    with pytest.raises(Damaged):
        b"".join(archive_of(made, kind=kind))


def test_there_is_no_other_kind():
    with pytest.raises(ValueError, match="rar"):
        archive_of([], kind="rar")


def test_times_that_a_zip_cannot_name_are_moved_to_its_ends():
    for year, named in ((1970, 1980), (2500, 2107)):
        data = b"".join(
            archive_of(
                [Member("a", stored("a", b"").sha256, 0, datetime(year, 1, 1, tzinfo=UTC))], kind="zip"
            )
        )
        with zipfile.ZipFile(io.BytesIO(data)) as made:
            assert made.infolist()[0].date_time[0] == named
