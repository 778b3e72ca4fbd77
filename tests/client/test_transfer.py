"""Writing what arrives."""

import errno
import os

import pytest

from models_app.client.transfer import LOCAL, Failure, write_all


class Disk:
    """Takes three bytes at once, and so many in all."""

    name = "model.bin"

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, b""

    def write(self, data: memoryview) -> int:
        piece = bytes(data[: min(3, self.room - len(self.taken))])
        if not piece:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.taken += piece
        return len(piece)


def test_all_is_written_also_where_a_disk_takes_a_part_at_once():
    disk = Disk(100)
    write_all(disk, memoryview(b"0123456789"))
    assert disk.taken == b"0123456789"


def test_a_full_disk_is_said_to_be_one():
    with pytest.raises(Failure, match=r"model\.bin cannot be written: No space left") as told:
        write_all(Disk(4), memoryview(b"0123456789"))
    assert told.value.code == LOCAL
