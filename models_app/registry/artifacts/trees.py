"""The files that a run or a logged model has so far: read, put, removed path by path.

A tree is made by the first file. Who may log in the experiment may write; a deleted run takes nothing more, and what a
ready logged model has stays as it is. One tree fits into one folder of a file system that ignores case.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from models_app.formats.paths import check_path, shown
from models_app.models import ArtifactTree, LoggedModel, LoggedModelStatus, Run, TreeEntry
from models_app.registry import audit, holds
from models_app.registry.access import Actor, require_logging
from models_app.registry.errors import Invalid, NotFound

from . import blobs
from .blobs import StoredFile

Holder = Run | LoggedModel
# A database's index takes no longer entries.
MAX_PATH_BYTES = 2500
_DECODINGS = 8


class Listed(NamedTuple):
    """One line of a folder's listing; `size` is 0 for folders."""

    name: str
    is_dir: bool
    size: int


def clean_path(path: str) -> str:
    """The path as trees have it: relative, in normal form C. Raises Invalid("path") for one that no tree has.

    A path which leads out of its folder when it is percent-decoded once more is refused as well: somebody behind us
    might do that.
    """
    found = unicodedata.normalize("NFC", path)
    try:
        check_path(found)
        if len(_fold(found)) > MAX_PATH_BYTES:
            raise ValueError(f"The path is too long: {shown(found)}")
        if any(".." in form.replace("\\", "/").split("/") for form in decoded(found)):
            raise ValueError(f"No “..” in a path: {shown(found)}")
    except ValueError as error:
        raise Invalid("path", str(error)) from error
    return found


def decoded(path: str) -> Iterator[str]:
    """What a path becomes when somebody percent-decodes it, once or again and again."""
    for _ in range(_DECODINGS):
        path, before = unquote(path), path
        if path == before:
            return
        yield path


def _fold(path: str) -> bytes:
    return path.casefold().encode()


def _within(tree: ArtifactTree | int, folder: str) -> QuerySet[TreeEntry]:
    """Entries below a folder in any spelling; a folder is a range of folded paths."""
    entries = TreeEntry.objects.filter(tree=tree).order_by("folded")
    if not folder:
        return entries
    start = _fold(folder) + b"/"
    return entries.filter(folded__gte=start, folded__lt=start[:-1] + b"0")


def _rows(tree: ArtifactTree | int | None, folder: str) -> Iterator[StoredFile]:
    """Files below a folder, with paths relative to it, in order."""
    if tree is None:
        return
    start = f"{folder}/" if folder else ""
    rows = _within(tree, folder).values_list("path", "blob_id", "blob__size")
    for path, sha256, size in rows.iterator(chunk_size=2000):
        if path.startswith(start):
            yield StoredFile(path[len(start) :], sha256, size)


def files_in(tree: ArtifactTree | int | None, folder: str = "") -> list[StoredFile]:
    """All files below a folder, with paths relative to it. None for a tree is an empty one."""
    return list(_rows(tree, folder.strip("/")))


def listing(tree: ArtifactTree | int | None, folder: str = "") -> list[Listed]:
    """One level of a folder: files with their size, and folders. Empty for what is a file or not there."""
    return one_level(_rows(tree, folder.strip("/")))


def one_level(files: Iterable[StoredFile]) -> list[Listed]:
    """The files and folders at the top of these paths, by name."""
    found: dict[str, Listed] = {}
    for file in files:
        name, slash, _ = file.path.partition("/")
        found.setdefault(name, Listed(name, bool(slash), 0 if slash else file.size))
    return [found[name] for name in sorted(found)]


def entry(tree: ArtifactTree | int | None, path: str) -> TreeEntry | None:
    """The file at a path, with its blob."""
    if tree is None:
        return None
    row = TreeEntry.objects.select_related("blob").filter(tree=tree, folded=_fold(path)).first()
    return row if row is not None and row.path == path else None


def find(tree: ArtifactTree | int | None, path: str) -> tuple[str, int] | None:
    """Digest and size of the file at a path; None for none, and for a folder."""
    row = entry(tree, path)
    return None if row is None else (row.blob_id, row.blob.size)


def require_writing(holder: Holder, *, by: Actor) -> None:
    """Raises Forbidden, or Invalid for one that takes nothing more: before bytes are received, and again with them."""
    require_logging(by, holder.experiment.team)
    if holder.deleted_at is not None or holder.experiment.deleted_at is not None:
        raise _inactive(holder)


def _inactive(holder: Holder) -> Invalid:
    return Invalid("", f"{_called(holder)} must be in the 'active' state: it is deleted.")


@transaction.atomic
def open_tree(holder: Holder, path: str, *, by: Actor) -> tuple[int, str]:
    """The tree (made if need be) and the clean path under which a file may come later. Raises as `put` does."""
    path = clean_path(path)
    held = _lock(holder, by=by)
    tree = held.tree_id or _plant(held, by=by)
    if _neighbour(tree, path) is not None:
        _require_changeable(held, path)
    return tree, path


