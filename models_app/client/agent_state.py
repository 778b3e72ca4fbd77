"""What an agent knows after it was killed: its name, what it had in hand, what it put in place. A folder of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from .cache import Cache
from .transfer import LOCAL, USAGE, Failure


def state_folder(environment: Mapping[str, str], name: str) -> Path:
    """Where it is kept unless told otherwise."""
    base = environment.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(base) / "modelry" / f"agent-{name}"


def boot_of_this_machine() -> str:
    """What differs after every reboot; empty where nobody knows."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError, subprocess.SubprocessError):
        asked = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        return subprocess.run(asked, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    return ""


class AgentState:
    """One agent's folder, locked as long as the agent lives. Every change is on the disk when the call returns.

    `work` is the deployment in hand; `running` tells of each model what was put in place last.
    """

    def __init__(self, folder: Path, *, name: str = "") -> None:
        self.folder = folder.absolute()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = self._only_one()
        self._file = self.folder / "state.json"
        known: dict[str, Any] = {}
        with suppress(FileNotFoundError):
            try:
                known = json.loads(self._file.read_text())
            except ValueError as error:
                raise Failure(
                    f"{self._file} is no JSON. Delete it, and the agent begins anew.", LOCAL
                ) from error
        self.name: str = name or known.get("name") or f"{socket.gethostname()[:60]}-{os.urandom(4).hex()}"
        self.work: dict[str, Any] | None = known.get("work")
        self.running: dict[str, dict[str, Any]] = known.get("running", {})
        self._boot: str = known.get("boot", "")
        self.save()

    def _only_one(self) -> int:
        try:
            import fcntl
        except ImportError as error:
            raise Failure("deploy-agent needs Linux, macOS or another Unix.", USAGE) from error
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise Failure(
                f"Another agent works in {self.folder}. Give each its own --state-dir.", LOCAL
            ) from error
        return lock

    def close(self) -> None:
        os.close(self._lock)

    def save(self) -> None:
        part = self._file.with_suffix(".part")
        with part.open("w") as file:
            known = {"name": self.name, "work": self.work, "running": self.running, "boot": self._boot}
            json.dump(known, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._file)

    # --- the deployment in hand -------------------------------------------------------------------------------

    def begin(self, handout: Mapping[str, Any]) -> dict[str, Any]:
        """Notes on a deployment: those of before, where this is the one that was in hand."""
        same = self.work is not None and all(
            self.work.get(name) == handout[name] for name in ("deployment", "digest")
        )
        if not same:
            self.work = {
                "deployment": handout["deployment"],
                "digest": handout["digest"],
                "began": time.time(),
                "attempt": 0,
                "ran": False,
            }
            self.save()
        assert self.work is not None
        return self.work

    def note(self, **facts: Any) -> None:
        assert self.work is not None
        self.work.update(facts)
        self.save()

    def ran(self, handout: Mapping[str, Any], path: Path, endpoint: str) -> None:
        """The command is done: from here on this version is what runs."""
        assert self.work is not None
        self.work.update(ran=True, endpoint=endpoint, pid=None)
        self.running[handout["model"]] = {
            "version": handout["version"],
            "digest": handout["digest"],
            "path": str(path),
            "deployment": handout["deployment"],
        }
        self.save()

    def end(self) -> None:
        self.work = None
        self.save()

    # --- what is in place -------------------------------------------------------------------------------------

    def is_in_place(self, handout: Mapping[str, Any]) -> bool:
        """Whether this very version is what was put in place here last, and still runs as far as known."""
        here = self.running.get(handout["model"])
        same = here is not None and all(here[name] == handout[name] for name in ("version", "digest"))
        return same and not (here or {}).get("ended")

    def forget(self, model: str, version: int) -> None:
        """It does not run, although its command was run."""
        if self.running.get(model, {}).get("version") == version:
            self.running[model]["ended"] = True
            self.save()

    def forget_what_ended(self, when: str) -> None:
        """`start`: all that ran here ended with the former agent; `boot`: if the machine was restarted, with it."""
        boot = boot_of_this_machine()
        is_over = when == "start" or (when == "boot" and boot != self._boot)
        self._boot = boot
        if is_over:
            for here in self.running.values():
                here["ended"] = True
            if self.work is not None:
                self.work["ran"] = False
        self.save()

    # --- folders of versions ----------------------------------------------------------------------------------

    def path_of(self, model: str, version: int, digest: str) -> Path:
        """Where a version is put. Names are told apart whatever stands in them."""
        plain_name = re.sub(r"[^A-Za-z0-9_-]+", "-", model).strip("-")[:60]
        folder = f"{plain_name}-{hashlib.sha256(model.encode()).hexdigest()[:8]}"
        return self.folder / "versions" / folder / f"{version}-{digest[:16]}"

    def tidy(self, model: str, *, keep: int, cache: Cache) -> None:
        """Keep that many folders of a model, and what runs; of the cache what these folders share with it."""
        runs = self.running.get(model, {}).get("path")
        folder = self.path_of(model, 1, "").parent
        found = (
            [path for path in folder.iterdir() if not path.name.startswith(".")] if folder.is_dir() else []
        )
        found.sort(key=lambda path: (str(path) == runs, path.stat().st_mtime), reverse=True)
        for path in found[keep:]:
            if str(path) != runs:
                shutil.rmtree(path, ignore_errors=True)
        for blob in (cache.folder / "blobs").glob("*/*"):
            with suppress(OSError):
                if len(blob.name) == 64 and blob.stat().st_nlink == 1:
                    blob.unlink()
