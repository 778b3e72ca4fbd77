"""What a move is made with: its options, its report, and the transfer of files, several at a time."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.db import DataError, IntegrityError

from models_app.models import Team
from models_app.registry.access import Actor
from models_app.registry.artifacts import storage, trees
from models_app.registry.artifacts.blobs import StoredFile
from models_app.registry.errors import Invalid, RegistryError

from .errors import WireError
from .importer_source import Remote, Source, SourceError, SourceGone

# Files that are named in the database together: what a killed move has to fetch again.
BATCH = 32


@dataclass(frozen=True, slots=True)
class Options:
    """What to move, and where plain names go."""

    team: Team | None = None
    prefix: Team | None = None
    with_deleted: bool = False
    verify: bool = False
    dry_run: bool = False
    only_models: Sequence[str] = ()
    jobs: int = 4


@dataclass
class Report:
    """What was moved, what was left out on purpose, and what could not be moved."""

    origin: str
    counts: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    problems: list[dict[str, str]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    files: int = 0
    bytes: int = 0
    verified: int = 0
    interrupted: str = ""

    def count(self, kind: str, outcome: str) -> None:
        self.counts[kind][outcome] += 1

    def problem(self, kind: str, subject: str, why: str) -> None:
        self.problems.append({"kind": kind, "subject": subject, "why": why})

    def leave_out(self, kind: str, subject: str, why: str) -> None:
        self.left_out.append({"kind": kind, "subject": subject, "why": why})

    @contextmanager
    def guard(self, kind: str, subject: str) -> Iterator[None]:
        """What goes wrong with one thing is noted, and the next one goes on; unless the source is gone."""
        try:
            yield
        except SourceGone:
            raise
        except (RegistryError, SourceError, WireError) as error:
            self.problem(kind, subject, getattr(error, "why", "") or str(error))
        except (DataError, IntegrityError, KeyError, TypeError, ValueError) as error:
            self.problem(kind, subject, f"{type(error).__name__}: {error}")

    @property
    def ok(self) -> bool:
        return not self.problems and not self.interrupted

    def as_dict(self) -> dict[str, Any]:
        return {
            "source": self.origin,
            "ok": self.ok,
            "counts": {kind: dict(counter) for kind, counter in self.counts.items()},
            "files": self.files,
            "bytes": self.bytes,
            "verified": self.verified,
            "problems": self.problems,
            "left_out": self.left_out,
            "interrupted": self.interrupted,
        }


class Digest:
    """A sink that keeps nothing but the hash of what it took."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()

    def write(self, chunk: bytes) -> None:
        digest = self._hash
        digest.update(chunk)
        self.size += len(chunk)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def discard(self) -> None:
        """There is nothing to let go of."""


@dataclass(frozen=True, slots=True)
class Copied:
    """Files that are in storage now; `complete` when none is missing."""

    files: list[StoredFile]
    complete: bool


@dataclass
class Job:
    """One move, as its parts share it."""

    source: Source
    by: Actor
    options: Options
    report: Report
    said: Callable[[str], None]
    pool: ThreadPoolExecutor

    @property
    def origin(self) -> str:
        return self.source.origin

    def copy(
        self,
        kind: str,
        subject: str,
        remotes: Iterable[Remote],
        *,
        have: Mapping[str, StoredFile],
        keep: Callable[[list[StoredFile]], None] = lambda files: None,
    ) -> Copied:
        """Fetch the files that are not in `have` with the same size, and hand them to `keep`, some at a time."""
        found: list[StoredFile] = []
        pairs: list[tuple[Remote, StoredFile]] = []
        missing: list[Remote] = []
        complete = True
        for remote in remotes:
            there = have.get(unicodedata.normalize("NFC", remote.path))
            if there is not None and remote.size in (None, there.size):
                pairs.append((remote, there))
            else:
                missing.append(remote)
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            fetched: list[StoredFile] = []
            for remote, got in zip(batch, self.pool.map(self._fetch, batch), strict=True):
                if isinstance(got, StoredFile):
                    fetched.append(got)
                    pairs.append((remote, got))
                    self.report.files += 1
                    self.report.bytes += got.size
                else:
                    complete = False
                    self.report.problem("file", f"{kind} {subject}: {remote.path}", got)
            complete = self._keep(kind, subject, fetched, keep) and complete
            self.said("")
        if self.options.verify:
            complete = self._verify(kind, subject, pairs) and complete
        found = [stored for _, stored in pairs]
        return Copied(found, complete)

    def _fetch(self, remote: Remote) -> StoredFile | str:
        """The file in storage, or why not. Runs beside others, and asks no database."""
        try:
            path = trees.clean_path(remote.path)
            writer = self.source.fetch(remote, storage.BlobWriter)
            with writer:
                stored = writer.finish(size=remote.size)
            return StoredFile(path, stored.sha256, stored.size)
        except SourceGone:
            raise
        except (RegistryError, SourceError) as error:
            return str(error)

    def _keep(
        self, kind: str, subject: str, files: list[StoredFile], keep: Callable[[list[StoredFile]], None]
    ) -> bool:
        try:
            if files:
                keep(files)
            return True
        except Invalid:
            if len(files) == 1:
                with self.report.guard("file", f"{kind} {subject}: {files[0].path}"):
                    keep(files)
                return False
        # One of them collides with another: the rest can come.
        return [file for file in files if not self._keep(kind, subject, [file], keep)] == []

    def _verify(self, kind: str, subject: str, pairs: Sequence[tuple[Remote, StoredFile]]) -> bool:
        """Fetch all of it once more, read what is stored, and compare."""
        good = True
        for (_, stored), why in zip(pairs, self.pool.map(self._compare, pairs), strict=True):
            if why:
                good = False
                self.report.problem("file", f"{kind} {subject}: {stored.path}", why)
            else:
                self.report.verified += 1
        return good

    def _compare(self, pair: tuple[Remote, StoredFile]) -> str:
        remote, stored = pair
        try:
            there = self.source.fetch(remote, Digest).hexdigest()
            here = Digest()
            with storage.BlobStream(stored.sha256, start=0, length=stored.size) as pieces:
                for piece in pieces:
                    here.write(piece)
        except SourceGone:
            raise
        except (RegistryError, SourceError) as error:
            return f"cannot be verified: {error}"
        if here.hexdigest() != stored.sha256:
            return "is damaged in storage here"
        return "" if there == stored.sha256 else "is another file at the source now"

    def plan(self, remotes: Iterable[Remote], have: Mapping[str, StoredFile]) -> None:
        """Count what copying would fetch."""
        for remote in remotes:
            there = have.get(unicodedata.normalize("NFC", remote.path))
            if there is None or remote.size not in (None, there.size):
                self.report.files += 1
                self.report.bytes += remote.size or 0


def by_path(files: Iterable[StoredFile]) -> dict[str, StoredFile]:
    return {file.path: file for file in files}