@transaction.atomic
def put(holder: Holder, files: Sequence[StoredFile], *, by: Actor) -> None:
    """Name stored bytes in the tree of a run or logged model; a path that is there is replaced.

    Raises Invalid("path") for a bad path or one that collides with another, Invalid for a holder that takes nothing
    more or whose file would change although it is ready, Forbidden.
    """
    paths = [clean_path(file.path) for file in files]
    held = _lock(holder, by=by)
    tree = held.tree_id or _plant(held, by=by)
    blobs.keep(files)
    for path, file in zip(paths, files, strict=True):
        _write(held, tree, path, file, by=by)


def _lock(holder: Holder, *, by: Actor) -> Holder:
    """The holder as it is now, locked: its own columns, as its team was read with `holder`."""
    require_writing(holder, by=by)
    rows: QuerySet[Run] | QuerySet[LoggedModel] = (
        Run.objects.only("uid", "deleted_at", "tree")
        if isinstance(holder, Run)
        else LoggedModel.objects.only("uid", "deleted_at", "tree", "status")
    )
    held: Holder | None = rows.order_by().select_for_update(no_key=True).filter(pk=holder.pk).first()
    if held is None:
        raise NotFound(f"{_called(holder)} is gone.")
    if held.deleted_at is not None:
        raise _inactive(holder)
    return held


def _plant(holder: Holder, *, by: Actor) -> int:
    holder.tree = ArtifactTree.objects.create(created_by=by.user)
    holder.save(update_fields=["tree"])
    return holder.tree.pk


def _write(holder: Holder, tree: int, path: str, file: StoredFile, *, by: Actor) -> None:
    there = _neighbour(tree, path)
    if there is None:
        TreeEntry.objects.create(tree_id=tree, path=path, folded=_fold(path), blob_id=file.sha256)
        return
    entry, sha256 = there
    if sha256 != file.sha256:
        _require_changeable(holder, path)
        holds.refuse_if_held(holder, by=by)
        TreeEntry.objects.filter(pk=entry).update(blob=file.sha256, changed_at=timezone.now())


def _neighbour(tree: int, path: str) -> tuple[int, str] | None:
    """Id and digest of the entry at this very path, or None if there may be one. Raises Invalid("path") if it collides.

    Entries below a folder are one range of the folded paths, and so is every folder above it. So whatever shares a
    folder with the path in whatever spelling, one of the two entries next to it does as well.
    """
    folders = [path[:at] for at, char in enumerate(path) if char == "/"]
    entries = TreeEntry.objects.filter(tree=tree)
    folded, inside = _fold(path), _fold(path) + b"/"
    before = entries.filter(folded__lt=inside).order_by("-folded").values("pk")[:1]
    after = entries.filter(folded__gte=inside).order_by("folded").values("pk")[:1]
    near = entries.filter(Q(folded__in=[folded, *map(_fold, folders)]) | Q(pk__in=before) | Q(pk__in=after))
    same = None
    for pk, found, sha256 in near.order_by().values_list("pk", "path", "blob_id"):
        key = _fold(found)
        if found == path:
            same = (pk, sha256)
        elif key == folded:
            raise Invalid("path", f"Two paths differ in case only: {shown(found)} and {shown(path)}")
        elif key.startswith(inside):
            raise Invalid("path", f"{shown(path)} is a folder.")
        for folder in folders:
            if key == _fold(folder):
                raise Invalid("path", f"{shown(folder)} is a file, and can hold none.")
            if key.startswith(_fold(folder) + b"/") and not found.startswith(f"{folder}/"):
                raise Invalid("path", f"Two folders differ in case only: {shown(found)} and {shown(path)}")
    return same


def _require_changeable(holder: Holder, path: str) -> None:
    if isinstance(holder, LoggedModel) and holder.status == LoggedModelStatus.READY:
        raise Invalid(
            "", f"{holder.uid} is ready and its files stay as they are: {shown(path)}. Log another model."
        )


@transaction.atomic
def remove(holder: Holder, path: str, *, by: Actor) -> int:
    """Take a file, or a folder with all below it, out of the tree; "" is everything. Returns how many files.

    Raises NotFound for a path that is not there, Invalid for a holder that takes nothing more or is ready, Forbidden.
    """
    path = clean_path(path) if path else ""
    held = _lock(holder, by=by)
    if held.tree_id is None:
        raise NotFound(f"There is no file {shown(path)}.")
    start = f"{path}/" if path else ""
    doomed = [
        pk for pk, found in _within(held.tree_id, path).values_list("pk", "path") if found.startswith(start)
    ]
    alone = entry(held.tree_id, path) if path else None
    if alone is not None:
        doomed.append(alone.pk)
    if not doomed:
        raise NotFound(f"There is no file or folder {shown(path)}.")
    _require_changeable(held, path or "/")
    holds.refuse_if_held(held, by=by)
    for at in range(0, len(doomed), 500):
        TreeEntry.objects.filter(pk__in=doomed[at : at + 500]).delete()
    audit.record("artifacts.removed", by=by, subject=held.uid, after={"path": path, "files": len(doomed)})
    return len(doomed)


def _called(holder: Holder) -> str:
    return f"The {'run' if isinstance(holder, Run) else 'logged model'} {holder.uid}"
