"""Push a folder: hash what is there, send what the registry has not, seal it into a version.

Large files whose digests nobody remembers are sent while they are hashed; when that shows that the registry has one,
the rest of it stays.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import stat as kinds
import threading
import time
import unicodedata
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .cache import Cache, hash_file, state
from .transfer import DAMAGED, LOCAL, NETWORK, REFUSED, UNMET, Failure, Many, Progress, Section, Server

DECLARED_AT_ONCE = 4000
FILES_AT_ONCE = 200
BUNDLE_FILES = 200
BUNDLE_BYTES = 32 << 20
# Larger files are hashed while they are sent; so many at once.
UNSAID_FROM = 64 << 20
HASHED_AT_ONCE = 2
# Seconds between looks, at most and at least; in between a tenth of what it took so far.
LOOK_EVERY = 3.0
FIRST_LOOK = 0.2
# How long the registry may take to read a file again that went to its store: seconds, and bytes per second.
VERIFIED_WITHIN = 600.0
SLOWEST = 10 << 20


@dataclass(frozen=True)
class Local:
    """A file to push, as it was when it was found."""

    path: str
    full: Path
    stat: os.stat_result

    @property
    def size(self) -> int:
        return self.stat.st_size

    def check(self) -> None:
        """Raises Failure when it is no longer what it was."""
        try:
            now = self.full.stat(follow_symlinks=False)
        except OSError as error:
            raise Failure(f"{self.full} is gone: {error.strerror}.", LOCAL) from error
        if state(now) != state(self.stat):
            raise Failure(f"{self.full} changed while it was pushed. Push again when it rests.", LOCAL)


def find_files(folder: Path, exclude: Sequence[str] = ()) -> list[Local]:
    """All files below a folder, or the one file. Symbolic links and what is no file are refused, never followed."""
    if folder.is_file() and not folder.is_symlink():
        return [Local(_named(folder.name, folder), folder.absolute(), folder.stat())]
    if not folder.is_dir():
        raise Failure(f"{folder} is no folder.", LOCAL)
    found: list[Local] = []
    waiting = [(folder.absolute(), "")]
    while waiting:
        at, prefix = waiting.pop()
        try:
            entries = sorted(os.scandir(at), key=lambda entry: entry.name)
        except OSError as error:
            raise Failure(f"{at} cannot be read: {error.strerror}.", LOCAL) from error
        for entry in entries:
            path = _named(prefix + entry.name, Path(entry.path))
            if any(fnmatch.fnmatch(path, one) or fnmatch.fnmatch(entry.name, one) for one in exclude):
                continue
            info = entry.stat(follow_symlinks=False)
            if kinds.S_ISDIR(info.st_mode):
                waiting.append((Path(entry.path), path + "/"))
            elif kinds.S_ISREG(info.st_mode):
                found.append(Local(path, Path(entry.path), info))
            else:
                what = "a symbolic link" if kinds.S_ISLNK(info.st_mode) else "no file"
                raise Failure(f"{entry.path} is {what}. Copy what it means, or --exclude it.", LOCAL)
    if not found:
        raise Failure(f"{folder} has no files.", LOCAL)
    return sorted(found, key=lambda file: file.path)


def _named(path: str, full: Path) -> str:
    """What the registry calls it. Raises Failure for bytes that are no text."""
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise Failure(
            f"{str(full)!a} has a name that is not UTF-8. Rename it, or --exclude it.", LOCAL
        ) from error
    return unicodedata.normalize("NFC", path)


@contextmanager
def side_by_side(count: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads. After a failure none begins anything; when somebody interrupts nobody waits for them either."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    except BaseException as error:
        pool.shutdown(wait=isinstance(error, Exception), cancel_futures=True)
        raise
    pool.shutdown()


def in_parallel(count: int, work: Callable[[Any], object], jobs: Iterable[Any]) -> None:
    """Do all jobs, so many side by side; the first failure ends it."""
    with side_by_side(count) as pool:
        running: list[Future[object]] = [pool.submit(work, job) for job in jobs]
        for future in wait(running, return_when=FIRST_EXCEPTION)[0]:
            future.result()


def hashed(file: Local) -> str:
    """The digest of a file. Raises Failure when it cannot be read, or changed."""
    try:
        sha256 = hash_file(file.full)
    except OSError as error:
        raise Failure(f"{file.full} cannot be read: {error.strerror}.", LOCAL) from error
    file.check()
    return sha256


def hash_files(files: list[Local], cache: Cache, progress: Progress, count: int) -> dict[Path, str]:
    """The digest of each file that the cache knows or that is not large."""
    known = cache.digests([(file.full, file.stat) for file in files])
    todo = [file for file in files if file.full not in known and file.size <= UNSAID_FROM]
    if todo:
        progress.begin("hashing", sum(file.size for file in todo))
    fresh: list[tuple[Path, os.stat_result, str]] = []

    def work(file: Local) -> None:
        fresh.append((file.full, file.stat, hashed(file)))
        progress.add(file.size)

    try:
        in_parallel(count, work, todo)
    finally:
        cache.keep_digests(fresh)
    return known | {path: sha256 for path, _, sha256 in fresh}


@dataclass(frozen=True)
class Said:
    """A digest that the registry was told, and whether it has the bytes."""

    sha256: str
    present: bool


# An upload's id, and its files as the registry lists them.
Begun = tuple[str, list[dict[str, Any]]]


class Push:
    """One push: `run` gives the version as the registry answers it."""

    def __init__(self, server: Server, cache: Cache, progress: Progress, *, parallel: int) -> None:
        self.server, self.cache, self.progress, self.parallel = server, cache, progress, parallel
        self._sent = 0
        self._shown: dict[str, int] = {}
        self._lock = threading.Lock()

    @property
    def sent(self) -> int:
        """Bytes that were sent."""
        return self._sent

    def run(self, files: list[Local], *, model: str, metadata: dict[str, Any]) -> dict[str, Any]:
        digests = hash_files(files, self.cache, self.progress, self.parallel)
        declared = [{"path": file.path, "size": file.size} for file in files]
        for file, one in zip(files, declared, strict=True):
            if file.full in digests:
                one["sha256"] = digests[file.full]
        found = [[file.path, str(file.full), state(file.stat)] for file in files]
        key = hashlib.sha256(json.dumps([self.server.url, model, found]).encode()).hexdigest()
        # Who was interrupted after all was said gets what that came to.
        sealing = hashlib.sha256(json.dumps([key, metadata], sort_keys=True).encode()).hexdigest()
        resumed = self._resumed(key, sealing)
        if resumed is not None:
            try:
                return self._finished(key, sealing, resumed, files, metadata)
            except Failure as failure:
                if failure.code != REFUSED or not self._is_over(resumed[0]):
                    raise
                self.progress.say("that upload ended meanwhile; beginning anew")
        return self._finished(key, sealing, self._begun(key, model, metadata, declared), files, metadata)

    def _finished(
        self, key: str, sealing: str, begun: Begun, files: list[Local], metadata: dict[str, Any]
    ) -> dict[str, Any]:
        upload, rows = begun
        path = f"uploads/{upload}"
        try:
            self._send(path, {file.path: file for file in files}, rows)
        except Failure as failure:
            if failure.code == DAMAGED:
                self.cache.keep_upload(key, None)  # What was declared may be wrong.
            raise
        for file in files:
            file.check()
        self.cache.keep_upload(sealing, upload)
        version: dict[str, Any] = self.server.ask("POST", f"{path}/seal", {"metadata": metadata}, key=upload)
        self.cache.keep_upload(key, None)
        self.cache.keep_upload(sealing, None)
        return version

    def _resumed(self, key: str, sealing: str) -> Begun | None:
        """The upload of the same files that was interrupted, and what it still lacks: nothing, if it only was not
        heard that it is a version.
        """
        uid = self.cache.upload(key)
        if uid is None:
            return None
        try:
            if self.server.ask("GET", f"uploads/{uid}")["sealed"]:
                return (uid, []) if self.cache.upload(sealing) == uid else None
            rows = list(self.server.pages(f"uploads/{uid}/files"))
        except Failure as failure:
            if failure.problem.get("status") != 404:
                raise
            return None
        self.progress.say(f"going on with the interrupted upload {uid}")
        return uid, rows

    def _is_over(self, uid: str) -> bool:
        """Whether somebody else sealed the upload, or gave it up."""
        try:
            return bool(self.server.ask("GET", f"uploads/{uid}")["sealed"])
        except Failure as failure:
            return failure.problem.get("status") == 404

    def _begun(self, key: str, model: str, metadata: dict[str, Any], declared: list[dict[str, Any]]) -> Begun:
        first = {"model": model, "metadata": metadata, "files": declared[:DECLARED_AT_ONCE]}
        try:
            made = self.server.ask("POST", "uploads", first, key=uuid.uuid4().hex)
        except Failure as failure:
            if failure.problem.get("status") == 404 and not metadata.get("create_model"):
                raise Failure(
                    f"{failure} --create makes a new one.", failure.code, problem=failure.problem
                ) from None
            raise
        rows, hash_first = list(made["files"]), set(made["hash_first"])
        for start in range(DECLARED_AT_ONCE, len(declared), DECLARED_AT_ONCE):
            more = {"files": declared[start : start + DECLARED_AT_ONCE]}
            answer = self.server.ask("POST", f"uploads/{made['id']}/files", more, key=uuid.uuid4().hex)
            rows += answer["files"]
            hash_first |= set(answer["hash_first"])
        for row in rows:
            row["hash_first"] = row["path"] in hash_first
        self.cache.keep_upload(key, made["id"])
        return made["id"], rows

    # --- Sending ----------------------------------------------------------------------------------------------

    def _send(self, path: str, files: dict[str, Local], rows: list[dict[str, Any]]) -> None:
        lacking = [row for row in rows if not row["present"]]
        if lacking:
            self.progress.begin("sending", sum(row["size"] for row in lacking))
        by_digest = {row["sha256"]: files[row["path"]] for row in lacking if row["sha256"]}
        small = {row["sha256"]: row for row in lacking if row["sha256"] and row["bundle"]}
        bundles = _bundles([*small], by_digest)
        in_parallel(self.parallel, lambda some: self._bundle(path, by_digest, some), bundles)
        unsaid = [row for row in lacking if not row["sha256"]]
        by_digest |= self._say_first(path, [files[row["path"]] for row in unsaid if row.get("hash_first")])
        unsaid = [files[row["path"]] for row in unsaid if not row.get("hash_first")]
        for start in range(0, len(unsaid), FILES_AT_ONCE):
            by_digest |= self._send_unsaid(path, unsaid[start : start + FILES_AT_ONCE])
        large = [sha256 for sha256 in by_digest if sha256 not in small]
        for start in range(0, len(large), FILES_AT_ONCE):
            self._send_large(path, by_digest, large[start : start + FILES_AT_ONCE])

    def _send_unsaid(self, path: str, some: list[Local]) -> dict[str, Local]:
        """Send files while they are hashed; returns those that the registry does not have yet, by digest."""
        with side_by_side(HASHED_AT_ONCE) as pool:
            saying = {file.path: pool.submit(self._say, path, file) for file in some}
            self._send_parts(path, {"paths": [*saying]}, {file.path: file for file in some}, saying)
            said = {file.path: saying[file.path].result() for file in some}
        return self._lacking(some, said)

    def _say_first(self, path: str, some: list[Local]) -> dict[str, Local]:
        """Hash files that the registry probably has before anything of them is sent; returns as `_send_unsaid`."""
        with side_by_side(HASHED_AT_ONCE) as pool:
            said = pool.map(lambda file: self._say(path, file), some)
            return self._lacking(some, {file.path: one for file, one in zip(some, said, strict=True)})

    def _lacking(self, some: list[Local], said: dict[str, Said]) -> dict[str, Local]:
        """Those of the files that are not there, by digest."""
        for file in some:
            if said[file.path].present:
                self._show(file, file.size)
        return {said[file.path].sha256: file for file in some if not said[file.path].present}

    def _say(self, path: str, file: Local) -> Said:
        sha256 = hashed(file)
        self.cache.keep_digests([(file.full, file.stat, sha256)])
        said = {"files": [{"path": file.path, "sha256": sha256}]}
        (row,) = self.server.ask("PATCH", f"{path}/files", said)["files"]
        return Said(sha256, row["present"])

    def _bundle(self, path: str, files: dict[str, Local], some: list[str]) -> None:
        for sha256 in some:
            files[sha256].check()
        many = Many([(sha256, files[sha256].full, files[sha256].size) for sha256 in some])
        self._watched(
            [files[sha256] for sha256 in some], lambda: self.server.send_many(f"{path}/bundle", many)
        )
        for sha256 in some:
            self._count(files[sha256], files[sha256].size)

    def _send_large(self, path: str, files: dict[str, Local], some: list[str]) -> None:
        """Send what is missing, and have the parts put together; once more if other bytes arrived than were sent."""
        for turn in range(2):
            self._send_parts(path, {"sha256": some}, files, {})
            try:
                self._complete(path, some, files)
                break
            except Failure as failure:
                if failure.code != DAMAGED or turn:
                    raise
                for sha256 in some:
                    files[sha256].check()
                self.progress.say(f"{failure} Sending it once more.")
        for sha256 in some:
            self._show(files[sha256], files[sha256].size)

    def _send_parts(
        self, path: str, asked: dict[str, Any], files: dict[str, Local], saying: dict[str, Future[Said]]
    ) -> None:
        """Ask for addresses and send, till nothing is missing; no more of a file that is said to be there meanwhile."""

        def work(job: tuple[Local, dict[str, Any]]) -> None:
            file, part = job
            said = saying.get(file.path)
            if said is not None and said.done() and said.result().present:
                return
            file.check()
            section = Section(file.full, part["start"], part["size"])
            try:
                self._watched([file], lambda: self.server.send_part(part, section))
            except Failure:
                if said is None or not said.result().present:
                    raise
            self._count(file, part["size"])

        known_by = "path" if saying else "sha256"
        while wanted := self.server.ask("POST", f"{path}/targets", asked)["files"]:
            jobs = [(files[one[known_by]], part) for one in wanted for part in one["parts"]]
            if not jobs:
                break
            for one in wanted:  # What arrived before.
                here = len(one["arrived"]) * one["parts"][0]["size"] if one["parts"] else 0
                self._show(files[one[known_by]], here)
            in_parallel(self.parallel, work, jobs)

    def _complete(self, path: str, some: list[str], files: dict[str, Local]) -> None:
        """Have them put together, and wait while the registry still reads them."""
        left, last, trouble, told = len(some), 0, "", ""
        began = since = time.monotonic()

        def ask() -> None:
            nonlocal left, trouble
            answer = self.server.ask("POST", f"{path}/complete", {"sha256": some})
            left, trouble = answer.get("verifying", 0), answer.get("trouble", "")

        self._watched([files[sha256] for sha256 in some], ask)
        while left:
            if left != last:
                self.progress.say(
                    f"waiting while the registry verifies {left} {'files' if left > 1 else 'file'}"
                )
                last, since = left, time.monotonic()
            if trouble != told:
                self.progress.say(trouble or "it is read again")
                told = trouble
            largest = max(files[sha256].size for sha256 in some)
            if time.monotonic() - since > VERIFIED_WITHIN + largest / SLOWEST:
                raise Failure(
                    "The registry has not verified what was sent. "
                    f"{trouble or 'Does its worker run?'} Push again: it goes on there.",
                    NETWORK,
                )
            time.sleep(min(max(FIRST_LOOK, (time.monotonic() - began) / 10), LOOK_EVERY))
            self._watched([files[sha256] for sha256 in some], ask)

    def _watched(self, files: list[Local], work: Callable[[], object]) -> None:
        """When it fails, say first whether a file changed meanwhile."""
        try:
            work()
        except Failure as failure:
            if failure.code == DAMAGED:
                for file in files:
                    file.check()
            raise
        except OSError as error:
            raise Failure(f"{error.filename}: {error.strerror}.", LOCAL) from error

    def _count(self, file: Local, count: int) -> None:
        with self._lock:
            self._sent += count
        self._show(file, count, more=True)

    def _show(self, file: Local, count: int, *, more: bool = False) -> None:
        """So much of the file is there, or so much more: the bar never goes back, nor beyond what there is."""
        with self._lock:
            shown = self._shown.get(file.path, 0)
            self._shown[file.path] = max(shown, min(count + (shown if more else 0), file.size))
            grown = self._shown[file.path] - shown
        self.progress.add(grown)


def _bundles(small: list[str], files: dict[str, Local]) -> list[list[str]]:
    made: list[list[str]] = []
    room = 0
    for sha256 in small:
        size = files[sha256].size
        if not made or len(made[-1]) >= BUNDLE_FILES or room < size:
            made.append([])
            room = BUNDLE_BYTES
        made[-1].append(sha256)
        room -= size
    return made


# --- Promotion ------------------------------------------------------------------------------------------------


def promote(
    server: Server, version: dict[str, Any], *, stage: str, reason: str, progress: Progress, patience: float
) -> dict[str, Any]:
    """Ask for a stage. With patience (seconds) waits for the decision when it takes one. Raises Failure(UNMET)."""
    path = f"models/{quote(version['model'])}/versions/{version['version']}/stage"
    try:
        server.ask("POST", path, {"to": stage, "reason": reason}, key=uuid.uuid4().hex)
        return {"stage": stage, "state": "moved"}
    except Failure as failure:
        address = failure.problem.get("promotion_request")
        if not address or not patience:
            raise
        page = failure.problem.get("promotion_page") or address
        progress.say(f"waiting for the decision on {page}")
    number, end = str(address).rstrip("/").rpartition("/")[2], time.monotonic() + patience
    while True:
        state_now = server.ask("GET", f"requests/{number}")["state"]
        if state_now == "promoted":
            return {"stage": stage, "state": "moved", "request": address}
        if state_now not in ("open", "changes_requested"):
            raise Failure(f"The request {page} was {state_now}.", REFUSED)
        if time.monotonic() > end:
            raise Failure(f"Nobody decided on {page} in time.", UNMET)
        time.sleep(LOOK_EVERY)
