"""Pull a version: fetch what the cache has not, verify every digest, put the folder in place at once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import uuid
from collections import deque
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from .archive import members
from .cache import Cache, hash_file
from .fetching import SEGMENT, Fetching, Following
from .push import in_parallel, side_by_side
from .transfer import DAMAGED, LOCAL, REFUSED, USAGE, Failure, Progress, Server, write_all

# So many small files come as one archive, if it holds little else.
SMALL, MANY = 4 << 20, 20
# Files of an archive are verified and written by so many threads, while so many more may wait for them.
KEEPERS, WAITING = 2, 4
NOTHING = hashlib.sha256().hexdigest()
File = tuple[str, str, int]


def split_name(text: str) -> tuple[str, str]:
    """`team/name@production` → name and revision; the newest version without one."""
    name, _, revision = text.partition("@")
    if not name:
        raise Failure("Name a model: team/name@production, team/name@3.", USAGE)
    return name, revision or "latest"


def safe_path(path: str) -> str:
    """A path that stays in its folder on any system. Raises Failure, whatever the server says."""
    parts = path.split("/")
    hidden = any(ord(char) < 32 for char in path) or "\\" in path or ":" in path
    if hidden or not path or any(part in ("", ".", "..") for part in parts):
        raise Failure(f"The registry names a file {ascii(path)[:100]}: refused.", DAMAGED)
    return path


def is_digest(text: object) -> bool:
    """A SHA-256 in hexadecimal."""
    return isinstance(text, str) and len(text) == 64 and set(text) <= set("0123456789abcdef")


def check_listing(files: list[File], digest: str) -> None:
    """Raises Failure unless the listing is the one that the digest of a version is of: then its files are, too."""
    listing = hashlib.sha256()
    for path, sha256, size in sorted(files, key=lambda file: file[0].encode()):
        listing.update(f"{sha256} {size} {path}\n".encode())
    if listing.hexdigest() != digest:
        raise Failure(f"The files listed are not those of the digest {digest}.", DAMAGED)


def _holds(folder: Path, files: list[File]) -> bool:
    """Whether the folder holds these files, byte for byte, and no others."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    if there != {path for path, _, _ in files}:
        return False
    return all(
        (folder / path).stat().st_size == size and hash_file(folder / path) == sha256
        for path, sha256, size in files
    )


