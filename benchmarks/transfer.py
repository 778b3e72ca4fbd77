"""How fast a large file comes in and goes out, against the bare limit on the same disk.

    python benchmarks/transfer.py [--gib 1] [--runs 3]

Starts a server of its own on a free loopback port with SQLite and a fresh folder, uploads a file in one call, downloads
it, and compares with `cp` followed by SHA-256 (upload) and `cp` (download) in the same run. Prints medians, ratios, and
the greatest memory of the server's processes in MiB. Needs about four times the file's size of free disk.
"""

from __future__ import annotations

import argparse
import filecmp
import hashlib
import http.client
import json
import os
import secrets
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.live import LiveServer, Template, collect_static, serve
from tests.migrated import Original

PIECE = 1 << 20


class Memory(threading.Thread):
    """Watches the greatest resident memory of a process group's processes, each by itself, in bytes."""

    def __init__(self, group: int) -> None:
        super().__init__(daemon=True)
        self.group, self.peak, self.stop = group, 0, threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.05):
            for stat in Path("/proc").glob("[0-9]*/stat"):
                try:
                    fields = stat.read_text().rpartition(")")[2].split()
                    if int(fields[2]) == self.group:
                        self.peak = max(self.peak, int(fields[21]) * os.sysconf("SC_PAGE_SIZE"))
                except (OSError, ValueError, IndexError):
                    continue


def make_file(path: Path, size: int) -> None:
    """Bytes that no file system compresses, a different file at each call."""
    with path.open("wb") as file:
        for _ in range(size // PIECE):
            file.write(os.urandom(PIECE))


def warm_up(folder: Path, size: int) -> None:
    """Have the system hold that much memory for files: a virtual machine gets it from its host slowly the first time,
    and whoever writes first would pay for it.
    """
    scratch = folder / "scratch.bin"
    make_file(scratch, size)
    scratch.unlink()
    os.sync()


def done_with(folder: Path) -> None:
    """Give the room of a folder's files back, and its name, but delete nothing: ext4 takes no inode that was deleted in
    the last minutes and searches around such for each new file, which would be measured then.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            os.truncate(path, 0)
    folder.rename(folder.with_name(f"done-{secrets.token_hex(4)}"))


def copy_and_hash(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def upload(live: LiveServer, source: Path) -> int:
    """One multipart call, streamed; returns the version's number."""
    metadata = json.dumps({"create_model": True})
    # As long as those of real clients: the shorter a boundary, the longer the search for it.
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{metadata}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="model.bin"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    tail = f"\r\n--{boundary}--\r\n".encode()
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=600, blocksize=PIECE)
    connection.putrequest("POST", "/api/v1/models/risk/large/versions")
    connection.putheader("Authorization", f"Bearer {live.tokens['bob']}")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={boundary}")
    connection.putheader("Content-Length", str(len(head) + source.stat().st_size + len(tail)))
    connection.endheaders(head)
    with source.open("rb") as file:
        connection.sock.sendfile(file)
    connection.send(tail)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    if answer.status != 201:
        raise SystemExit(f"upload answered {answer.status}: {body}")
    return int(body["version"])


def download(live: LiveServer, number: int, target: Path | None) -> None:
    """Read all of the file into `target`, or only read it."""
    connection = http.client.HTTPConnection("127.0.0.1", live.port, timeout=600)
    connection.request(
        "GET",
        f"/api/v1/models/risk/large/versions/{number}/files/model.bin",
        headers={"Authorization": f"Bearer {live.tokens['bob']}"},
    )
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"download answered {answer.status}")
    buffer = memoryview(bytearray(PIECE))
    with (target or Path(os.devnull)).open("wb", buffering=0) as file:
        while count := answer.readinto(buffer):
            file.write(buffer[:count])
    connection.close()


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Seconds that it took, and what it gave."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--gib", type=float, default=1.0)
    options.add_argument("--runs", type=int, default=3)
    chosen = options.parse_args()
    times: dict[str, list[float]] = {
        name: [] for name in ("cp + sha256", "upload", "cp", "download", "download, unwritten")
    }
    with tempfile.TemporaryDirectory(prefix="modelry-bench-", dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        migrated = Original(folder, os.environ.get("DATABASE_URL", ""))
        template = Template(folder, collect_static(folder), migrated)
        with serve(template, folder / "home") as live:
            memory = Memory(live.pid)
            memory.start()
            for run in range(chosen.runs):
                source, target = folder / "source.bin", folder / "target.bin"
                make_file(source, int(chosen.gib * 1024) * PIECE)
                os.sync()
                times["cp + sha256"].append(timed(lambda: copy_and_hash(source, target))[0])  # noqa: B023
                target.unlink()
                os.sync()
                seconds, number = timed(lambda: upload(live, source))  # noqa: B023
                times["upload"].append(seconds)
                os.sync()
                times["cp"].append(timed(lambda: shutil.copyfile(source, target))[0])  # noqa: B023
                target.unlink()
                os.sync()
                seconds, _ = timed(lambda: download(live, number, target))  # noqa: B023
                times["download"].append(seconds)
                if not filecmp.cmp(source, target, shallow=False):
                    raise SystemExit("What came back is not what was sent.")
                target.unlink()
                os.sync()
                seconds, _ = timed(lambda: download(live, number, None))  # noqa: B023
                times["download, unwritten"].append(seconds)
                print(f"run {run + 1} of {chosen.runs} done", file=sys.stderr)
            memory.stop.set()
    median = {name: statistics.median(values) for name, values in times.items()}
    print(f"{chosen.gib:g} GiB, median of {chosen.runs}")
    for name, seconds in median.items():
        print(f"  {name:<19} {seconds:6.2f} s   {chosen.gib * 1024 / seconds:7.0f} MiB/s")
    print(f"  upload / (cp + sha256)  {median['upload'] / median['cp + sha256']:.2f}")
    print(f"  download / cp           {median['download'] / median['cp']:.2f}")
    print(f"  download, unwritten / cp  {median['download, unwritten'] / median['cp']:.2f}")
    print(f"  peak memory of a server process  {memory.peak / PIECE:.0f} MiB")


if __name__ == "__main__":
    main()
