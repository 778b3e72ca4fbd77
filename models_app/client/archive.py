"""Take files out of a tar archive while it arrives, without copying what is in them."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO

from .transfer import PIECE


class Forward:
    """A stream that tarfile can go through, forward only; `readinto` is for the bytes of the member it stands at."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._at = stream, 0

    def tell(self) -> int:
        return self._at

    def read(self, count: int) -> bytes:
        data = self._stream.read(count)
        self._at += len(data)
        return data

    def seek(self, at: int) -> None:
        while self._at < at and self.read(min(at - self._at, PIECE)):
            pass

    def readinto(self, view: memoryview) -> None:
        """Fill it. Raises OSError when the archive ends before."""
        while view:
            count = self._stream.readinto(view)  # type: ignore[attr-defined]
            if not count:
                raise OSError("the archive broke off")
            self._at += count
            view = view[count:]


def members(stream: IO[bytes]) -> Iterator[tuple[str, int, Forward]]:
    """Path and size of each plain file of an archive, and where to read it before the next comes. Raises OSError when
    the archive breaks off.
    """
    forward = Forward(stream)
    try:
        with tarfile.open(fileobj=forward, mode="r:") as archive:  # type: ignore[call-overload]
            for member in archive:
                if member.isreg():
                    yield member.name, member.size, forward
    except tarfile.TarError as error:
        raise OSError(f"the archive broke off: {error}") from error
