"""A command of the agent: in a process group of its own, its output handed on line by line, ended when time is over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

LONGEST_LINE = 2_000
# No command gets the agent's token.
WITHHELD = ("MODELRY_TOKEN", "MODELRY_TOKEN_FILE")
# What a command has to tidy up in, once it is told to end.
GRACE = 10.0
# The shell waits for a word before it becomes the command: only once its process is on record may it do anything.
GATE = 'read -r go && exec "$@" </dev/null'
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def environment_with(facts: Mapping[str, str]) -> dict[str, str]:
    """What a command finds in its environment: this process's own and the facts, without the token."""
    return {name: value for name, value in {**os.environ, **facts}.items() if name not in WITHHELD}


class Command:
    """One run of a command. `begin`, then `finish`."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self.arguments, self.environment = list(arguments), dict(environment)
        self.last_line = ""
        self._listening = True

    def begin(self, *, on_record: Callable[[int, str], None], say: Callable[[str], None]) -> None:
        """Start it. `on_record` is told its process and when that began, before it does anything."""
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", GATE, "sh", *self.arguments],
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        on_record(self._process.pid, began_at(self._process.pid))
        with suppress(BrokenPipeError):
            self._process.stdin.write(b"go\n")
            self._process.stdin.close()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout, say), daemon=True)
        self._reader.start()

    def _read(self, output: IO[bytes], say: Callable[[str], None]) -> None:
        """Hand on the lines. What the command left running may go on writing, which nobody hears any more."""
        with output, suppress(OSError, ValueError):
            while raw := output.readline(LONGEST_LINE):
                text = plain(raw.decode("utf-8", "replace"))
                if text and self._listening:
                    self.last_line = text
                    say(text)

    def finish(self, *, deadline: float, lost: threading.Event) -> int | None:
        """Its exit status, as `subprocess` has it; None when it was ended because time is over, or the work lost."""
        try:
            while not lost.is_set() and time.time() < deadline:
                with suppress(subprocess.TimeoutExpired):
                    status = self._process.wait(min(0.2, max(deadline - time.time(), 0.01)))
                    # What it left running may keep the pipe open for ever.
                    self._reader.join(1.0)
                    return status
            return None
        finally:
            if self._process.poll() is None:
                self._end()
            self._listening = False

    def _end(self) -> None:
        pid = self._process.pid
        end_group(pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        end_group(pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(1.0)


def plain(line: str) -> str:
    """A line without colours and control characters."""
    return _CONTROL.sub("", _ESCAPES.sub("", line)).rstrip()


def end_group(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def began_at(pid: int) -> str:
    """When a process began, which tells it from a later one of the same number; nothing when there is none."""
    with suppress(OSError):
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else rest[18]
    if Path("/proc/self/stat").exists():
        return ""
    with suppress(OSError):
        asked = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
        state, _, began = subprocess.run(asked, capture_output=True, text=True).stdout.strip().partition(" ")
        return "" if state.startswith("Z") else began.strip()
    return ""


def end_left_over(pid: int, began: str) -> bool:
    """End the command of an agent that died, with all that it started; whether it still ran."""
    if not began or began_at(pid) != began:
        return False
    end_group(pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE
    while began_at(pid) == began and time.monotonic() < deadline:
        time.sleep(0.05)
    end_group(pid, signal.SIGKILL)
    while began_at(pid) == began and time.monotonic() < deadline + GRACE:
        time.sleep(0.05)
    return True
