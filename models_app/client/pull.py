"""Pull a version: fetch what the cache has not, verify every digest, put the folder in place at once."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from .cache import Cache, hash_file
from .push import in_parallel
from .transfer import DAMAGED, LOCAL, PIECE, USAGE, Failure, Progress, Server

SEGMENT = 64 << 20
# So many small files come as one archive, if it holds little else.
SMALL, MANY = 4 << 20, 20
# What killed pulls left is removed after so many seconds.
LEFT_BEHIND = 86_400
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


@dataclass
class Fetching:
    """Bytes on their way into the cache, in segments."""

    sha256: str
    size: int
    path: str
    blob: Path
    part: Path = field(init=False)
    left: set[int] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)
    held: IO[bytes] | None = None

    def __post_init__(self) -> None:
        self.part = self.own_part()

    def own_part(self) -> Path:
        """A place that nobody else writes to."""
        return self.blob.with_name(f"{self.blob.name}.{uuid.uuid4().hex[:8]}.part")

    @property
    def notes(self) -> Path:
        return self.part.with_suffix(".segments")

    def close(self) -> None:
        """Let others go on with it; what is nobody's is removed."""
        if self.held is not None:
            self.held.close()
        else:
            self.part.unlink(missing_ok=True)
            self.notes.unlink(missing_ok=True)

    def open(self) -> None:
        """Go on where an earlier pull stopped, if no other pull does just now: then alone, from the beginning."""
        self.part.parent.mkdir(parents=True, exist_ok=True)
        for left in self.blob.parent.glob(f"{self.blob.name}.*.part"):
            with suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > LEFT_BEHIND:
                    left.unlink()
        # Small ones are not worth going on with, and may be more than a process can hold.
        common = self.blob.with_suffix(".part")
        self.held = alone(common) if self.size > SEGMENT else None
        if self.held is not None:
            self.part = common
        wanted = set(range(max(-(-self.size // SEGMENT), 1)))
        done: set[int] = set()
        with suppress(OSError, ValueError):
            if self.part.stat().st_size == self.size:
                done = {int(line) for line in self.notes.read_text().split()}
        if not done:
            self.notes.unlink(missing_ok=True)
            with self.part.open("wb") as file:
                file.truncate(self.size)
        self.left = wanted - done

    def length(self, number: int) -> int:
        return min(SEGMENT, self.size - number * SEGMENT)


def alone(path: Path) -> IO[bytes] | None:
    """The file, made if it is missing, held against other processes till it is closed; None when another holds it, or
    files cannot be held here.
    """
    try:
        import fcntl
    except ImportError:
        return None
    try:
        file = path.open("ab")
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Who held it before may have made it the blob meanwhile.
        if path.exists() and os.fstat(file.fileno()).st_ino == path.stat().st_ino:
            return file
    file.close()
    return None


class Following(threading.Thread):
    """Hashes what is longer than a segment while it arrives, each file from its beginning, so that at the end little is
    left to hash.
    """

    def __init__(self, files: list[Fetching]) -> None:
        super().__init__(daemon=True)
        self._files, self._news, self._over = files, threading.Condition(), False
        self.digests: dict[str, str] = {}

    def __enter__(self) -> Following:
        self.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Waits for the rest; not when something went wrong."""
        if kind is not None:
            self.tell(over=True)
        self.join()

    def tell(self, *, over: bool = False) -> None:
        """A segment more is there; or no more will come."""
        with self._news:
            self._over |= over
            self._news.notify_all()

    def run(self) -> None:
        buffer = memoryview(bytearray(PIECE))
        for one in self._files:
            digest = hashlib.sha256()
            with one.part.open("rb", buffering=0) as file:
                for number in range(-(-one.size // SEGMENT)):
                    if not self._is_there(one, number):
                        return
                    left = one.length(number)
                    while left and (count := file.readinto(buffer[: min(left, PIECE)])):
                        digest.update(buffer[:count])
                        left -= count
            self.digests[one.sha256] = digest.hexdigest()

    def _is_there(self, one: Fetching, number: int) -> bool:
        with self._news:
            self._news.wait_for(lambda: self._over or number not in one.left)
            return not self._over


class Pull:
    """One pull: `run` puts the folder in place and tells what is in it."""

    def __init__(self, server: Server, cache: Cache, progress: Progress, *, parallel: int) -> None:
        self.server, self.cache, self.progress, self.parallel = server, cache, progress, parallel
        self.fetched = 0
        self._lock = threading.Lock()

    def run(self, name: str, revision: str, target: Path, *, force: bool, copy: bool) -> dict[str, Any]:
        self._check_target(target, force=force)
        version: dict[str, Any] = self.server.ask("GET", f"models/{quote(name)}/versions/{quote(revision)}")
        base = f"models/{quote(version['model'])}/versions/{version['version']}/files"
        files = self.files(base)
        if version["digest"]:
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

            def fetch(job: tuple[Fetching, int]) -> None:
                self._segment(base, *job)
                following.tell()

            in_parallel(self.parallel, fetch, jobs)
        for one in large:
            self._verify(one, following.digests[one.sha256])

    def _fetch_archive(self, base: str, small: list[Fetching]) -> None:
        """Take small files out of the archive of all; what it lacks is fetched file by file."""
        self.progress.begin("fetching", sum(one.size for one in small))
        by_path = {one.path: one for one in small}

        def take(stream: IO[bytes]) -> None:
            try:
                with tarfile.open(fileobj=stream, mode="r|", bufsize=PIECE) as archive:
                    for member in archive:
                        one = by_path.get(member.name)
                        content = archive.extractfile(member) if one is not None and member.isfile() else None
                        if one is None or content is None or member.size != one.size:
                            continue
                        data = content.read()
                        one.part.parent.mkdir(parents=True, exist_ok=True)
                        one.part.write_bytes(data)
                        self._verify(one, hashlib.sha256(data).hexdigest())
                        del by_path[one.path]
                        self.fetched += one.size
                        self.progress.add(one.size)
            except tarfile.TarError as error:
                raise OSError(f"the archive broke off: {error}") from error

        self.server.stream(f"{base.removesuffix('/files')}/archive.tar", take)

    def _segment(self, base: str, one: Fetching, number: int) -> None:
        whole, length, digest = one.size <= SEGMENT, one.length(number), NOTHING
        if one.size:
            with one.part.open("r+b", buffering=0) as file:
                path, start = f"{base}/{quote(one.path)}", number * SEGMENT
                digest = self.server.fetch(path, start=start, length=length, whole=whole, into=file)
            with self._lock:
                self.fetched += length
            self.progress.add(length)
        if whole:
            self._verify(one, digest)
            return
        with one.lock:
            one.left.discard(number)
            with one.notes.open("a") as notes:
                notes.write(f"{number}\n")

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
