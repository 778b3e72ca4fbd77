"""Many files as one zip or tar, written while it is read: no temporary file, flat memory, exact length known before.

Members are stored uncompressed (weights do not shrink), and the same members give the same bytes every time: what names
the content also names the archive. The zip layout is written by hand, as libraries put the current time into it.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, ClassVar, Protocol

from models_app.models import ModelVersion
from models_app.registry.errors import Damaged, NotFound

from . import integrity, storage
from .storage import BlobStream

PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file of an archive: its path in there, the stored bytes (or `content`, for what is not stored), and when it was
    last changed.
    """

    path: str
    sha256: str
    size: int
    mtime: datetime
    content: bytes | None = None


class Archive(Protocol):
    """Bytes to send, their exact `size` known before. Reading raises Damaged when a blob is missing or short."""

    media_type: ClassVar[str]
    suffix: ClassVar[str]

    @property
    def size(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...


def archive_of(members: Iterable[Member], *, kind: str) -> Archive:
    """The archive of these members in their order; `kind` is "zip" or "tar", else ValueError."""
    kinds: dict[str, type[_Zip] | type[_Tar]] = {"zip": _Zip, "tar": _Tar}
    if kind not in kinds:
        raise ValueError(f"There are zip and tar archives, no “{kind[:20]}”.")
    return kinds[kind](list(members))


def archive_of_version(version: ModelVersion, *, kind: str) -> Archive:
    """All files of a version. Raises NotFound when it has none, Damaged when some are known to be, ValueError."""
    if version.manifest is None:
        raise NotFound(f"{version} has no files.")
    if damaged := integrity.damaged_files(version):
        raise Damaged(f"Bytes of {version} are damaged: {', '.join(damaged[:3])}.", next_step=storage.HEAL)
    entries = version.manifest.entries.values_list("path", "blob_id", "size")
    members = [Member(path, sha256, size, version.created_at) for path, sha256, size in entries]
    return archive_of(members, kind=kind)


class _Tar:
    media_type: ClassVar[str] = "application/x-tar"
    suffix: ClassVar[str] = ".tar"

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members

    @property
    def size(self) -> int:
        blocks = sum(len(self._head(member)) + member.size + self._gap(member) for member in self._members)
        return blocks + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        for member in self._members:
            yield self._head(member)
            yield from _bytes_of(member)
            if gap := self._gap(member):
                yield bytes(gap)
        yield self._end

    _end = bytes(2 * tarfile.BLOCKSIZE)

    @staticmethod
    def _gap(member: Member) -> int:
        return -member.size % tarfile.BLOCKSIZE

    @staticmethod
    def _head(member: Member) -> bytes:
        info = tarfile.TarInfo(member.path)
        info.size = member.size
        info.mtime = int(member.mtime.timestamp())
        return info.tobuf(tarfile.PAX_FORMAT)


# Past these numbers a zip needs its 64-bit fields.
_BIG = 0xFFFFFFFF
_MANY = 0xFFFF
_VERSION, _VERSION_64 = 20, 45
_MADE_BY_UNIX = 3 << 8 | _VERSION_64
# The checksum follows the bytes, names are UTF-8.
_FLAGS = 0x0808
_PLAIN_FILE = 0o100644 << 16


class _Zip:
    media_type: ClassVar[str] = "application/zip"
    suffix: ClassVar[str] = ".zip"

    def __init__(self, members: Sequence[Member]) -> None:
        self._members = members

    @property
    def size(self) -> int:
        offset = directory = 0
        for member in self._members:
            directory += len(_central(member, crc=0, offset=offset))
            offset += len(_local(member)) + member.size + len(_descriptor(member, crc=0))
        return offset + directory + len(_closing(len(self._members), size=directory, offset=offset))

    def __iter__(self) -> Iterator[bytes]:
        offset = 0
        directory = io.BytesIO()
        for member in self._members:
            head = _local(member)
            yield head
            crc = 0
            for piece in _bytes_of(member):
                crc = zlib.crc32(piece, crc)
                yield piece
            foot = _descriptor(member, crc=crc)
            yield foot
            directory.write(_central(member, crc=crc, offset=offset))
            offset += len(head) + member.size + len(foot)
        listing = directory.getvalue()
        yield listing
        yield _closing(len(self._members), size=len(listing), offset=offset)


def _local(member: Member) -> bytes:
    name = member.path.encode()
    big = member.size >= _BIG
    # Sizes and checksum are zero here, as they follow the bytes; the extra field says that they follow with 64 bits.
    extra = struct.pack("<HHQQ", 1, 16, 0, 0) if big else b""
    size = _BIG if big else 0
    version = _VERSION_64 if big else _VERSION
    head = struct.pack(
        "<4s5H3L2H", b"PK\3\4", version, _FLAGS, 0, *_dos_time(member), 0, size, size, len(name), len(extra)
    )
    return head + name + extra


def _descriptor(member: Member, *, crc: int) -> bytes:
    layout = "<4sLQQ" if member.size >= _BIG else "<4sLLL"
    return struct.pack(layout, b"PK\7\x08", crc, member.size, member.size)


def _central(member: Member, *, crc: int, offset: int) -> bytes:
    name = member.path.encode()
    big = [member.size, member.size] if member.size >= _BIG else []
    big += [offset] if offset >= _BIG else []
    extra = struct.pack(f"<HH{len(big)}Q", 1, 8 * len(big), *big) if big else b""
    head = struct.pack(
        "<4s6H3L5H2L",
        b"PK\1\2",
        _MADE_BY_UNIX,
        _VERSION_64 if big else _VERSION,
        _FLAGS,
        0,
        *_dos_time(member),
        crc,
        min(member.size, _BIG),
        min(member.size, _BIG),
        len(name),
        len(extra),
        0,
        0,
        0,
        _PLAIN_FILE,
        min(offset, _BIG),
    )
    return head + name + extra


def _closing(count: int, *, size: int, offset: int) -> bytes:
    end = struct.pack(
        "<4s4H2LH",
        b"PK\5\6",
        0,
        0,
        min(count, _MANY),
        min(count, _MANY),
        min(size, _BIG),
        min(offset, _BIG),
        0,
    )
    if count < _MANY and size < _BIG and offset < _BIG:
        return end
    end_64 = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", 44, _MADE_BY_UNIX, _VERSION_64, 0, 0, count, count, size, offset
    )
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, offset + size, 1)
    return end_64 + locator + end