class Pull:
    """One pull: `run` puts the folder in place and tells what is in it."""

    def __init__(self, server: Server, cache: Cache, progress: Progress, *, parallel: int) -> None:
        self.server, self.cache, self.progress, self.parallel = server, cache, progress, parallel
        self.fetched = 0
        self._lock = threading.Lock()

    def run(self, name: str, revision: str, target: Path, *, force: bool, copy: bool) -> dict[str, Any]:
        self._check_target(target, force=force)
        version: dict[str, Any] = self.server.ask("GET", f"models/{quote(name)}/versions/{quote(revision)}")
        if not version["digest"]:
            raise Failure(
                f"{version['model']}@{version['version']} has no files here; it names only its source: "
                f"{version['source'] or 'none'}.",
                REFUSED,
            )
        base = f"models/{quote(version['model'])}/versions/{version['version']}/files"
        files = self.files(base)
        check_listing(files, version["digest"])
        self._fetch(base, {sha256: (path, size) for path, sha256, size in files})
        self._place(files, target, force=force, copy=copy)
        return version

    def run_exactly(self, name: str, number: int, digest: str, target: Path) -> None:
        """Put exactly this version in place. A folder that holds it already is left as it is, for somebody may serve
        from there; another is replaced.
        """
        base = f"models/{quote(name)}/versions/{number}/files"
        files = self.files(base)
        check_listing(files, digest)
        if _holds(target, files):
            return
        self._fetch(base, {sha256: (path, size) for path, sha256, size in files})
        self._place(files, target, force=True, copy=False)

    def files(self, base: str) -> list[File]:
        """Path, digest and size of each file that the registry lists."""
        files = [(safe_path(row["path"]), row["sha256"], row["size"]) for row in self.server.pages(base)]
        for _, sha256, _ in files:
            if not is_digest(sha256):
                raise Failure("The registry names a digest that is none.", DAMAGED)
        return files

    def _check_target(self, target: Path, *, force: bool) -> None:
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise Failure(f"{target} is there and no folder.", LOCAL)
        if target.is_dir() and any(target.iterdir()) and not force:
            raise Failure(f"{target} is not empty. --force replaces it.", LOCAL)

    # --- Fetching ---------------------------------------------------------------------------------------------

    def _fetch(self, base: str, wanted: dict[str, tuple[str, int]]) -> None:
        missing: list[Fetching] = []
        lock = threading.Lock()

        def look(one: tuple[str, tuple[str, int]]) -> None:
            sha256, (path, size) = one
            if not self.cache.whole(sha256, size):
                with lock:
                    missing.append(Fetching(sha256, size, path, self.cache.blob(sha256)))

        in_parallel(self.parallel, look, wanted.items())
        if not missing:
            return
        small = [one for one in missing if one.size <= SMALL]
        total = sum(size for _, size in wanted.values())
        if len(small) >= MANY and sum(one.size for one in small) * 2 >= total:
            self._fetch_archive(base, small)
            missing = [one for one in missing if not self.cache.blob(one.sha256).exists()]
        for one in missing:
            one.open()
        try:
            self._fetch_files(base, missing)
        finally:
            for one in missing:
                one.close()

    def _fetch_files(self, base: str, missing: list[Fetching]) -> None:
        jobs = [(one, number) for one in missing for number in sorted(one.left)]
        self.progress.begin("fetching", sum(one.length(number) for one, number in jobs))
        large = [one for one in missing if one.size > SEGMENT]
        with Following(large) as following:
            segments = iter(jobs)

            def fetch(_: object) -> None:
                with following.next(segments) as (one, number):
                    self._segment(base, one, number)

            in_parallel(self.parallel, fetch, jobs)
        for one in large:
            self._verify(one, following.digests[one.sha256])

    def _fetch_archive(self, base: str, small: list[Fetching]) -> None:
        """Take small files out of the archive of all; what it lacks is fetched file by file."""
        self.progress.begin("fetching", sum(one.size for one in small))
        by_path = {one.path: one for one in small}

        def take(stream: IO[bytes]) -> None:
            free = [memoryview(bytearray(SMALL)) for _ in range(KEEPERS + WAITING)]
            keeping: deque[Future[memoryview]] = deque()
            with side_by_side(KEEPERS) as pool:
                for path, size, forward in members(stream):
                    one = by_path.get(path)
                    if one is None or size != one.size:
                        continue
                    buffer = free.pop() if free else keeping.popleft().result()
                    forward.readinto(buffer[:size])
                    keeping.append(pool.submit(self._keep, one, buffer))
                    del by_path[path]
                for kept in keeping:
                    kept.result()

        self.server.stream(f"{base.removesuffix('/files')}/archive.tar", take)

    def _keep(self, one: Fetching, buffer: memoryview) -> memoryview:
        """Verify and write what is in the buffer, and give it back."""
        data = buffer[: one.size]
        one.part.parent.mkdir(parents=True, exist_ok=True)
        with one.part.open("wb", buffering=0) as file:
            write_all(file, data)
        self._verify(one, hashlib.sha256(data).hexdigest())
        self._arrived(one.size)
        return buffer

    def _arrived(self, count: int) -> None:
        with self._lock:
            self.fetched += count
        self.progress.add(count)

    def _segment(self, base: str, one: Fetching, number: int) -> None:
        length, digest = one.length(number), NOTHING
        if one.size:
            with one.part.open("r+b", buffering=0) as file:
                file.seek(number * SEGMENT)
                path = f"{base}/{quote(one.path)}"
                digest = self.server.fetch(
                    path, length=length, whole=one.size <= SEGMENT, into=file, told=self._arrived
                )
        if one.size <= SEGMENT:
            self._verify(one, digest)
        else:
            one.note(number)

    def _verify(self, one: Fetching, digest: str) -> None:
        one.notes.unlink(missing_ok=True)
        if digest != one.sha256:
            one.part.unlink(missing_ok=True)
            raise Failure(f"{one.path} came with the digest {digest}, not {one.sha256}.", DAMAGED)
        one.part.chmod(0o444)
        one.part.replace(self.cache.blob(one.sha256))

    # --- In place ---------------------------------------------------------------------------------------------

    def _place(self, files: list[File], target: Path, *, force: bool, copy: bool) -> None:
        target = target.absolute()
        target.parent.mkdir(parents=True, exist_ok=True)
        made = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.pulling"
        made.mkdir()
        former = None
        try:
            for path, sha256, _ in files:
                full = made / path
                full.parent.mkdir(parents=True, exist_ok=True)
                _link(self.cache.blob(sha256), full, copy=copy)
            if target.exists():
                if any(target.iterdir()) and not force:
                    raise Failure(f"{target} is not empty. --force replaces it.", LOCAL)
                former = made.with_suffix(".former")
                target.rename(former)
            made.rename(target)
        except OSError as error:
            if former is not None and not target.exists():
                former.rename(target)
            raise Failure(f"{target} cannot be written: {error.strerror}.", LOCAL) from error
        finally:
            shutil.rmtree(made, ignore_errors=True)
            if former is not None and target.exists():
                shutil.rmtree(former, ignore_errors=True)


def _link(source: Path, target: Path, *, copy: bool) -> None:
    if not copy:
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # Another file system, or one without links.
    shutil.copyfile(source, target)


def explain(server: Server, name: str, revision: str, stage: str) -> list[dict[str, Any]]:
    """What keeps a version out of a stage."""
    path = f"models/{quote(name)}/versions/{quote(revision)}/explain?to={quote(stage)}"
    found: list[dict[str, Any]] = server.ask("GET", path)
    return found


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
