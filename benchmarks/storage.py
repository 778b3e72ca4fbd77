"""How fast large files go to S3 and back through our layer, against boto3's own transfer in the same run.

    python benchmarks/storage.py [--gib 1] [--runs 3]

Starts a SeaweedFS of its own on loopback. Compares, each with a fresh file:

    upload_file, download_file       boto3 as it comes: the limit
    parts, address                   directly: a client sends the parts of an arrival side by side and has it finished
                                     (read, hashed, copied), and reads from a signed address, in one answer or in
                                     ranges side by side as `modelry pull` does
    through                          what passes through Modelry: BlobWriter, BlobStream

Prints medians, ratios, and the greatest memory of this process in MiB. Needs about six times the file's size of disk.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"

import django

django.setup()

import boto3
import httpx
from botocore.config import Config
from django.conf import settings
from django.test.utils import override_settings

from benchmarks.transfer import timed
from models_app.client.pull import SEGMENT
from models_app.registry.artifacts import arrivals, storage
from tests.storage.servers import BUCKET, SeaweedFS

PIECE = 1 << 20
SIDE_BY_SIDE = 4


def make_file(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size // PIECE):
            file.write(os.urandom(PIECE))
    os.sync()


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def send_parts(source: Path, sha256: str) -> dict[str, float]:
    """Side by side, as a client would; the seconds that sending and finishing took."""
    began = time.perf_counter()
    arrival = arrivals.begin(size=source.stat().st_size, sha256=sha256)
    with httpx.Client(timeout=600) as client, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:

        def send(number: int) -> None:
            target, length = arrivals.target(arrival, number), arrival.length_of(number)
            with source.open("rb") as file:
                file.seek((number - 1) * arrival.part_size)
                pieces = (file.read(min(PIECE, length - at)) for at in range(0, length, PIECE))
                headers = {**target.headers, "Content-Length": str(length)}
                client.put(target.url, content=pieces, headers=headers).raise_for_status()

        list(pool.map(send, range(1, arrival.part_count + 1)))
    sent = time.perf_counter()
    arrivals.finish(arrival)
    ended = time.perf_counter()
    arrivals.abandon(arrival)
    return {"parts, sent": sent - began, "parts, sent and finished": ended - began}


def write_through(source: Path) -> None:
    with storage.BlobWriter() as writer, source.open("rb") as file:
        while piece := file.read(256 << 10):
            writer.write(piece)
        writer.finish()


def read_address(sha256: str, size: int, target: Path) -> None:
    url = storage.download_address(
        sha256, size=size, disposition="attachment", media_type="", valid=timedelta(hours=1)
    )
    with httpx.stream("GET", url, timeout=600) as answer, target.open("wb") as file:
        answer.raise_for_status()
        for piece in answer.iter_raw(PIECE):
            file.write(piece)


def read_ranges(sha256: str, size: int, target: Path) -> None:
    url = storage.download_address(
        sha256, size=size, disposition="attachment", media_type="", valid=timedelta(hours=1)
    )
    with target.open("wb") as file:
        file.truncate(size)
    with httpx.Client(timeout=600) as client, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:

        def read(start: int) -> None:
            last = min(start + SEGMENT, size) - 1
            with target.open("r+b", buffering=0) as file:
                file.seek(start)
                with client.stream("GET", url, headers={"Range": f"bytes={start}-{last}"}) as answer:
                    answer.raise_for_status()
                    for piece in answer.iter_raw(PIECE):
                        file.write(piece)

        list(pool.map(read, range(0, size, SEGMENT)))


def read_through(sha256: str, size: int, target: Path) -> None:
    with target.open("wb") as file:
        for piece in storage.BlobStream(sha256, start=0, length=size):
            file.write(piece)


def one_run(server: SeaweedFS, folder: Path, size: int) -> dict[str, float]:
    client = boto3.client("s3", **server.keys(), config=Config(s3={"addressing_style": "path"}))
    source, target = folder / "source.bin", folder / "target.bin"
    took: dict[str, float] = {}

    def fetched(name: str, work: Callable[[], object]) -> None:
        took[name] = timed(work)[0]
        if digest_of(target) != digest_of(source):
            raise SystemExit(f"{name}: what came back is not what was sent.")
        target.unlink()

    make_file(source, size)
    took["upload_file"] = timed(lambda: client.upload_file(str(source), BUCKET, "bare"))[0]
    fetched("download_file", lambda: client.download_file(BUCKET, "bare", str(target)))
    client.delete_object(Bucket=BUCKET, Key="bare")
    make_file(source, size)
    sha256 = digest_of(source)
    took |= send_parts(source, sha256)
    fetched("address", lambda: read_address(sha256, size, target))
    fetched("ranges", lambda: read_ranges(sha256, size, target))
    storage.delete(sha256)
    make_file(source, size)
    sha256 = digest_of(source)
    took["through, up"] = timed(lambda: write_through(source))[0]
    fetched("through, down", lambda: read_through(sha256, size, target))
    storage.delete(sha256)
    return took


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--gib", type=float, default=1.0)
    options.add_argument("--runs", type=int, default=3)
    chosen = options.parse_args()
    size = int(chosen.gib * 1024) * PIECE
    runs: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="modelry-bench-", dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        server = SeaweedFS(folder / "seaweed", volume_mb=1024)
        server.start()
        entry = {**settings.STORAGES, "artifacts": server.storage("bench")}
        try:
            with override_settings(STORAGES=entry, HOME=folder):
                for run in range(chosen.runs):
                    runs.append(one_run(server, folder, size))
                    print(f"run {run + 1} of {chosen.runs} done", file=sys.stderr)
        finally:
            server.stop()
    median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    print(f"{chosen.gib:g} GiB, median of {chosen.runs}")
    for name, seconds in median.items():
        bare = median[
            "upload_file" if name.endswith(("up", "sent", "finished", "upload_file")) else "download_file"
        ]
        print(f"  {name:<25} {seconds:6.2f} s  {size / PIECE / seconds:6.0f} MiB/s  {seconds / bare:5.2f}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"  peak memory of this process  {peak / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
