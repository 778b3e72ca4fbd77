"""Files out of a tar archive that can only be read forward."""

import io
import tarfile

import pytest

from models_app.client.archive import members


class Wire(io.RawIOBase):
    """Bytes that come a few at a time and cannot be gone back to."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, view) -> int:
        data = self._data.read(min(len(view), 700))
        view[: len(data)] = data
        return len(data)


def archive(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("odd/.."))
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return made.getvalue()


FILES = {"a": b"x" * 1000, "nought": b"", "ü" * 120: b"y" * 512, "skipped": b"s" * 5000, "z": b"z" * 3}


def test_files_come_with_their_bytes_and_others_are_passed_over():
    found = {}
    for path, size, forward in members(io.BufferedReader(Wire(archive(FILES)), 64)):
        if path in FILES and path != "skipped":
            buffer = bytearray(size)
            forward.readinto(memoryview(buffer))
            found[path] = bytes(buffer)
        assert path != "link"
    assert found == {path: content for path, content in FILES.items() if path != "skipped"}


@pytest.mark.parametrize("kept", [0, 100, 1200, 2000, 4000])
def test_an_archive_that_breaks_off_says_so(kept):
    data = archive({"a": b"x" * 1000, "b": b"y" * 5000})[:kept]

    def read() -> None:
        for _, size, forward in members(io.BufferedReader(Wire(data), 64)):
            forward.readinto(memoryview(bytearray(size)))

    with pytest.raises(OSError, match="broke off"):
        read()