def _dos_time(member: Member) -> tuple[int, int]:
    """Time and date in steps of two seconds, within the years that a zip can name."""
    at = member.mtime.astimezone(UTC)
    at = min(max(at, datetime(1980, 1, 1, tzinfo=UTC)), datetime(2107, 12, 31, tzinfo=UTC))
    return at.hour << 11 | at.minute << 5 | at.second // 2, (at.year - 1980) << 9 | at.month << 5 | at.day


def look_at(file: BinaryIO, members: Sequence[Member]) -> Iterator[tuple[Member, str, bool]]:
    """Each member of a zip that was made here, with the SHA-256 of its bytes as they are, and whether everything around
    them is as it would be written; `members` is what its directory says. The directory itself comes last, unnamed.
    """
    offset = 0
    directory: list[bytes] = []
    for member in members:
        head = _local(member)
        whole = file.read(len(head)) == head
        digest, crc, left = hashlib.sha256(), 0, member.size
        while left and (piece := file.read(min(left, PIECE))):
            digest.update(piece)
            crc = zlib.crc32(piece, crc)
            left -= len(piece)
        foot = _descriptor(member, crc=crc)
        whole = file.read(len(foot)) == foot and whole and not left
        directory.append(_central(member, crc=crc, offset=offset))
        offset += len(head) + member.size + len(foot)
        yield member, digest.hexdigest(), whole
    listing = b"".join(directory)
    end = listing + _closing(len(members), size=len(listing), offset=offset)
    yield Member("", "", 0, datetime.min.replace(tzinfo=UTC)), "", file.read(len(end) + 1) == end


def _bytes_of(member: Member) -> Iterator[bytes]:
    if member.content is not None:
        yield member.content
        return
    with (
        integrity.noticing(member.sha256, member.size),
        BlobStream(member.sha256, start=0, length=member.size) as stream,
    ):
        yield from stream
