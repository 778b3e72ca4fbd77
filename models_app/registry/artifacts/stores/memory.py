"""Memory of one process: to try things out, and to test what does not ask who keeps the bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC
from pathlib import Path
from typing import BinaryIO, cast

from django.core.files.base import ContentFile
from django.core.files.storage import InMemoryStorage

from .base import Again, Kept, Readable, Store, StoredBytes, nobody_asks


class MemoryStore(InMemoryStorage, Store):
    """Gone with the process."""

    def keep(self, whole: Sequence[tuple[Path, str, StoredBytes]], *, again: Again = nobody_asks) -> None:
        for path, key, stored in whole:
            if self.measure_again(key, stored, again, there=self.measure(key)) != stored.size:
                self.delete(key)
                self.save(key, ContentFile(path.read_bytes()))
            path.unlink(missing_ok=True)

    def bring(self, source: BinaryIO, key: str, stored: StoredBytes) -> None:
        self.save(key, ContentFile(source.read()))

    def measure(self, key: str) -> int | None:
        return self.size(key) if self.exists(key) else None

    def read_from(self, key: str, *, start: int, length: int) -> Readable:
        file = self.open(key, "rb")
        file.seek(start)
        return cast(Readable, file)

    def remove(self, key: str) -> None:
        self.delete(key)

    def move(self, key: str, to: str) -> None:
        if self.exists(key):
            self.delete(to)
            self.save(to, self.open(key, "rb"))
            self.delete(key)

    def walk(self, prefix: str) -> Iterator[Kept]:
        folder = prefix.rpartition("/")[0]
        if not self.exists(folder):
            return
        below, files = self.listdir(folder)
        start = f"{folder}/" if folder else ""
        for name in sorted(files):
            if (key := start + name).startswith(prefix):
                yield Kept(key, self.size(key), self.get_modified_time(key).astimezone(UTC))
        for name in sorted(below):
            if (key := f"{start}{name}/").startswith(prefix) or prefix.startswith(key):
                yield from self.walk(key)
